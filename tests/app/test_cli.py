"""The commands for the people who run the service: `python -m app.cli`."""

import contextlib
import json
import os
import pty
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from sqlalchemy import insert, select, text
from sqlmodel import Session

from app.app import app
from app.cli.accounts import TAKEN
from app.models import Base, User
from app.users import password_helper
from fastapi_users_sqlmodel.tokens import Purpose
from tests.app.databases import connected, migrated
from tests.conftest import CreateDatabase
from tests.programs import WITHOUT_PSYCOPG, Program, Programs, Ran

PASSWORD = "correct horse battery staple"

# With a model that cannot be right.
WRONG_MODEL = """
import runpy
from sqlalchemy import ForeignKey, String
from sqlalchemy.orm import Mapped, mapped_column
from app.models import Base

class Thing(Base):
    __tablename__ = "thing"
    id: Mapped[int] = mapped_column(primary_key=True)
    group_id: Mapped[str] = mapped_column(String(3), ForeignKey("usergroup.id"))

runpy.run_module("app.cli", run_name="__main__", alter_sys=True)
"""


def command(programs: Programs, url: str, *arguments: str, **env: str) -> Ran:
    return programs.run("-m", "app.cli", *arguments, env={"DATABASE_URL": url, **env})


class Terminal:
    """A terminal with a person at it."""

    def __init__(self) -> None:
        self._ours, self.theirs = pty.openpty()
        os.set_blocking(self._ours, False)
        self.seen = ""
        self._answered = 0

    def read(self) -> str:
        """Read what there is to read, and return all that was seen."""
        with contextlib.suppress(BlockingIOError):
            while text := os.read(self._ours, 4096):
                self.seen += text.decode()
        return self.seen

    def answer(self, program: Program, question: str, answer: str) -> None:
        """Wait for a question, and answer it."""
        # The space after it comes last: what is typed before that, getpass throws away.
        program.until(lambda: f"{question} " in self.read()[self._answered :] or None)
        self._answered = len(self.seen)
        os.write(self._ours, f"{answer}\n".encode())

    def close(self) -> None:
        os.close(self._ours)
        os.close(self.theirs)


@pytest.fixture
def terminal() -> Iterator[Terminal]:
    with contextlib.closing(Terminal()) as terminal:
        yield terminal


def users(url: str) -> list[User]:
    with connected(url) as connection, Session(connection) as session:
        return list(session.scalars(select(User)))


