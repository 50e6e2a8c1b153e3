"""Compare a table of FastAPI Users' adapter with the one of this library, and change it."""

from dataclasses import dataclass, field
from typing import Any

import sqlalchemy as sa
from alembic.operations import Operations

from fastapi_users_sqlmodel.adoption._tables import FoundTable
from fastapi_users_sqlmodel.migrations import _sqlite
from fastapi_users_sqlmodel.tables._columns import EMAIL_CANONICAL_LENGTH

EMAIL_CANONICAL = "email_canonical"
EMAIL_CANONICAL_TYPE = sa.String(EMAIL_CANONICAL_LENGTH)


@dataclass
class Changes:
    """The changes of one table.

    Attributes:
        table: Its name.
        columns: New types, server defaults and NOT NULL, as arguments of Alembic's `alter_column`.
        unique: Columns of UNIQUE constraints to create.
        not_unique: Columns of UNIQUE constraints to drop, with their names.
        dropped_indexes: Names of indexes to drop.
        indexes: Columns to create an index on, and whether it is unique.
    """

    table: str
    columns: dict[str, dict[str, Any]] = field(default_factory=dict)
    unique: list[tuple[str, ...]] = field(default_factory=list)
    not_unique: dict[tuple[str, ...], str | None] = field(default_factory=dict)
    dropped_indexes: list[str] = field(default_factory=list)
    indexes: list[tuple[str, bool]] = field(default_factory=list)

    def alter(self, column: str, **options: Any) -> None:
        """Add to the changes of a column."""
        self.columns.setdefault(column, {}).update(options)

    def needs_rebuild(self) -> bool:
        """Return whether SQLite has to rebuild the table: more than indexes change."""
        return any((self.columns, self.unique, self.not_unique))


def changes_of_users(found: FoundTable, *, is_email_referred_to: bool) -> Changes:
    """Compare with `SQLAlchemyBaseUserTable`; a missing `email_canonical` is there when the changes are applied."""
    changes = Changes(found.name)
    column = found.columns.get(EMAIL_CANONICAL)
    if column is None or column["nullable"]:
        changes.alter(EMAIL_CANONICAL, nullable=False)
    if column is not None and found.is_other_type(EMAIL_CANONICAL, EMAIL_CANONICAL_TYPE):
        changes.alter(EMAIL_CANONICAL, type_=EMAIL_CANONICAL_TYPE)
    if not found.indexes_on(EMAIL_CANONICAL, unique=True):
        changes.indexes.append((EMAIL_CANONICAL, True))
    if not is_email_referred_to:
        changes.dropped_indexes += found.indexes_on("email", unique=True)
        changes.not_unique = {columns: name for columns, name in found.unique.items() if columns == ("email",)}
    for name, default in (("is_active", sa.true()), ("is_superuser", sa.false()), ("is_verified", sa.false())):
        if found.columns[name]["default"] is None:
            changes.alter(name, server_default=default)
    return changes


def changes_of_oauth_accounts(found: FoundTable) -> Changes:
    """Compare with `SQLAlchemyBaseOAuthAccountTable`."""
    changes = Changes(found.name)
    for column in ("access_token", "refresh_token"):
        if found.is_other_type(column, sa.Text()):
            changes.alter(column, type_=sa.Text())
    if ("oauth_name", "account_id") not in found.unique:
        changes.unique.append(("oauth_name", "account_id"))
    for column in ("oauth_name", "account_id"):
        changes.dropped_indexes += found.indexes_on(column, unique=False)
    if not found.is_indexed("user_id"):
        changes.indexes.append(("user_id", False))
    return changes


def changes_of_access_tokens(found: FoundTable) -> Changes:
    """Compare with `SQLAlchemyBaseAccessTokenTable`."""
    changes = Changes(found.name)
    type_ = sa.DateTime(timezone=True)
    if found.is_other_type("created_at", type_):
        # Version 4.0.0 of the adapter made timestamps without a time zone, and wrote them in UTC as later versions do.
        changes.alter("created_at", type_=type_, postgresql_using="created_at AT TIME ZONE 'UTC'")
    if found.columns["created_at"]["default"] is None:
        changes.alter("created_at", server_default=sa.func.now())
    changes.indexes += [(column, False) for column in ("created_at", "user_id") if not found.is_indexed(column)]
    return changes


def apply(operations: Operations, changes: Changes) -> None:
    """Change the table; on SQLite, Alembic's batch mode rebuilds it if more than indexes change."""
    connection, name = operations.get_bind(), changes.table
    for index in changes.dropped_indexes:
        operations.drop_index(index, table_name=name)
    copied = None
    if connection.dialect.name == "sqlite" and changes.needs_rebuild():
        # Batch mode knows constraints by their names only, and on SQLite most have none.
        copied = _sqlite.reflect(connection, name)
        found = [each for each in copied.constraints if isinstance(each, sa.UniqueConstraint)]
        copied.constraints -= {each for each in found if tuple(each.columns.keys()) in changes.not_unique}
        for columns in changes.unique:
            named = operations.schema_obj.unique_constraint(None, name, list(columns))
            copied.append_constraint(sa.UniqueConstraint(*columns, name=named.name))
    with operations.batch_alter_table(name, copy_from=copied, recreate="auto" if copied is None else "always") as batch:
        for column, options in changes.columns.items():
            batch.alter_column(column, **options)
    if copied is None:
        for constraint in changes.not_unique.values():
            operations.drop_constraint(str(constraint), name, type_="unique")
        for columns in changes.unique:
            # Without a name it gets that of the project's convention, or one of PostgreSQL's.
            operations.create_unique_constraint(None, name, list(columns))
    for column, unique in changes.indexes:
        # Without a name it gets that of the project's convention, or SQLAlchemy's.
        operations.create_index(None, name, [column], unique=unique)
