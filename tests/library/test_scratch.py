"""Autogenerate replays the migrations where they can do no harm, and says what to do where it cannot."""

import os
import re
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable

import pytest
import sqlalchemy as sa
from alembic import command
from alembic.util import CommandError

from tests.library.alembic_project import AlembicProject, NewDatabase, connected
from tests.library.alembic_project import new_database as new_database  # noqa: PLC0414  # pytest looks for it here
from tests.library.alembic_project import project as project  # noqa: PLC0414
from tests.library.postgres_roles import CreateOwned, Owned, execute, locked
from tests.library.postgres_roles import create_owned as create_owned  # noqa: PLC0414

NO_CHANGES = "No new upgrade operations detected.\n"

PLAIN = """
import sqlalchemy as sa

metadata = sa.MetaData()
sa.Table("grp", metadata, sa.Column("id", sa.Integer, primary_key=True), sa.Column("name", sa.String(9)))
"""
IN_CRM = PLAIN.replace('sa.Column("name", sa.String(9))', 'sa.Column("name", sa.String(9)), schema="crm"')
MADE = 'op.create_table("grp", sa.Column("id", sa.Integer, primary_key=True), sa.Column("name", sa.String(9)))'
MADE_IN_CRM = f'op.execute("CREATE SCHEMA crm")\n{MADE[:-1]}, schema="crm")'
SCRATCH_SCHEMAS = "SELECT nspname FROM pg_namespace WHERE nspname LIKE '%scratch%' ORDER BY 1"
SCRATCHES = "SELECT datname FROM pg_database WHERE datname LIKE 'alembic_scratch_%'"


