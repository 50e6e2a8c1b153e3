"""The small world of the sample data is whole, however often, by how many and however far it has been made before."""

import re
import signal
from typing import Any

import httpx2
import pytest
from sqlalchemy import Connection, select
from sqlmodel import Session, col

from app.models import Item, Post, User, UserGroup
from app.users import password_helper
from tests.app.databases import connected, migrated
from tests.app.production import PRODUCTION
from tests.conftest import CreateDatabase
from tests.programs import Program, Programs, Ran
from tests.server import start_server

PASSWORD = "correct horse battery staple"
THERE, THERE_ALREADY = "The sample data is there.\n", "The sample data was there already.\n"

GROUPS = [(1, "Admin", True), (2, "Developer", True), (3, "Guest", True)]
# E-mail, username, name, group, superuser.
PEOPLE = [
    ("admin@example.com", "admin", "Admin", 1, True),
    ("dev1@example.com", "dev1", "Dev One", 2, False),
    ("dev2@example.com", "dev2", "Dev Two", 2, False),
    ("guest1@example.com", "guest1", "Guest One", 3, False),
    ("guest2@example.com", "guest2", "Guest Two", 3, False),
    ("guest3@example.com", "guest3", "Guest Three", 3, False),
]
EMAILS = [person[0] for person in PEOPLE]

# Killed by itself: at a statement that it was about to send, or when it was about to commit them.
KILLED = """
import os, runpy, signal, sys
from sqlalchemy import Engine, event

moment = sys.argv.pop(1)
sent = 0

@event.listens_for(Engine, "before_cursor_execute")
def count(*_):
    global sent
    sent += 1
    if str(sent) == moment:
        os.kill(os.getpid(), signal.SIGKILL)

@event.listens_for(Engine, "commit")
def end(connection):
    if moment == "commit" and sent > 20:
        os.kill(os.getpid(), signal.SIGKILL)

sys.argv = sys.argv[1:]
runpy.run_path(sys.argv[0], run_name="__main__")
"""

# Nobody reads what it says.
UNHEARD = """
import os, runpy, sys

read, write = os.pipe()
os.close(read)
os.dup2(write, 1)
sys.argv = sys.argv[1:]
runpy.run_path(sys.argv[0], run_name="__main__")
"""


def script(programs: Programs) -> str:
    return str(programs.root / "create-sample-data.py")


def run(programs: Programs, url: str, *arguments: str, **env: str) -> Ran:
    return programs.run("create-sample-data.py", *arguments, env={"DATABASE_URL": url, **env})


def printed(ran: Ran | Program) -> dict[str, str]:
    """Return the passwords that it printed; it printed nothing else."""
    passwords = dict(re.findall(r"^(\S+)  (\S{16})$", ran.out, re.MULTILINE))
    assert ran.out == "".join(f"{email}  {password}\n" for email, password in passwords.items())
    return passwords


def rows(connection: Connection) -> dict[str, list[Any]]:
    """Read everything."""
    tables = ("usergroup", "user", "item", "post")
    return {name: [*connection.exec_driver_sql(f'SELECT * FROM "{name}" ORDER BY id')] for name in tables}


def everything(url: str) -> dict[str, list[Any]]:
    with connected(url) as connection:
        return rows(connection)


def assert_whole(url: str) -> None:
    with connected(url) as connection, Session(connection) as session:
        groups = [(group.id, group.name, group.is_public) for group in session.scalars(select(UserGroup))]
        assert sorted(groups, key=str) == GROUPS
        users = list(session.scalars(select(User).order_by(col(User.email))))
        found = [(user.email, user.username, user.name, user.group_id, user.is_superuser) for user in users]
        assert found == PEOPLE
        assert all(user.is_active and user.is_verified for user in users)
        for user in users:
            assert len(list(session.scalars(select(Item).where(col(Item.user_id) == user.id)))) == 2
            assert len(list(session.scalars(select(Post).where(col(Post.author_id) == user.id)))) == 2
        assert len(list(session.scalars(select(Item)))) == 12
        assert len(list(session.scalars(select(Post)))) == 12


def assert_empty(url: str) -> None:
    assert everything(url) == {"usergroup": [], "user": [], "item": [], "post": []}


def assert_signs_in(url: str, passwords: dict[str, str]) -> None:
    """Verify what signing in verifies."""
    with connected(url) as connection, Session(connection) as session:
        for email, password in passwords.items():
            user = session.scalars(select(User).where(col(User.email) == email)).one()
            assert password_helper.verify_and_update(password, user.hashed_password) == (True, None)


