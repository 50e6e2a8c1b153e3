"""Where autogenerate compares: in a scratch of its own, in a database that was given for it, or in the real one."""

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

from alembic.script import ScriptDirectory
from alembic.util import CommandError
from sqlalchemy import Connection, MetaData, StaticPool, Table, create_engine, event, text

from fastapi_users_sqlmodel.migrations import _sqlite
from fastapi_users_sqlmodel.migrations._compare import compare_computed, read_nullable, refuse_identity
from fastapi_users_sqlmodel.migrations._confined import ConfinedConnection, forbid_commit
from fastapi_users_sqlmodel.migrations._guard import inside_a_schema, inside_a_scratch
from fastapi_users_sqlmodel.migrations._postgres import (
    Rights,
    drop_left_schemas,
    explained,
    own_database,
    own_schema,
    rights_of,
    rolled_back,
)
from fastapi_users_sqlmodel.migrations._replay import WAYS_OUT, replay
from fastapi_users_sqlmodel.migrations._scratch import Scratch

# Tables that autogenerate never drops: a partition belongs to its table, and what an extension brings to that.
_NOT_OURS_ON_POSTGRESQL = """
    SELECT n.nspname, c.relname FROM pg_class AS c JOIN pg_namespace AS n ON n.oid = c.relnamespace
    WHERE c.relkind IN ('r', 'p') AND (c.relispartition OR EXISTS (
        SELECT FROM pg_depend AS d WHERE d.classid = 'pg_class'::regclass AND d.objid = c.oid AND d.deptype = 'e'
    ))
"""
# A full-text index is a virtual table with several others behind it.
_NOT_OURS_ON_SQLITE = "SELECT NULL, name FROM pragma_table_list WHERE schema = 'main' AND type IN ('virtual', 'shadow')"

_OURS = {"connection", "dialect_name", "dialect_opts", "literal_binds", "transactional_ddl"}

type Place = Iterator[tuple[Connection, Scratch]]


@dataclass(frozen=True)
class Wanted:
    """What is compared: the migrations of a project with its models, under the options of `context.configure`."""

    script: ScriptDirectory
    target_metadata: MetaData | Sequence[MetaData]
    options: Mapping[str, Any]

    @property
    def tables(self) -> list[Table]:
        """The tables of the models."""
        target = self.target_metadata
        several = [target] if isinstance(target, MetaData) else target
        return [table for metadata in several for table in metadata.tables.values()]

    def replay(self, connection: Connection, *, is_transaction: bool, hint: str = "") -> Scratch:
        """Bring the scratch behind a connection to head."""
        # Alembic reads the naming convention from the metadata as it was given, and hooks are for real migrations.
        options = {name: value for name, value in self.options.items() if name.startswith("version_table")}
        options["target_metadata"] = self.target_metadata
        return replay(connection, self.script, options, is_transaction=is_transaction, hint=hint)

    @property
    def schemas(self) -> set[str]:
        """The schemas that the models or the options name."""
        named = {table.schema for table in self.tables} | {self.options.get("version_table_schema")}
        return {name for name in named if name is not None}


def check_options(options: dict[str, Any]) -> dict[str, Any]:
    """Return the options for `context.configure`, if they are not what the library sets itself.

    Raises:
        TypeError: Some are.
    """
    taken = sorted(_OURS & options.keys())
    if options.get("render_as_batch") is False:
        taken.append("render_as_batch")
    if taken:
        raise TypeError(f"run_migrations() sets these options of context.configure() itself: {', '.join(taken)}.")
    return options


@contextmanager
def in_memory(wanted: Wanted) -> Place:
    """Replay the migrations in a SQLite database in memory."""
    engine = create_engine("sqlite://", poolclass=StaticPool)
    try:
        with engine.connect() as connection, rolled_back(connection):
            yield connection, wanted.replay(connection, is_transaction=True)
    finally:
        engine.dispose()


@contextmanager
def in_given(connection: Connection, wanted: Wanted) -> Place:
    """Bring the database that was given for it to head, in a transaction that is rolled back."""
    if connection.dialect.name == "sqlite":
        with _sqlite.foreign_keys_off(connection), rolled_back(connection):
            _sqlite.begin(connection, writing=True)
            yield connection, wanted.replay(connection, is_transaction=True)
        return
    hint = "A role that may create databases needs no scratch_url, and a revision may commit there. "
    with rolled_back(connection):
        if rights_of(connection).schemas:
            quote = connection.dialect.identifier_preparer.quote
            for schema in sorted(wanted.schemas):
                connection.exec_driver_sql(f"CREATE SCHEMA IF NOT EXISTS {quote(schema)}")
        with explained("The scratch database cannot be used"):
            forbid_commit(connection)
        confined = ConfinedConnection(connection)
        with inside_a_scratch(confined, is_transaction=True):
            memory = wanted.replay(confined, is_transaction=True, hint=hint)
        yield connection, memory


