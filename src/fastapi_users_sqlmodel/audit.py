"""The audit trail: one row for each security event, written with it and never changed, except to forget a person."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from enum import StrEnum
from typing import Any

from sqlalchemy import Connection, Select, bindparam, case, delete, false, insert, null, select, update
from starlette.requests import HTTPConnection

from fastapi_users_sqlmodel.tables._accounts import AccountTables, account_tables
from fastapi_users_sqlmodel.throttling import client_network

_REQUEST_ID_LENGTH = 64


class AuditEventKind(StrEnum):
    """What has happened."""

    LOGIN = "login"
    LOGIN_FAILED = "login_failed"
    LOGOUT = "logout"
    END_SESSION = "end_session"
    REAUTHENTICATE = "reauthenticate"
    REFRESH_TOKEN_REPLAYED = "refresh_token_replayed"
    REGISTER = "register"
    REQUEST_VERIFY = "request_verify"
    VERIFY = "verify"
    FORGOT_PASSWORD = "forgot_password"
    RESET_PASSWORD = "reset_password"
    CHANGE_PASSWORD = "change_password"
    REQUEST_CHANGE_EMAIL = "request_change_email"
    CHANGE_EMAIL = "change_email"
    UNDO_CHANGE_EMAIL = "undo_change_email"
    CHANGE_ROLE = "change_role"
    UPDATE = "update"
    DELETE = "delete"


# Who has done these in a network was the owner of the account.
_PROOFS = (AuditEventKind.LOGIN, AuditEventKind.RESET_PASSWORD)


@dataclass(frozen=True, slots=True)
class Origin:
    """Where a request came from."""

    network: str | None = None
    request_id: str | None = None

    @classmethod
    def of(cls, connection: HTTPConnection | None) -> "Origin":
        """Read it off a request; its id is `request.state.request_id`, if a middleware has set one."""
        if connection is None:
            return cls()
        request_id = getattr(connection.state, "request_id", None)
        network = client_network(connection)
        # One that nobody knows is not one that the owner has come from before.
        known = network if network != client_network(None) else None
        return cls(known, str(request_id)[:_REQUEST_ID_LENGTH] if request_id else None)


def record(  # noqa: PLR0913  # Each is a fact about the event
    connection: Connection,
    tables: AccountTables,
    kind: AuditEventKind,
    origin: Origin,
    *,
    user_id: Any = None,
    actor_id: Any = None,
    email: str | None = None,
    details: Mapping[str, Any] | None = None,
) -> None:
    """Write a row, in the transaction of what has happened.

    Args:
        connection: Of that transaction.
        tables: Those beside the table of users.
        kind: What has happened.
        origin: Where from.
        user_id: Whose account it is; None for an account that is not there.
        actor_id: Who has done it, if not the user.
        email: The address that it is about.
        details: What else is to be known, without secrets.
    """
    connection.execute(
        insert(tables.audit_events).values(
            kind=kind,
            user_id=user_id,
            actor_id=actor_id if actor_id != user_id else None,
            email=email,
            network=origin.network,
            request_id=origin.request_id,
            details=dict(details) if details else None,
            created_at=datetime.now(UTC),
        )
    )


def knows_network(connection: Connection, tables: AccountTables, user_id: Any, network: str | None) -> bool:
    """Tell whether a user has signed in from a network before, or has reset the password from there."""
    table = tables.audit_events
    # Bound, because a comparison with None would ask for all who are nobody.
    whose = table.c.user_id == bindparam("user_id", user_id, type_=table.c.user_id.type)
    proof = select(table.c.id).where(
        whose, table.c.network == network, table.c.kind.in_(_PROOFS), table.c.actor_id.is_(None)
    )
    return connection.execute(proof.limit(1)).first() is not None


def erase(connection: Connection, tables: AccountTables, user_id: Any) -> None:
    """Forget a person who is deleted: the rows stay, with the ids and the kinds, without address and network."""
    table = tables.audit_events
    forgotten = {"email": None, "network": None, "details": None, "is_erased": True}
    connection.execute(update(table).where(table.c.user_id == user_id).values(**forgotten))
    connection.execute(update(table).where(table.c.actor_id == user_id).values(network=None))


def audit_events(user_table: type[Any], *, of: Any = None) -> Select[Any]:
    """Select the events' columns, without an order: all for those who run the service, or of one user for that user.

    Whoever is shown only their own does not learn from where an administrator came, nor, where ids are used again, what
    somebody else did under theirs.
    """
    table = account_tables(user_table).audit_events
    if of is None:
        return select(table)
    by_oneself = table.c.actor_id.is_(None)
    hidden = {"network", "request_id"}
    columns = [
        case((by_oneself, column), else_=null()).label(column.name) if column.name in hidden else column
        for column in table.c
    ]
    return select(*columns).where(table.c.user_id == of, table.c.is_erased == false())


def purge(connection: Connection, tables: AccountTables, *, older_than: timedelta, limit: int = 1000) -> int:
    """Delete so many of the rows that are older, and return how many they were."""
    table = tables.audit_events
    # Ids are in the order of time: whoever looks at the first ones finds the oldest, and needs no index of times.
    oldest = select(table.c.id, table.c.created_at).order_by(table.c.id).limit(limit).subquery()
    too_old = select(oldest.c.id).where(oldest.c.created_at < datetime.now(UTC) - older_than)
    return connection.execute(delete(table).where(table.c.id.in_(too_old))).rowcount
