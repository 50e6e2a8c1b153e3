"""What the migrations say about the scratch in which they are replayed, and the database forgets."""

from collections.abc import Callable
from typing import Any

from alembic.ddl import base as ddl
from sqlalchemy import (
    CheckConstraint,
    Column,
    Connection,
    Constraint,
    DefaultClause,
    Index,
    Table,
)
from sqlalchemy.schema import AddConstraint, CreateIndex, CreateTable
from sqlalchemy.sql.elements import ClauseElement
from sqlalchemy.types import TypeEngine

from fastapi_users_sqlmodel.migrations._expressions import comparable, is_same_default, portable_sql
from fastapi_users_sqlmodel.migrations._reflection import is_still
from fastapi_users_sqlmodel.migrations._types import NamedType, is_same_type, named_types

type EnumName = tuple[str | None, str]

# A column, constraint or index: the schema of its table (None is the default one), the table, and its own name.
type _Key = tuple[str | None, str, str]


class Scratch:
    """What the migrations say about the scratch, which the database itself forgets or says in other words.

    SQLite knows neither UUIDs nor enums nor time zones, and PostgreSQL writes CHECKs and defaults down in its own
    dialect. What is dropped can only be made again by the downgrade, on either database, in the words of its migration.
    """

    def __init__(self) -> None:
        self._types: dict[_Key, TypeEngine[Any]] = {}
        self._defaults: dict[_Key, DefaultClause] = {}
        self._checks: dict[_Key, str] = {}
        self._indexes: dict[_Key, Index] = {}
        self.enums: dict[EnumName, NamedType] = {}
        # The schemas in which the migrations made tables.
        self.schemas: set[str | None] = set()

    def remember(self, connection: Connection, statement: object, *_: object) -> None:
        """Note what a statement says that creates or changes a table."""
        default_schema = connection.dialect.default_schema_name

        def key(schema: str | None, table: str, name: object) -> _Key:
            return None if schema == default_schema else schema, table, str(name)

        if isinstance(statement, CreateTable):
            table = statement.element
            self.schemas.add(table.schema)
            for column in table.columns:
                self._remember_column(key(table.schema, table.name, column.name), column)
            of_columns = (each for column in table.columns for each in column.constraints)
            for constraint in (*table.constraints, *of_columns):
                self._remember_check(key(table.schema, table.name, constraint.name), constraint)
        elif isinstance(statement, AddConstraint) and isinstance(statement.element, CheckConstraint):
            table = statement.element.table
            self._remember_check(key(table.schema, table.name, statement.element.name), statement.element)
        elif isinstance(statement, CreateIndex):
            index = statement.element
            if index.table is not None:
                self._indexes[key(index.table.schema, index.table.name, index.name)] = index
        elif isinstance(statement, ddl.AlterTable):
            self._alter_table(connection, None if statement.schema == default_schema else statement.schema, statement)

    def _alter_table(self, connection: Connection, schema: str | None, statement: ddl.AlterTable) -> None:
        table = statement.table_name
        if isinstance(statement, ddl.AddColumn):
            self._remember_column((schema, table, statement.column.name), statement.column)
            for constraint in statement.column.constraints:
                self._remember_check((schema, table, str(constraint.name)), constraint)
        elif isinstance(statement, ddl.RenameTable):
            self._rename(connection, (schema, table), (schema, str(statement.new_table_name)))
        elif isinstance(statement, ddl.ColumnName):
            old, new = (schema, table, statement.column_name), (schema, table, str(statement.newname))
            _move(self._types, old, new)
            _move(self._defaults, old, new)
        elif isinstance(statement, ddl.AlterColumn):
            self._alter((schema, table, statement.column_name), statement)

    def _remember_column(self, key: _Key, column: Column[Any]) -> None:
        self._types[key] = column.type
        if isinstance(column.server_default, DefaultClause):
            self._defaults[key] = column.server_default

    def _remember_check(self, key: _Key, constraint: Constraint) -> None:
        if isinstance(constraint, CheckConstraint) and constraint.name is not None:
            self._checks[key] = portable_sql(constraint.sqltext)

    def _alter(self, key: _Key, statement: ddl.AlterColumn) -> None:
        if isinstance(statement, ddl.ColumnDefault):
            self._defaults.pop(key, None)
            if isinstance(statement.default, str | ClauseElement):
                self._defaults[key] = DefaultClause(statement.default)
        # PostgreSQL has a class of its own for it, which is no subclass of the general one.
        elif changed := getattr(statement, "type_", None):
            self._types[key] = changed

    def _rename(self, connection: Connection, old: tuple[str | None, str], new: tuple[str | None, str]) -> None:
        # A rebuilt table is what SQLite reflected: unless something has changed, the older words are the better ones.
        _move_all(self._types, old, new, lambda one, other: is_same_type(one, other, connection.dialect))
        _move_all(self._defaults, old, new, lambda one, other: is_same_default(one, other, connection.dialect))
        _move_all(self._checks, old, new, lambda one, other: comparable(one) == comparable(other))

    def recall(self, connection: Connection, table: Table, column_info: Any) -> None:
        """Give a reflected column the type that the migrations named, if it still is that one in the database."""
        type_: TypeEngine[Any] = column_info["type"]
        known = self._types.get((table.schema, table.name, column_info["name"]))
        if known is not None and is_still(known, type_, connection, table, column_info["name"]):
            column_info["type"] = type_ = known
        self.enums |= {(enum.schema, str(enum.name)): enum for enum in named_types(type_)}

    def default_of(self, table: str, column: str, *, schema: str | None) -> DefaultClause | None:
        """Return the server default as the migrations wrote it."""
        known = self._defaults.get((schema, table, column))
        # A default belongs to one column only; this one will belong to another.
        return None if known is None else DefaultClause(known.arg)

    def check_of(self, table: str, name: str, *, schema: str | None) -> str | None:
        """Return a CHECK as the migrations wrote it."""
        return self._checks.get((schema, table, name))

    def index_of(self, table: str, name: str, *, schema: str | None) -> Index | None:
        """Return an index as the migrations wrote it."""
        return self._indexes.get((schema, table, name))


def _move[T](notes: dict[_Key, T], old: _Key, new: _Key) -> None:
    if old in notes:
        notes[new] = notes.pop(old)


def _move_all[T](
    notes: dict[_Key, T], old: tuple[str | None, str], new: tuple[str | None, str], is_same: Callable[[T, T], bool]
) -> None:
    for before in [key for key in notes if key[:2] == old]:
        after = (*new, before[2])
        note, known = notes.pop(before), notes.get(after)
        if known is None or not is_same(known, note):
            notes[after] = note
