import asyncio
import os
import subprocess
import sys
from collections.abc import Callable
from contextlib import nullcontext
from pathlib import Path
from typing import Any

import pytest
import sqlalchemy as sa
from alembic import command
from alembic.autogenerate import compare_metadata
from alembic.migration import MigrationContext
from alembic.util import CommandError
from sqlalchemy.ext.asyncio import AsyncEngine, create_async_engine

from fastapi_users_sqlmodel.migrations import is_at_head
from tests.library.alembic_project import AlembicProject, NewDatabase, Wrapper, connected, driver, schema_of
from tests.library.alembic_project import new_database as new_database  # noqa: PLC0414  # pytest looks for it here
from tests.library.alembic_project import project as project  # noqa: PLC0414
from tests.library.postgres_roles import CreateOwned
from tests.library.postgres_roles import create_owned as create_owned  # noqa: PLC0414

PARENT_AND_CHILD = """
import sqlalchemy as sa

metadata = sa.MetaData(naming_convention={"pk": "pk_%(table_name)s", "fk": "fk_%(table_name)s_%(column_0_name)s"})
parent = sa.Table("parent", metadata, sa.Column("id", sa.Integer, primary_key=True))
child = sa.Table(
    "child",
    metadata,
    sa.Column("id", sa.Integer, primary_key=True),
    sa.Column("parent_id", sa.ForeignKey("parent.id", ondelete="CASCADE")),
)
"""
NOTHING_TO_DO = "No changes: the migrations already describe every model; nothing was written.\n"
SECRET = "p%40ss-word"  # the tests look for it


@pytest.fixture
def covered(project: AlembicProject, new_database: NewDatabase) -> AlembicProject:
    """A project whose migration "one" describes all of its models."""
    project.write_models(PARENT_AND_CHILD)
    project.generate("one", url=new_database("sqlite"))
    return project


def _tables(url: str) -> set[str]:
    with connected(url) as connection:
        return set(sa.inspect(connection).get_table_names())


class TestAutogenerate:
    def test_on_an_empty_database_writes_nothing_and_touches_nothing(
        self, covered: AlembicProject, database_url: str
    ) -> None:
        ran = covered.run("revision", "--autogenerate", "-m", "again", url=database_url)
        assert (ran.status, ran.out) == (0, NOTHING_TO_DO)
        assert len(list(covered.versions.glob("*.py"))) == 1
        assert _tables(database_url) == set()

    def test_on_a_database_at_head_writes_nothing(self, covered: AlembicProject, database_url: str) -> None:
        covered.succeed("upgrade", "head", url=database_url)
        before = schema_of(database_url)
        assert covered.succeed("revision", "--autogenerate", "-m", "again", url=database_url) == NOTHING_TO_DO
        assert schema_of(database_url) == before

    def test_on_a_database_that_is_behind_writes_what_the_migrations_lack(
        self, covered: AlembicProject, database_url: str
    ) -> None:
        covered.write_models(PARENT_AND_CHILD + 'parent.append_column(sa.Column("name", sa.String(9)))')
        source = covered.generate("two", url=database_url)
        assert "batch_op.add_column(sa.Column('name', sa.String(length=9), nullable=True))" in source
        assert "create_table" not in source

    def test_from_a_program_writes_nothing_either(
        self, covered: AlembicProject, new_database: NewDatabase, capsys: pytest.CaptureFixture[str]
    ) -> None:
        config = covered.config
        config.set_main_option("sqlalchemy.url", new_database("sqlite"))
        command.revision(config, message="again", autogenerate=True)
        assert len(list(covered.versions.glob("*.py"))) == 1

    def test_without_the_option_writes_an_empty_revision(self, covered: AlembicProject, database_url: str) -> None:
        covered.succeed("revision", "-m", "empty", url=database_url)
        assert len(list(covered.versions.glob("*.py"))) == 2

    def test_leaves_no_schema_behind(self, covered: AlembicProject, new_database: NewDatabase) -> None:
        url = new_database("postgresql")
        covered.succeed("check", url=url)
        with connected(url) as connection:
            assert not [name for name in sa.inspect(connection).get_schema_names() if "scratch" in name]

    def test_replays_what_needs_a_commit(self, covered: AlembicProject, new_database: NewDatabase) -> None:
        url = new_database("postgresql")
        covered.write_version(
            "two",
            "one",
            """
            if op.get_context().dialect.name == "postgresql":
                with op.get_context().autocommit_block():
                    op.execute("CREATE INDEX CONCURRENTLY ix_child ON child (parent_id)")
            """,
        )
        covered.write_models(PARENT_AND_CHILD + 'sa.Index("ix_child", child.c.parent_id)')
        assert covered.succeed("check", url=url) == "No new upgrade operations detected.\n"
        covered.succeed("upgrade", "head", url=url)
        assert any("ix_child" in line for line in schema_of(url))


