"""Make SQLite migrate as safely as PostgreSQL does: all or nothing, and no row lost when a table is rebuilt."""

import re
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, override

from alembic.ddl.sqlite import SQLiteImpl
from alembic.operations.batch import ApplyBatchImpl, BatchOperationsImpl
from alembic.util import CommandError
from sqlalchemy import Column, Connection, Index, MetaData, Table
from sqlalchemy.schema import CreateTable
from sqlalchemy.types import TypeEngine, UserDefinedType, to_instance

from fastapi_users_sqlmodel.migrations._sqlite_values import converted
from fastapi_users_sqlmodel.migrations._type_source import ddl_of

# A CREATE TABLE is compared by its words and literals, without comments and quotes of names.
_COMMENT_OR_WORD = re.compile(r"--[^\n]*|/\*.*?\*/|('(?:[^']|'')*'|\w+)", re.DOTALL)


def is_special(index: Index) -> bool:
    """Return whether an index is more than a list of columns: it has an expression, or a condition on its rows."""
    return any(not isinstance(element, Column) for element in index.expressions) or any(
        name.endswith("_where") and value is not None for name, value in index.dialect_kwargs.items()
    )


class _Declared(UserDefinedType[Any]):
    """A type as a table declares it, which SQLAlchemy's reflection takes for one of its own."""

    cache_ok = True

    def __init__(self, declared: str) -> None:
        self.declared = declared

    @override
    def get_col_spec(self, **_: Any) -> str:
        return self.declared


def _keep_types(connection: Connection, table: str, columns: dict[str, Column[Any]]) -> None:
    """Give columns the types that the table declares: POINT is reflected as INTEGER."""
    for name, declared in connection.exec_driver_sql("SELECT name, type FROM pragma_table_xinfo(?)", (table,)):
        column = columns.get(name)
        if column is None:
            continue
        reflected = ddl_of(column.type, connection.dialect)
        if reflected is None or _spelled(declared) != _spelled(reflected):
            column.type = _Declared(declared)


def _spelled(type_: str) -> str:
    return "".join(type_.split()).upper()


def reflect(connection: Connection, name: str) -> Table:
    """Reflect a table with the types that it declares, for `batch_alter_table(copy_from=…)`."""
    table = Table(name, MetaData(), autoload_with=connection)
    _keep_types(connection, name, dict(table.c))
    return table


def lost_in_rebuild(connection: Connection, name: str) -> str:
    """Return the words of a CREATE TABLE that reflection does not bring back, such as COLLATE; "" if there are none."""
    query = "SELECT sql FROM sqlite_master WHERE type = 'table' AND name = ?"
    written = _words(connection.exec_driver_sql(query, (name,)).scalar_one())
    reflected = _words(str(CreateTable(reflect(connection, name)).compile(connection)))
    lost = Counter(written) - Counter(reflected)
    # A column accepts NULL without saying so.
    return " ".join(word for word in dict.fromkeys(written) if lost[word] and word != "NULL")


def _words(sql: str) -> list[str]:
    return [word.upper() for word in _COMMENT_OR_WORD.findall(sql) if word]


