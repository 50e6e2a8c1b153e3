import itertools
import re
import shutil
import signal
import subprocess
import sys
import uuid
from collections import defaultdict
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
import sqlalchemy as sa
from alembic.autogenerate import compare_metadata
from alembic.migration import MigrationContext
from alembic.operations import Operations
from alembic.util import CommandError

from fastapi_users_sqlmodel import migrations
from fastapi_users_sqlmodel.adoption import adopt_fastapi_users
from fastapi_users_sqlmodel.identity import canonical_email
from tests.conftest import CreateDatabase
from tests.library.adopt_databases import CASES, CLEAN, COLLIDING, COLLIDING_CASES, Case, Made
from tests.library.adopt_databases import made_by_the_adapter as made_by_the_adapter  # noqa: PLC0414  # pytest looks here
from tests.library.adopt_models import adapter_tables, library_models
from tests.library.alembic_project import AlembicProject, NewDatabase, connected, driver, schema_of
from tests.library.alembic_project import new_database as new_database  # noqa: PLC0414
from tests.library.alembic_project import project as project  # noqa: PLC0414
from tests.library.stores import open_stores

ROOT = Path(__file__).parents[2]
# Alembic's command line, killed before it sends a statement.
KILLED = """\
import itertools, os, signal, sys
import sqlalchemy as sa
from alembic.config import main
numbers = itertools.count()
@sa.event.listens_for(sa.Engine, "before_cursor_execute")
def kill(*_):
    if next(numbers) == {number}:
        os.kill(os.getpid(), signal.SIGKILL)
main(sys.argv[1:])
"""
BEFORE = """\
from tests.library.adopt_models import adapter_tables
adapter_tables({ids!r}, named={named}, timezone={timezone}).create_all(op.get_bind())
"""
ADOPT = """\
from fastapi_users_sqlmodel.adoption import adopt_fastapi_users
adopt_fastapi_users(op, uuid_columns={uuid_columns})
"""
MODELS = """\
from tests.library.adopt_models import library_models
metadata = library_models({ids!r}, named={named}).metadata
"""


@pytest.fixture
def copy(tmp_path: Path, request: pytest.FixtureRequest) -> Callable[[str], str]:
    """Return a maker of copies of databases, by their URLs."""

    def make(url: str) -> str:
        if url.startswith("postgresql"):
            create: CreateDatabase = request.getfixturevalue("create_database")
            return create(template=url)
        path = tmp_path / f"{uuid.uuid4().hex}.db"
        shutil.copy(url.removeprefix("sqlite:///"), path)
        return f"sqlite:///{path}"

    return make


@pytest.fixture
def prepare(project: AlembicProject) -> Callable[[Case], AlembicProject]:
    """Return a maker of a project whose migration "two" adopts what "one" made."""

    def make(case: Case) -> AlembicProject:
        timezone = case.version != "4.0.0"
        project.write_models(MODELS.format(ids=case.ids, named=case.named))
        project.write_version("one", None, BEFORE.format(ids=case.ids, named=case.named, timezone=timezone))
        project.write_version("two", "one", ADOPT.format(uuid_columns=["team.id"] if case.ids == "uuid" else []))
        return project

    return make


def adopt(url: str, *, foreign_keys: bool = False, **options: Any) -> None:
    """Adopt without a project, in a transaction."""
    engine = sa.create_engine(sa.make_url(url).set(drivername=driver(url)), poolclass=sa.NullPool)
    with engine.connect() as connection:
        if foreign_keys:
            connection.exec_driver_sql("PRAGMA foreign_keys = ON")
            connection.rollback()
        with connection.begin():
            adopt_fastapi_users(Operations(MigrationContext.configure(connection)), **options)


def dump(url: str) -> list[str]:
    """Write all of a database down."""
    with connected(url) as connection:
        if connection.dialect.name == "sqlite":
            return list(connection.connection.driver_connection.iterdump())  # type: ignore[union-attr]  # it is open
        tables = sa.inspect(connection).get_table_names()
        rows = [f"{name} {row}" for name in tables for row in connection.exec_driver_sql(f'TABLE "{name}"')]
    return sorted(schema_of(url)) + sorted(rows)


