"""The service's migrations build what its models describe, and the commands of the README work in their order."""

import os
import shutil
import subprocess
import sys
from pathlib import Path

import httpx2
import pytest
from sqlalchemy import text

from tests.conftest import CreateDatabase
from tests.library.alembic_project import connected, imported_modules, schema_of
from tests.programs import ROOT, WITHOUT_PSYCOPG, Programs, Ran
from tests.server import Server, free_port, start_server

VERSIONS = sorted((ROOT / "alembic" / "versions").glob("*.py"))
NO_CHANGES = "No changes: the migrations already describe every model; nothing was written.\n"
PASSWORD = "correct horse battery staple"

CREATE_ALL = """
from sqlalchemy import create_engine
from app.core.settings import settings
from app.models import Base
from fastapi_users_sqlmodel.engines import sync_url
Base.metadata.create_all(create_engine(sync_url(settings.database)))
"""

# Everything that a user of the database can make in it.
OBJECTS = {
    "sqlite": "SELECT name FROM sqlite_master WHERE tbl_name <> 'alembic_version'",
    "postgresql": """
        SELECT relname FROM pg_class WHERE relnamespace = 'public'::regnamespace AND relname NOT LIKE 'alembic_version%'
        UNION SELECT typname FROM pg_type WHERE typnamespace = 'public'::regnamespace
            AND typname NOT LIKE '%alembic_version'
        UNION SELECT proname FROM pg_proc WHERE pronamespace = 'public'::regnamespace
    """,
}


def alembic(programs: Programs, url: str, *arguments: str) -> Ran:
    """Run a command of Alembic that has to succeed."""
    ran = programs.run("-m", "alembic", "-c", str(ROOT / "alembic.ini"), *arguments, env={"DATABASE_URL": url})
    assert ran.status == 0, ran
    return ran


def objects(url: str) -> list[str]:
    with connected(url) as connection:
        return sorted(connection.scalars(text(OBJECTS[connection.dialect.name])))


def revision(url: str) -> list[str]:
    with connected(url) as connection:
        return list(connection.exec_driver_sql("SELECT version_num FROM alembic_version").scalars())


class TestVersions:
    @pytest.mark.parametrize("path", VERSIONS, ids=lambda path: path.stem)
    def test_need_nothing_of_ours(self, path: Path) -> None:
        assert imported_modules(path.read_text()) <= {"alembic", "sqlalchemy"}

    def test_have_one_head(self, programs: Programs) -> None:
        heads = alembic(programs, "sqlite://", "heads").out.splitlines()
        assert [line.endswith(" (head)") for line in heads] == [True]


class TestUpgrade:
    def test_builds_what_the_models_describe_up_down_and_up(
        self, programs: Programs, database_url: str, create_database: CreateDatabase, tmp_path: Path
    ) -> None:
        is_postgresql = database_url.startswith("postgresql")
        described_url = create_database() if is_postgresql else f"sqlite:///{tmp_path}/described.db"
        assert programs.run("-c", CREATE_ALL, env={"DATABASE_URL": described_url}) == Ran(0, "", "")
        described = schema_of(described_url)
        # Something of every kind, or this test says nothing.
        for kind in ("null=False default=None", "primary key", "foreign key", "unique", "check", "index"):
            assert any(kind in line for line in described), kind
        alembic(programs, database_url, "upgrade", "head")
        assert schema_of(database_url) ^ described == set()
        alembic(programs, database_url, "downgrade", "base")
        assert objects(database_url) == []
        assert revision(database_url) == []
        alembic(programs, database_url, "upgrade", "head")
        assert schema_of(database_url) ^ described == set()

    def test_twice_changes_nothing(self, programs: Programs, database_url: str) -> None:
        alembic(programs, database_url, "upgrade", "head")
        before = schema_of(database_url)
        assert "Running upgrade" not in alembic(programs, database_url, "upgrade", "head").err
        assert schema_of(database_url) == before

    def test_can_be_written_down_without_a_database(self, programs: Programs) -> None:
        for url in ("sqlite:///./missing/test.db", "postgresql://127.0.0.1:1/nowhere"):
            assert "CREATE TABLE usergroup" in alembic(programs, url, "upgrade", "head", "--sql").out

    def test_needs_no_synchronous_driver(self, programs: Programs, create_database: CreateDatabase) -> None:
        url = create_database()
        arguments = ["alembic", "-c", str(ROOT / "alembic.ini"), "upgrade", "head"]
        env = {"DATABASE_URL": url.replace("postgresql:", "postgresql+asyncpg:")}
        ran = programs.run("-c", WITHOUT_PSYCOPG, *arguments, env=env)
        assert (ran.status, ran.out) == (0, "")
        assert len(revision(url)) == 1