class RebuildingSQLiteImpl(SQLiteImpl):
    """Keep what Alembic's rebuild of a table would lose: declared types, expression indexes, sort orders and triggers.

    Alembic finds it by its `__dialect__`, which is how dialects outside of Alembic announce themselves.
    """

    __dialect__ = "sqlite"

    _kept: dict[str, str]
    _lost: list[str]
    _types: dict[str, TypeEngine[Any]]

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self._kept, self._lost, self._types = {}, [], {}

    def requires_recreate_in_batch(self, batch_op: BatchOperationsImpl) -> bool:
        """Remember which types the columns had by the words of the migration: SQLite reflects a UUID as CHAR(32)."""
        self._types = {
            arguments[1]: to_instance(options["existing_type"])
            for name, arguments, options in batch_op.batch
            if name == "alter_column" and options.get("type_") is not None and options.get("existing_type") is not None
        }
        return super().requires_recreate_in_batch(batch_op)

    def cast_for_batch_migrate(
        self, existing: Column[Any], existing_transfer: dict[str, Any], new_type: TypeEngine[Any]
    ) -> None:
        """Copy the values of a column whose type changes, without a CAST to a type that is a number to SQLite."""
        found = self._types.get(str(existing.key), existing.type)
        existing_transfer["expr"] = converted(existing_transfer["expr"], found, new_type)

    def prep_table_for_batch(self, batch_impl: ApplyBatchImpl, table: Table) -> None:
        """Remember the indexes and triggers of a table that is about to be dropped and made again."""
        self._types = {}
        connection = self.connection
        if connection is None or self.as_sql:
            return
        if connection.exec_driver_sql("PRAGMA foreign_keys").scalar_one():
            raise CommandError(
                f"The table {table.name!r} has to be rebuilt, and with foreign keys switched on SQLite would delete "
                "the rows that refer to it: give Alembic a connection that is not in a transaction."
            )
        if batch_impl.reflected:
            unchanged = {n: c for n, c in batch_impl.columns.items() if n in table.c and c.type is table.c[n].type}
            _keep_types(connection, table.name, unchanged)
        for name, column in batch_impl.columns.items():
            if column.computed is not None:
                # SQLite generates it again, and refuses to copy it.
                batch_impl.column_transfers[name].pop("expr", None)
        query = (
            "SELECT name, sql FROM sqlite_master "
            "WHERE tbl_name = ? COLLATE NOCASE AND type IN ('index', 'trigger') AND sql > ''"
        )
        written = {row.name: str(row.sql) for row in connection.exec_driver_sql(query, (table.name,))}
        reflected = {str(index.name) for index in table.indexes}
        renamed = any("name" in transfer for transfer in batch_impl.column_transfers.values())
        self._lost = [sql for name, sql in written.items() if name not in reflected]
        # With a renamed column the old words would be wrong, and Alembic's copy, which knows of it, is better.
        self._kept = {} if renamed else {n: sql for n, sql in written.items() if n not in batch_impl.new_indexes}

    def rename_table(self, old_table_name: str, new_table_name: Any, schema: Any = None) -> None:
        """Rename a table; at the end of a rebuild, create the indexes and triggers that were not reflected."""
        lost, self._lost = self._lost, []
        connection = self.connection
        if connection is None or self.as_sql or not old_table_name.startswith("_alembic_tmp_"):
            super().rename_table(old_table_name, new_table_name, schema=schema)
            return
        before = connection.exec_driver_sql("PRAGMA legacy_alter_table").scalar_one()
        # Without it SQLite refuses: views, and triggers of other tables, name a table that does not exist now.
        connection.exec_driver_sql("PRAGMA legacy_alter_table = ON")
        try:
            super().rename_table(old_table_name, new_table_name, schema=schema)
        finally:
            connection.exec_driver_sql(f"PRAGMA legacy_alter_table = {before}")
        for sql in lost:
            self.execute(sql.replace(":", r"\:"))

    def create_index(self, index: Index, **kw: Any) -> None:
        """Create an index; one that a rebuild dropped is created by its original statement."""
        sql = self._kept.pop(str(index.name), None)
        if sql is None:
            super().create_index(index, **kw)
        else:
            self.execute(sql.replace(":", r"\:"))

    def correct_for_autogen_constraints(self, *found_and_wanted: Any) -> None:
        """Leave special indexes to our own comparison, without Alembic's warning that it skips those on expressions."""
        _, found, _, wanted = found_and_wanted
        special = {index.name for index in (*found, *wanted) if is_special(index)}
        for indexes in (found, wanted):
            for index in [each for each in indexes if each.name in special]:
                indexes.discard(index)


@contextmanager
def foreign_keys_off(connection: Connection) -> Iterator[None]:
    """Switch SQLite's foreign keys off, which is possible only outside of a transaction, and on again afterwards."""
    before = _pragma(connection, "foreign_keys")
    _pragma(connection, "foreign_keys = OFF")
    try:
        yield
    finally:
        if before:
            _pragma(connection, "foreign_keys = ON")


def _pragma(connection: Connection, words: str) -> Any:
    # SQLAlchemy would begin a transaction, and inside of one SQLite ignores the statement.
    cursor = connection.connection.cursor()
    cursor.execute(f"PRAGMA {words}")
    row = cursor.fetchone()
    cursor.close()
    return row and row[0]


def begin(connection: Connection, *, writing: bool) -> None:
    """Begin SQLite's transaction by hand: Python's driver waits for the first INSERT, and would commit every DDL."""
    driver_connection: Any = connection.connection.driver_connection
    if not driver_connection.in_transaction:
        connection.exec_driver_sql("BEGIN IMMEDIATE" if writing else "BEGIN")


def check_foreign_keys(connection: Connection) -> None:
    """Refuse to commit rows that refer to nothing.

    Raises:
        CommandError: There are some; the message names their tables.
    """
    broken = connection.exec_driver_sql("PRAGMA foreign_key_check").all()
    if broken:
        pairs = sorted({f"{row[0]} (to {row[2]})" for row in broken})
        raise CommandError(
            f"The migration leaves {len(broken)} row(s) that refer to nothing, in {', '.join(pairs)}; "
            "everything was rolled back."
        )
