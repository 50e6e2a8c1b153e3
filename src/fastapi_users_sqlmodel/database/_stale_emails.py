"""Find users whose `email_canonical` is not the canonical form of `email`."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from sqlalchemy import Connection, select

from fastapi_users_sqlmodel.identity import canonical_email
from fastapi_users_sqlmodel.tables._accounts import account_tables

_BATCH = 10_000


@dataclass(frozen=True, slots=True)
class StaleEmail:
    """A user whose `email_canonical` is not that of `email`, so a sign-in with `email` fails."""

    user_id: Any
    email: str
    email_canonical: str


def stale_emails(connection: Connection, user_table: type[Any]) -> Iterator[StaleEmail]:
    """Find the users whose `email_canonical` is not the canonical form of `email`; reads the table in batches.

    Such rows come from statements outside the sessions of stores: SQL, an UPDATE on a connection, an expression such as
    `func.lower(User.email)`, an `ON CONFLICT DO UPDATE`. To repair one, assign `user.email = user.email` in a session.
    """
    user = account_tables(user_table).user_columns
    id_ = user["id"]
    batch = select(id_, user["email"], user["email_canonical"]).order_by(id_).limit(_BATCH)
    rows = connection.execute(batch).all()
    while rows:
        for found in (StaleEmail(*row) for row in rows):
            if canonical_email(found.email) != found.email_canonical:
                yield found
        rows = connection.execute(batch.where(id_ > rows[-1][0])).all()