class TestCheck:
    def test_succeeds_when_the_migrations_describe_the_models(self, covered: AlembicProject, database_url: str) -> None:
        assert covered.succeed("check", url=database_url) == "No new upgrade operations detected.\n"

    def test_fails_when_they_do_not(self, covered: AlembicProject, database_url: str) -> None:
        covered.write_models(PARENT_AND_CHILD + 'parent.append_column(sa.Column("name", sa.Text))')
        ran = covered.run("check", url=database_url)
        assert ran.status != 0
        assert "New upgrade operations detected" in ran.out

    @pytest.mark.parametrize(
        ("before", "after"),
        [
            ("sa.CheckConstraint('id > 0', name='low')", "sa.CheckConstraint('id > 1', name='low')"),
            ("sa.Index('ix', sa.text('lower(name)'))", "sa.Index('ix', sa.text('upper(name)'))"),
            ("sa.Column('x', sa.Text, server_default='a')", "sa.Column('x', sa.Text, server_default='b')"),
            ("sa.Column('x', sa.Integer, server_default='1')", "sa.Column('x', sa.Integer, server_default='2')"),
            ("sa.Column('x', sa.Boolean, server_default=sa.true())", "sa.Column('x', sa.Boolean)"),
            ("sa.Column('x', sa.Text)", "sa.Column('x', sa.Text, server_default='')"),
        ],
    )
    def test_sees_a_change_and_only_a_change(
        self, project: AlembicProject, database_url: str, before: str, after: str
    ) -> None:
        models = "import sqlalchemy as sa\nmetadata = sa.MetaData()\n"
        models += (
            "sa.Table('t', metadata, sa.Column('id', sa.Integer, primary_key=True), sa.Column('name', sa.Text), {})"
        )
        project.write_models(models.format(before))
        project.generate("one", url=database_url)
        assert project.run("check", url=database_url).status == 0
        project.write_models(models.format(after))
        assert project.run("check", url=database_url).status != 0
        project.generate("two", url=database_url)
        assert project.run("check", url=database_url).status == 0
        for direction in (("upgrade", "head"), ("downgrade", "base"), ("upgrade", "head")):
            project.succeed(*direction, url=database_url)


