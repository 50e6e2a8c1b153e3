"""The README says nothing that is not so: its tree, its listing and its commands."""

import ast
import subprocess
import sys
from pathlib import Path

import pytest

from tests.documents import ROOT, blocks, read_page

README = read_page("README.md")
LIBRARY = ROOT / "src" / "fastapi_users_sqlmodel"


def caption(path: Path) -> str:
    """Return the first line of a module's, or a package's, docstring."""
    source = path / "__init__.py" if path.is_dir() else path
    docstring = ast.get_docstring(ast.parse(source.read_text()))
    assert docstring, f"{source} says nothing about itself"
    return docstring.splitlines()[0].rstrip(".")


def rooms(folder: Path) -> list[Path]:
    """List what is public in a folder: modules, and packages as one room each."""
    found = (path for path in folder.iterdir() if path.suffix == ".py" or (path / "__init__.py").exists())
    return sorted(
        (path for path in found if not path.name.startswith("_")), key=lambda path: (path.is_file(), path.name)
    )


def tree() -> str:
    """Draw the tree, each room with the caption that it gives itself."""
    lines = [("main.py", caption(ROOT / "main.py")), ("create-sample-data.py", caption(ROOT / "create-sample-data.py"))]
    lines.append(("alembic/env.py", caption(ROOT / "alembic" / "env.py")))
    for name, folder in (("src/fastapi_users_sqlmodel/", LIBRARY), ("app/", ROOT / "app")):
        lines.append((name, caption(folder)))
        lines += [(f"  {room.name}{'/' if room.is_dir() else ''}", caption(room)) for room in rooms(folder)]
    width = max(len(name) for name, _ in lines) + 2
    return "".join(f"{name:{width}}{words}\n" for name, words in lines)


def test_tree_has_the_captions_that_the_modules_give_themselves() -> None:
    assert blocks(README, "")[-1] == tree()


def test_listing_runs_and_reaches_users_through_a_team(tmp_path: Path) -> None:
    (tmp_path / "listing.py").write_text(
        blocks(README, "python")[0]
        + """

import asyncio

from sqlalchemy.ext.asyncio import async_sessionmaker, create_async_engine
from sqlalchemy.orm import selectinload
from sqlmodel import select
from sqlmodel.ext.asyncio.session import AsyncSession

from fastapi_users_sqlmodel import SQLAlchemyUserDatabase, rel

engine = create_async_engine("sqlite+aiosqlite:///./test.db")
async_session_maker = async_sessionmaker(engine, class_=AsyncSession, expire_on_commit=False)


async def main() -> None:
    async with engine.begin() as connection:
        await connection.run_sync(Base.metadata.create_all)
    async with async_session_maker() as session:
        session.add(Team(id=1, name="Team"))
        await session.commit()
        user_db = SQLAlchemyUserDatabase(session, User)
        await user_db.create({"email": "Ann@example.com", "hashed_password": "-", "team_id": 1})
        assert await user_db.get_by_email("ANN@EXAMPLE.COM") is not None
    async with async_session_maker() as session:
        team = (await session.exec(select(Team).options(selectinload(rel(Team.users))))).one()
        print([user.email for user in team.users])
    await engine.dispose()


asyncio.run(main())
"""
    )

    ran = subprocess.run([sys.executable, "listing.py"], cwd=tmp_path, capture_output=True, text=True, check=False)

    assert (ran.stdout, ran.stderr) == ("['Ann@example.com']\n", "")


@pytest.mark.thorough
def test_listing_passes_mypy_strict(tmp_path: Path) -> None:
    api = pytest.importorskip("mypy.api")
    (tmp_path / "listing.py").write_text(blocks(README, "python")[0])

    out, err, status = api.run(["--strict", "--cache-dir", str(tmp_path), str(tmp_path / "listing.py")])

    assert (out, err, status) == ("Success: no issues found in 1 source file\n", "", 0)


def test_ci_runs_the_test_command() -> None:
    start = blocks(README, "sh")[0].splitlines()

    assert start[1].startswith("uv run pytest ")
    assert "uv run pytest" in (ROOT / ".ci" / "run").read_text() + (ROOT / "scripts" / "test").read_text()