def rows_of(url: str) -> dict[str, list[dict[str, Any]]]:
    """Read every row, with UUIDs in one spelling and without what the adoption adds."""
    found: dict[str, list[dict[str, Any]]] = {}
    with connected(url) as connection:
        for table in sa.inspect(connection).get_table_names():
            rows = connection.exec_driver_sql(f'SELECT * FROM "{table}"').mappings()
            plain = [{name: _plain(value) for name, value in row.items() if name != "email_canonical"} for row in rows]
            found[table] = sorted(plain, key=repr)
    del found["alembic_version"]
    return found


def _plain(value: Any) -> Any:
    if isinstance(value, datetime):
        # A naive timestamp of the adapter is in UTC.
        return value if value.tzinfo else value.replace(tzinfo=UTC)
    text = str(value)
    return text.replace("-", "") if re.fullmatch(r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}", text) else value


def execute(url: str, *statements: str) -> None:
    engine = sa.create_engine(sa.make_url(url).set(drivername=driver(url)), poolclass=sa.NullPool)
    with engine.begin() as connection:
        for statement in statements:
            connection.exec_driver_sql(statement)


def create_what_stands_beside(project: AlembicProject, url: str) -> None:
    """Let Alembic write what the models have and the adapter never had, which is tables of their own and no column."""
    revision = project.generate("three", url=url)
    upgrade = revision.partition("def downgrade")[0]
    touched = re.findall(r"\bop\.(create_table|batch_alter_table)\(\s*['\"](\w+)['\"]", upgrade)
    assert len(touched) == len(re.findall(r"\bop\.(?!f\()", upgrade))
    assert {name for _operation, name in touched} == {"user_session", "user_token", "user_audit_event"}
    project.succeed("upgrade", "head", url=url)


def scalars(url: str, query: str) -> list[Any]:
    with connected(url) as connection:
        return list(connection.exec_driver_sql(query).scalars())


def comparable_schema(url: str) -> set[str]:
    """Describe a database without the names and spellings that differ by who has made it."""
    lines = set()
    for line in schema_of(url):
        if " foreign key " in line:
            line = re.sub(r"'name': (None|'\w+')", "", line).replace("'cascade'", "'CASCADE'")  # noqa: PLW2901
        lines.add(line)
    return lines


def fill(url: str, ids: str, users: Sequence[Any], *, guid: str = "CHAR(36)", children: bool = True) -> None:
    """Make the adapter's tables, if need be, with users who have an account, a token and a membership each."""
    tables = adapter_tables(ids, guid=guid)
    engine = sa.create_engine(sa.make_url(url).set(drivername=driver(url)), poolclass=sa.NullPool)
    with engine.begin() as connection:
        tables.create_all(connection)
        is_text = connection.dialect.name == "sqlite" and ids == "uuid"
        rows: dict[str, list[dict[str, Any]]] = defaultdict(list)
        for number, user in enumerate(map(str, users) if is_text else users, 1):
            account = user if ids == "int" else str(uuid.uuid4()) if is_text else uuid.uuid4()
            state = dict.fromkeys(("is_active", "is_superuser", "is_verified"), True)
            provider = {"oauth_name": "google", "access_token": "x", "account_id": str(number), "account_email": "x"}
            rows["user"].append({"id": user, "email": f"User{number}@example.com", "hashed_password": "x", **state})
            rows["oauth_account"].append({"id": account, "user_id": user, **provider})
            rows["accesstoken"].append({"token": f"token{number}", "user_id": user, "created_at": datetime.now(UTC)})
            rows["membership"].append({"user_id": user})
        for name in list(rows) if children else ["user"]:
            connection.execute(sa.insert(tables.tables[name]), rows[name])
    engine.dispose()


def _guid(two: str) -> str:
    return f"{two * 4}-{two * 2}-{two * 2}-{two * 2}-{two * 6}"


