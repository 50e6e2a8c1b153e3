"""docs/moving-an-app.md moves apps that FastAPI Users' documentation would have: its commands are run as they are."""

import subprocess
from pathlib import Path

import fastapi_users
import pytest
import sqlalchemy as sa

from fastapi_users_sqlmodel.engines import sync_url
from tests.documents import ROOT, blocks, installed, read_page
from tests.library.public_names import adapter_names, public_names
from tests.outside.environment import make_environment
from tests.outside.old_apps import ADOPTION, BEFORE, ENV, FAKE, MAKO, MODELS, OAUTH_APP, OAUTH_DB, REVISION
from tests.outside.project import Outside
from tests.programs import open_programs, preloaded_interpreter

PAGE = read_page("docs/moving-an-app.md")
EXAMPLE = ROOT / "examples" / "fastapi_users_documentation"


# MongoDB, and what FastAPI Users itself has only with its extras `redis` and `oauth`.
NEEDS_MORE = {"BaseOAuthAccount", "BeanieBaseUser", "BeanieUserDatabase", "ObjectIDIDMixin", "RedisStrategy"}
NEEDS_MORE |= {"get_oauth_router", "get_oauth_associate_router"}


def follow(outside: Outside) -> None:
    """Run the page's commands in the folder, and expect its `grep` to find nothing that is left."""
    commands = [block for block in blocks(PAGE, "sh") if block.startswith(("find", "grep"))]
    assert len(commands) == 3
    for command in [*(each for each in commands if each.startswith("find")), commands[1]]:
        ran = subprocess.run(["sh", "-c", command], cwd=outside.folder, capture_output=True, text=True, check=False)
        assert (ran.stdout, ran.stderr) == ("", "")


def test_every_import(outside: Outside) -> None:
    """Every public name of FastAPI Users and of its adapter, imported where an app is moved by the page's commands."""
    packages = {
        "fastapi_users": public_names(Path(fastapi_users.__file__).parent),
        "fastapi_users_db_sqlalchemy": adapter_names(),
    }
    lines = [
        f"from {'.'.join(filter(None, [package, module]))} import {name}"
        for package, modules in packages.items()
        for module, names in sorted(modules.items())
        for name in sorted(names)
        if name not in NEEDS_MORE and module != "router.oauth"
    ]
    assert len(lines) > 100
    more = [
        "import fastapi_users",
        "import fastapi_users_db_sqlalchemy",
        "from fastapi_users_db_sqlmodel import SQLModelBaseUserDB, SQLModelUserDatabaseAsync",
        "from fastapi_users_db_sqlmodel.access_token import SQLModelAccessTokenDatabaseAsync, SQLModelBaseAccessToken",
        "from fastapi_users_db_sqlmodel.generics import TIMESTAMPAware",
        "if True:",
        "    from fastapi_users import schemas",
    ]
    outside.write({"old.py": "\n".join([*lines, *more])})
    follow(outside)
    ran = outside.python(str(outside.folder / "old.py"))
    assert (ran.status, ran.err) == (0, "")


def before() -> dict[str, str]:
    """Return the documented example as it was before it was moved."""
    files = {}
    for name, changes in BEFORE.items():
        text = (EXAMPLE / name).read_text().replace("examples.fastapi_users_documentation", "app")
        for new, old in changes.items():
            assert new in text
            text = text.replace(new, old)
        assert "fastapi_users_sqlmodel" not in text
        files[f"app/{name}"] = text
    return files


async def test_documented_example(outside: Outside) -> None:
    outside.write(before())
    follow(outside)
    server = outside.serve("app.app:app")
    async with server.client() as client:
        form = {"username": "anna@example.com", "password": "correct horse battery"}
        body = {"email": form["username"], "password": form["password"]}
        assert (await client.post("/auth/register", json=body)).status_code == 201
        token = (await client.post("/auth/jwt/login", data=form)).json()["access_token"]
        hello = await client.get("/authenticated-route", headers={"Authorization": f"Bearer {token}"})
        assert hello.json() == {"message": "Hello anna@example.com!"}
    server.stop_silently()


def test_fake_store_is_told_what_to_take_instead(outside: Outside) -> None:
    ran = outside.python("-c", FAKE)
    assert ran.status == 1
    assert ran.err.splitlines()[-1] == (
        "TypeError: UserManager works on a store of fastapi_users_sqlmodel, and was given a __main__.FakeUserDatabase. "
        "In tests, take a SQLAlchemyUserDatabase on a SQLite database in memory: see fastapi_users_sqlmodel.testing"
    )


@pytest.mark.thorough
async def test_documented_example_with_oauth(tmp_path: Path) -> None:
    requirements = [*installed(read_page("docs/quick-start.md")), "fastapi-users[oauth]"]
    python = make_environment(tmp_path / "environment", requirements)
    with (
        preloaded_interpreter(python, ("fastapi",), {"PYTHONPATH": ""}) as interpreter,
        open_programs(interpreter, tmp_path / "programs", {"PYTHONPATH": ""}) as programs,
    ):
        outside = Outside(python, programs)
        old = before()
        for known, other in OAUTH_DB.items():
            assert known in old["app/db.py"]
            old["app/db.py"] = old["app/db.py"].replace(known, other)
        outside.write({**old, "app/app.py": old["app/app.py"] + OAUTH_APP})
        follow(outside)
        server = outside.serve("app.app:app")
        async with server.client() as client:
            body = {"email": "anna@example.com", "password": "correct horse battery"}
            assert (await client.post("/auth/register", json=body)).status_code == 201
            authorize = await client.get("/auth/google/authorize")
            assert authorize.json()["authorization_url"].startswith("https://accounts.google.com/")
        server.stop_silently()
        # They are not protected yet, and say so.
        assert server.program.err.count("OAuth routes are not protected") == 2


@pytest.mark.parametrize(
    "database_url", ["sqlite", pytest.param("postgresql", marks=pytest.mark.thorough)], indirect=True
)
def test_history_and_database(outside: Outside, outside_url: str) -> None:
    outside.migrate("init", "alembic")
    outside.write({"models.py": MODELS, "alembic/env.py": ENV, "alembic/script.py.mako": MAKO})
    outside.write({"alembic/versions/1_users.py": REVISION})
    follow(outside)
    url = ("-x", f"url={outside_url}")
    outside.migrate(*url, "upgrade", "head")
    engine = sa.create_engine(sync_url(outside_url))
    with engine.begin() as connection:
        row = "VALUES (:id, 'Anna@example.com', '-', true, false, false)"
        connection.execute(sa.text(f'INSERT INTO "user" {row}'), {"id": "3f2504e0-4f89-41d3-9a0c-0305e82c3301"})
    outside.write({"alembic/versions/2_adopt.py": ADOPTION})
    outside.migrate(*url, "upgrade", "head")
    outside.migrate(*url, "revision", "--autogenerate", "-m", "Tables beside the users")
    outside.migrate(*url, "upgrade", "head")
    assert "No new upgrade operations detected." in outside.migrate(*url, "check")
    with engine.begin() as connection:
        assert connection.scalar(sa.text('SELECT email_canonical FROM "user"')) == "anna@example.com"
    engine.dispose()
    kept = [path for path in (outside.folder / "alembic").rglob("*.py") if "fastapi_users_db" in path.read_text()]
    assert kept == []