class TestCreateSuperuser:
    def test_who_is_new(self, programs: Programs, database_url: str) -> None:
        arguments = ["--email", " Ann@Example.COM", "--username", "Ann", "--password", PASSWORD]
        ran = command(programs, migrated(database_url), "create-superuser", *arguments)
        assert ran == Ran(0, "Ann@Example.COM is a superuser now.\n", "")
        (user,) = users(database_url)
        assert (user.email, user.email_canonical) == ("Ann@Example.COM", "ann@example.com")
        assert (user.username, user.name, user.group_id) == ("ann", None, None)
        assert (user.is_active, user.is_superuser, user.is_verified) == (True, True, True)
        assert password_helper.verify_and_update(PASSWORD, user.hashed_password) == (True, None)

    def test_who_has_no_username(self, programs: Programs, database_url: str) -> None:
        for email in ("ann@example.com", "bob@example.com"):
            ran = command(
                programs, migrated(database_url), "create-superuser", "--email", email, SUPERUSER_PASSWORD=PASSWORD
            )
            assert ran == Ran(0, f"{email} is a superuser now.\n", "")
        assert [user.username for user in users(database_url)] == [None, None]

    @pytest.mark.parametrize(
        ("email", "username"), [("ANN@example.com", "other"), ("other@example.com", "ANN")], ids=["e-mail", "username"]
    )
    def test_who_is_there_already(self, programs: Programs, database_url: str, email: str, username: str) -> None:
        with connected(migrated(database_url)) as connection, Session(connection) as session:
            session.add(User(email="ann@example.com", username="ann", hashed_password="!"))
            session.commit()
        arguments = ["--email", email, "--username", username, "--password", PASSWORD]
        ran = command(programs, database_url, "create-superuser", *arguments)
        assert ran == Ran(1, "", f"{TAKEN}\n")
        assert [(user.email, user.is_superuser) for user in users(database_url)] == [("ann@example.com", False)]

    def test_whose_address_a_former_owner_may_claim_back(self, programs: Programs, database_url: str) -> None:
        with connected(migrated(database_url)) as connection, Session(connection) as session:
            owner = User(email="new@example.com", hashed_password="!")
            session.add(owner)
            session.flush()
            token = {"hash": "x", "purpose": Purpose.UNDO_CHANGE_EMAIL, "user_id": owner.id}
            address = {"email": "ann@example.com", "email_canonical": "ann@example.com"}
            until = {"expires_at": datetime.now(UTC) + timedelta(days=7)}
            session.execute(insert(Base.metadata.tables["user_token"]).values(**token, **address, **until))
            session.commit()
        ran = command(programs, database_url, "create-superuser", "--email", "Ann@example.com", "--password", PASSWORD)
        assert ran == Ran(1, "", f"{TAKEN}\n")
        assert [user.email for user in users(database_url)] == ["new@example.com"]

    def test_is_in_the_audit_trail_and_gets_no_mail(self, programs: Programs, database_url: str) -> None:
        arguments = ["--email", "ann@example.com", "--password", PASSWORD]
        command(programs, migrated(database_url), "create-superuser", *arguments)
        with connected(database_url) as connection:
            events = connection.exec_driver_sql("SELECT kind FROM user_audit_event ORDER BY id").scalars().all()
            assert events == ["register", "change_role"]
            assert connection.exec_driver_sql("SELECT count(*) FROM mail").scalar() == 0

    @pytest.mark.parametrize(
        ("changes", "sentence"),
        [
            ({"--email": "nobody"}, "The e-mail is refused: not a valid e-mail address"),
            ({"--email": ""}, "The e-mail is refused: not a valid e-mail address"),
            ({"--username": "a b"}, "The username is refused: String should match pattern '^[a-z0-9._-]+$'"),
            ({"--password": "short"}, "Password should be at least 8 characters"),
        ],
    )
    def test_who_is_refused(self, programs: Programs, tmp_path: Path, changes: dict[str, str], sentence: str) -> None:
        given = {"--email": "ann@example.com", "--username": "ann", "--password": PASSWORD, **changes}
        url = f"sqlite:///{tmp_path}/test.db"
        arguments = [word for pair in given.items() for word in pair]
        assert command(programs, url, "create-superuser", *arguments) == Ran(1, "", f"{sentence}\n")
        assert not (tmp_path / "test.db").exists()

    def test_asks_for_what_is_missing(self, programs: Programs, terminal: Terminal, tmp_path: Path) -> None:
        url = migrated(f"sqlite:///{tmp_path}/test.db")
        arguments = ["-m", "app.cli", "create-superuser"]
        program = programs.start(*arguments, env={"DATABASE_URL": url}, terminal=terminal.theirs)
        terminal.answer(program, "E-mail:", "ann@example.com")
        terminal.answer(program, "Password:", PASSWORD)
        terminal.answer(program, "Repeat for confirmation:", "something else")
        terminal.answer(program, "Password:", PASSWORD)
        terminal.answer(program, "Repeat for confirmation:", PASSWORD)
        assert program.wait().status == 0
        assert "ann@example.com is a superuser now." in terminal.read()
        assert PASSWORD not in terminal.seen
        assert [(user.email, user.is_superuser) for user in users(url)] == [("ann@example.com", True)]

    def test_postgresql_that_is_behind(self, programs: Programs, create_database: CreateDatabase) -> None:
        url = create_database()
        shown = url.replace("postgresql:", "postgresql+asyncpg:")
        ran = command(programs, url, "create-superuser", "--email", "ann@example.com", "--password", PASSWORD)
        assert ran == Ran(1, "", f"The schema of {shown} is behind: run `alembic upgrade head`.\n")

    def test_an_embedded_database_is_brought_to_head(self, programs: Programs) -> None:
        arguments = ["create-superuser", "--email", "ann@example.com", "--password", PASSWORD]
        assert command(programs, "sqlite:///./test.db", *arguments).status == 0
        assert len(users(f"sqlite:///{programs.folder}/test.db")) == 1