class TestFailedMigration:
    def test_leaves_nothing_behind(self, covered: AlembicProject, database_url: str) -> None:
        covered.succeed("upgrade", "head", url=database_url)
        before = schema_of(database_url)
        covered.write_version(
            "two",
            "one",
            """
            op.add_column("parent", sa.Column("name", sa.Text))
            op.execute("INSERT INTO parent (id) VALUES (7)")
            op.create_table("other", sa.Column("id", sa.Integer))
            raise RuntimeError("half way")
            """,
        )
        with pytest.raises(RuntimeError, match="half way"):
            covered.run("upgrade", "head", url=database_url)
        assert schema_of(database_url) == before
        with connected(database_url) as connection:
            assert connection.exec_driver_sql("SELECT count(*) FROM parent").scalar_one() == 0
            assert not is_at_head(connection, covered.config)

    def test_rows_that_would_refer_to_nothing_are_refused(
        self, covered: AlembicProject, new_database: NewDatabase
    ) -> None:
        url = new_database("sqlite")
        covered.succeed("upgrade", "head", url=url)
        covered.write_version("two", "one", 'op.execute("INSERT INTO child (parent_id) VALUES (7)")')
        ran = covered.run("upgrade", "head", url=url)
        assert ran.status != 0
        assert "refer to nothing, in child (to parent)" in " ".join(ran.out.split())
        with connected(url) as connection:
            assert connection.exec_driver_sql("SELECT count(*) FROM child").scalar_one() == 0

    def test_does_not_wait_for_a_lock_for_long(self, covered: AlembicProject, new_database: NewDatabase) -> None:
        url = new_database("postgresql")
        covered.write_version(
            "two",
            "one",
            """
            connection = op.get_bind()
            assert connection.exec_driver_sql("SHOW lock_timeout").scalar_one() == "3s"
            assert connection.exec_driver_sql("SHOW statement_timeout").scalar_one() == "0"
            """,
        )
        covered.succeed("upgrade", "head", url=url)


class TestRebuildOnSQLite:
    def test_keeps_triggers_views_and_indexes_that_cannot_be_reflected(
        self, covered: AlembicProject, new_database: NewDatabase
    ) -> None:
        url = new_database("sqlite")
        covered.succeed("upgrade", "head", url=url)
        query = "SELECT sql FROM sqlite_master WHERE name in ('one', 'two', 'tr', 'elsewhere', 'seen') ORDER BY name"
        with connected(url) as connection:
            connection.exec_driver_sql("CREATE INDEX one ON child (abs(parent_id))")
            connection.exec_driver_sql("CREATE INDEX two ON child (parent_id DESC)")
            connection.exec_driver_sql("CREATE TRIGGER tr AFTER INSERT ON CHILD BEGIN SELECT ':x'; END")
            connection.exec_driver_sql("CREATE VIEW seen AS SELECT parent_id FROM child")
            connection.exec_driver_sql(
                "CREATE TRIGGER elsewhere AFTER DELETE ON parent BEGIN DELETE FROM child WHERE parent_id = old.id; END"
            )
            before = connection.exec_driver_sql(query).all()
        rebuild = """
        with op.batch_alter_table("child") as batch_op:
            batch_op.alter_column("parent_id", nullable=False)
        """
        covered.write_version("two", "one", rebuild)
        covered.succeed("upgrade", "head", url=url)
        with connected(url) as connection:
            assert connection.exec_driver_sql(query).all() == before
            assert connection.exec_driver_sql("SELECT parent_id FROM seen").all() == []

    def test_is_refused_inside_a_transaction_with_foreign_keys_on(
        self, covered: AlembicProject, new_database: NewDatabase
    ) -> None:
        url = new_database("sqlite")
        covered.succeed("upgrade", "head", url=url)
        rebuild = """
        with op.batch_alter_table("parent") as batch_op:
            batch_op.alter_column("id", new_column_name="key")
        """
        covered.write_version("two", "one", rebuild)
        config = covered.config
        with connected(url) as connection:
            config.attributes["connection"] = connection
            with pytest.raises(CommandError, match="'parent' has to be rebuilt"):
                command.upgrade(config, "head")


