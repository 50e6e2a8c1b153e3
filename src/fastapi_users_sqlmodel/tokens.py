"""Tokens that are good for one purpose and once, by mail or for a WebSocket: random, a hash at rest."""

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

# NIST SP 800-63B, 3.1.3.1, asks for 64 bits of what is sent; 256 cannot be guessed off line either.
_TOKEN_BYTES = 32
_TOKEN_CHARACTERS = 43
_LIVE_AT_ONCE = 3
# All tabs of a browser may reconnect at the same moment, and they share a session.
_TICKETS_AT_ONCE = 50


class Purpose(StrEnum):
    """What a token is good for; it is worthless for anything else."""

    VERIFY = "verify"
    RESET_PASSWORD = "reset_password"
    CHANGE_EMAIL = "change_email"
    UNDO_CHANGE_EMAIL = "undo_change_email"
    WEBSOCKET = "websocket"


# What dies with a change of the password or the e-mail address, and with deactivation; an undo token has to survive
# what a thief does next.
MORTAL = (Purpose.VERIFY, Purpose.RESET_PASSWORD, Purpose.CHANGE_EMAIL, Purpose.WEBSOCKET)


@dataclass(frozen=True, slots=True)
class IssuedToken:
    """A token that lives: whose it is, and which address it is about."""

    user_id: Any
    email: str
    email_canonical: str
    created_at: datetime
    # In which it was asked for, if in any.
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
    """Issue a token; the newest three of a purpose live, and every undo token: a thief would push out the owner's.

    Of tickets for WebSockets, the newest fifty of a session live.

    For nobody (`user_id` is None) the same statements are run and nothing stays, so that time does not tell who has an
    account.
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
    """Find a token that lives, without using it."""
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
    """Use a token up, and those of its kind with it; of several who come at once, the database lets one.

    Who calls has locked the user first, as everybody does who changes one's tokens: nobody waits for each other.
    """
    table = tables.tokens
    used = connection.execute(delete(table).where(*_alive(table, purpose, token)).returning(table.c.user_id)).all()
    if not used:
        return False
    if purpose is not Purpose.UNDO_CHANGE_EMAIL:
        revoke(connection, tables, used[0].user_id, (purpose,))
    return True


def use_ticket(connection: Connection, tables: AccountTables, ticket: str) -> uuid.UUID | None:
    """Use a ticket for a WebSocket up, and return the session that asked for it; None if it is not good.

    The session's other tickets live on. Of several that come with the same one, the database lets one in.
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
    """Revoke the undo tokens of later changes: they lead back to addresses that a thief may have chosen."""
    table = tables.tokens
    later = table.c.created_at >= since
    connection.execute(delete(table).where(*_of(table, user_id, Purpose.UNDO_CHANGE_EMAIL), later))


def extend_undo(
    connection: Connection, tables: AccountTables, user_id: Any, *, email: str, lifetime: timedelta
) -> bool:
    """Let the undo tokens of an address live so long from now on, and return whether there are any."""
    table = tables.tokens
    mine = (*_of(table, user_id, Purpose.UNDO_CHANGE_EMAIL), table.c.email_canonical == canonical_email(email))
    extended = connection.execute(update(table).where(*mine).values(expires_at=datetime.now(UTC) + lifetime))
    return extended.rowcount > 0


def is_reserved(connection: Connection, tables: AccountTables, email: str, *, besides: Any = None) -> bool:
    """Tell whether an address may be claimed back by somebody who has lost it to a change: nobody else takes it."""
    table = tables.tokens
    statement = select(table.c.user_id).where(
        table.c.email_canonical == canonical_email(email),
        table.c.purpose == Purpose.UNDO_CHANGE_EMAIL,
        table.c.expires_at > datetime.now(UTC),
    )
    return any(owner != besides for owner in connection.scalars(statement))


def purge(connection: Connection, tables: AccountTables, *, limit: int = 1000) -> int:
    """Delete so many of the tokens whose time is over, and return how many they were."""
    table = tables.tokens
    expired = select(table.c.hash).where(table.c.expires_at <= datetime.now(UTC)).limit(limit)
    return connection.execute(delete(table).where(table.c.hash.in_(expired))).rowcount


def _digest(purpose: Purpose, token: str) -> str:
    # No salt and no slowness: nobody guesses 256 random bits. The purpose is part of it, so that a token of another
    # one is not even found.
    return hashlib.sha256(f"{purpose}:{token}".encode()).hexdigest()


def _alive(table: Table, purpose: Purpose, token: str) -> tuple[Any, ...]:
    return (table.c.hash == _digest(purpose, token), table.c.expires_at > datetime.now(UTC))


def _of(table: Table, user_id: Any, purpose: Purpose) -> tuple[Any, ...]:
    return (table.c.user_id == user_id, table.c.purpose == purpose)