def statements_of(work: Callable[[], object]) -> list[str]:
    """Say what any connection sends to its database meanwhile."""
    statements: list[str] = []

    def note(_connection: Any, _cursor: Any, statement: str, *_: Any) -> None:
        statements.append(statement)

    sa.event.listen(sa.Engine, "before_cursor_execute", note)
    try:
        work()
    finally:
        sa.event.remove(sa.Engine, "before_cursor_execute", note)
    return statements


@contextmanager
def failing_at(number: int) -> Iterator[None]:
    """Let a statement fail, before it reaches the database."""
    numbers = itertools.count()

    def fail(*_: Any) -> None:
        if next(numbers) == number:
            raise RuntimeError("failed on purpose")

    sa.event.listen(sa.Engine, "before_cursor_execute", fail)
    try:
        yield
    finally:
        sa.event.remove(sa.Engine, "before_cursor_execute", fail)


class TestDatabaseOfTheAdapter:
    @pytest.mark.parametrize("case", CASES, ids=str)
    def test_becomes_what_the_models_say(
        self,
        case: Case,
        made_by_the_adapter: dict[Case, Made],
        copy: Callable[[str], str],
        prepare: Callable[[Case], AlembicProject],
        new_database: NewDatabase,
    ) -> None:
        made, project = made_by_the_adapter[case], prepare(case)
        url, empty, ours = copy(made.url), new_database(case.kind), new_database(case.kind)
        # What this test says that the adapter makes, it makes.
        project.succeed("upgrade", "one", url=empty)
        assert comparable_schema(empty) == comparable_schema(made.url)
        project.succeed("stamp", "one", url=url)
        before = rows_of(url)
        project.succeed("upgrade", "two", url=url)
        assert rows_of(url) == before
        assert {name: len(rows) for name, rows in before.items()} == dict.fromkeys(before, len(CLEAN))
        models = library_models(case.ids, named=case.named)
        create_what_stands_beside(project, url)
        with connected(ours) as connection:
            models.metadata.create_all(connection)
        assert comparable_schema(url) == comparable_schema(ours)
        with connected(url) as connection:
            assert compare_metadata(MigrationContext.configure(connection), models.metadata) == []
        assert project.succeed("check", url=url) == "No new upgrade operations detected.\n"
        project.succeed("upgrade", "head", url=empty)
        assert comparable_schema(empty) == comparable_schema(ours)

    @pytest.mark.parametrize("case", CASES, ids=str)
    async def test_is_read_and_written_by_the_stores(
        self, case: Case, made_by_the_adapter: dict[Case, Made], copy: Callable[[str], str]
    ) -> None:
        made = made_by_the_adapter[case]
        url = copy(made.url)
        adopt(url)
        async with open_stores(library_models(case.ids), url, "async") as stores:
            for number, ((email, other), was) in enumerate(zip(CLEAN.items(), made.users, strict=True), 1):
                id_ = uuid.UUID(was["id"]) if case.ids == "uuid" else int(was["id"])
                for found in (
                    await stores.users.get(id_),
                    await stores.users.get_by_email(email),
                    await stores.users.get_by_email(other),
                    await stores.users.get_by_oauth_account("google", f"account {number}"),
                ):
                    assert found is not None
                    assert (found.id, found.email, found.hashed_password) == (id_, email, f"hash {number}")
                    assert found.email_canonical == canonical_email(other)
                    assert (found.is_active, found.is_superuser) == (True, number == 1)
                token = await stores.tokens.get_by_token(was["token"])
                assert token is not None
                assert (token.user_id, token.created_at) == (id_, datetime(2024, 2, 29, 12, 30, 15, 123456, UTC))
        assert scalars(url, 'SELECT count(*) FROM note JOIN "user" ON member_id = "user".id') == [len(CLEAN)]