class TestGivenConnection:
    def test_is_migrated_in_its_own_transaction(self, covered: AlembicProject, database_url: str) -> None:
        engine = sa.create_engine(sa.make_url(database_url).set(drivername=driver(database_url)))
        config = covered.config
        with engine.connect() as connection:
            config.attributes["connection"] = connection
            with connection.begin() as transaction:
                assert not is_at_head(connection, config)
                command.upgrade(config, "head")
                assert is_at_head(connection, config)
                transaction.rollback()
            command.upgrade(config, "head")
            assert not connection.closed
            assert is_at_head(connection, config)
        engine.dispose()
        with connected(database_url) as connection:
            assert is_at_head(connection, covered.config)

    def test_gets_its_foreign_keys_back(self, covered: AlembicProject, new_database: NewDatabase) -> None:
        engine = sa.create_engine(new_database("sqlite"))
        config = covered.config
        with engine.connect() as connection:
            connection.exec_driver_sql("PRAGMA foreign_keys = ON")
            connection.rollback()
            config.attributes["connection"] = connection
            command.upgrade(config, "head")
            assert connection.exec_driver_sql("PRAGMA foreign_keys").scalar_one() == 1
        engine.dispose()

    def test_may_be_an_engine(self, covered: AlembicProject, database_url: str) -> None:
        engine = sa.create_engine(sa.make_url(database_url).set(drivername=driver(database_url)))
        config = covered.config
        config.attributes["connection"] = engine
        command.upgrade(config, "head")
        command.check(config)
        engine.dispose()
        assert {"parent", "child"} < _tables(database_url)

    @pytest.mark.parametrize("rights", ["CREATEDB", "NOCREATEDB"])
    @pytest.mark.parametrize("is_described", [True, False])
    def test_is_left_as_it_was(
        self, covered: AlembicProject, create_owned: CreateOwned, rights: str, *, is_described: bool
    ) -> None:
        owned = create_owned(rights, owns=True)
        if not is_described:
            covered.write_models(PARENT_AND_CHILD + 'sa.Table("x", metadata, sa.Column("id", sa.Integer))')
        config = covered.config
        engine = sa.create_engine(sa.make_url(owned.url).set(drivername="postgresql+psycopg"), poolclass=sa.NullPool)
        with engine.connect() as connection:
            config.attributes["connection"] = connection
            for _ in range(2):
                with nullcontext() if is_described else pytest.raises(CommandError):
                    command.check(config)
                assert not connection.in_transaction()
            command.upgrade(config, "head")
            assert not connection.in_transaction()
        assert {"parent", "child"} < _tables(owned.superuser_url)

    @pytest.mark.parametrize("compare", ["scratch", "database"])
    def test_in_a_transaction_stays_in_it(self, covered: AlembicProject, database_url: str, compare: str) -> None:
        covered.succeed("upgrade", "head", url=database_url)
        covered.write_env(f"compare={compare!r}", metadata='models["metadata"]')
        config = covered.config
        with connected(database_url) as connection:
            connection.exec_driver_sql("INSERT INTO parent VALUES (1)")
            transaction = connection.get_transaction()
            config.attributes["connection"] = connection
            command.check(config)
            assert connection.get_transaction() is transaction
            assert connection.exec_driver_sql("SELECT count(*) FROM parent").scalar_one() == 1

    def test_in_a_transaction_cannot_commit_in_a_revision(self, covered: AlembicProject, database_url: str) -> None:
        covered.write_version("two", "one", 'with op.get_context().autocommit_block():\n    op.execute("SELECT 1")')
        config = covered.config
        with connected(database_url) as connection:
            config.attributes["connection"] = connection
            # SQLite begins when something is written.
            connection.exec_driver_sql("CREATE TABLE mine (id int)")
            with pytest.raises(CommandError, match="over outside of a transaction"):
                command.upgrade(config, "head")

    @pytest.mark.parametrize("wrap", [lambda each: each, Wrapper])
    async def test_may_be_an_async_engine_again_and_again(
        self, covered: AlembicProject, database_url: str, wrap: Callable[[Any], Any]
    ) -> None:
        name = "sqlite+aiosqlite" if database_url.startswith("sqlite") else "postgresql+asyncpg"
        engine = create_async_engine(sa.make_url(database_url).set(drivername=name))
        config = covered.config
        config.attributes["connection"] = wrap(engine)
        for _ in range(2):
            async with engine.connect() as connection:
                assert await connection.scalar(sa.text("SELECT 1")) == 1
            command.upgrade(config, "head")
            command.check(config)
            await asyncio.to_thread(command.check, config)
        await engine.dispose()

    def test_is_compared_in_a_scratch(self, covered: AlembicProject, database_url: str) -> None:
        engine = sa.create_engine(sa.make_url(database_url).set(drivername=driver(database_url)))
        config = covered.config
        with engine.begin() as connection:
            config.attributes["connection"] = connection
            command.check(config)
            assert sa.inspect(connection).get_table_names() == []
        engine.dispose()

    async def test_may_come_from_an_async_engine(self, covered: AlembicProject, database_url: str) -> None:
        engine = _async_engine(database_url)
        config = covered.config

        def upgrade(connection: sa.Connection) -> bool:
            config.attributes["connection"] = connection
            command.upgrade(config, "head")
            return is_at_head(connection, config)

        async with engine.connect() as connection:
            assert await connection.run_sync(upgrade)
        await engine.dispose()


