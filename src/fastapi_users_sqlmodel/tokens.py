"""Tokens for one purpose, by e-mail or for a WebSocket: random, single use, hashed at rest."""

import hashlib
import secrets
import uuid
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from enum import StrEnum
from typing import Any

from sqlalchemy import Connection, Table, delete, insert, select, update

from fastapi_users_sqlmodel.identity import canonical_email
from fastapi_users_sqlmodel.tables._accounts import AccountTables

# NIST SP 800-63B, 3.1.3.1, requires 64 bits for a token that is sent; 256 resist offline guessing too.
_TOKEN_BYTES = 32
_TOKEN_CHARACTERS = 43
_LIVE_AT_ONCE = 3
# All tabs of a browser, which share a session, may reconnect at the same moment.
_TICKETS_AT_ONCE = 50


class Purpose(StrEnum):
    """The purpose of a token, which is not good for any other."""

    VERIFY = "verify"
    RESET_PASSWORD = "reset_password"
    CHANGE_EMAIL = "change_email"
    UNDO_CHANGE_EMAIL = "undo_change_email"
    WEBSOCKET = "websocket"


# These are revoked by a change of the password or the address, and by deactivation. An undo token survives what a thief
# does next.
MORTAL = (Purpose.VERIFY, Purpose.RESET_PASSWORD, Purpose.CHANGE_EMAIL, Purpose.WEBSOCKET)


@dataclass(frozen=True, slots=True)
class IssuedToken:
    """A live token: its user, and its address."""

    user_id: Any
    email: str
    email_canonical: str
    created_at: datetime
    # The session in which it was issued, if any.
    session_id: uuid.UUID | None


def issue(  # noqa: PLR0913  # Each is a fact about the token
    connection: Connection,
    tables: AccountTables,
    purpose: Purpose,
    user_id: Any,
    *,
    email: str,
    lifetime: timedelta,
    session_id: uuid.UUID | None = None,
) -> str:
    """Issue a token; the newest three of a purpose stay, and every undo token: a thief could push out the owner's.

    Of tickets for WebSockets, the newest fifty of a session stay.

    Without a user (`user_id` is None), the same statements run and no row stays, so that the time of a response does
    not depend on whether an account exists.
    """
    token = secrets.token_urlsafe(_TOKEN_BYTES)
    now = datetime.now(UTC)
    table, canonical = tables.tokens, canonical_email(email)
    digest = _digest(purpose, token)
    connection.execute(
        insert(table).values(
            hash=digest,
            purpose=purpose,
            user_id=user_id,
            email=email,
            email_canonical=canonical,
            session_id=session_id,
            created_at=now,
            expires_at=now + lifetime,
        )
    )
    if purpose is Purpose.UNDO_CHANGE_EMAIL:
        return token
    kind, at_once = _of(table, user_id, purpose), _LIVE_AT_ONCE
    if purpose is Purpose.WEBSOCKET:
        kind, at_once = (*kind, table.c.session_id == session_id), _TICKETS_AT_ONCE
    newest = select(table.c.hash).where(*kind).order_by(table.c.created_at.desc()).limit(at_once)
    superfluous = (*kind, table.c.hash.not_in(newest)) if user_id is not None else (table.c.hash == digest,)
    connection.execute(delete(table).where(*superfluous))
    return token


def find(connection: Connection, tables: AccountTables, purpose: Purpose, token: str) -> IssuedToken | None:
    """Find a live token without using it."""
    if len(token) != _TOKEN_CHARACTERS or not token.isascii():
        return None
    table = tables.tokens
    row = connection.execute(
        select(table.c.user_id, table.c.email, table.c.email_canonical, table.c.created_at, table.c.session_id).where(
            *_alive(table, purpose, token)
        )
    ).one_or_none()
    return IssuedToken(*row) if row is not None else None


def use(connection: Connection, tables: AccountTables, purpose: Purpose, token: str) -> bool:
    """Use a token up, with those of its kind; of several simultaneous requests, one gets True.

    The caller has locked the user, as every change of the user's tokens does: there is no deadlock.
    """
    table = tables.tokens
    used = connection.execute(delete(table).where(*_alive(table, purpose, token)).returning(table.c.user_id)).all()
    if not used:
        return False
    if purpose is not Purpose.UNDO_CHANGE_EMAIL:
        revoke(connection, tables, used[0].user_id, (purpose,))
    return True


def use_ticket(connection: Connection, tables: AccountTables, ticket: str) -> uuid.UUID | None:
    """Use a ticket for a WebSocket up, and return its session; None if it is not good.

    Other tickets of the session stay. Of several simultaneous requests, one gets the session.
    """
    if len(ticket) != _TOKEN_CHARACTERS or not ticket.isascii():
        return None
    table = tables.tokens
    alive = _alive(table, Purpose.WEBSOCKET, ticket)
    return connection.execute(delete(table).where(*alive).returning(table.c.session_id)).scalar_one_or_none()


def revoke(connection: Connection, tables: AccountTables, user_id: Any, purposes: tuple[Purpose, ...]) -> None:
    """Revoke a user's tokens of these purposes."""
    table = tables.tokens
    connection.execute(delete(table).where(table.c.user_id == user_id, table.c.purpose.in_(purposes)))


def revoke_undo_since(connection: Connection, tables: AccountTables, user_id: Any, since: datetime) -> None:
    """Revoke the undo tokens of later changes: a thief may have chosen their addresses."""
    table = tables.tokens
    later = table.c.created_at >= since
    connection.execute(delete(table).where(*_of(table, user_id, Purpose.UNDO_CHANGE_EMAIL), later))


def extend_undo(
    connection: Connection, tables: AccountTables, user_id: Any, *, email: str, lifetime: timedelta
) -> bool:
    """Extend the undo tokens of an address to this lifetime from now; return whether there are any."""
    table = tables.tokens
    mine = (*_of(table, user_id, Purpose.UNDO_CHANGE_EMAIL), table.c.email_canonical == canonical_email(email))
    extended = connection.execute(update(table).where(*mine).values(expires_at=datetime.now(UTC) + lifetime))
    return extended.rowcount > 0


def is_reserved(connection: Connection, tables: AccountTables, email: str, *, besides: Any = None) -> bool:
    """Return whether an undo token of another user reserves an address."""
    table = tables.tokens
    statement = select(table.c.user_id).where(
        table.c.email_canonical == canonical_email(email),
        table.c.purpose == Purpose.UNDO_CHANGE_EMAIL,
        table.c.expires_at > datetime.now(UTC),
    )
    return any(owner != besides for owner in connection.scalars(statement))


def purge(connection: Connection, tables: AccountTables, *, limit: int = 1000) -> int:
    """Delete at most `limit` expired tokens, and return how many."""
    table = tables.tokens
    expired = select(table.c.hash).where(table.c.expires_at <= datetime.now(UTC)).limit(limit)
    return connection.execute(delete(table).where(table.c.hash.in_(expired))).rowcount


def _digest(purpose: Purpose, token: str) -> str:
    # 256 random bits need no salt and no slow hash. The purpose is hashed too: a token of another purpose is not found.
    return hashlib.sha256(f"{purpose}:{token}".encode()).hexdigest()


def _alive(table: Table, purpose: Purpose, token: str) -> tuple[Any, ...]:
    return (table.c.hash == _digest(purpose, token), table.c.expires_at > datetime.now(UTC))


def _of(table: Table, user_id: Any, purpose: Purpose) -> tuple[Any, ...]:
    return (table.c.user_id == user_id, table.c.purpose == purpose)
