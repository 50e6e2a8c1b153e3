"""What Alembic's own env.py may give to `context.configure` works here, and what a program may give as a connection."""

from collections.abc import Iterator
from typing import Any

import pytest
import sqlalchemy as sa
from alembic import command
from alembic.runtime.environment import EnvironmentContext
from alembic.script import ScriptDirectory
from alembic.util import CommandError
from sqlalchemy.ext.asyncio import create_async_engine

from fastapi_users_sqlmodel.migrations import is_at_head
from tests.library.alembic_project import AlembicProject, NewDatabase, Wrapper, connected, driver
from tests.library.alembic_project import new_database as new_database  # noqa: PLC0414  # pytest looks for it here
from tests.library.alembic_project import project as project  # noqa: PLC0414

NO_CHANGES = "No new upgrade operations detected.\n"
ONE = """
import sqlalchemy as sa
metadata = sa.MetaData()
one = sa.Table("one", metadata, sa.Column("id", sa.Integer, primary_key=True))
"""
MADE = 'op.create_table("one", sa.Column("id", sa.Integer, primary_key=True))'
MADE_FOREIGN = 'op.create_table("theirs", sa.Column("id", sa.Integer, primary_key=True))'


class TestOptions:
    def test_several_metadata(self, project: AlembicProject, database_url: str) -> None:
        project.write_models(
            ONE + 'other = sa.MetaData()\nsa.Table("two", other, sa.Column("id", sa.Integer, primary_key=True))'
        )
        project.write_env("", metadata='[models["metadata"], models["other"]]')
        source = project.generate("one", url=database_url)
        assert "create_table('one'" in source
        assert "create_table('two'" in source
        project.succeed("upgrade", "head", url=database_url)
        assert project.succeed("check", url=database_url) == NO_CHANGES

    def test_naming_convention(self, project: AlembicProject, database_url: str) -> None:
        project.write_models(
            """
            import sqlalchemy as sa
            metadata = sa.MetaData(naming_convention={"uq": "uq_%(table_name)s_%(column_0_name)s"})
            sa.Table("one", metadata, sa.Column("id", sa.Integer, primary_key=True),
                     sa.Column("name", sa.Text, unique=True))
            """
        )
        project.write_version(
            "one",
            None,
            f"""
            {MADE[:-1]}, sa.Column("name", sa.Text))
            with op.batch_alter_table("one") as batch_op:
                batch_op.create_unique_constraint(None, ["name"])
            """,
        )
        assert project.succeed("check", url=database_url) == NO_CHANGES
        project.succeed("upgrade", "head", url=database_url)
        assert project.succeed("-x", "compare=database", "check", url=database_url) == NO_CHANGES

    @pytest.mark.parametrize(
        "options",
        [
            "include_name=lambda name, kind, parents: kind != 'table' or name != 'theirs'",
            "include_object=lambda item, name, kind, reflected, other: name != 'theirs'",
        ],
    )
    @pytest.mark.parametrize("compare", ["scratch", "database"])
    def test_include(self, project: AlembicProject, database_url: str, options: str, compare: str) -> None:
        project.write_models(ONE)
        project.write_version("one", None, f"{MADE}\n{MADE_FOREIGN}")
        project.write_env(f"{options}, compare={compare!r}")
        project.succeed("upgrade", "head", url=database_url)
        assert project.succeed("check", url=database_url) == NO_CHANGES
        project.write_env(f"compare={compare!r}")
        assert "remove_table" in project.run("check", url=database_url).out

    @pytest.mark.parametrize("compare", ["scratch", "database"])
    def test_include_schemas(self, project: AlembicProject, new_database: NewDatabase, compare: str) -> None:
        url = new_database("postgresql")
        project.write_models(ONE.replace("primary_key=True))", 'primary_key=True), schema="crm")'))
        project.write_version(
            "one",
            None,
            f"""
            op.execute("CREATE SCHEMA crm")
            op.execute("CREATE SCHEMA theirs")
            {MADE[:-1]}, schema="crm")
            {MADE_FOREIGN[:-1]}, schema="theirs")
            """,
        )
        project.write_env(f"compare={compare!r}")
        project.succeed("upgrade", "head", url=url)
        # A schema that no model names is somebody else's, unless the migrations made its tables.
        ran = project.run("check", url=url)
        assert ("remove_table" in ran.out) == (compare == "scratch")
        names = "include_name=lambda name, kind, parents: kind != 'schema' or name in (None, 'crm')"
        project.write_env(f"compare={compare!r}, include_schemas=True, {names}")
        assert project.succeed("check", url=url) == NO_CHANGES
        project.write_env(f"compare={compare!r}, include_schemas=True")
        assert "remove_table" in project.run("check", url=url).out

    def test_version_table(self, project: AlembicProject, new_database: NewDatabase) -> None:
        url = new_database("postgresql")
        options = {"version_table": "versions", "version_table_schema": "meta"}
        with connected(url) as connection:
            connection.exec_driver_sql("CREATE SCHEMA meta")
        project.write_models(ONE)
        project.write_version("one", None, MADE)
        project.write_env("**" + repr(options))
        project.succeed("upgrade", "head", url=url)
        assert project.succeed("check", url=url) == NO_CHANGES
        with connected(url) as connection:
            assert is_at_head(connection, project.config, **options)
            assert not is_at_head(connection, project.config)

    def test_hooks_of_the_project(self, project: AlembicProject, database_url: str) -> None:
        project.write_models(ONE.replace("))", '), sa.Column("x", sa.Text, server_default="a"))'))
        project.write_env(
            "process_revision_directives=process, on_version_apply=apply, render_item=render, "
            "compare_server_default=default, compare_type=type_",
            before="""
            seen = []
            def process(context, revision, directives):
                directives[0].message = "hooked"
            def apply(**_):
                seen.append("apply")
            def render(kind, item, context):
                return "sa.UnicodeText()" if kind == "type" and str(item) == "TEXT" else False
            def default(context, *_):
                assert context.dialect.name in ("sqlite", "postgresql")
                return False
            def type_(*_):
                return None
            """,
        )
        source = project.generate("one", url=database_url)
        assert '"""hooked"""' in source
        assert "sa.UnicodeText()" in source
        project.succeed("upgrade", "head", url=database_url)
        models = project.folder / "models.py"
        models.write_text(models.read_text().replace('server_default="a"', 'server_default="b"'))
        assert project.succeed("check", url=database_url) == NO_CHANGES
        project.write_env("compare_server_default=True")
        assert "modify_default" in project.run("check", url=database_url).out
        project.write_env("compare_server_default=False")
        assert project.succeed("check", url=database_url) == NO_CHANGES