class TestWhichDatabase:
    def test_by_default_the_file_of_the_service(self, programs: Programs) -> None:
        ran = programs.run("-m", "alembic", "-c", str(ROOT / "alembic.ini"), "upgrade", "head")
        assert ran.status == 0
        assert programs.run("-m", "app.cli", "check") == Ran(0, "All is well.\n", "")
        assert (programs.folder / "test.db").exists()

    def test_of_the_environment(self, programs: Programs, tmp_path: Path) -> None:
        alembic(programs, f"sqlite:///{tmp_path}/meant.db", "upgrade", "head")
        assert {path.name for path in tmp_path.glob("**/*.db")} == {"meant.db"}

    def test_of_the_command_line_before_all_others(self, programs: Programs, tmp_path: Path) -> None:
        meant, other = f"sqlite:///{tmp_path}/meant.db", f"sqlite:///{tmp_path}/other.db"
        alembic(programs, other, "-x", f"url={meant}", "upgrade", "head")
        assert {path.name for path in tmp_path.glob("**/*.db")} == {"meant.db"}


class TestCheck:
    def test_finds_the_migrations_equal_to_the_models(self, programs: Programs, database_url: str) -> None:
        # Of the database's own state it says nothing: that is `python -m app.cli check`.
        assert alembic(programs, database_url, "check").out == "No new upgrade operations detected.\n"
        alembic(programs, database_url, "upgrade", "head")
        assert alembic(programs, database_url, "check").out == "No new upgrade operations detected.\n"


class Copy:
    """A fresh clone of the repository, in which something may be changed."""

    def __init__(self, programs: Programs, folder: Path) -> None:
        self.programs = programs
        self.folder = folder
        ignored = shutil.ignore_patterns(".*", "__pycache__", "*.db*", "*.egg-info", "build", "dist", "tests")
        shutil.copytree(ROOT, folder, ignore=ignored)

    @property
    def path(self) -> str:
        return f"{self.folder}{os.pathsep}{self.folder / 'src'}"

    def run(self, *arguments: str, url: str | None = None) -> Ran:
        """Run a program of the copy, in its folder; one that has to succeed."""
        env = {"PYTHONPATH": self.path, "PORT": str(free_port()), **({"DATABASE_URL": url} if url else {})}
        ran = self.programs.run(*arguments, env=env, folder=self.folder)
        assert ran.status == 0, ran
        return ran

    def serve(self, url: str | None = None) -> Server:
        return start_server(self.programs, database_url=url, env={"PYTHONPATH": self.path}, folder=self.folder)

    def autogenerate(self, url: str | None = None, message: str = "Initial migration") -> str:
        return self.run("-m", "alembic", "revision", "--autogenerate", "-m", message, url=url).out

    def versions(self) -> set[str]:
        return {path.name for path in (self.folder / "alembic" / "versions").glob("*.py")}

    def change_models(self) -> None:
        """Make names longer: SQLite has to build the table of the users anew, on which all the others hang."""
        path = self.folder / "app" / "models" / "user.py"
        changed = path.read_text().replace("mapped_column(String(100))", "mapped_column(String(120))")
        assert changed != path.read_text()
        path.write_text(changed)


@pytest.fixture
def copy(programs: Programs, tmp_path: Path) -> Copy:
    return Copy(programs, tmp_path / "copy")


