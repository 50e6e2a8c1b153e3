"""docs/moving-an-app.md moves apps that FastAPI Users' documentation would have: its commands are run as they are."""

import re
import shlex
import shutil
import subprocess
import textwrap
from pathlib import Path

import fastapi_users
import pytest
import sqlalchemy as sa

from fastapi_users_sqlmodel.engines import sync_url
from tests.documents import ROOT, blocks, files, installed, read_page
from tests.library.public_names import adapter_names, public_names
from tests.outside.environment import make_environment
from tests.outside.old_apps import (
    BEFORE,
    FAKE,
    LEFT,
    MAKO,
    MODELS,
    OAUTH_APP,
    OAUTH_DB,
    REVISION,
    STATEMENTS,
    TYPE_IMPORTS,
    TYPES_BY_HAND,
)
from tests.outside.project import Outside
from tests.programs import open_programs, preloaded_interpreter

PAGE = read_page("docs/moving-an-app.md")
EXAMPLE = ROOT / "examples" / "fastapi_users_documentation"


# MongoDB, and what FastAPI Users itself has only with its extras `redis` and `oauth`.
NEEDS_MORE = {"BaseOAuthAccount", "BeanieBaseUser", "BeanieUserDatabase", "ObjectIDIDMixin", "RedisStrategy"}
NEEDS_MORE |= {"get_oauth_router", "get_oauth_associate_router"}


RENAME, FIND_LEFT, FIND_TYPES = (block for block in blocks(PAGE, "sh") if block.startswith("git "))

pytestmark = pytest.mark.skipif(
    None in (shutil.which("git"), shutil.which("perl")), reason="the page's commands are git's and perl's"
)


def shell(outside: Outside, command: str) -> str:
    """Run a command in the folder, and return what it prints."""
    ran = subprocess.run(["sh", "-c", command], cwd=outside.folder, capture_output=True, text=True, check=False)
    assert ran.stderr == ""
    return ran.stdout


def follow(outside: Outside) -> None:
    """Run the page's commands on the files in the folder, and expect them to find nothing that is left."""
    shell(outside, "git init --quiet && git add .")
    assert shell(outside, RENAME) == ""
    assert shell(outside, FIND_LEFT) == ""


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


def test_every_spelling_of_an_import(outside: Outside) -> None:
    """Each is a program of its own: what it imports does not help the next one."""
    programs = {f"old_{number}.py": f"{line}\n{used}\n" for number, (line, used) in enumerate(STATEMENTS.items())}
    outside.write(programs)
    follow(outside)
    for name, program in programs.items():
        ran = outside.python(str(outside.folder / name))
        assert (ran.status, ran.err) == (0, ""), program


def test_what_is_left_is_listed(outside: Outside) -> None:
    outside.write({"old.py": "\n".join(LEFT) + "\n", "script.py.mako": "% if x: import fastapi_users\n"})
    shell(outside, f"git init --quiet && git add . && {RENAME}")
    assert (outside.folder / "old.py").read_text().splitlines() == list(LEFT)
    listed = [f"old.py:{number}: {line}" for number, (line, is_left) in enumerate(LEFT.items(), start=1) if is_left]
    assert shell(outside, FIND_LEFT).splitlines() == [*listed, "script.py.mako:1: % if x: import fastapi_users"]


def test_installed_packages_are_not_touched(outside: Outside) -> None:
    old = "from fastapi_users_db_sqlalchemy.generics import GUID\nimport fastapi_users\n"
    installed_files = [f"{folder}/lib/site-packages/package.py" for folder in ("venv", ".venv", "env")]
    outside.write({".gitignore": "venv/\n.venv/\nenv/\n", "old.py": old, **dict.fromkeys(installed_files, old)})
    follow(outside)
    assert {(outside.folder / name).read_text() for name in installed_files} == {old}
    assert shell(outside, FIND_TYPES).splitlines() == ["old.py:1:from fastapi_users_sqlmodel.generics import GUID"]


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