class TestDatabaseOfItsOwn:
    @pytest.fixture
    def owned(self, create_owned: CreateOwned) -> Owned:
        return create_owned("CREATEDB", owns=True)

    @pytest.mark.parametrize("driver", ["asyncpg", "psycopg"])
    def test_has_other_schemas_and_never_reaches_real_rows(
        self, project: AlembicProject, owned: Owned, driver: str
    ) -> None:
        url = owned.url.replace("postgresql:", f"postgresql+{driver}:")
        project.write_models(IN_CRM)
        project.write_version("one", None, MADE_IN_CRM)
        project.succeed("upgrade", "head", url=url)
        execute(owned.url, "INSERT INTO crm.grp VALUES (1, 'real')")
        project.write_version("two", "one", 'op.execute("DELETE FROM crm.grp")')
        with locked(owned.url, "crm.grp"):
            assert project.succeed("check", url=url) == NO_CHANGES
        assert execute(owned.url, "SELECT name FROM crm.grp") == [("real",)]
        project.write_models(IN_CRM.replace("sa.String(9)", "sa.String(12)"))
        source = project.generate("three", url=url)
        assert "create_table" not in source
        assert "schema='crm'" in source
        assert execute(owned.url, SCRATCHES) == []

    def test_has_schemas_that_neither_the_migrations_nor_the_models_make(
        self, project: AlembicProject, owned: Owned
    ) -> None:
        execute(owned.superuser_url, "CREATE SCHEMA legacy")
        project.write_models(PLAIN)
        project.write_version("one", None, f'{MADE}\nop.execute("CREATE VIEW legacy.v AS SELECT 1 AS one")')
        assert project.succeed("check", url=owned.url) == NO_CHANGES

    def test_has_the_extensions_of_the_real_one(self, project: AlembicProject, owned: Owned) -> None:
        # In a schema of their own, as some providers have it.
        execute(owned.superuser_url, "CREATE SCHEMA extensions", "CREATE EXTENSION citext SCHEMA extensions")
        execute(
            owned.superuser_url,
            f"GRANT USAGE ON SCHEMA extensions TO {owned.role}",
            f"ALTER ROLE {owned.role} SET search_path TO public, extensions",
        )
        project.write_models(
            """
            import sqlalchemy as sa
            from sqlalchemy.dialects import postgresql

            metadata = sa.MetaData()
            t = sa.Table("t", metadata, sa.Column("id", sa.Integer, primary_key=True), sa.Column("name", sa.Text),
                         sa.Column("nick", postgresql.CITEXT))
            sa.Index("ix", t.c.name, postgresql_using="gin", postgresql_ops={"name": "gin_trgm_ops"})
            """
        )
        project.write_version(
            "one",
            None,
            """
            op.execute("CREATE EXTENSION pg_trgm")
            op.execute("CREATE TABLE t (id serial PRIMARY KEY, name text, nick citext)")
            op.execute("CREATE INDEX ix ON t USING gin (name gin_trgm_ops)")
            """,
        )
        assert project.succeed("check", url=owned.url) == NO_CHANGES
        project.succeed("upgrade", "head", url=owned.url)
        assert project.succeed("check", url=owned.url) == NO_CHANGES

    def test_names_an_extension_that_the_role_may_not_create(self, project: AlembicProject, owned: Owned) -> None:
        execute(owned.superuser_url, "CREATE EXTENSION vector")
        project.write_models(PLAIN)
        project.write_version("one", None, MADE)
        # One that no migration needs is no obstacle.
        assert project.succeed("check", url=owned.url) == NO_CHANGES
        project.write_version("two", "one", 'op.execute("CREATE TABLE v (v vector(3))")')
        out = project.run("check", url=owned.url).out
        assert "Revision two (" in out
        # SQLAlchemy 2.0 writes the class of asyncpg's error before its message.
        assert re.search(r"in the scratch: vector \(.*permission denied to create extension", out)
        assert "scratch_url" in out
        assert execute(owned.url, SCRATCHES) == []

    def test_replays_an_enum_that_grows_and_is_used_at_once(self, project: AlembicProject, owned: Owned) -> None:
        project.write_models(PLAIN)
        project.write_version("one", None, MADE + "\nop.execute(\"CREATE TYPE mood AS ENUM ('a')\")")
        project.write_version(
            "two",
            "one",
            """
            with op.get_context().autocommit_block():
                op.execute("ALTER TYPE mood ADD VALUE 'b'")
            op.execute("CREATE TABLE x (m mood DEFAULT 'b')")
            op.execute("DROP TABLE x")
            """,
        )
        assert project.succeed("check", url=owned.url) == NO_CHANGES

    def test_leaves_roles_and_the_server_alone(self, project: AlembicProject, owned: Owned) -> None:
        role = f"{owned.role}_reporting"
        project.write_models(PLAIN)
        project.write_version(
            "one",
            None,
            f"""
            {MADE}
            op.execute("/* ours */ CREATE ROLE {role}")
            op.execute("GRANT SELECT ON grp TO {role}")
            op.execute("ALTER DATABASE {owned.name} SET work_mem = '5MB'")
            """,
        )
        assert project.succeed("check", url=owned.superuser_url) == NO_CHANGES
        assert execute(owned.url, f"SELECT 1 FROM pg_roles WHERE rolname = '{role}'") == []
        assert execute(owned.url, "SHOW work_mem") == [("4MB",)]
        project.succeed("upgrade", "head", url=owned.superuser_url)
        # Now the role exists, and creating it again would fail.
        assert project.succeed("check", url=owned.superuser_url) == NO_CHANGES
        execute(owned.superuser_url, f"DROP OWNED BY {role}", f"DROP ROLE {role}")

    @pytest.mark.parametrize("rights", ["CREATEDB", "NOCREATEDB"])
    def test_of_a_read_only_session_says_the_ways_out(
        self, project: AlembicProject, create_owned: CreateOwned, rights: str
    ) -> None:
        owned = create_owned(rights, owns=True)
        project.write_models(PLAIN)
        execute(owned.superuser_url, f"ALTER ROLE {owned.role} SET default_transaction_read_only = on")
        out = project.run("check", url=owned.url).out
        assert "in a read-only transaction)" in out
        assert "compare=database" in out

    @pytest.mark.thorough
    def test_left_by_a_killed_run_is_dropped_by_the_next(self, project: AlembicProject, owned: Owned) -> None:
        project.write_models(PLAIN)
        ready = project.folder / "ready"
        project.write_version("one", None, f"{MADE}\nopen({str(ready)!r}, 'w').close()\nimport time\ntime.sleep(60)")
        program = [sys.executable, "-m", "alembic", "-x", f"url={owned.url}", "check"]
        process = subprocess.Popen(program, cwd=project.folder, env=os.environ | {"COLUMNS": "300"})
        try:
            self._wait_until(ready.exists)
            (in_use,) = execute(owned.url, SCRATCHES)
            project.write_version("one", None, MADE)
            # Somebody else's, in use: it stays.
            assert project.succeed("check", url=owned.url) == NO_CHANGES
            assert execute(owned.url, SCRATCHES) == [in_use]
        finally:
            process.send_signal(signal.SIGKILL)
            process.wait()
        # The server has to see that nobody is there any more.
        busy = f"""
            SELECT 1 FROM pg_locks WHERE locktype = 'advisory'
            UNION SELECT 1 FROM pg_stat_activity WHERE datname = '{in_use[0]}'
        """
        self._wait_until(lambda: not execute(owned.superuser_url, busy))
        assert execute(owned.url, SCRATCHES) == [in_use]
        assert project.succeed("check", url=owned.url) == NO_CHANGES
        assert execute(owned.url, SCRATCHES) == []

    @staticmethod
    def _wait_until(is_so: Callable[[], bool]) -> None:
        deadline = time.monotonic() + 60
        while not is_so():
            assert time.monotonic() < deadline
            time.sleep(0.05)

    @pytest.mark.thorough
    def test_two_at_once_do_not_disturb_each_other(self, project: AlembicProject, owned: Owned) -> None:
        project.write_models(PLAIN)
        project.write_version("one", None, MADE)
        program = [sys.executable, "-m", "alembic", "-x", f"url={owned.url}", "check"]
        ended: list[int] = []

        def run() -> None:
            ended.append(subprocess.run(program, cwd=project.folder, capture_output=True, check=False).returncode)

        threads = [threading.Thread(target=run) for _ in range(3)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert ended == [0, 0, 0]
        assert execute(owned.url, SCRATCHES) == []


class TestSchema:
    """The role may create schemas and no database."""

    @pytest.fixture
    def owned(self, create_owned: CreateOwned) -> Owned:
        return create_owned("NOCREATEDB", owns=True)

    def test_is_used_where_it_is_safe(self, project: AlembicProject, owned: Owned) -> None:
        project.write_models(PLAIN)
        project.write_version("one", None, MADE)
        project.succeed("upgrade", "head", url=owned.url)
        with locked(owned.url, "grp"):
            assert project.succeed("check", url=owned.url) == NO_CHANGES
        assert execute(owned.url, SCRATCH_SCHEMAS) == []

    def test_is_not_enough_for_models_in_another_schema(self, project: AlembicProject, owned: Owned) -> None:
        project.write_models(IN_CRM)
        project.write_version("one", None, MADE_IN_CRM)
        out = project.run("check", url=owned.url).out
        assert f"ALTER ROLE {owned.role} CREATEDB;" in out
        assert "schemas (crm)" in out
        assert "GRANT CREATE" not in out

    @pytest.mark.parametrize(
        ("statement", "why"),
        [
            ("DELETE FROM public.grp", "it names the schema 'public', which is the real one"),
            ('DELETE FROM "public" . grp', "it names the schema 'public', which is the real one"),
            ("DELETE FROM PUBLIC/* real */.grp", "it names the schema 'PUBLIC', which is the real one"),
            ("SELECT setval('public.grp_id_seq', 1)", "it names the schema 'public', which is the real one"),
            ("COMMIT", "it says 'COMMIT', which would leave the scratch schema"),
            ("SET search_path TO public", "it says 'SET search_path', which would leave the scratch schema"),
            ("set /* x */ search_path = public", "it says 'set search_path', which would leave the scratch schema"),
            ("SET/* /* x */ */LOCAL -- y\n search_path = public", "it says 'SET LOCAL search_path', which would leave"),
            ("SELECT 'a--b'; SET /* ' */ search_path = public", "it says 'SET search_path', which would leave"),
            ("DO $x$ BEGIN SET /* x */ search_path = public; END $x$", "it says 'SET search_path', which would leave"),
            ("/* x */ COMMIT", "it says 'COMMIT', which would leave the scratch schema"),
            ("SELECT set_config('search_path', 'pub' || 'lic', true)", "it says 'set_config(', which would leave"),
            (
                "DO $$ BEGIN EXECUTE 'DELETE FROM pub' || 'lic.grp'; END $$",
                "it reached public.grp of the real database (everything was rolled back)",
            ),
            (
                "DO $$ DECLARE n int; BEGIN EXECUTE 'SELECT count(*) FROM pub' || 'lic.grp' INTO n; END $$",
                "it reached public.grp",
            ),
        ],
    )
    def test_refuses_what_reaches_real_tables(
        self, project: AlembicProject, owned: Owned, statement: str, why: str
    ) -> None:
        project.write_models(PLAIN)
        project.write_version("one", None, MADE)
        project.succeed("upgrade", "head", url=owned.url)
        execute(owned.url, "INSERT INTO grp VALUES (1, 'real')")
        project.write_version("two", "one", f"op.execute({statement!r})")
        ran = project.run("check", url=owned.url)
        assert ran.status != 0
        assert "Revision two (" in ran.out
        assert why in ran.out
        assert "scratch_url" in ran.out
        assert execute(owned.url, "SELECT name FROM grp") == [("real",)]
        assert execute(owned.url, "SELECT version_num FROM alembic_version") == [("one",)]

    @pytest.mark.parametrize("driver", ["asyncpg", "psycopg"])
    @pytest.mark.parametrize(
        ("upgrade", "why"),
        [
            ("with bind.engine.begin() as own:\n    own.exec_driver_sql(wipe)", "it opens a connection of its own"),
            ("own = bind.engine.raw_connection()", "it opens a connection of its own"),
            ("with sa.inspect(bind).engine.begin() as own:\n    own.exec_driver_sql(wipe)", "it opens a connection"),
            ("raw = bind.connection\nraw.cursor().execute(wipe)\nraw.commit()", "it takes the driver's connection"),
            ("bind.connection.driver_connection", "it takes the driver's connection"),
            ("bind.exec_driver_sql('CREATE TABLE stays (id int)')\nbind.commit()", "it commits"),
            ("bind.get_transaction().commit()", "it commits"),
            ("bind.rollback()\nbind.exec_driver_sql(wipe)\nbind.commit()", "it rolls back"),
            ("bind.execution_options(isolation_level='AUTOCOMMIT')", "it changes the isolation level"),
            ("bind.close()", "it closes the connection"),
            ("bind.detach()", "it detaches the connection"),
            ("bind.invalidate()", "it invalidates the connection"),
            # What no method sees, the server refuses.
            ("bind.dialect.do_commit(bind._dbapi_connection)", "a_scratch_is_never_committed"),
        ],
    )
    def test_refuses_ways_around_the_connection(
        self, project: AlembicProject, owned: Owned, driver: str, upgrade: str, why: str
    ) -> None:
        url = owned.url.replace("postgresql:", f"postgresql+{driver}:")
        project.write_models(PLAIN)
        project.write_version("one", None, MADE)
        project.succeed("upgrade", "head", url=url)
        execute(owned.url, "INSERT INTO grp VALUES (1, 'real')")
        project.write_version("two", "one", f'bind, wipe = op.get_bind(), "DELETE FROM public.grp"\n{upgrade}')
        ran = project.run("check", url=url)
        assert ran.status != 0
        assert "Revision two (" in ran.out
        assert why in ran.out
        assert "compare=database" in ran.out
        assert execute(owned.url, "SELECT name FROM grp") == [("real",)]
        assert execute(owned.url, SCRATCH_SCHEMAS) == []

    def test_lets_a_revision_use_its_connection(self, project: AlembicProject, owned: Owned) -> None:
        project.write_models(PLAIN)
        project.write_version(
            "one",
            None,
            f"""
            from sqlalchemy.orm import Session
            bind = op.get_bind()
            {MADE}
            grp = sa.Table("grp", sa.MetaData(), autoload_with=bind)
            with Session(bind=bind) as session:
                session.execute(grp.insert().values(id=1, name="a"))
                session.commit()
            with bind.begin_nested() as savepoint:
                bind.execute(grp.delete())
                savepoint.rollback()
            assert bind.scalar(sa.select(grp.c.name)) == "a"
            assert (bind.engine.name, bind.get_isolation_level()) == ("postgresql", "READ COMMITTED")
            assert sa.inspect(bind).get_table_names() == ["alembic_version", "grp"]
            other = sa.Table("other", sa.MetaData(), sa.Column("id", sa.Integer))
            other.create(bind.execution_options(logging_token="x"))
            op.drop_table("other")
            """,
        )
        for driver in ("asyncpg", "psycopg"):
            url = owned.url.replace("postgresql:", f"postgresql+{driver}:")
            assert project.succeed("check", url=url) == NO_CHANGES

    def test_that_is_left_is_dropped(self, project: AlembicProject, owned: Owned) -> None:
        left = "alembic_scratch_0123456789abcdef"
        project.write_models(PLAIN)
        project.write_version("one", None, MADE)
        for rights in ("NOCREATEDB", "CREATEDB"):
            execute(owned.superuser_url, f"ALTER ROLE {owned.role} {rights}")
            execute(owned.url, f"CREATE SCHEMA {left}", f"CREATE TABLE {left}.t (id int)")
            # Of others, and of another kind.
            execute(owned.superuser_url, "CREATE SCHEMA IF NOT EXISTS alembic_scratch_fedcba9876543210")
            execute(owned.url, "CREATE SCHEMA IF NOT EXISTS alembic_scratch_mine")
            assert project.succeed("check", url=owned.url) == NO_CHANGES
            assert execute(owned.superuser_url, SCRATCH_SCHEMAS) == [
                ("alembic_scratch_fedcba9876543210",),
                ("alembic_scratch_mine",),
            ]

    def test_needs_a_transaction(self, project: AlembicProject, owned: Owned) -> None:
        project.write_models(PLAIN)
        project.write_version("one", None, MADE)
        config = project.config
        url = owned.url.replace("postgresql:", "postgresql+psycopg:")
        engine = sa.create_engine(url, isolation_level="AUTOCOMMIT", poolclass=sa.NullPool)
        with engine.connect() as connection:
            config.attributes["connection"] = connection
            with pytest.raises(CommandError, match="The connection is in autocommit"):
                command.check(config)
        assert execute(owned.url, SCRATCH_SCHEMAS) == []

    def test_lets_functions_and_blocks_pass(self, project: AlembicProject, owned: Owned) -> None:
        project.write_models(PLAIN)
        project.write_version(
            "one",
            None,
            f"""
            {MADE}
            op.execute(
                "CREATE FUNCTION f() RETURNS trigger AS $f$ BEGIN NEW.name = 'x'; RETURN NEW; END $f$ LANGUAGE plpgsql"
            )
            op.execute("CREATE TRIGGER t BEFORE INSERT ON grp FOR EACH ROW EXECUTE FUNCTION f()")
            op.execute("SAVEPOINT a")
            op.execute("ROLLBACK TO SAVEPOINT a")
            op.execute("UPDATE grp SET name = 'a--b'")
            """,
        )
        assert project.succeed("check", url=owned.url) == NO_CHANGES

    def test_says_how_to_get_extensions(self, project: AlembicProject, owned: Owned) -> None:
        execute(owned.superuser_url, "CREATE EXTENSION citext")
        project.write_models(PLAIN)
        project.write_version("one", None, 'op.execute("CREATE TABLE t (name citext)")')
        out = project.run("check", url=owned.url).out
        assert 'type "citext" does not exist' in out
        assert f"ALTER ROLE {owned.role} CREATEDB;" in out


class TestNoScratch:
    """The role may create neither a database nor a schema."""

    @pytest.fixture
    def owned(self, create_owned: CreateOwned, project: AlembicProject) -> Owned:
        owned = create_owned("NOCREATEDB")
        project.write_models(PLAIN)
        project.write_version("one", None, MADE)
        project.succeed("upgrade", "head", url=owned.url)
        return owned

    def test_says_what_to_grant(self, project: AlembicProject, owned: Owned) -> None:
        ran = project.run("check", url=owned.url)
        assert ran.status != 0
        assert f"ALTER ROLE {owned.role} CREATEDB;" in ran.out
        grant = f"GRANT CREATE ON DATABASE {owned.name} TO {owned.role};"
        assert grant in ran.out
        assert "scratch_url=" in ran.out
        assert "compare=database" in ran.out
        execute(owned.superuser_url, grant)
        assert project.succeed("check", url=owned.url) == NO_CHANGES

    def test_compares_in_a_database_that_was_given(
        self, project: AlembicProject, owned: Owned, create_owned: CreateOwned
    ) -> None:
        given = create_owned("NOCREATEDB")
        for _ in range(2):
            assert project.succeed("-x", f"scratch_url={given.url}", "check", url=owned.url) == NO_CHANGES
        assert execute(given.superuser_url, "SELECT relname FROM pg_class WHERE relname = 'grp'") == []

    def test_compares_with_the_database_as_it_stands(self, project: AlembicProject, owned: Owned) -> None:
        assert project.succeed("-x", "compare=database", "check", url=owned.url) == NO_CHANGES


class TestHistoryThatReadsRows:
    @pytest.fixture(
        params=[
            "op.get_bind().execute(q).one()",
            "op.get_bind().execute(q).all()[0]",
            "int(op.get_bind().scalar(q))",
            "op.get_bind().execute(q).first().id",
        ]
    )
    def reading(self, request: pytest.FixtureRequest, project: AlembicProject) -> AlembicProject:
        project.write_models(PLAIN)
        project.write_version("one", None, MADE)
        project.write_version(
            "two", "one", f'q = sa.text("SELECT id FROM grp")\nrow = {request.param}\nassert row is not None'
        )
        return project

    def test_is_told_which_revision_and_the_way_out(
        self, reading: AlembicProject, database_url: str, new_database: NewDatabase
    ) -> None:
        ran = reading.run("check", url=database_url)
        assert ran.status != 0
        assert f"Revision two ({reading.versions / 'two.py'}) fails in the scratch" in ran.out
        reading.succeed("upgrade", "one", url=database_url)
        # The way out: a copy, with the rows.
        copy = new_database("sqlite" if database_url.startswith("sqlite") else "postgresql")
        reading.succeed("upgrade", "one", url=copy)
        _insert(copy)
        assert reading.succeed("-x", f"scratch_url={copy}", "check", url=database_url) == NO_CHANGES
        # It was rolled back, so it can be used again.
        assert reading.succeed("-x", f"scratch_url={copy}", "check", url=database_url) == NO_CHANGES
        # The other way.
        _insert(database_url)
        reading.succeed("upgrade", "head", url=database_url)
        assert reading.succeed("-x", "compare=database", "check", url=database_url) == NO_CHANGES

    def test_may_say_why_itself(self, project: AlembicProject, new_database: NewDatabase) -> None:
        project.write_models(PLAIN)
        project.write_version("one", None, 'raise RuntimeError("no admin yet")')
        assert "RuntimeError: no admin yet. If it needs" in project.run("check", url=new_database("sqlite")).out


def _insert(url: str) -> None:
    with connected(url) as connection:
        connection.exec_driver_sql("INSERT INTO grp VALUES (1, 'a')")


class TestScratchURL:
    def test_is_not_the_database_itself(self, project: AlembicProject, database_url: str) -> None:
        project.write_models(PLAIN)
        project.write_env(f"scratch_url={database_url!r}")
        assert "itself: name another one" in project.run("check", url=database_url).out

    def test_may_stand_in_env_py(self, project: AlembicProject, new_database: NewDatabase, database_url: str) -> None:
        other = new_database("sqlite" if database_url.startswith("sqlite") else "postgresql")
        project.write_models(PLAIN)
        project.write_env(f"scratch_url={other!r}")
        project.write_version("one", None, MADE)
        assert project.succeed("check", url=database_url) == NO_CHANGES

    def test_has_the_schemas_of_the_models(self, project: AlembicProject, create_owned: CreateOwned) -> None:
        real, given = create_owned(), create_owned(owns=True)
        project.write_models(IN_CRM)
        project.write_version("one", None, MADE_IN_CRM)
        project.write_version(
            "two",
            "one",
            'op.execute("CREATE INDEX CONCURRENTLY ix ON crm.grp (name)")\nop.execute("DROP INDEX crm.ix")',
        )
        assert project.succeed("-x", f"scratch_url={given.url}", "check", url=real.url) == NO_CHANGES
        assert execute(given.url, "SELECT 1 FROM pg_namespace WHERE nspname = 'crm'") == []

    def test_is_never_committed(self, project: AlembicProject, create_owned: CreateOwned) -> None:
        real, given = create_owned(), create_owned(owns=True)
        project.write_models(PLAIN)
        project.write_version("one", None, f"{MADE}\nop.get_bind().commit()")
        out = project.run("-x", f"scratch_url={given.url}", "check", url=real.url).out
        assert "Revision one (" in out
        assert "it commits" in out
        assert execute(given.superuser_url, "SELECT relname FROM pg_class WHERE relname = 'grp'") == []


class TestArguments:
    def test_of_alembics_that_we_set_are_refused(self, project: AlembicProject, new_database: NewDatabase) -> None:
        project.write_models(PLAIN)
        project.write_env("render_as_batch=False, literal_binds=True")
        with pytest.raises(TypeError, match="literal_binds, render_as_batch"):
            project.run("check", url=new_database("sqlite"))

    def test_compare_has_two_values(self, project: AlembicProject, new_database: NewDatabase) -> None:
        project.write_models(PLAIN)
        assert "compare is 'x'" in project.run("-x", "compare=x", "check", url=new_database("sqlite")).out