def _async_engine(url: str) -> AsyncEngine:
    name = "sqlite+aiosqlite" if url.startswith("sqlite") else "postgresql+asyncpg"
    return create_async_engine(sa.make_url(url).set(drivername=name), poolclass=sa.NullPool)


class TestURL:
    async def test_works_inside_of_a_running_event_loop(self, covered: AlembicProject, database_url: str) -> None:
        assert asyncio.get_running_loop().is_running()
        covered.succeed("upgrade", "head", url=database_url)
        assert {"parent", "child"} < _tables(database_url)

    @pytest.mark.parametrize("name", ["sqlite", "sqlite+pysqlite", "sqlite+aiosqlite"])
    def test_may_name_any_driver_of_sqlite(self, covered: AlembicProject, new_database: NewDatabase, name: str) -> None:
        url = new_database("sqlite")
        covered.succeed("upgrade", "head", url=url.replace("sqlite", name, 1))
        assert {"parent", "child"} < _tables(url)

    @pytest.mark.parametrize(
        "name", ["postgres", "postgresql", "postgresql+asyncpg", "postgresql+psycopg", "postgresql+psycopg_async"]
    )
    def test_may_name_any_driver_of_postgresql(
        self, covered: AlembicProject, new_database: NewDatabase, name: str
    ) -> None:
        url = new_database("postgresql")
        given = url.replace("postgresql", name, 1)
        # As providers write them: what a driver does not know is no reason to stop.
        options = "?sslmode=prefer&channel_binding=prefer&connect_timeout=5&keepalives=1&application_name=alembic"
        covered.succeed("upgrade", "head", url=given + options)
        covered.succeed("check", url=given)
        assert {"parent", "child"} < _tables(url)

    def test_of_the_command_line_wins_then_that_of_env_py_then_that_of_the_ini(
        self, covered: AlembicProject, new_database: NewDatabase
    ) -> None:
        ini, env, line = (new_database("sqlite") for _ in range(3))
        path = covered.folder / "alembic.ini"
        path.write_text(path.read_text() + f"sqlalchemy.url = {ini}\n")
        assert covered.run("upgrade", "head").status == 0
        assert {"parent", "child"} < _tables(ini)
        script = covered.folder / "alembic" / "env.py"
        script.write_text(script.read_text().replace('["metadata"])', f'["metadata"], url="{env}")'))
        assert covered.run("upgrade", "head").status == 0
        assert {"parent", "child"} < _tables(env)
        covered.succeed("upgrade", "head", url=line)
        assert {"parent", "child"} < _tables(line)

    @pytest.mark.parametrize(
        ("url", "reason"),
        [
            (f"nonsense {SECRET}", "The database URL cannot be read"),
            (f"postgresql://u:{SECRET}@host:port/name", "The database URL cannot be read"),
            (f"nosuch://u:{SECRET}@host/name", "There is no database or driver of the name 'nosuch'."),
            (f"postgresql+nosuch://u:{SECRET}@host/name", "no database or driver of the name 'postgresql+nosuch'."),
            (f"mysql+pymysql://u:{SECRET}@host/name", "The driver 'pymysql'"),
            ("sqlite:////no/such/folder/x.db", "cannot be opened: unable to open database file"),
            (f"postgresql+asyncpg://u:{SECRET}@127.0.0.1:1/name", "cannot be opened"),
            (f"postgresql+psycopg://u:{SECRET}@127.0.0.1:1/name", "cannot be opened"),
            (f"postgresql+asyncpg://127.0.0.1:1/name?password={SECRET}&nosuch={SECRET}", "cannot be opened"),
            (f"postgresql+psycopg://127.0.0.1:1/name?password={SECRET}&nosuch={SECRET}", "cannot be opened"),
        ],
    )
    @pytest.mark.parametrize("arguments", [("upgrade", "head"), ("current",)])
    def test_that_is_wrong_ends_in_one_sentence(
        self, covered: AlembicProject, url: str, reason: str, arguments: tuple[str, ...]
    ) -> None:
        ran = covered.run(*arguments, url=url)
        assert ran.out == ran.err == ""
        assert isinstance(ran.status, str)
        assert reason in ran.status
        assert "\n" not in ran.status
        assert SECRET not in ran.status
        assert "p@ss-word" not in ran.status

    def test_without_any_asks_for_one(self, covered: AlembicProject) -> None:
        assert "Which database?" in str(covered.run("upgrade", "head").status)

    def test_of_a_file_that_is_no_database(self, covered: AlembicProject, tmp_path: Path) -> None:
        (tmp_path / "x.db").write_text("something else " * 100)
        ran = covered.run("upgrade", "head", url=f"sqlite:///{tmp_path}/x.db")
        assert str(ran.status).endswith("cannot be opened: file is not a database")

    def test_of_a_database_that_does_not_exist(self, covered: AlembicProject, new_database: NewDatabase) -> None:
        url = sa.make_url(new_database("postgresql")).set(database="nowhere").render_as_string(hide_password=False)
        assert 'database "nowhere" does not exist' in str(covered.run("upgrade", "head", url=url).status)

    def test_that_is_wrong_is_an_error_to_a_program(self, covered: AlembicProject) -> None:
        config = covered.config
        config.set_main_option("sqlalchemy.url", "sqlite:////no/such/folder/x.db")
        with pytest.raises(CommandError, match="unable to open database file"):
            command.upgrade(config, "head")


