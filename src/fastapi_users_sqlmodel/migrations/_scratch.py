"""A scratch database in which the migrations are replayed, so that autogenerate never looks at the real one."""

import logging
import secrets
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager, nullcontext
from typing import Any, override

from alembic.ddl import base as ddl
from alembic.operations import Operations
from alembic.runtime.migration import MigrationContext
from alembic.script import ScriptDirectory
from sqlalchemy import (
    CheckConstraint,
    Column,
    Connection,
    Constraint,
    DefaultClause,
    Index,
    MetaData,
    StaticPool,
    Table,
    create_engine,
    event,
)
from sqlalchemy.schema import AddConstraint, CreateIndex, CreateTable
from sqlalchemy.sql.elements import ClauseElement
from sqlalchemy.types import TypeEngine

from fastapi_users_sqlmodel.migrations._expressions import comparable, is_same_default, portable_sql
from fastapi_users_sqlmodel.migrations._reflection import is_still
from fastapi_users_sqlmodel.migrations._types import NamedType, is_same_type, named_types

type EnumName = tuple[str | None, str]


class Scratch:
    """What the migrations say about the scratch, which the database itself forgets or says in other words.

    SQLite knows neither UUIDs nor enums nor time zones, and PostgreSQL writes CHECKs and defaults down in its own
    dialect. What is dropped can only be made again by the downgrade, on either database, in the words of its migration.
    """

    def __init__(self) -> None:
        self._types: dict[tuple[str, str], TypeEngine[Any]] = {}
        self._defaults: dict[tuple[str, str], DefaultClause] = {}
        self._checks: dict[tuple[str, str], str] = {}
        self._indexes: dict[tuple[str, str], Index] = {}
        self.enums: dict[EnumName, NamedType] = {}

    def remember(self, connection: Connection, statement: object, *_: object) -> None:
        """Note what a statement says that creates or changes a table."""
        if isinstance(statement, CreateTable):
            table = statement.element
            for column in table.columns:
                self._remember_column(table.name, column)
            for constraint in table.constraints:
                self._remember_check(table.name, constraint)
        elif isinstance(statement, AddConstraint) and isinstance(statement.element, CheckConstraint):
            self._remember_check(statement.element.table.name, statement.element)
        elif isinstance(statement, CreateIndex):
            self._remember_index(statement.element)
        elif isinstance(statement, ddl.AddColumn):
            self._remember_column(statement.table_name, statement.column)
        elif isinstance(statement, ddl.RenameTable):
            self._rename(connection, statement.table_name, str(statement.new_table_name))
        elif isinstance(statement, ddl.ColumnName):
            old, new = (statement.table_name, statement.column_name), (statement.table_name, str(statement.newname))
            _move(self._types, old, new)
            _move(self._defaults, old, new)
        elif isinstance(statement, ddl.AlterColumn):
            self._alter((statement.table_name, statement.column_name), statement)

    def _remember_column(self, table: str, column: Column[Any]) -> None:
        self._types[table, column.name] = column.type
        if isinstance(column.server_default, DefaultClause):
            self._defaults[table, column.name] = column.server_default

    def _remember_check(self, table: str, constraint: Constraint) -> None:
        if isinstance(constraint, CheckConstraint) and constraint.name is not None:
            self._checks[table, str(constraint.name)] = portable_sql(constraint.sqltext)

    def _remember_index(self, index: Index) -> None:
        if index.table is not None:
            self._indexes[index.table.name, str(index.name)] = index

    def _alter(self, key: tuple[str, str], statement: ddl.AlterColumn) -> None:
        if isinstance(statement, ddl.ColumnDefault):
            self._defaults.pop(key, None)
            if isinstance(statement.default, str | ClauseElement):
                self._defaults[key] = DefaultClause(statement.default)
        # PostgreSQL has a class of its own for it, which is no subclass of the general one.
        elif changed := getattr(statement, "type_", None):
            self._types[key] = changed

    def _rename(self, connection: Connection, old: str, new: str) -> None:
        # A rebuilt table is what SQLite reflected: unless something has changed, the older words are the better ones.
        _move_all(self._types, old, new, lambda one, other: is_same_type(one, other, connection.dialect))
        _move_all(self._defaults, old, new, lambda one, other: is_same_default(one, other, connection.dialect))
        _move_all(self._checks, old, new, lambda one, other: comparable(one) == comparable(other))

    def recall(self, connection: Connection, table: Table, column_info: Any) -> None:
        """Give a reflected column the type that the migrations named, if it still is that one in the database."""
        type_: TypeEngine[Any] = column_info["type"]
        known = self._types.get((table.name, column_info["name"]))
        if known is not None and is_still(known, type_, connection, table, column_info["name"]):
            column_info["type"] = type_ = known
        self.enums |= {(enum.schema, str(enum.name)): enum for enum in named_types(type_)}

    def default_of(self, table: str, column: str) -> DefaultClause | None:
        """Return the server default as the migrations wrote it."""
        known = self._defaults.get((table, column))
        # A default belongs to one column only; this one will belong to another.
        return None if known is None else DefaultClause(known.arg)

    def check_of(self, table: str, name: str) -> str | None:
        """Return a CHECK as the migrations wrote it."""
        return self._checks.get((table, name))

    def index_of(self, table: str, name: str) -> Index | None:
        """Return an index as the migrations wrote it."""
        return self._indexes.get((table, name))