class TestReport:
    @pytest.mark.parametrize("case", COLLIDING_CASES, ids=str)
    def test_names_every_collision_and_changes_nothing(
        self,
        case: Case,
        made_by_the_adapter: dict[Case, Made],
        copy: Callable[[str], str],
        prepare: Callable[[Case], AlembicProject],
    ) -> None:
        made, project = made_by_the_adapter[case], prepare(case)
        url = copy(made.url)
        project.succeed("stamp", "one", url=url)
        execute(url, "UPDATE oauth_account SET account_id = 'same' WHERE account_id IN ('account 1', 'account 8')")
        query = (
            "SELECT 'id ' || id || ' (user ' || user_id || ')' FROM oauth_account WHERE account_id = 'same' ORDER BY id"
        )
        accounts = scalars(url, query)
        before = dump(url)
        ran = project.run("upgrade", "head", url=url)
        assert ran.status != 0
        assert dump(url) == before

        def spellings(start: int, end: int) -> str:
            return ", ".join(f"{user['email']!r} (id {user['id']})" for user in made.users[start:end])

        assert [line.strip() for line in ran.out.splitlines()] == [
            "FAILED: These tables of FastAPI Users cannot be adopted yet, and nothing was changed. Resolve first (4):",
            f"- 3 users have the e-mail 'ann@example.com': {spellings(0, 3)}.",
            f"- 2 users have the e-mail 'jos\u00e9@example.com': {spellings(3, 5)}.",
            f"- 2 users have the e-mail 'kim@xn--bcher-kva.example': {spellings(5, 7)}.",
            f"- 2 rows of oauth_account are account 'same' at 'google': {', '.join(accounts)}.",
        ]
        names = [user["email"] for user in made.users]
        assert names == COLLIDING
        gone = [f"DELETE FROM {table}" for table in ("note", "membership", "accesstoken", "oauth_account")]
        execute(url, *gone, 'UPDATE "user" SET invited_by = NULL')
        for number in (2, 3, 5, 7):
            execute(url, f"DELETE FROM \"user\" WHERE hashed_password = 'hash {number}'")
        project.succeed("upgrade", "head", url=url)
        create_what_stands_beside(project, url)
        project.succeed("check", url=url)

    def test_names_what_sqlite_takes_and_nobody_else(self, new_database: NewDatabase) -> None:
        url = new_database("sqlite")
        users = [_guid("a1"), _guid("A1"), "nonsense", _guid("b1"), _guid("c1")]
        fill(url, "uuid", users, children=False)
        execute(
            url,
            f"UPDATE user SET email = 'a' || char(0) || '@example.com' WHERE id = '{_guid('b1')}'",
            f"UPDATE user SET email = x'00ff' WHERE id = '{_guid('c1')}'",
            f"INSERT INTO accesstoken VALUES ('one', '2024-01-01', '{_guid('d1')}')",
            f"INSERT INTO accesstoken VALUES ('two', '2024-01-01', '{_guid('e1')}')",
        )
        before = dump(url)
        with pytest.raises(CommandError) as refused:
            adopt(url, uuid_columns=["team.nothing"])
        assert dump(url) == before
        rows = 'FROM "accesstoken" WHERE "user_id" NOT IN (SELECT "id" FROM "user")'
        advice = f"Look: SELECT * {rows}. If they may go: DELETE {rows}."
        assert str(refused.value).splitlines()[1:] == [
            f"- The e-mail of user {_guid('b1')} is 'a\\x00@example.com', which no mail reaches.",
            f"- The e-mail of user {_guid('c1')} is b'\\x00\\xff', which no mail reaches.",
            "- There is no column team.nothing, which uuid_columns names.",
            "- user.id is 'nonsense' in 1 row(s), which is no UUID.",
            f"- user.id is '{_guid('A1')}', and another row of user has the same UUID {'a1' * 16} as well.",
            f"- user.id is '{_guid('a1')}', and another row of user has the same UUID {'a1' * 16} as well.",
            f"- 2 row(s) of accesstoken refer to nothing: user has no row for their user_id. {advice}",
        ]

    def test_names_an_address_that_is_too_long(self, database_url: str) -> None:
        long = "\N{LATIN SMALL LIGATURE FFI}" * 171 + "@example.com"
        fill(database_url, "int", [1])
        execute(database_url, f"UPDATE \"user\" SET email = '{long}'")
        before = dump(database_url)
        with pytest.raises(CommandError, match="The e-mail of user 1 is longer than 512"):
            adopt(database_url)
        assert dump(database_url) == before


