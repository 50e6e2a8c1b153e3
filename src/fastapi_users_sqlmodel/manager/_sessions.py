"""The sessions of a user: list and end them, prove the password again, and open WebSockets."""

import uuid
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

from fastapi.requests import HTTPConnection, Request
from fastapi_users.exceptions import UserNotExists
from fastapi_users.models import ID, UP

from fastapi_users_sqlmodel import tokens
from fastapi_users_sqlmodel.audit import AuditEventKind
from fastapi_users_sqlmodel.exceptions import InvalidCurrentPassword, LoginNotFresh, SessionNotExists
from fastapi_users_sqlmodel.manager import _work as work
from fastapi_users_sqlmodel.manager._signing_in import require_current_password
from fastapi_users_sqlmodel.sessions import _rows
from fastapi_users_sqlmodel.sessions._rows import SessionInfo
from fastapi_users_sqlmodel.tokens import Purpose

if TYPE_CHECKING:
    from fastapi_users_sqlmodel.manager import BaseUserManager as Manager


@dataclass(frozen=True, slots=True)
class CurrentSession:
    """The session of this request."""

    id: uuid.UUID
    user_id: Any
    # The last time at which its user proved the password.
    proved_at: datetime


@dataclass(frozen=True, slots=True)
class CurrentToken:
    """The token of this request."""

    user_id: Any
    token: str = field(repr=False)


async def list_sessions(manager: "Manager[UP, ID]", user: UP) -> Sequence[SessionInfo]:
    """List the live sessions of a user, the last used one first."""
    return await manager.user_db.ask(_rows.listed, user.id)


async def is_session_alive(manager: "Manager[UP, ID]", session_id: uuid.UUID, *, flags: Iterable[str] = ()) -> bool:
    """Return whether a session lives and its user is active and has these flags, such as `is_superuser`."""
    user_id = await manager.user_db.ask(_rows.user_id_of, session_id, flags=("is_active", *flags))
    return user_id is not None and await manager.user_db.admits(user_id)


async def end_session(
    manager: "Manager[UP, ID]", user: UP, session_id: uuid.UUID, request: Request | None = None
) -> None:
    """End one session of a user.

    Raises:
        SessionNotExists: The user has no such live session.
    """
    async with manager.user_db.transaction():
        if not await manager.user_db.ask(_rows.end, session_id, user.id):
            raise SessionNotExists
        await work.record(manager, AuditEventKind.END_SESSION, request, user_id=user.id)


async def end_other_sessions(manager: "Manager[UP, ID]", user: UP, request: Request | None = None) -> None:
    """End all sessions of a user but the one of this request."""
    async with manager.user_db.transaction():
        if await work.end_others(manager, user.id):
            await work.record(manager, AuditEventKind.END_SESSION, request, user_id=user.id)


async def end_current_session(manager: "Manager[UP, ID]", user: UP) -> None:
    """End the session of this request; commits on a plain session.

    Raises:
        SessionNotExists: The request has no session, or it has ended.
    """
    session_id = work.own_session_id(manager, user.id)
    async with manager.user_db.transaction():
        if session_id is None or not await manager.user_db.ask(_rows.end, session_id, user.id):
            raise SessionNotExists


async def reauthenticate(
    manager: "Manager[UP, ID]", user: UP, current_password: str, request: Request | None = None
) -> None:
    """Verify the password again, and make the session of this request fresh.

    Raises:
        InvalidCurrentPassword: The password is another one, or has been changed meanwhile.
        SessionNotExists: The request has no session, or it has ended.
        TooManyRequests: Too many attempts have failed lately.
        HashingQueueFullError: Too many passwords wait to be hashed.
    """
    session_id, known_hash = work.own_session_id(manager, user.id), user.hashed_password
    if session_id is None:
        raise SessionNotExists
    await require_current_password(manager, user, current_password, request)
    async with manager.user_db.transaction():
        locked = await work.lock_or_raise(manager, user.id)
        if locked.hashed_password != known_hash:
            raise InvalidCurrentPassword
        if not await manager.user_db.ask(_rows.prove, session_id):
            raise SessionNotExists
        await work.record(manager, AuditEventKind.REAUTHENTICATE, request, user_id=user.id)


async def issue_websocket_ticket(manager: "Manager[UP, ID]", user: UP) -> str:
    """Return a ticket that opens one WebSocket in the session of this request.

    The ticket is good for `websocket_ticket_lifetime_seconds`. Commits on a plain session.

    Raises:
        SessionNotExists: The request has no session.
        UserNotExists: The user was deleted or deactivated meanwhile.
    """
    session_id = work.own_session_id(manager, user.id)
    if session_id is None:
        raise SessionNotExists
    async with manager.user_db.transaction():
        locked = await manager.user_db.lock(user.id)
        if locked is None or not locked.is_active:
            raise UserNotExists
        lifetime = timedelta(seconds=manager.websocket_ticket_lifetime_seconds)
        return await work.issue_token(manager, Purpose.WEBSOCKET, locked.id, locked.email, lifetime)


async def use_websocket_ticket(manager: "Manager[UP, ID]", ticket: str) -> UP | None:
    """Use a ticket up, and return its user; None if the ticket is not good or its session has ended.

    Sets `current_session`. Commits on a plain session.
    """
    async with manager.user_db.transaction():
        session_id = await manager.user_db.ask(tokens.use_ticket, ticket)
    if session_id is None:
        return None
    found = await manager.user_db.get_by_session(session_id, datetime.now(UTC))
    if found is None or not found[0].is_active:
        return None
    user, session = found
    manager.current_session = CurrentSession(session.id, user.id, session.proved_at)
    return user


def require_fresh_login(manager: "Manager[UP, ID]", within: timedelta | None = None) -> None:
    """Require that the user has proved the password lately in the session of this request.

    Args:
        manager: The manager of this request.
        within: How long ago at most; by default `fresh_login_within`.

    Raises:
        LoginNotFresh: That is longer ago, or the request has no session.
    """
    current = manager.current_session
    if current is None or datetime.now(UTC) - current.proved_at >= (within or manager.fresh_login_within):
        raise LoginNotFresh


async def record_replayed_refresh_token(
    manager: "Manager[UP, ID]", user_id: Any, connection: HTTPConnection | None
) -> None:
    """Record that a refresh token was used twice, which has ended its session."""
    async with manager.user_db.transaction():
        await work.record(manager, AuditEventKind.REFRESH_TOKEN_REPLAYED, connection, user_id=user_id)