class TestAutogenerate:
    def test_on_an_empty_database_writes_nothing_and_says_why(self, copy: Copy, database_url: str) -> None:
        before = copy.versions()
        assert copy.autogenerate(database_url) == NO_CHANGES
        assert copy.versions() == before
        assert objects(database_url) == []

    def test_on_one_that_is_at_head_too(self, copy: Copy, database_url: str) -> None:
        copy.run("-m", "alembic", "upgrade", "head", url=database_url)
        before = copy.versions(), schema_of(database_url)
        assert copy.autogenerate(database_url) == NO_CHANGES
        assert (copy.versions(), schema_of(database_url)) == before

    def test_on_one_that_is_behind_too(self, copy: Copy, database_url: str) -> None:
        copy.run("-m", "alembic", "upgrade", "head", url=database_url)
        copy.change_models()
        before = copy.versions()
        copy.autogenerate(database_url, "Longer names")
        (new,) = copy.versions() - before
        source = (copy.folder / "alembic" / "versions" / new).read_text()
        assert imported_modules(source) <= {"alembic", "sqlalchemy"}
        # Now the database is one migration behind, and there is still nothing to write.
        assert copy.autogenerate(database_url) == NO_CHANGES
        assert copy.versions() == before | {new}

    def test_what_it_wrote_runs_where_there_are_rows(self, copy: Copy, database_url: str) -> None:
        copy.run("-m", "alembic", "upgrade", "head", url=database_url)
        copy.run("create-sample-data.py", "--password", PASSWORD, url=database_url)
        before = rows(database_url), schema_of(database_url)
        copy.change_models()
        copy.autogenerate(database_url, "Longer names")
        if database_url.startswith("postgresql"):
            copy.run("-m", "alembic", "upgrade", "head", url=database_url)
        else:
            # What the front door does before it serves, too.
            assert copy.run("create-sample-data.py", url=database_url).err == "The sample data was there already.\n"
            copy.serve("sqlite://").stop()
        assert rows(database_url) == before[0]
        assert any("user.name VARCHAR(120)" in line for line in schema_of(database_url))
        copy.run("-m", "alembic", "downgrade", "-1", url=database_url)
        assert (rows(database_url), schema_of(database_url)) == before


def rows(url: str) -> dict[str, list[tuple[object, ...]]]:
    with connected(url) as connection:
        return {
            name: sorted((tuple(row) for row in connection.exec_driver_sql(f'SELECT * FROM "{name}"')), key=str)
            for name in ("usergroup", "user", "item", "post")
        }


class TestSeedSequence:
    def test_works_verbatim(self, copy: Copy) -> None:
        # What is left out is `uv sync && source .venv/bin/activate`: the environment is the one of the tests.
        script = """
            set -e
            alembic revision --autogenerate -m "Initial migration"
            alembic upgrade head
            python create-sample-data.py
        """
        binaries = Path(sys.executable).parent
        env = {"PATH": f"{binaries}{os.pathsep}{os.environ['PATH']}", "PYTHONPATH": copy.path}
        before = copy.versions()
        ran = subprocess.run(
            ["/bin/sh", "-c", script],
            cwd=copy.folder,
            env=env,
            capture_output=True,
            text=True,
            timeout=120,
            check=False,
        )
        assert ran.returncode == 0, ran
        first, *passwords = ran.stdout.splitlines()
        assert f"{first}\n" == NO_CHANGES
        assert len(passwords) == 6
        assert copy.versions() == before
        self.assert_serves(copy)
        # And again, on a database that exists.
        assert copy.autogenerate() == NO_CHANGES
        assert "Running upgrade" not in copy.run("-m", "alembic", "upgrade", "head").err
        assert copy.run("create-sample-data.py") == Ran(0, "", "The sample data was there already.\n")
        assert copy.versions() == before
        self.assert_serves(copy)

    def test_works_on_postgresql(self, copy: Copy, create_database: CreateDatabase) -> None:
        url = create_database()
        for message in ("The sample data is there.\n", "The sample data was there already.\n"):
            assert copy.autogenerate(url) == NO_CHANGES
            copy.run("-m", "alembic", "upgrade", "head", url=url)
            assert copy.run("create-sample-data.py", url=url).err == message
            self.assert_serves(copy, url)

    @staticmethod
    def assert_serves(copy: Copy, url: str | None = None) -> None:
        server = copy.serve(url)
        members = httpx2.get(f"{server.url}/user-groups/1/users")
        assert members.status_code == 200
        assert [(set(member), member["name"]) for member in members.json()] == [({"id", "name"}, "Admin")]
        server.stop()
