"""Adopt the database of an app that used FastAPI Users' own SQLAlchemy adapter."""

import logging
import warnings
from collections.abc import Iterator, Sequence
from itertools import groupby
from typing import Protocol

import sqlalchemy as sa
from alembic.migration import MigrationContext
from alembic.operations import Operations
from alembic.util import CommandError

from fastapi_users_sqlmodel.migrations import _sqlite
from fastapi_users_sqlmodel.migrations._adopt_changes import (
    Changes,
    Found,
    alter,
    changes_of_access_tokens,
    changes_of_oauth_accounts,
    changes_of_users,
)
from fastapi_users_sqlmodel.migrations._adopt_emails import CanonicalEmails
from fastapi_users_sqlmodel.migrations._sqlite_ids import GUID, ColumnOf, Ids, as_hex
from fastapi_users_sqlmodel.migrations._sqlite_rebuild import rebuild

_log = logging.getLogger(__name__)

_COLUMNS = {
    "user": ("id", "email", "hashed_password", "is_active", "is_superuser", "is_verified"),
    "oauth_account": ("id", "user_id", "oauth_name", "access_token", "refresh_token", "account_id"),
    "access_token": ("token", "created_at", "user_id"),
}


class _HasContext(Protocol):
    """What `alembic.op` and `Operations` have in common."""

    def get_context(self) -> MigrationContext: ...


def adopt_fastapi_users(
    op: _HasContext,
    *,
    user_table: str = "user",
    oauth_account_table: str = "oauth_account",
    access_token_table: str = "accesstoken",  # noqa: S107  # no password
    uuid_columns: Sequence[str] = (),
) -> None:
    """Turn the tables of FastAPI Users 10 to 15 (its SQLAlchemy adapter 4 to 7) into those of this library.

    Call it in the `upgrade()` of a revision, with Alembic's `op`. It looks at every row first, and if there is nothing
    to report it changes what is missing: users get their `email_canonical`, which becomes unique instead of `email`; on
    SQLite, ids of 36 characters become `sqlalchemy.Uuid`, and so does whatever refers to them, in any table; provider
    tokens become `TEXT`, and an account at a provider unique; server defaults and indexes are those of the library's
    tables. Everything else in these tables stays as it is. A second run finds nothing to do.

    It works in the migration's transaction, on SQLite and in PostgreSQL's default schema. The way back is a backup:
    nothing undoes it, so the `downgrade()` of such a revision raises an error, or does nothing.

    Args:
        op: Alembic's `op`, or an `Operations` of a program.
        user_table: Its name; the table has to exist.
        oauth_account_table: Its name; without such a table it is skipped.
        access_token_table: Its name; without such a table it is skipped.
        uuid_columns: Further columns, as `table.column`, that the adapter's `GUID` wrote: the ids of your own tables,
            or columns that hold ids and have no foreign key. What refers to them is found.

    Raises:
        alembic.util.CommandError: Rows would collide or be lost, and nothing was changed; the message reports each one.
            Or there is no such user table, no connection (`--sql`), or another database.
    """
    context = op.get_context()
    connection = context.connection
    if context.as_sql or connection is None:
        raise CommandError("adopt_fastapi_users() looks at the rows first: it cannot be written down as SQL.")
    is_sqlite = connection.dialect.name == "sqlite"
    if not is_sqlite and connection.dialect.name != "postgresql":
        raise CommandError(f"adopt_fastapi_users() knows SQLite and PostgreSQL, not {connection.dialect.name}.")
    if is_sqlite:
        _sqlite.begin(connection, writing=True)
    with warnings.catch_warnings():
        # Of indexes and types that cannot be reflected, and need not be.
        warnings.simplefilter("ignore", sa.exc.SAWarning)
        tables = _find(
            connection, {"user": user_table, "oauth_account": oauth_account_table, "access_token": access_token_table}
        )
        named = [ColumnOf(*name.rpartition(".")[::2]) for name in uuid_columns]
        _Adoption(Operations(context), tables, named).run()


def _find(connection: sa.Connection, names: dict[str, str]) -> dict[str, Found]:
    there = sa.inspect(connection).get_table_names()
    tables = {role: Found(connection, name) for role, name in names.items() if name in there}
    if "user" not in tables:
        raise CommandError(
            f"There is no table {names['user']!r} to adopt: name it in user_table, "
            "or create it in an earlier revision, as FastAPI Users had it."
        )
    for role, table in tables.items():
        if lacking := table.lacking(*_COLUMNS[role]):
            raise CommandError(f"The table {table.name!r} is not one of FastAPI Users: it has no {', '.join(lacking)}.")
    return tables


