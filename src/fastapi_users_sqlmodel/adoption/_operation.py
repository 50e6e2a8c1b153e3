"""The operation `adopt_fastapi_users`: look at every row, report each problem, or change the tables."""

import logging
import warnings
from collections.abc import Iterator, Sequence
from itertools import groupby
from typing import Protocol

import sqlalchemy as sa
from alembic.migration import MigrationContext
from alembic.operations import Operations
from alembic.util import CommandError

from fastapi_users_sqlmodel.adoption._changes import (
    Changes,
    apply,
    changes_of_access_tokens,
    changes_of_oauth_accounts,
    changes_of_users,
)
from fastapi_users_sqlmodel.adoption._emails import CanonicalEmails
from fastapi_users_sqlmodel.adoption._sqlite_ids import GUID, ColumnOf, Ids
from fastapi_users_sqlmodel.adoption._tables import FoundTable
from fastapi_users_sqlmodel.migrations import _sqlite

_log = logging.getLogger(__name__)

_COLUMNS = {
    "user": ("id", "email", "hashed_password", "is_active", "is_superuser", "is_verified"),
    "oauth_account": ("id", "user_id", "oauth_name", "access_token", "refresh_token", "account_id"),
    "access_token": ("token", "created_at", "user_id"),
}


class _HasContext(Protocol):
    """The part of `alembic.op` and `Operations` that this needs."""

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

    Call it in the `upgrade()` of a migration, with Alembic's `op`. It first checks every row. Without a conflict to
    report, it makes these changes: users get an `email_canonical`, which becomes unique instead of `email`; on SQLite,
    ids of 36 characters, and the columns of any table that refer to them, become `sqlalchemy.Uuid`; provider tokens
    become `TEXT`; an account at a provider becomes unique; server defaults and indexes become those of the
    library's tables. Everything else in these tables stays, except comments in a `CREATE TABLE`. A second call changes
    nothing.

    It works in the migration's transaction, on SQLite and in PostgreSQL's default schema. Nothing undoes it except a
    backup, so the `downgrade()` of such a migration raises an error.

    Args:
        op: Alembic's `op`, or an `Operations` of a program.
        user_table: Its name; the table has to exist.
        oauth_account_table: Its name; without such a table it is skipped.
        access_token_table: Its name; without such a table it is skipped.
        uuid_columns: Further columns, as `table.column`, that the adapter's `GUID` wrote: the ids of your own tables,
            or columns that hold ids and have no foreign key. What refers to them is found.

    Raises:
        alembic.util.CommandError: Rows would collide or be lost, or a rebuild on SQLite would lose a part of a table.
            The message reports each conflict, and nothing was changed. Also if the user table does not exist, if there
            is no connection (`--sql`), and on other databases.
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
        # Some indexes and types cannot be reflected, and are not needed here.
        warnings.simplefilter("ignore", sa.exc.SAWarning)
        tables = _find(
            connection, {"user": user_table, "oauth_account": oauth_account_table, "access_token": access_token_table}
        )
        named = [ColumnOf(*name.rpartition(".")[::2]) for name in uuid_columns]
        # A context of its own, because a stock env.py has made the project's before the library's SQLite was imported.
        operations = Operations(MigrationContext.configure(connection, opts=context.opts))
        _Adoption(operations, tables, named).run()


def _find(connection: sa.Connection, names: dict[str, str]) -> dict[str, FoundTable]:
    existing = sa.inspect(connection).get_table_names()
    tables = {role: FoundTable(connection, name) for role, name in names.items() if name in existing}
    if "user" not in tables:
        raise CommandError(
            f"There is no table {names['user']!r} to adopt: name it in user_table, "
            "or create it in an earlier revision, as FastAPI Users had it."
        )
    for role, table in tables.items():
        if lacking := [column for column in _COLUMNS[role] if column not in table.columns]:
            raise CommandError(f"The table {table.name!r} is not one of FastAPI Users: it has no {', '.join(lacking)}.")
    return tables