class TestSampleData:
    def test_is_what_the_script_makes(self, programs: Programs, database_url: str) -> None:
        ran = command(programs, migrated(database_url), "sample-data", SAMPLE_PASSWORD=PASSWORD)
        assert ran == Ran(0, "", "The sample data is there.\n")
        script = programs.run("create-sample-data.py", env={"DATABASE_URL": database_url})
        assert script == Ran(0, "", "The sample data was there already.\n")
        assert len(users(database_url)) == 6

    def test_shows_a_person_its_progress(self, programs: Programs, terminal: Terminal) -> None:
        program = programs.start("create-sample-data.py", terminal=terminal.theirs, env={"TERM": "xterm"})
        program.until(lambda: "Creating the sample data" in terminal.read() or None)
        program.until(lambda: "The sample data is there." in terminal.read() or None)
        assert program.wait().status == 0
        assert "Bringing the database to head" in terminal.seen
        assert "guest3@example.com  " in terminal.seen

    @pytest.mark.parametrize(
        "arguments",
        [["sample-data"], ["create-superuser", "--email", "ann@example.com", "--password", PASSWORD]],
        ids=["sample-data", "create-superuser"],
    )
    def test_needs_no_synchronous_driver(
        self, programs: Programs, create_database: CreateDatabase, arguments: list[str]
    ) -> None:
        env = {"DATABASE_URL": migrated(create_database())}
        ran = programs.run("-c", WITHOUT_PSYCOPG, "app.cli", *arguments, env=env)
        assert (ran.status, len(users(env["DATABASE_URL"]))) == (0, 6 if arguments == ["sample-data"] else 1), ran


class TestCheck:
    def test_all_is_well(self, programs: Programs, database_url: str) -> None:
        assert command(programs, migrated(database_url), "check") == Ran(0, "All is well.\n", "")

    def test_needs_no_synchronous_driver(self, programs: Programs, create_database: CreateDatabase) -> None:
        env = {"DATABASE_URL": migrated(create_database())}
        ran = programs.run("-c", WITHOUT_PSYCOPG, "app.cli", "check", env=env)
        assert ran == Ran(0, "All is well.\n", "")

    def test_a_database_in_memory_is_always_well(self, programs: Programs) -> None:
        assert command(programs, "sqlite://", "check") == Ran(0, "All is well.\n", "")

    def test_a_schema_that_is_behind(self, programs: Programs, database_url: str) -> None:
        ran = command(programs, database_url, "check")
        scheme, rest = database_url.split(":", 1)
        shown = f"{'sqlite+aiosqlite' if scheme == 'sqlite' else 'postgresql+asyncpg'}:{rest}"
        assert ran == Ran(1, "", f"The schema of {shown} is behind: run `alembic upgrade head`.\n")

    def test_an_address_that_was_changed_in_sql(self, programs: Programs, database_url: str) -> None:
        url = migrated(database_url)
        superuser = ("--email", "ann@example.com", "--password", PASSWORD)
        assert command(programs, url, "create-superuser", *superuser).status == 0
        with connected(url) as connection:
            user_id = connection.scalar(select(User.__table__.c.id))
            connection.execute(text("""UPDATE "user" SET email = 'anna@example.com'"""))
            connection.commit()
        ran = command(programs, url, "check")
        assert (ran.status, ran.out) == (1, "")
        assert ran.err.startswith(f"User {user_id} cannot sign in with the own e-mail address: ")

    def test_everything_that_is_wrong(self, programs: Programs, tmp_path: Path) -> None:
        ran = programs.run("-c", WRONG_MODEL, "check", env={"DATABASE_URL": f"sqlite:///{tmp_path}/missing/test.db"})
        assert (ran.status, ran.out) == (1, "")
        model, database = ran.err.splitlines()
        assert model.startswith("Thing.group_id is VARCHAR(3) and points to usergroup.id, which is INTEGER")
        assert database.endswith("/missing/test.db cannot be used: unable to open database file")


class TestOpenAPI:
    def test_is_what_the_service_says(self, programs: Programs) -> None:
        ran = command(programs, "sqlite://", "openapi")
        assert (ran.status, ran.err) == (0, "")
        assert json.loads(ran.out) == app.openapi()

    def test_can_be_written_to_a_file(self, programs: Programs) -> None:
        assert command(programs, "sqlite://", "openapi", "--output", "openapi.json") == Ran(0, "", "")
        assert json.loads((programs.folder / "openapi.json").read_text()) == app.openapi()


class TestHelp:
    def test_names_every_command(self, programs: Programs) -> None:
        ran = command(programs, "sqlite://", "--help")
        assert ran.status == 0
        for name in ("serve", "sample-data", "create-superuser", "check", "openapi"):
            assert f" {name} " in ran.out
