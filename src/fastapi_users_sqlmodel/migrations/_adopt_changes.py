"""What a table of FastAPI Users' adapter lacks to be one of ours, and how PostgreSQL gets it."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from itertools import groupby
from typing import Any

import sqlalchemy as sa
from alembic.operations import Operations
from sqlalchemy.engine.interfaces import ReflectedColumn
from sqlalchemy.types import TypeEngine

from fastapi_users_sqlmodel.migrations._types import is_same_type
from fastapi_users_sqlmodel.tables._columns import EMAIL_CANONICAL_LENGTH

EMAIL_CANONICAL = "email_canonical"


class Found:
    """A table as the database has it."""

    def __init__(self, connection: sa.Connection, name: str) -> None:
        inspector = sa.inspect(connection)
        self.name = name
        self._dialect = connection.dialect
        self.columns: dict[str, ReflectedColumn] = {each["name"]: each for each in inspector.get_columns(name)}
        self.unique = dict(
            _unique_on_sqlite(connection, name) if self._dialect.name == "sqlite" else _unique(inspector, name)
        )
        # An index on an expression or on some of the rows is somebody's own, and serves neither us nor the adapter.
        self._indexes = [
            (str(each["name"]), tuple(filter(None, each["column_names"])), bool(each["unique"]))
            for each in inspector.get_indexes(name)
            if None not in each["column_names"]
            and "duplicates_constraint" not in each
            and not any(option.endswith("_where") for option in each.get("dialect_options", {}))
        ]
        self._key = tuple(inspector.get_pk_constraint(name)["constrained_columns"])

    def lacking(self, *columns: str) -> list[str]:
        """Say which of these columns the table does not have."""
        return [column for column in columns if column not in self.columns]

    def is_other_type(self, column: str, wanted: TypeEngine[Any]) -> bool:
        """Tell whether a column has another type."""
        return not is_same_type(self.columns[column]["type"], wanted, self._dialect)

    def indexes_on(self, column: str, *, unique: bool) -> list[str]:
        """Name the indexes on exactly this column."""
        return [name for name, columns, is_unique in self._indexes if columns == (column,) and is_unique == unique]

    def is_indexed(self, column: str) -> bool:
        """Tell whether rows are found by this column, or by it and others."""
        found = [*(columns for _, columns, _ in self._indexes), *self.unique, self._key]
        return any(columns[:1] == (column,) for columns in found)


def _unique(inspector: sa.Inspector, table: str) -> Iterator[tuple[tuple[str, ...], str | None]]:
    for constraint in inspector.get_unique_constraints(table):
        yield tuple(constraint["column_names"]), constraint["name"]


def _unique_on_sqlite(connection: sa.Connection, table: str) -> Iterator[tuple[tuple[str, ...], str | None]]:
    # SQLAlchemy reads the names from the CREATE TABLE, and does not understand every way to write one.
    query = (
        "SELECT i.name, c.name FROM pragma_index_list(?) AS i JOIN pragma_index_info(i.name) AS c "
        "WHERE i.origin = 'u' ORDER BY i.name, c.seqno"
    )
    rows = connection.exec_driver_sql(query, (table,)).all()
    for _, group in groupby(rows, key=lambda row: row[0]):
        yield tuple(column for _, column in group), None


@dataclass
class Changes:
    """What becomes of a table: new and other columns, constraints, indexes, and where new content comes from."""

    table: str
    types: dict[str, TypeEngine[Any]] = field(default_factory=dict)
    defaults: dict[str, sa.ColumnElement[Any]] = field(default_factory=dict)
    not_null: set[str] = field(default_factory=set)
    # Columns that are not null.
    added: dict[str, TypeEngine[Any]] = field(default_factory=dict)
    unique: list[tuple[str, ...]] = field(default_factory=list)
    not_unique: dict[str, str | None] = field(default_factory=dict)
    # SQL over the table as it was.
    values: dict[str, str] = field(default_factory=dict)
    dropped_indexes: list[str] = field(default_factory=list)
    indexes: list[tuple[str, bool]] = field(default_factory=list)

    def needs_rebuild(self) -> bool:
        """Tell whether it is more than indexes that change."""
        parts = (self.types, self.defaults, self.not_null, self.added, self.unique, self.not_unique, self.values)
        return any(parts)


def changes_of_users(found: Found, canonical: str | None, *, is_email_referred_to: bool) -> Changes:
    """Compare with `SQLAlchemyBaseUserTable`; `canonical` is SQL for the canonical e-mails that are to be written."""
    changes = Changes(found.name)
    type_ = sa.String(EMAIL_CANONICAL_LENGTH)
    if EMAIL_CANONICAL not in found.columns:
        changes.added[EMAIL_CANONICAL] = type_
    else:
        if found.is_other_type(EMAIL_CANONICAL, type_):
            changes.types[EMAIL_CANONICAL] = type_
        if found.columns[EMAIL_CANONICAL]["nullable"]:
            changes.not_null.add(EMAIL_CANONICAL)
    if canonical is not None:
        changes.values[EMAIL_CANONICAL] = canonical
    if not found.indexes_on(EMAIL_CANONICAL, unique=True):
        changes.indexes.append((EMAIL_CANONICAL, True))
    if not is_email_referred_to:
        changes.dropped_indexes += found.indexes_on("email", unique=True)
        if ("email",) in found.unique:
            changes.not_unique["email"] = found.unique["email",]
    for column, default in (("is_active", sa.true()), ("is_superuser", sa.false()), ("is_verified", sa.false())):
        if found.columns[column]["default"] is None:
            changes.defaults[column] = default
    return changes


def changes_of_oauth_accounts(found: Found) -> Changes:
    """Compare with `SQLAlchemyBaseOAuthAccountTable`."""
    changes = Changes(found.name)
    changes.types |= {
        column: sa.Text() for column in ("access_token", "refresh_token") if found.is_other_type(column, sa.Text())
    }
    if ("oauth_name", "account_id") not in found.unique:
        changes.unique.append(("oauth_name", "account_id"))
    for column in ("oauth_name", "account_id"):
        changes.dropped_indexes += found.indexes_on(column, unique=False)
    if not found.is_indexed("user_id"):
        changes.indexes.append(("user_id", False))
    return changes


def changes_of_access_tokens(found: Found) -> Changes:
    """Compare with `SQLAlchemyBaseAccessTokenTable`."""
    changes = Changes(found.name)
    if found.is_other_type("created_at", sa.DateTime(timezone=True)):
        changes.types["created_at"] = sa.DateTime(timezone=True)
    if found.columns["created_at"]["default"] is None:
        changes.defaults["created_at"] = sa.func.now()
    changes.indexes += [(column, False) for column in ("created_at", "user_id") if not found.is_indexed(column)]
    return changes


def alter(operations: Operations, changes: Changes) -> None:
    """Change a table of PostgreSQL, indexes aside."""
    table = changes.table
    for name in changes.not_unique.values():
        operations.drop_constraint(str(name), table, type_="unique")
    for column, type_ in changes.added.items():
        operations.add_column(table, sa.Column(column, type_, nullable=True))
    for column, type_ in changes.types.items():
        # Version 4.0.0 of the adapter made naive timestamps, and wrote them in UTC like all others.
        using = f"{_quoted(operations, column)} AT TIME ZONE 'UTC'" if isinstance(type_, sa.DateTime) else None
        operations.alter_column(table, column, type_=type_, postgresql_using=using)
    if changes.values:
        with _triggers_off(operations, table):
            _update(operations, table, changes.values)
    for column in sorted({*changes.added, *changes.not_null}):
        operations.alter_column(table, column, nullable=False)
    for column, default in changes.defaults.items():
        operations.alter_column(table, column, server_default=default)
    for columns in changes.unique:
        # Without a name it gets that of the project's convention, or one of PostgreSQL's.
        operations.create_unique_constraint(None, table, list(columns))


def _update(operations: Operations, table: str, values: dict[str, str]) -> None:
    written = ", ".join(f"{_quoted(operations, column)} = {value}" for column, value in values.items())
    differs = " OR ".join(f"{_quoted(operations, column)} IS DISTINCT FROM {value}" for column, value in values.items())
    operations.execute(sa.text(f"UPDATE {_quoted(operations, table)} SET {written} WHERE {differs}"))  # noqa: S608  # ours


def _quoted(operations: Operations, name: str) -> str:
    return operations.get_bind().dialect.identifier_preparer.quote(name)


@contextmanager
def _triggers_off(operations: Operations, table: str) -> Iterator[None]:
    """Keep triggers still that would note an update: nobody has changed anything about the account."""
    connection, quoted = operations.get_bind(), _quoted(operations, table)
    query = sa.text(
        "SELECT tgname, CAST(tgenabled AS text) AS tgenabled FROM pg_trigger "
        "WHERE tgrelid = to_regclass(:table) AND NOT tgisinternal AND tgenabled IN ('O', 'A')"
    )
    triggers: list[tuple[str, str]] = [
        (row.tgname, row.tgenabled) for row in connection.execute(query, {"table": quoted})
    ]
    for name, _ in triggers:
        operations.execute(f"ALTER TABLE {quoted} DISABLE TRIGGER {_quoted(operations, name)}")
    yield
    for name, enabled in triggers:
        always = "ALWAYS " if enabled == "A" else ""
        operations.execute(f"ALTER TABLE {quoted} ENABLE {always}TRIGGER {_quoted(operations, name)}")