class TestOffline:
    def test_writes_sql_that_a_database_understands(self, covered: AlembicProject, database_url: str) -> None:
        # The address is not looked at: a database that does not exist will do.
        kind = "sqlite://" if database_url.startswith("sqlite") else "postgresql://nobody@127.0.0.1:1/nowhere"
        sql = covered.succeed("upgrade", "head", "--sql", url=kind)
        assert "BEGIN;" in sql
        with connected(database_url) as connection:
            for statement in sql.replace("BEGIN;", "").replace("COMMIT;", "").split(";"):
                if statement.strip():
                    connection.exec_driver_sql(statement)
            assert is_at_head(connection, covered.config)
            assert compare_metadata(MigrationContext.configure(connection), covered.metadata()) == []


class TestCommandLine:
    def test_in_a_process_of_its_own(self, covered: AlembicProject, database_url: str) -> None:
        def alembic(*arguments: str) -> subprocess.CompletedProcess[str]:
            program = [sys.executable, "-W", "error", "-m", "alembic", *arguments]
            environment = os.environ | {"COLUMNS": "300"}
            return subprocess.run(
                program, cwd=covered.folder, env=environment, capture_output=True, text=True, check=False, timeout=60
            )

        again = alembic("-x", f"url={database_url}", "revision", "--autogenerate", "-m", "again")
        assert (again.returncode, again.stdout, again.stderr) == (0, NOTHING_TO_DO, "")
        upgrade = alembic("-x", f"url={database_url}", "upgrade", "head")
        assert (upgrade.returncode, upgrade.stdout, upgrade.stderr) == (0, "", "")
        wrong = alembic("-x", "url=sqlite:////no/such/folder/x.db", "upgrade", "head")
        reason = "The database sqlite:////no/such/folder/x.db cannot be opened: unable to open database file\n"
        assert (wrong.returncode, wrong.stdout, wrong.stderr) == (1, "", reason)