class EngineOfWrappers(Wrapper):
    def connect(self) -> Any:
        return self._wrapped.connect()


class TestWrappedConnection:
    @pytest.fixture
    def engine(self, database_url: str) -> Any:
        return sa.create_engine(sa.make_url(database_url).set(drivername=driver(database_url)), poolclass=sa.NullPool)

    @pytest.fixture
    def covered(self, project: AlembicProject) -> AlembicProject:
        project.write_models(ONE)
        project.write_version("one", None, MADE)
        project.write_version(
            "two",
            "one",
            """
            with op.batch_alter_table("one") as batch_op:
                batch_op.add_column(sa.Column("name", sa.Text))
            """,
        )
        project.write_models(ONE.replace("))", '), sa.Column("name", sa.Text))'))
        return project

    @pytest.mark.parametrize("wrap", [Wrapper, lambda each: Wrapper(Wrapper(each))])
    def test_is_a_connection(self, covered: AlembicProject, engine: sa.Engine, wrap: Any) -> None:
        config = covered.config
        with engine.connect() as connection:
            config.attributes["connection"] = wrap(connection)
            command.upgrade(config, "head")
            command.check(config)
            command.downgrade(config, "base")
            assert not connection.closed

    @pytest.mark.parametrize("wrap", [Wrapper, EngineOfWrappers])
    def test_is_an_engine(self, covered: AlembicProject, engine: sa.Engine, wrap: Any) -> None:
        config = covered.config
        config.attributes["connection"] = wrap(engine)
        command.upgrade(config, "head")
        command.check(config)

    async def test_is_not_an_async_connection(self, covered: AlembicProject, tmp_path: Any) -> None:
        engine = create_async_engine(f"sqlite+aiosqlite:///{tmp_path}/x.db")
        config = covered.config
        async with engine.connect() as connection:
            for given in (connection, Wrapper(connection), "sqlite://", 1):
                config.attributes["connection"] = given
                with pytest.raises(CommandError, match=r"from an AsyncConnection, use run_sync\(\)"):
                    command.upgrade(config, "head")
        await engine.dispose()


class TestPytestAlembic:
    """The steps of pytest-alembic 0.13, whose own plugin does not collect tests under pytest 9.2.

    It hands an engine, or whatever else the fixture `alembic_engine` returns, to env.py.
    """

    @pytest.fixture(params=["engine", "async engine", "connection", "wrapper"])
    def connectable(self, request: pytest.FixtureRequest, database_url: str) -> Iterator[Any]:
        url = sa.make_url(database_url)
        if request.param == "async engine":
            is_sqlite = url.get_backend_name() == "sqlite"
            name = "sqlite+aiosqlite" if is_sqlite else "postgresql+asyncpg"
            yield create_async_engine(url.set(drivername=name), poolclass=sa.NullPool)
            return
        engine = sa.create_engine(url.set(drivername=driver(database_url)), poolclass=sa.NullPool)
        if request.param == "engine":
            yield engine
            return
        with engine.connect() as connection:
            yield connection if request.param == "connection" else Wrapper(connection)

    def test_passes(self, project: AlembicProject, connectable: Any) -> None:
        project.write_models(ONE)
        project.write_version("one", None, MADE, 'op.drop_table("one")')
        project.write_version("two", "one", 'op.execute("SELECT 1")')
        config = project.config
        config.attributes["connection"] = connectable
        script = ScriptDirectory.from_config(config)

        def run(function: Any, destination: str | None = None) -> None:
            with EnvironmentContext(
                config, script, fn=function, destination_rev=destination, dont_mutate=not destination
            ):
                script.run_env()

        def heads(found: list[Any]) -> Any:
            def note(revision: tuple[str, ...], _: object) -> list[Any]:
                found.extend(revision)
                return []

            return note

        for revision in ("one", "two"):
            run(lambda now, _, to=revision: script._upgrade_revs(to, now), revision)  # noqa: SLF001  # as the plugin does
        current: list[str] = []
        run(heads(current))
        assert current == ["two"]
        seen: list[bool] = []

        def stop(_: Any, __: Any, directives: Any) -> None:
            seen.append(directives[0].upgrade_ops.is_empty())
            raise InterruptedError

        with pytest.raises(InterruptedError):
            command.revision(config, message="test", autogenerate=True, process_revision_directives=stop)
        assert seen == [True]
        for revision in ("one", "base"):
            run(lambda now, _, to=revision: script._downgrade_revs(to, now), revision)  # noqa: SLF001
        current.clear()
        run(heads(current))
        assert current == []