class TestAppOfItsOwn:
    """What the adapter knows nothing of."""

    def test_keeps_what_is_its_own_on_sqlite(self, new_database: NewDatabase) -> None:
        url = new_database("sqlite")
        written = """\
CREATE TABLE "user" (
	id INTEGER NOT NULL PRIMARY KEY, -- any, (number)
	email VARCHAR(320) NOT NULL,
	hashed_password VARCHAR (1024) NOT NULL CHECK (hashed_password <> ', UNIQUE ('),
	`is_active` BOOLEAN NOT NULL,
	[is_superuser] NOT NULL,
	is_verified BOOLEAN DEFAULT 0 NOT NULL,
	/* , */ "a ""name"" of" TEXT NULL DEFAULT 'x, y' CHECK (length("a ""name"" of") > 1),
	domain TEXT GENERATED ALWAYS AS (substr(email, instr(email, '@') + 1)) VIRTUAL,
	"unique" DECIMAL(10, 2),
	place POINT,
	CHECK (is_active IN (0, 1)),
	UNIQUE (email),
	CONSTRAINT one UNIQUE ("unique")
)"""
        views = [
            "CREATE VIEW active AS SELECT id, email FROM user WHERE is_active",
            "CREATE TRIGGER elsewhere AFTER INSERT ON log BEGIN UPDATE user SET is_active = 1 WHERE id = new.id; END",
            "CREATE TRIGGER noted AFTER UPDATE ON USER BEGIN INSERT INTO log VALUES (new.id); END",
            "CREATE INDEX lower ON user (lower(email) DESC) WHERE is_active",
        ]
        execute(url, written, "CREATE TABLE log (id INTEGER REFERENCES USER)", *views)
        insert = "INSERT INTO user (email, hashed_password, is_active, is_superuser) VALUES ('{}', 'x', 1, 0)"
        execute(url, insert.format("A@b.example"))
        columns = "SELECT name || ' ' || type || ' ' || \"notnull\" FROM pragma_table_xinfo('user')"
        before = scalars(url, columns)
        adopt(url)
        assert scalars(url, columns) == [*before, "email_canonical VARCHAR(512) 1"]
        defaults = "SELECT name || ' ' || dflt_value FROM pragma_table_xinfo('user') WHERE dflt_value <> ''"
        assert scalars(url, defaults) == ["is_active 1", "is_superuser 0", "is_verified 0", "a \"name\" of 'x, y'"]
        (rebuilt,) = scalars(url, "SELECT sql FROM sqlite_master WHERE name = 'user'")
        assert sorted(line.strip(" \t,") for line in rebuilt.splitlines() if "CHECK" in line) == [
            "CHECK (hashed_password <> ', UNIQUE (')",
            "CHECK (is_active IN (0, 1))",
            'CHECK (length("a ""name"" of") > 1)',
        ]
        assert 'CONSTRAINT one UNIQUE ("unique")' in rebuilt
        assert "UNIQUE (email)" not in rebuilt
        assert (
            scalars(url, "SELECT sql FROM sqlite_master WHERE type IN ('view', 'trigger') ORDER BY name") == views[:3]
        )
        assert views[3] in scalars(url, "SELECT sql FROM sqlite_master WHERE type = 'index'")
        assert scalars(url, "SELECT email FROM active") == ["A@b.example"]
        assert scalars(url, "SELECT domain || email_canonical FROM user") == ["b.examplea@b.example"]
        assert scalars(url, "SELECT count(*) FROM log") == [0]

    @pytest.mark.parametrize(
        ("change", "lost"),
        [
            (("email VARCHAR(320)", "email VARCHAR(320) COLLATE NOCASE"), "COLLATE NOCASE"),
            (("PRIMARY KEY", "PRIMARY KEY AUTOINCREMENT"), "AUTOINCREMENT"),
            (("email VARCHAR(320)", "[email] VARCHAR(320) UNIQUE"), "UNIQUE"),
            (("VARCHAR(40)", "VARCHAR(40) UNIQUE ON CONFLICT IGNORE"), "UNIQUE ON CONFLICT IGNORE"),
        ],
        ids=lambda change: change if isinstance(change, str) else "",
    )
    def test_is_refused_on_sqlite_where_a_rebuild_would_lose_something(
        self, new_database: NewDatabase, change: tuple[str, str], lost: str
    ) -> None:
        url = new_database("sqlite")
        written = """\
CREATE TABLE user (
	id INTEGER PRIMARY KEY,
	nickname VARCHAR(40),
	email VARCHAR(320) NOT NULL,
	hashed_password VARCHAR(1024) NOT NULL, is_active BOOLEAN, is_superuser BOOLEAN, is_verified BOOLEAN
)"""
        execute(url, written.replace(*change))
        before = dump(url)
        with pytest.raises(
            CommandError, match=f"user has to be rebuilt, and would lose of its CREATE TABLE: {lost}"
        ) as refused:
            adopt(url)
        assert dump(url) == before
        # What the message advises.
        assert "with op.batch_alter_table('user', recreate='always'): pass" in str(refused.value)
        engine = sa.create_engine(url, poolclass=sa.NullPool)
        with engine.begin() as connection:
            operations = Operations(MigrationContext.configure(connection))
            with operations.batch_alter_table("user", recreate="always"):
                pass
        adopt(url)

    @pytest.mark.parametrize("unique", ["UNIQUE (email)", 'CONSTRAINT "one" UNIQUE ("email")'])
    def test_may_have_made_the_address_unique_otherwise(self, database_url: str, unique: str) -> None:
        columns = [
            "hashed_password VARCHAR(1024)",
            *(f"is_{what} BOOLEAN" for what in ("active", "superuser", "verified")),
        ]
        execute(
            database_url,
            f'CREATE TABLE "user" (id INTEGER PRIMARY KEY, email VARCHAR(320), {", ".join(columns)}, {unique})',
        )
        adopt(database_url)
        with connected(database_url) as connection:
            inspector = sa.inspect(connection)
            uniques = [each["column_names"] for each in inspector.get_unique_constraints("user")]
            assert uniques == []
            assert [each["column_names"] for each in inspector.get_indexes("user") if each["unique"]] == [
                ["email_canonical"]
            ]

    def test_may_refer_to_the_address(self, database_url: str) -> None:
        fill(database_url, "int", [1])
        execute(database_url, 'CREATE TABLE letter (email VARCHAR(320) REFERENCES "user" (email))')
        execute(database_url, "INSERT INTO letter VALUES ('User1@example.com')")
        adopt(database_url)
        assert any("ix_user_email'" in line for line in schema_of(database_url))

    def test_has_triggers_that_take_no_note_of_it_on_postgresql(self, new_database: NewDatabase) -> None:
        url = new_database("postgresql")
        fill(url, "uuid", [uuid.uuid4()])
        execute(
            url,
            "CREATE FUNCTION note() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN RAISE EXCEPTION 'noted'; END $$",
            *(
                f'CREATE TRIGGER "{name}" BEFORE UPDATE ON "user" FOR EACH ROW EXECUTE FUNCTION note()'
                for name in ("On", "always", "off")
            ),
            'ALTER TABLE "user" ENABLE ALWAYS TRIGGER always',
            'ALTER TABLE "user" DISABLE TRIGGER off',
            'CREATE VIEW active AS SELECT id, email FROM "user" WHERE is_active',
        )
        adopt(url)
        states = "SELECT tgname || CAST(tgenabled AS text) FROM pg_trigger WHERE NOT tgisinternal ORDER BY 1"
        assert sorted(scalars(url, states)) == ["OnO", "alwaysA", "offD"]
        assert scalars(url, "SELECT count(*) FROM active") == [1]

    def test_may_lack_tables_or_name_them_otherwise(self, database_url: str) -> None:
        fill(database_url, "int", [1, 2])
        execute(
            database_url,
            "DROP TABLE note",
            "DROP TABLE oauth_account",
            'ALTER TABLE "user" RENAME TO people',
            "ALTER TABLE accesstoken RENAME TO tokens",
        )
        adopt(database_url, user_table="people", access_token_table="tokens")
        lines = schema_of(database_url)
        assert any("ix_people_email_canonical" in line for line in lines)
        assert any("ix_tokens_user_id" in line for line in lines)

    def test_may_have_the_column_already(self, database_url: str) -> None:
        fill(database_url, "int", [1, 2])
        execute(
            database_url,
            'ALTER TABLE "user" ADD COLUMN email_canonical VARCHAR(320)',
            "UPDATE \"user\" SET email_canonical = 'wrong' WHERE id = 2",
        )
        adopt(database_url)
        assert scalars(database_url, 'SELECT email_canonical FROM "user" ORDER BY id') == [
            "user1@example.com",
            "user2@example.com",
        ]
        assert any(line.startswith("user.email_canonical VARCHAR(512) null=False") for line in schema_of(database_url))