class TestOnce:
    def test_makes_a_world_whose_people_sign_in(self, programs: Programs, database_url: str) -> None:
        ran = run(programs, migrated(database_url))
        assert (ran.status, ran.err) == (0, THERE)
        passwords = printed(ran)
        assert list(passwords) == EMAILS
        assert len(set(passwords.values())) == 6
        assert_whole(database_url)
        server = start_server(programs, database_url=database_url)
        with httpx2.Client(base_url=server.url) as client:
            answers = [
                client.post("/auth/jwt/login", data={"username": name, "password": password})
                for email, password in passwords.items()
                for name in (email, email.partition("@")[0])
            ]
        assert [answer.status_code for answer in answers] == [200] * 12

    def test_numbers_go_on_behind_its_groups(self, programs: Programs, database_url: str) -> None:
        run(programs, migrated(database_url))
        with connected(database_url) as connection, Session(connection) as session:
            group = UserGroup(name="Another")
            session.add(group)
            session.flush()
            assert group.id == 4

    def test_brings_an_embedded_database_to_head_first(self, programs: Programs) -> None:
        ran = programs.run("create-sample-data.py")
        assert (ran.status, ran.err) == (0, THERE)
        assert_whole(f"sqlite:///{programs.folder}/test.db")
        assert {path.name for path in programs.folder.iterdir()} == {"test.db", ".secret-key"}

    def test_its_accounts_are_in_the_audit_trail_and_get_no_mail(self, programs: Programs, database_url: str) -> None:
        run(programs, migrated(database_url))
        with connected(database_url) as connection:
            kinds = "SELECT kind, count(*) FROM user_audit_event GROUP BY kind ORDER BY kind"
            found = [tuple(row) for row in connection.exec_driver_sql(kinds)]
            assert found == [("change_role", 6), ("register", 6), ("update", 6)]
            assert connection.exec_driver_sql("SELECT count(*) FROM mail").scalar() == 0

    def test_joins_groups_that_are_there(self, programs: Programs, database_url: str) -> None:
        with connected(migrated(database_url)) as connection, Session(connection) as session:
            session.add_all([UserGroup(name="Another"), UserGroup(name="Guest")])
            session.commit()
        assert run(programs, database_url).status == 0
        with connected(database_url) as connection, Session(connection) as session:
            found = session.execute(select(col(UserGroup.id), col(UserGroup.name)).order_by(col(UserGroup.id))).all()
            assert [tuple(row) for row in found] == [(1, "Another"), (2, "Guest"), (3, "Admin"), (4, "Developer")]
            assert len(list(session.scalars(select(User).where(col(User.group_id) == 2)))) == 3

    def test_whoever_cannot_print_the_passwords_makes_nothing(self, programs: Programs, database_url: str) -> None:
        migrated(database_url)
        ran = programs.run("-c", UNHEARD, script(programs), env={"DATABASE_URL": database_url})
        assert ran.status == 1
        assert_empty(database_url)

    def test_postgresql_that_is_behind_is_refused(self, programs: Programs, create_database: CreateDatabase) -> None:
        url = create_database()
        shown = url.replace("postgresql:", "postgresql+asyncpg:")
        assert run(programs, url) == Ran(1, "", f"The schema of {shown} is behind: run `alembic upgrade head`.\n")

    def test_a_memory_that_nobody_would_see_is_refused(self, programs: Programs) -> None:
        sentence = "A database in memory is its server's alone: `python main.py --sample-data` fills its own.\n"
        assert run(programs, "sqlite://") == Ran(1, "", sentence)

    def test_production_is_refused(self, programs: Programs, database_url: str) -> None:
        ran = run(programs, migrated(database_url), **{n: v for n, v in PRODUCTION.items() if n != "DATABASE_URL"})
        assert ran == Ran(1, "", "The sample data is no data for production.\n")
        assert_empty(database_url)


