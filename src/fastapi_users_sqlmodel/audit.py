"""The audit trail: one row for each security event, written in its transaction; deleting a user anonymizes rows."""

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
    """The kind of a security event."""

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


# Only the owner of an account can do these: the network becomes a known one.
_PROOFS = (AuditEventKind.LOGIN, AuditEventKind.RESET_PASSWORD)


@dataclass(frozen=True, slots=True)
class Origin:
    """The network and the id of a request."""

    network: str | None = None
    request_id: str | None = None

    @classmethod
    def of(cls, connection: HTTPConnection | None) -> "Origin":
        """Return the origin of a request; the id is `request.state.request_id`, if a middleware has set one."""
        if connection is None:
            return cls()
        request_id = getattr(connection.state, "request_id", None)
        network = client_network(connection)
        # An unknown network is never a known network of an account.
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
    """Write a row, in the transaction of the event.

    Args:
        connection: The connection of the transaction.
        tables: The tables beside the table of users.
        kind: The kind of the event.
        origin: The source of the request.
        user_id: The account; None if there is none.
        actor_id: The user who acted, if it is another one.
        email: The address in question.
        details: Further facts, without secrets.
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
    """Return whether a user has signed in, or has reset the password, from a network before."""
    table = tables.audit_events
    # Bound, because a comparison with None would become IS NULL and match events without a user.
    whose = table.c.user_id == bindparam("user_id", user_id, type_=table.c.user_id.type)
    proof = select(table.c.id).where(
        whose, table.c.network == network, table.c.kind.in_(_PROOFS), table.c.actor_id.is_(None)
    )
    return connection.execute(proof.limit(1)).first() is not None


def erase(connection: Connection, tables: AccountTables, user_id: Any) -> None:
    """Remove the address, the network and the details of a deleted user; the rows stay, with ids and kinds."""
    table = tables.audit_events
    forgotten = {"email": None, "network": None, "details": None, "is_erased": True}
    connection.execute(update(table).where(table.c.user_id == user_id).values(**forgotten))
    connection.execute(update(table).where(table.c.actor_id == user_id).values(network=None))


def audit_events(user_table: type[Any], *, of: Any = None) -> Select[Any]:
    """Select events, unordered: all of them for operators, or with `of` those of one user for that user.

    The events of one user do not show the network of an administrator. Where the database uses ids again, they do not
    include those of a former user with the same id.
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
    """Delete at most `limit` older rows, and return how many."""
    table = tables.audit_events
    # Ids are in the order of time, so the first ones are the oldest, without an index of times.
    oldest = select(table.c.id, table.c.created_at).order_by(table.c.id).limit(limit).subquery()
    too_old = select(oldest.c.id).where(oldest.c.created_at < datetime.now(UTC) - older_than)
    return connection.execute(delete(table).where(table.c.id.in_(too_old))).rowcount