@contextmanager
def on_postgres(connection: Connection, wanted: Wanted) -> Place:
    """Replay the migrations in a database of their own, else in a schema if that cannot reach any real table.

    Raises:
        CommandError: The role may make neither, or a schema would not do.
    """
    with rolled_back(connection):
        rights = rights_of(connection)
    drop_left_schemas(connection)
    if rights.databases:
        with (
            own_database(connection, wanted.schemas) as (scratch, lacking),
            inside_a_scratch(scratch, is_transaction=False),
        ):
            yield scratch, wanted.replay(scratch, is_transaction=False, hint=lacking)
        return
    needs_more = _needs_more_than_a_schema(wanted)
    if needs_more or not rights.schemas:
        raise CommandError(_no_scratch(rights, needs_more))
    hint = (
        f"The scratch is only a schema, because the role {rights.role} may not create databases: extensions and other "
        f"schemas are not in it. ALTER ROLE {rights.role} CREATEDB; gives it a database. "
    )
    with own_schema(connection) as name:
        confined = ConfinedConnection(connection)
        with inside_a_scratch(confined, is_transaction=True), inside_a_schema(confined, name):
            memory = wanted.replay(confined, is_transaction=True, hint=hint)
        yield connection, memory


def _needs_more_than_a_schema(wanted: Wanted) -> str:
    if wanted.schemas:
        return f"the models and options name schemas ({', '.join(sorted(wanted.schemas))})"
    if wanted.options.get("include_schemas"):
        return "include_schemas compares all schemas"
    return ""


def _no_scratch(rights: Rights, needs_more: str) -> str:
    grant = f"ALTER ROLE {rights.role} CREATEDB;"
    if needs_more:
        why = f"may not create a database, and a schema would not do, because {needs_more}"
    else:
        why = "may create neither a database nor a schema"
        grant += f" or, for a schema, GRANT CREATE ON DATABASE {rights.database} TO {rights.role};"
    return (
        f"Autogenerate replays the migrations in a scratch, away from your tables, and the role {rights.role} {why}. "
        f"Let a superuser say {grant} Or {WAYS_OUT}"
    )


@contextmanager
def as_it_stands(connection: Connection) -> Place:
    """Compare with the database itself; nothing but its catalogs and the version table is read."""
    with rolled_back(connection):
        if connection.dialect.name == "sqlite":
            _sqlite.begin(connection, writing=False)
        yield connection, Scratch()


@contextmanager
def recalling(connection: Connection, scratch: Scratch, tables: Sequence[Table]) -> Iterator[None]:
    """While this is open, tables that are reflected get the types and expressions in the words that are known."""
    default_schema = connection.dialect.default_schema_name
    columns = {
        (None if table.schema == default_schema else table.schema, table.name, column.name): column
        for table in tables
        for column in table.columns
    }

    def recall(inspector: Any, table: Table, column_info: Any) -> None:
        if inspector.dialect is not connection.dialect:
            return
        read_nullable(connection, table, column_info)
        scratch.recall(connection, table, column_info)
        wanted = columns.get((table.schema, table.name, column_info["name"]))
        if wanted is not None:
            refuse_identity(connection, table, wanted, column_info)
            compare_computed(connection, table, wanted, column_info)

    event.listen(Table, "column_reflect", recall)
    try:
        yield
    finally:
        event.remove(Table, "column_reflect", recall)


def filters(connection: Connection, scratch: Scratch, wanted: Wanted) -> dict[str, Any]:
    """Return `include_schemas` and `include_name` for `context.configure`.

    Where the project says nothing about schemas, those are compared in which its models, or its migrations, have
    tables: with Alembic's own default a table in another schema would be created again by each revision.
    """
    default_schema = connection.dialect.default_schema_name
    is_ours_to_choose = "include_schemas" not in wanted.options
    schemas = {None} | {
        None if schema == default_schema else schema
        for schema in {table.schema for table in wanted.tables} | scratch.schemas
    }
    theirs = wanted.options.get("include_name")
    not_ours = _not_ours(connection, wanted)

    def include_name(name: str | None, kind: str, parents: dict[str, str | None]) -> bool:
        if kind == "schema" and is_ours_to_choose and name not in schemas:
            return False
        if kind == "table" and (parents.get("schema_name"), name) in not_ours:
            return False
        return theirs is None or bool(theirs(name, kind, parents))

    include_schemas = len(schemas) > 1 if is_ours_to_choose else wanted.options["include_schemas"]
    return {"include_schemas": include_schemas, "include_name": include_name}


def _not_ours(connection: Connection, wanted: Wanted) -> set[tuple[str | None, str]]:
    dialect: Any = connection.dialect
    if dialect.name == "postgresql":
        query = _NOT_OURS_ON_POSTGRESQL
    elif dialect.name == "sqlite" and dialect.dbapi.sqlite_version_info >= (3, 37):
        query = _NOT_OURS_ON_SQLITE
    else:
        return set()

    def key(schema: str | None, name: str) -> tuple[str | None, str]:
        return None if schema == dialect.default_schema_name else schema, name

    found = {key(schema, name) for schema, name in connection.execute(text(query))}
    return found - {key(table.schema, table.name) for table in wanted.tables}
