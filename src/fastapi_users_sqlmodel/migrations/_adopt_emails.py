"""The canonical e-mail of every user, computed in batches and kept in the database until it is needed."""

from collections.abc import Iterator
from itertools import groupby
from typing import Any

import sqlalchemy as sa

from fastapi_users_sqlmodel.identity import canonical_email, is_storable
from fastapi_users_sqlmodel.migrations._adopt_changes import EMAIL_CANONICAL, Found
from fastapi_users_sqlmodel.tables._columns import EMAIL_CANONICAL_LENGTH

_BATCH = 10_000


class CanonicalEmails:
    """A temporary table beside the users."""

    def __init__(self, connection: sa.Connection, users: Found) -> None:
        self._connection = connection
        self._users = sa.table(users.name, *(sa.column(name, users.columns[name]["type"]) for name in ("id", "email")))
        self._has_column = EMAIL_CANONICAL in users.columns
        self._emails = sa.Table(
            "_adopted_email",
            sa.MetaData(),
            sa.Column("id", users.columns["id"]["type"], primary_key=True, autoincrement=False),
            sa.Column(EMAIL_CANONICAL, sa.Text, nullable=False),
            prefixes=["TEMPORARY"],
        )
        self._unusable: list[str] = []

    def compute(self) -> None:
        """Make the table."""
        self._emails.create(self._connection)
        users = self._users
        batch = sa.select(users.c.id, users.c.email).order_by(users.c.id).limit(_BATCH)
        rows = self._connection.execute(batch).all()
        while rows:
            found = [{"id": id_, EMAIL_CANONICAL: canonical} for id_, canonical in self._usable(rows)]
            if found:
                self._connection.execute(sa.insert(self._emails), found)
            rows = self._connection.execute(batch.where(users.c.id > rows[-1].id)).all()

    def _usable(self, rows: Any) -> Iterator[tuple[Any, str]]:
        for id_, email in rows:
            if not isinstance(email, str) or not is_storable(email):
                self._unusable.append(f"The e-mail of user {id_} is {email!r}, which no mail reaches.")
            elif len(canonical := canonical_email(email)) > EMAIL_CANONICAL_LENGTH:
                self._unusable.append(f"The e-mail of user {id_} is longer than {EMAIL_CANONICAL_LENGTH}: {email!r}.")
            else:
                yield id_, canonical

    def problems(self) -> Iterator[str]:
        """Report what is no address, and the users who would be one."""
        yield from self._unusable
        users, emails = self._users, self._emails
        several = sa.select(emails.c[EMAIL_CANONICAL]).group_by(emails.c[EMAIL_CANONICAL]).having(sa.func.count() > 1)
        query = (
            sa.select(emails.c[EMAIL_CANONICAL], users.c.id, users.c.email)
            .join_from(emails, users, emails.c.id == users.c.id)
            .where(emails.c[EMAIL_CANONICAL].in_(several))
            .order_by(emails.c[EMAIL_CANONICAL], users.c.id)
        )
        for canonical, rows in groupby(self._connection.execute(query), key=lambda row: row[0]):
            accounts = [f"{row.email!r} (id {row.id})" for row in rows]
            yield f"{len(accounts)} users have the e-mail {canonical!r}: {', '.join(accounts)}."

    def sql(self) -> str | None:
        """Return SQL for the canonical e-mail of a user, or None when each of them has it already."""
        if self._has_column:
            users = sa.table(self._users.name, sa.column("id"), sa.column(EMAIL_CANONICAL))
            differs = sa.select(users.c.id).join_from(users, self._emails, users.c.id == self._emails.c.id)
            differs = differs.where(users.c[EMAIL_CANONICAL].is_distinct_from(self._emails.c[EMAIL_CANONICAL]))
            if self._connection.execute(differs.limit(1)).first() is None:
                return None
        name = self._connection.dialect.identifier_preparer.quote(self._users.name)
        return f"(SELECT e.{EMAIL_CANONICAL} FROM _adopted_email AS e WHERE e.id = {name}.id)"  # noqa: S608  # quoted

    def drop(self) -> None:
        """Drop the table."""
        self._emails.drop(self._connection)