class TestIdsOnSQLite:
    def test_may_stand_in_columns_that_a_migration_called_uuid(self, new_database: NewDatabase) -> None:
        url = new_database("sqlite")
        ids = sorted([uuid.uuid4(), uuid.uuid4()])
        library_models("uuid").metadata.create_all(engine := sa.create_engine(url))
        engine.dispose()
        for id_ in ids:
            row = f"'{id_}', '{id_}@example.com', '{id_}@example.com', '', 1, 0, 0"
            execute(
                url,
                "INSERT INTO user (id, email, email_canonical, hashed_password, is_active, is_superuser, is_verified) "
                f"VALUES ({row})",
                f"INSERT INTO membership (user_id) VALUES ('{id_}')",
            )
        before = schema_of(url)
        adopt(url)
        assert schema_of(url) == before
        for query in ("SELECT id FROM user ORDER BY 1", "SELECT user_id FROM membership ORDER BY 1"):
            assert scalars(url, query) == [id_.hex for id_ in ids]

    def test_of_other_tables_stay_with_a_warning(
        self, new_database: NewDatabase, caplog: pytest.LogCaptureFixture
    ) -> None:
        url = new_database("sqlite")
        fill(url, "uuid", [uuid.uuid4()])
        team = str(uuid.uuid4())
        execute(url, f"INSERT INTO team VALUES ('{team}', 'x')")
        adopt(url)
        (warning,) = [record.getMessage() for record in caplog.records]
        assert warning.startswith("team.id stays CHAR(36)")
        assert scalars(url, "SELECT id FROM team") == [team]
        adopt(url, uuid_columns=["team.id"])
        assert scalars(url, "SELECT id FROM team") == [team.replace("-", "")]
        assert scalars(url, "SELECT type FROM pragma_table_info('user') WHERE name = 'team_id'") == ["CHAR(32)"]

    def test_of_an_app_that_keeps_strings_stay(self, new_database: NewDatabase) -> None:
        url = new_database("sqlite")
        fill(url, "uuid", [id_ := str(uuid.uuid4())], guid="VARCHAR(36)")
        adopt(url)
        assert scalars(url, "SELECT id FROM user") == [id_]