def _move[T](notes: dict[tuple[str, str], T], old: tuple[str, str], new: tuple[str, str]) -> None:
    if old in notes:
        notes[new] = notes.pop(old)


def _move_all[T](notes: dict[tuple[str, str], T], old: str, new: str, is_same: Callable[[T, T], bool]) -> None:
    for table, name in [key for key in notes if key[0] == old]:
        note, known = notes.pop((table, name)), notes.get((new, name))
        if known is None or not is_same(known, note):
            notes[new, name] = note


class _ReplayContext(MigrationContext):
    """Replays migrations inside a transaction that nobody will commit."""

    @override
    @contextmanager
    def autocommit_block(self) -> Iterator[None]:
        yield


@contextmanager
def scratch_at_head(
    connection: Connection | None, script: ScriptDirectory, target_metadata: MetaData
) -> Iterator[tuple[Connection, Scratch]]:
    """Replay every migration in a new SQLite database, or where a connection is given, in a schema of that PostgreSQL.

    Nothing of it stays.
    """
    with _on_sqlite() if connection is None else _on_postgres(connection) as replay:
        scratch = Scratch()

        def recall(inspector: Any, table: Table, column_info: Any) -> None:
            if inspector.dialect is replay.dialect:
                scratch.recall(replay, table, column_info)

        def upgrade(revision: Any, _: MigrationContext) -> Iterable[Any]:
            # The method that command.upgrade calls; the command itself would run env.py once more, inside of env.py.
            return script._upgrade_revs("heads", revision)  # noqa: SLF001

        event.listen(replay, "before_execute", scratch.remember)
        options = {"fn": upgrade, "script": script, "target_metadata": target_metadata}
        migrations = _ReplayContext(replay.dialect, replay, options)
        with Operations.context(migrations), _silence():
            migrations.run_migrations()
        event.listen(Table, "column_reflect", recall)
        try:
            yield replay, scratch
        finally:
            event.remove(Table, "column_reflect", recall)
            event.remove(replay, "before_execute", scratch.remember)


@contextmanager
def _silence() -> Iterator[None]:
    """Keep "Running upgrade" out of the log: it is not the user's database that is upgraded."""
    log = logging.getLogger("alembic.runtime.migration")

    def nothing(_: logging.LogRecord) -> bool:
        return False

    log.addFilter(nothing)
    try:
        yield
    finally:
        log.removeFilter(nothing)


@contextmanager
def _on_sqlite() -> Iterator[Connection]:
    engine = create_engine("sqlite://", poolclass=StaticPool)
    try:
        with engine.connect() as connection, connection.begin() as transaction:
            yield connection
            transaction.rollback()
    finally:
        engine.dispose()


@contextmanager
def _on_postgres(connection: Connection) -> Iterator[Connection]:
    name = f"alembic_scratch_{secrets.token_hex(8)}"
    dialect = connection.dialect
    default_schema = dialect.default_schema_name
    outer = connection.begin() if not connection.in_transaction() else nullcontext()
    with outer as begun:
        transaction = connection.begin_nested() if begun is None else begun
        try:
            connection.exec_driver_sql(f'CREATE SCHEMA "{name}"')
            connection.exec_driver_sql(f'SET LOCAL search_path TO "{name}"')
            dialect.default_schema_name = name
            event.listen(connection, "before_cursor_execute", _inside_a_transaction, retval=True)
            yield connection
        finally:
            dialect.default_schema_name = default_schema
            if event.contains(connection, "before_cursor_execute", _inside_a_transaction):
                event.remove(connection, "before_cursor_execute", _inside_a_transaction)
            transaction.rollback()


def _inside_a_transaction(
    _connection: Connection, _cursor: object, statement: str, parameters: Any, *_: object
) -> tuple[str, Any]:
    # The scratch is empty and private: an index needs no concurrency there, and a transaction does not allow it.
    if statement.lstrip().upper().startswith(("CREATE INDEX", "CREATE UNIQUE INDEX", "DROP INDEX", "REINDEX")):
        statement = statement.replace(" CONCURRENTLY", "")
    return statement, parameters