class _Adoption:
    def __init__(self, operations: Operations, tables: dict[str, FoundTable], named: list[ColumnOf]) -> None:
        self._operations = operations
        self._connection = operations.get_bind()
        self._tables = tables
        self._ids: Ids | None = None
        if self._connection.dialect.name == "sqlite":
            pairs = (("user", "id"), ("oauth_account", "id"), ("oauth_account", "user_id"), ("access_token", "user_id"))
            known = [ColumnOf(tables[role].name, column) for role, column in pairs if role in tables]
            self._ids = Ids(self._connection, known, named)
        else:
            # Prevents registrations between the check and the change; reads continue until the first ALTER TABLE.
            quote = self._connection.dialect.identifier_preparer.quote
            names = ", ".join(quote(table.name) for table in tables.values())
            self._connection.exec_driver_sql(f"LOCK TABLE {names} IN SHARE ROW EXCLUSIVE MODE")
        self._emails = CanonicalEmails(self._connection, tables["user"])

    def run(self) -> None:
        self._emails.compute()
        every = self._changes()
        if problems := list(self._problems(every)):
            self._emails.drop()
            lines = "".join(f"\n- {problem}" for problem in problems)
            raise CommandError(
                "These tables of FastAPI Users cannot be adopted yet, and nothing was changed. "
                f"Resolve first ({len(problems)}):{lines}"
            )
        self._emails.write(self._operations)
        self._emails.drop()
        for changes in every:
            apply(self._operations, changes)
        for column in self._ids.left() if self._ids else []:
            _log.warning(
                "%s stays %s, because it refers to nothing that was adopted: if sqlalchemy.Uuid shall read it, "
                "name it in uuid_columns.",
                column,
                GUID,
            )

    def _problems(self, every: list[Changes]) -> Iterator[str]:
        yield from self._emails.problems()
        if "oauth_account" in self._tables:
            yield from self._accounts_of_several()
        if self._ids is None:
            yield from self._guids_on_postgresql()
            return
        yield from self._ids.problems()
        for table in [changes.table for changes in every if changes.needs_rebuild()]:
            if lost := _sqlite.lost_in_rebuild(self._connection, table):
                yield (
                    f"{table} has to be rebuilt, and would lose of its CREATE TABLE: {lost}. To do without, run in an "
                    f"earlier revision: with op.batch_alter_table({table!r}, recreate='always'): pass"
                )

    def _guids_on_postgresql(self) -> Iterator[str]:
        for table in self._tables.values():
            for name, column in table.columns.items():
                if str(column["type"]) == GUID:
                    yield (
                        f"{table.name}.{name} is {GUID}, which the adapter makes on other databases only: "
                        "turn it, and what refers to it, into UUID."
                    )

    def _accounts_of_several(self) -> Iterator[str]:
        accounts = self._tables["oauth_account"].table
        pair = [accounts.c.oauth_name, accounts.c.account_id]
        several = sa.select(*pair).group_by(*pair).having(sa.func.count() > 1)
        query = (
            sa.select(*pair, accounts.c.id, accounts.c.user_id)
            .where(sa.tuple_(*pair).in_(several))
            .order_by(*pair, accounts.c.id)
        )
        for (oauth_name, account_id), rows in groupby(self._connection.execute(query), key=lambda row: row[:2]):
            which = [f"id {row.id} (user {row.user_id})" for row in rows]
            yield (
                f"{len(which)} rows of {accounts.name} are account {account_id!r} at {oauth_name!r}: "
                f"{', '.join(which)}."
            )

    def _changes(self) -> list[Changes]:
        users = self._tables["user"]
        keys = [key for keys in sa.inspect(self._connection).get_multi_foreign_keys().values() for key in keys]
        is_email_referred_to = any(
            key["referred_table"] == users.name and "email" in key["referred_columns"] for key in keys
        )
        every = {users.name: changes_of_users(users, is_email_referred_to=is_email_referred_to)}
        if accounts := self._tables.get("oauth_account"):
            every[accounts.name] = changes_of_oauth_accounts(accounts)
        if tokens := self._tables.get("access_token"):
            every[tokens.name] = changes_of_access_tokens(tokens)
        if self._ids is not None:
            for table, column in self._ids.changing():
                every.setdefault(table, Changes(table)).alter(column, type_=sa.Uuid())
        return list(every.values())