class TestFailure:
    def test_at_any_statement_leaves_everything_as_it_was(self, database_url: str, copy: Callable[[str], str]) -> None:
        fill(database_url, "uuid", [uuid.uuid4(), uuid.uuid4()])
        before = dump(database_url)
        count = len(statements_of(lambda: adopt(copy(database_url))))
        assert count > 30
        for number in range(0, count, 4):
            with pytest.raises(RuntimeError, match="failed on purpose"), failing_at(number):
                adopt(database_url)
            assert dump(database_url) == before
        adopt(database_url)
        assert dump(database_url) != before

    def test_by_being_killed_leaves_everything_as_it_was(
        self,
        database_url: str,
        copy: Callable[[str], str],
        prepare: Callable[[Case], AlembicProject],
    ) -> None:
        project = prepare(Case("7.0.0", "uuid", ""))
        project.succeed("upgrade", "one", url=database_url)
        fill(database_url, "uuid", [uuid.uuid4() for _ in range(200)])
        before = dump(database_url)
        other = copy(database_url)
        statements = statements_of(lambda: project.succeed("upgrade", "head", url=other))
        changing = [number for number, each in enumerate(statements) if each.startswith(("ALTER", "DROP", "INSERT"))]
        for number in (changing[len(changing) // 2], changing[-1]):
            arguments = ["-c", str(project.folder / "alembic.ini"), "-x", f"url={database_url}", "upgrade", "head"]
            program = [sys.executable, "-c", KILLED.format(number=number), *arguments]
            # The migration imports what is beside this file.
            ran = subprocess.run(program, cwd=ROOT, capture_output=True, text=True, check=False, timeout=60)
            assert ran.returncode == -signal.SIGKILL, ran
            assert dump(database_url) == before
        project.succeed("upgrade", "head", url=database_url)


class TestSecondRun:
    @pytest.mark.parametrize("ids", ["uuid", "int"])
    def test_finds_nothing_to_do(self, database_url: str, ids: str) -> None:
        fill(database_url, ids, [uuid.uuid4() if ids == "uuid" else 7])
        adopt(database_url)
        before = dump(database_url)
        statements = statements_of(lambda: adopt(database_url))
        changing = [each for each in statements if each.lstrip().startswith(("CREATE", "ALTER", "UPDATE", "DROP"))]
        assert len(changing) == 2
        assert all("_adopted_email" in each for each in changing)
        assert dump(database_url) == before


class TestManyUsers:
    def test_are_adopted_in_batches(self, database_url: str) -> None:
        fill(database_url, "int", list(range(1, 20_002)))
        statements = statements_of(lambda: adopt(database_url))
        assert len(statements) < 400
        assert scalars(database_url, 'SELECT count(*) FROM "user" WHERE email_canonical = lower(email)') == [20_001]


class TestOldRevision:
    def test_imports_the_operation_from_migrations(self) -> None:
        assert migrations.adopt_fastapi_users is adopt_fastapi_users


class TestRefusal:
    def test_without_users(self, new_database: NewDatabase) -> None:
        with pytest.raises(CommandError, match="There is no table 'people' to adopt"):
            adopt(new_database("sqlite"), user_table="people")

    def test_of_a_table_of_somebody_else(self, database_url: str) -> None:
        execute(database_url, 'CREATE TABLE "user" (id INTEGER, email TEXT, is_active BOOLEAN)')
        lacking = "it has no hashed_password, is_superuser, is_verified"
        with pytest.raises(CommandError, match=f"The table 'user' is not one of FastAPI Users: {lacking}"):
            adopt(database_url)

    def test_of_ids_as_text_on_postgresql(self, new_database: NewDatabase) -> None:
        url = new_database("postgresql")
        fill(url, "int", [1])
        execute(url, "ALTER TABLE accesstoken DROP CONSTRAINT accesstoken_user_id_fkey")
        execute(url, "ALTER TABLE accesstoken ALTER COLUMN user_id TYPE CHAR(36)")
        with pytest.raises(CommandError, match=r"accesstoken\.user_id is CHAR\(36\)"):
            adopt(url)

    def test_with_foreign_keys_switched_on(self, new_database: NewDatabase) -> None:
        url = new_database("sqlite")
        fill(url, "uuid", [uuid.uuid4()])
        before = dump(url)
        with pytest.raises(CommandError, match="'user' has to be rebuilt, and with foreign keys switched on"):
            adopt(url, foreign_keys=True)
        assert dump(url) == before

    @pytest.mark.parametrize("name", ["sqlite", "postgresql"])
    def test_to_be_written_down_as_sql(self, prepare: Callable[[Case], AlembicProject], name: str) -> None:
        project = prepare(Case("7.0.0", "int", ""))
        ran = project.run("upgrade", "one:two", "--sql", url=f"{name}://")
        assert "cannot be written down as SQL" in ran.out
