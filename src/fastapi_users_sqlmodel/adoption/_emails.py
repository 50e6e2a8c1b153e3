"""The canonical e-mail address of every user, computed in batches and kept in a temporary table until it is needed."""

from collections.abc import Iterator
from contextlib import contextmanager
from itertools import groupby
from typing import Any

import sqlalchemy as sa
from alembic.operations import Operations

from fastapi_users_sqlmodel.adoption._changes import EMAIL_CANONICAL, EMAIL_CANONICAL_TYPE
from fastapi_users_sqlmodel.adoption._tables import FoundTable
from fastapi_users_sqlmodel.identity import canonical_email, is_storable
from fastapi_users_sqlmodel.tables._columns import EMAIL_CANONICAL_LENGTH

_BATCH = 10_000


class CanonicalEmails:
    """A temporary table with the canonical address of each user's id."""

    def __init__(self, connection: sa.Connection, users: FoundTable) -> None:
        self._connection = connection
        self._users = users.table
        self._is_narrow = EMAIL_CANONICAL in users.columns and users.is_other_type(
            EMAIL_CANONICAL, EMAIL_CANONICAL_TYPE
        )
        self._emails = sa.Table(
            "_adopted_email",
            sa.MetaData(),
            sa.Column("id", users.columns["id"]["type"], primary_key=True, autoincrement=False),
            sa.Column(EMAIL_CANONICAL, sa.Text, nullable=False),
            prefixes=["TEMPORARY"],
        )
        self._unusable: list[str] = []

    def compute(self) -> None:
        """Create and fill the table."""
        self._emails.create(self._connection)
        users = self._users
        batch = sa.select(users.c.id, users.c.email).order_by(users.c.id).limit(_BATCH)
        rows = self._connection.execute(batch).all()
        while rows:
            if found := list(self._usable(rows)):
                self._connection.execute(sa.insert(self._emails), found)
            rows = self._connection.execute(batch.where(users.c.id > rows[-1].id)).all()

    def _usable(self, rows: Any) -> Iterator[dict[str, Any]]:
        for id_, email in rows:
            if not isinstance(email, str) or not is_storable(email):
                self._unusable.append(f"The e-mail of user {id_} is {email!r}, which no mail reaches.")
            elif len(canonical := canonical_email(email)) > EMAIL_CANONICAL_LENGTH:
                self._unusable.append(f"The e-mail of user {id_} is longer than {EMAIL_CANONICAL_LENGTH}: {email!r}.")
            else:
                yield {"id": id_, EMAIL_CANONICAL: canonical}

    def problems(self) -> Iterator[str]:
        """Report addresses that cannot be used, and users who have the same address."""
        yield from self._unusable
        users, canonical = self._users, self._emails.c[EMAIL_CANONICAL]
        query = (
            sa.select(canonical, users.c.id, users.c.email)
            .join_from(self._emails, users, self._emails.c.id == users.c.id)
            .where(canonical.in_(sa.select(canonical).group_by(canonical).having(sa.func.count() > 1)))
            .order_by(canonical, users.c.id)
        )
        for address, rows in groupby(self._connection.execute(query), key=lambda row: row[0]):
            accounts = [f"{row.email!r} (id {row.id})" for row in rows]
            yield f"{len(accounts)} users have the e-mail {address!r}: {', '.join(accounts)}."

    def write(self, operations: Operations) -> None:
        """Write the addresses into the users' column, which is added if it is missing."""
        users, canonical = self._users, self._emails.c[EMAIL_CANONICAL]
        if EMAIL_CANONICAL not in users.c:
            operations.add_column(users.name, sa.Column(EMAIL_CANONICAL, EMAIL_CANONICAL_TYPE, nullable=True))
            users.append_column(sa.column(EMAIL_CANONICAL))
        is_of_user = self._emails.c.id == users.c.id
        differs = users.c[EMAIL_CANONICAL].is_distinct_from(canonical)
        if self._connection.scalar(sa.select(sa.exists().where(is_of_user, differs))):
            # SQLite does not enforce the length, and changes the type when it rebuilds the table.
            if self._is_narrow and self._connection.dialect.name == "postgresql":
                operations.alter_column(users.name, EMAIL_CANONICAL, type_=EMAIL_CANONICAL_TYPE)
            address = sa.select(canonical).where(is_of_user).scalar_subquery()
            with _triggers_off(self._connection, users.name):
                operations.execute(sa.update(users).values({EMAIL_CANONICAL: address}))

    def drop(self) -> None:
        """Drop the table."""
        self._emails.drop(self._connection)


@contextmanager
def _triggers_off(connection: sa.Connection, table: str) -> Iterator[None]:
    """Keep the table's triggers from running: an adoption is no change of an account that an app would record."""
    quote = connection.dialect.identifier_preparer.quote
    if connection.dialect.name == "sqlite":
        query = "SELECT name, sql FROM sqlite_master WHERE type = 'trigger' AND tbl_name = ? COLLATE NOCASE"
        triggers = [(f"DROP TRIGGER {quote(name)}", on) for name, on in connection.exec_driver_sql(query, (table,))]
    else:
        query = (
            "SELECT tgname, CASE tgenabled WHEN 'A' THEN 'ENABLE ALWAYS' ELSE 'ENABLE' END FROM pg_trigger "
            "WHERE tgrelid = to_regclass(:table) AND NOT tgisinternal AND tgenabled IN ('O', 'A')"
        )
        found = connection.execute(sa.text(query), {"table": quote(table)}).all()
        words = [(f"ALTER TABLE {quote(table)}", enable, f"TRIGGER {quote(name)}") for name, enable in found]
        triggers = [(f"{alter} DISABLE {name}", f"{alter} {enable} {name}") for alter, enable, name in words]
    for off, _ in triggers:
        connection.exec_driver_sql(off)
    yield
    for _, on in triggers:
        connection.exec_driver_sql(on)