class _Adoption:
    def __init__(self, operations: Operations, tables: dict[str, Found], named: list[ColumnOf]) -> None:
        self._operations = operations
        self._connection = operations.get_bind()
        self._tables = tables
        self._ids: Ids | None = None
        if self._connection.dialect.name == "sqlite":
            pairs = (("user", "id"), ("oauth_account", "id"), ("oauth_account", "user_id"), ("access_token", "user_id"))
            known = [ColumnOf(tables[role].name, column) for role, column in pairs if role in tables]
            self._ids = Ids(self._connection, known, named)
        else:
            self._lock()
        self._emails = CanonicalEmails(self._connection, tables["user"])

    def run(self) -> None:
        self._emails.compute()
        if problems := list(self._problems()):
            self._emails.drop()
            lines = "".join(f"\n- {problem}" for problem in problems)
            raise CommandError(
                "These tables of FastAPI Users cannot be adopted yet, and nothing was changed. "
                f"Resolve first ({len(problems)}):{lines}"
            )
        for changes in self._changes():
            self._apply(changes)
        self._emails.drop()
        for column in self._ids.left() if self._ids else []:
            _log.warning(
                "%s stays %s, because it refers to nothing that was adopted: if sqlalchemy.Uuid shall read it, "
                "name it in uuid_columns.",
                column,
                GUID,
            )

    def _lock(self) -> None:
        # Nobody may register between the look and the change; reading goes on until the first ALTER TABLE.
        quote = self._connection.dialect.identifier_preparer.quote
        names = ", ".join(quote(table.name) for table in self._tables.values())
        self._connection.exec_driver_sql(f"LOCK TABLE {names} IN SHARE ROW EXCLUSIVE MODE")

    def _problems(self) -> Iterator[str]:
        yield from self._emails.problems()
        if "oauth_account" in self._tables:
            yield from self._accounts_of_several()
        if self._ids is not None:
            yield from self._ids.problems()
            return
        for table in self._tables.values():
            for name, column in table.columns.items():
                if str(column["type"]) == GUID:
                    yield (
                        f"{table.name}.{name} is {GUID}, which the adapter makes on other databases only: "
                        "turn it, and what refers to it, into UUID."
                    )

    def _accounts_of_several(self) -> Iterator[str]:
        found = self._tables["oauth_account"]
        names = ("oauth_name", "account_id", "id", "user_id")
        accounts = sa.table(found.name, *(sa.column(name, found.columns[name]["type"]) for name in names))
        pair = [accounts.c.oauth_name, accounts.c.account_id]
        several = sa.select(*pair).group_by(*pair).having(sa.func.count() > 1)
        query = sa.select(accounts).where(sa.tuple_(*pair).in_(several)).order_by(*pair, accounts.c.id)
        rows = self._connection.execute(query)
        for (oauth_name, account_id), group in groupby(rows, key=lambda row: (row.oauth_name, row.account_id)):
            which = [f"id {row.id} (user {row.user_id})" for row in group]
            yield f"{len(which)} rows of {found.name} are account {account_id!r} at {oauth_name!r}: {', '.join(which)}."

    def _changes(self) -> list[Changes]:
        users = self._tables["user"]
        found = {
            users.name: changes_of_users(users, self._emails.sql(), is_email_referred_to=self._is_email_referred_to())
        }
        if accounts := self._tables.get("oauth_account"):
            found[accounts.name] = changes_of_oauth_accounts(accounts)
        if tokens := self._tables.get("access_token"):
            found[tokens.name] = changes_of_access_tokens(tokens)
        if self._ids is not None:
            for column in self._ids.retyped():
                found.setdefault(column.table, Changes(column.table)).types[column.column] = sa.Uuid()
            for column in self._ids.rewritten():
                found.setdefault(column.table, Changes(column.table)).values[column.column] = as_hex(column.column)
        return list(found.values())

    def _is_email_referred_to(self) -> bool:
        users = self._tables["user"].name
        keys = sa.inspect(self._connection).get_multi_foreign_keys().values()
        return any(
            key["referred_table"] == users and "email" in key["referred_columns"] for each in keys for key in each
        )

    def _apply(self, changes: Changes) -> None:
        for index in changes.dropped_indexes:
            self._operations.drop_index(index, table_name=changes.table)
        if changes.needs_rebuild():
            (alter if self._ids is None else rebuild)(self._operations, changes)
        for column, unique in changes.indexes:
            # Without a name it gets that of the project's convention, or SQLAlchemy's.
            self._operations.create_index(None, changes.table, [column], unique=unique)