class TestPassword:
    def test_is_everybodys_and_is_not_printed(self, programs: Programs, database_url: str) -> None:
        assert run(programs, migrated(database_url), "--password", PASSWORD) == Ran(0, "", THERE)
        assert_whole(database_url)
        assert_signs_in(database_url, dict.fromkeys(EMAILS, PASSWORD))

    def test_is_set_for_those_who_are_there(self, programs: Programs, database_url: str) -> None:
        run(programs, migrated(database_url))
        before = everything(database_url)
        assert run(programs, database_url, SAMPLE_PASSWORD=PASSWORD) == Ran(0, "", THERE)
        assert_whole(database_url)
        assert_signs_in(database_url, dict.fromkeys(EMAILS, PASSWORD))
        after = everything(database_url)
        assert {name: after[name] for name in ("usergroup", "item", "post")} == {
            name: before[name] for name in ("usergroup", "item", "post")
        }

    def test_the_same_again_changes_nothing(self, programs: Programs, database_url: str) -> None:
        run(programs, migrated(database_url), "--password", PASSWORD)
        before = everything(database_url)
        assert run(programs, database_url, "--password", PASSWORD) == Ran(0, "", THERE_ALREADY)
        assert everything(database_url) == before

    @pytest.mark.parametrize(
        ("password", "sentence"),
        [
            ("short", "Password should be at least 8 characters"),
            ("x" * 257, "Password should be at most 256 characters"),
            ("\udcff" * 8, "The password is refused: must not contain NUL or a lone surrogate"),
        ],
        ids=["short", "long", "no text"],
    )
    def test_is_refused(self, programs: Programs, password: str, sentence: str) -> None:
        assert run(programs, "sqlite:///./test.db", "--password", password) == Ran(1, "", f"{sentence}\n")
        assert not (programs.folder / "test.db").exists()


class TestAgain:
    def test_changes_nothing(self, programs: Programs, database_url: str) -> None:
        run(programs, migrated(database_url))
        before = everything(database_url)
        assert run(programs, database_url) == Ran(0, "", THERE_ALREADY)
        assert everything(database_url) == before

    def test_adds_what_is_missing_and_leaves_what_was_changed(self, programs: Programs, database_url: str) -> None:
        run(programs, migrated(database_url))
        with connected(database_url) as connection:
            connection.exec_driver_sql("""UPDATE "user" SET name = 'Somebody' WHERE username = 'dev1'""")
            connection.exec_driver_sql("""DELETE FROM "user" WHERE username = 'guest2'""")
            connection.exec_driver_sql("DELETE FROM post WHERE title = 'Hello'")
        posts = len(everything(database_url)["post"])
        ran = run(programs, database_url)
        assert (ran.status, ran.err) == (0, THERE)
        assert list(printed(ran)) == ["guest2@example.com"]
        assert_signs_in(database_url, printed(ran))
        with connected(database_url) as connection:
            names = connection.exec_driver_sql("""SELECT name FROM "user" WHERE username IN ('dev1', 'guest2')""")
            assert sorted(names.scalars()) == ["Guest Two", "Somebody"]
        # Who has a post left gets no other; the new guest has both.
        assert len(everything(database_url)["post"]) == posts + 2

    def test_three_at_once(self, programs: Programs, database_url: str) -> None:
        if database_url.startswith("postgresql"):
            # An embedded one they bring to head themselves, all at once.
            migrated(database_url)
        started = [programs.start("create-sample-data.py", env={"DATABASE_URL": database_url}) for _ in range(3)]
        ends = [program.wait() for program in started]
        assert [ran.status for ran in ends] == [0, 0, 0], ends
        first, *others = sorted(ends, key=lambda ran: ran.out, reverse=True)
        assert others == [Ran(0, "", THERE_ALREADY)] * 2
        assert list(printed(first)) == EMAILS
        assert_signs_in(database_url, printed(first))
        assert_whole(database_url)

    @pytest.mark.parametrize("moment", ["3", "8", "16", "32", "commit"])
    def test_after_a_run_that_was_killed_half_way(self, programs: Programs, database_url: str, moment: str) -> None:
        if database_url.startswith("postgresql"):
            migrated(database_url)
        killed = programs.run("-c", KILLED, moment, script(programs), env={"DATABASE_URL": database_url})
        assert killed.status == -signal.SIGKILL
        assert killed.err == ""
        ran = run(programs, database_url)
        assert (ran.status, ran.err) == (0, THERE)
        assert list(printed(ran)) == EMAILS
        assert_signs_in(database_url, printed(ran))
        assert_whole(database_url)

    def test_after_a_run_that_was_killed_when_it_spoke(self, programs: Programs, database_url: str) -> None:
        program = programs.start("create-sample-data.py", env={"DATABASE_URL": migrated(database_url)})
        program.until(lambda: program.out or None)
        program.kill()
        ran = run(programs, database_url)
        # It was killed before its commit or after: then what it said is true.
        assert ran.err == (THERE if ran.out else THERE_ALREADY)
        assert_signs_in(database_url, printed(ran if ran.out else program))
        assert_whole(database_url)