def replace_types_by_hand(outside: Outside, imported: str) -> None:
    """Do what the page says about the lines that it lists: until none is left."""
    listed = shell(outside, FIND_TYPES).splitlines()
    assert {line.partition(":")[0] for line in listed} == {"models.py"}
    text = (outside.folder / "models.py").read_text()
    moved = imported.replace("fastapi_users_db_sqlalchemy", "fastapi_users_sqlmodel")
    assert text.startswith(moved)
    text = TYPES_BY_HAND + text.removeprefix(moved)
    text = text.replace("(GUID,", "(Uuid,").replace("TIMESTAMPAware(timezone=True)", "UTCDateTime")
    outside.write({"models.py": text})
    assert shell(outside, FIND_TYPES) == ""


@pytest.mark.parametrize("imported", TYPE_IMPORTS.values(), ids=TYPE_IMPORTS)
def test_check_models_proves_that_types_were_replaced(outside: Outside, imported: str) -> None:
    outside.write({"models.py": imported + MODELS})
    follow(outside)
    (proof,) = (block for block in blocks(PAGE, "sh") if "check_models" in block)
    arguments = shlex.split(proof.splitlines()[0])[1:]
    left = outside.python(*arguments)
    assert left.status == 1
    assert "Order.user_id is CHAR(36) and points to user.id, which is CHAR(32)" in left.err
    replace_types_by_hand(outside, imported)
    replaced = outside.python(*arguments)
    assert (replaced.status, replaced.err) == (0, "")


def adoption() -> str:
    """Return the revision that the page about the database says to write."""
    (found,) = re.findall(
        r"^   ```python\n(.*?)^   ```$", read_page("docs/adopting-a-database.md"), re.DOTALL | re.MULTILINE
    )
    code = textwrap.dedent(found)
    assert "raise" in code
    return f'revision = "2"\ndown_revision = "1"\n{code}'


@pytest.mark.parametrize(
    "database_url", ["sqlite", pytest.param("postgresql", marks=pytest.mark.thorough)], indirect=True
)
def test_history_and_database(outside: Outside, outside_url: str) -> None:
    imported = TYPE_IMPORTS["parentheses"]
    outside.migrate("init", "alembic")
    outside.write({"models.py": imported + MODELS, "alembic/script.py.mako": MAKO})
    outside.write({"alembic/versions/1_users.py": REVISION})
    follow(outside)
    outside.write({**files(PAGE), "db.py": f"DATABASE_URL = {outside_url!r}\n"})
    outside.migrate("upgrade", "head")
    user_id = "3f2504e0-4f89-41d3-9a0c-0305e82c3301"
    engine = sa.create_engine(sync_url(outside_url))
    with engine.begin() as connection:
        row = "VALUES (:id, 'Anna@example.com', '-', true, false, false)"
        connection.execute(sa.text(f'INSERT INTO "user" {row}'), {"id": user_id})
        row = "VALUES (1, :id, '2026-01-01 00:00:00')"
        connection.execute(sa.text(f'INSERT INTO "order" {row}'), {"id": user_id})
    outside.write({"alembic/versions/2_adopt.py": adoption()})
    outside.migrate("upgrade", "head")
    if outside_url.startswith("sqlite"):
        check = outside.alembic("check")
        assert "Uuid(), GUID())" in check.out  # The models still say CHAR(36).
    replace_types_by_hand(outside, imported)
    outside.migrate("revision", "--autogenerate", "-m", "Tables beside the users")
    outside.migrate("upgrade", "head")
    assert "No new upgrade operations detected." in outside.migrate("check")
    with engine.begin() as connection:
        join = 'SELECT email_canonical FROM "user" JOIN "order" ON "order".user_id = "user".id'
        assert connection.scalar(sa.text(join)) == "anna@example.com"
    engine.dispose()
    assert "restore the backup" in outside.alembic("downgrade", "1").err
    kept = [path for path in outside.folder.rglob("*.*") if path.suffix in {".py", ".mako"}]
    assert [path for path in kept if "fastapi_users_db" in path.read_text()] == []
