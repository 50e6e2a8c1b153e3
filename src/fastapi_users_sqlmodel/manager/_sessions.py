"""Where one is signed in, and how that ends; and whether who asks has shown the password lately."""

import uuid
from collections.abc import Iterable, Sequence
from datetime import UTC, datetime, timedelta
from typing import Any, Generic

from fastapi.requests import HTTPConnection, Request
from fastapi_users.exceptions import UserNotExists
from fastapi_users.models import ID, UP

from fastapi_users_sqlmodel import tokens
from fastapi_users_sqlmodel.audit import AuditEventKind
from fastapi_users_sqlmodel.exceptions import InvalidCurrentPassword, LoginNotFresh, SessionNotExists
from fastapi_users_sqlmodel.manager._base import CurrentSession
from fastapi_users_sqlmodel.manager._sign_in import SignIns
from fastapi_users_sqlmodel.sessions import _rows
from fastapi_users_sqlmodel.sessions._rows import SessionInfo
from fastapi_users_sqlmodel.tokens import Purpose


class SignedIn(SignIns[UP, ID], Generic[UP, ID]):
    """What a person may know and do about the own sessions."""

    async def list_sessions(self, user: UP) -> Sequence[SessionInfo]:
        """List where a user is signed in, who was seen last first."""
        return await self.user_db.ask(_rows.listed, user.id)

    async def is_session_alive(self, session_id: uuid.UUID, *, flags: Iterable[str] = ()) -> bool:
        """Tell whether a session lives, and whether its user is active and has these flags, such as `is_superuser`."""
        user_id = await self.user_db.ask(_rows.user_id_of, session_id, flags=("is_active", *flags))
        return user_id is not None and await self.user_db.admits(user_id)

    async def end_session(self, user: UP, session_id: uuid.UUID, request: Request | None = None) -> None:
        """End one of a user's sessions.

        Raises:
            SessionNotExists: There is none that lives.
        """
        async with self.user_db.transaction():
            if not await self.user_db.ask(_rows.end, session_id, user.id):
                raise SessionNotExists
            await self._record(AuditEventKind.END_SESSION, request, user_id=user.id)

    async def end_other_sessions(self, user: UP, request: Request | None = None) -> None:
        """End all of a user's sessions but the one of this request."""
        async with self.user_db.transaction():
            if await self._end_other_sessions(user.id):
                await self._record(AuditEventKind.END_SESSION, request, user_id=user.id)

    async def end_current_session(self, user: UP) -> None:
        """End the session of this request; commits on a plain session.

        Raises:
            SessionNotExists: It has none, or somebody else ended it.
        """
        session_id = self._own_session_id(user.id)
        async with self.user_db.transaction():
            if session_id is None or not await self.user_db.ask(_rows.end, session_id, user.id):
                raise SessionNotExists

    async def require_unchanged(self, user: UP, known_hash: str) -> None:
        """Require that an account is as it was when a strategy without sessions wrote a token for it.

        Our sessions begin while the user is locked. Another strategy's token may have been written after a reset or a
        deactivation had ended all tokens: those in the database are ended again, and nobody gets it.

        Raises:
            UserNotExists: The user was deleted or deactivated meanwhile, or another password holds.
        """
        user_id = user.id
        now = await self.user_db.reread(user_id)
        if now is None or not now.is_active or now.hashed_password != known_hash:
            async with self.user_db.transaction():
                await self._end_sessions(user_id)
            raise UserNotExists

    async def reauthenticate(self, user: UP, current_password: str, request: Request | None = None) -> None:
        """Prove again, in the session of this request, who one is.

        Raises:
            InvalidCurrentPassword: The password is another one, or has been changed meanwhile.
            SessionNotExists: There is no such session, or not any more.
            TooManyRequests: Too many have failed lately.
            HashingQueueFullError: Too many wait already.
        """
        session_id, known_hash = self._own_session_id(user.id), user.hashed_password
        if session_id is None:
            raise SessionNotExists
        await self._require_current_password(user, current_password, request)
        async with self.user_db.transaction():
            locked = await self.user_db.lock(user.id)
            if locked is None:
                raise UserNotExists
            if locked.hashed_password != known_hash:
                raise InvalidCurrentPassword
            if not await self.user_db.ask(_rows.prove, session_id):
                raise SessionNotExists
            await self._record(AuditEventKind.REAUTHENTICATE, request, user_id=user.id)

    async def issue_websocket_ticket(self, user: UP) -> str:
        """Return a ticket that opens one WebSocket, in the session of this request, for as long as that lives.

        It is good for `websocket_ticket_lifetime_seconds`. Commits on a plain session.

        Raises:
            SessionNotExists: The request has no session.
            UserNotExists: The user was deleted or deactivated meanwhile.
        """
        session_id = self._own_session_id(user.id)
        if session_id is None:
            raise SessionNotExists
        async with self.user_db.transaction():
            locked = await self.user_db.lock(user.id)
            if locked is None or not locked.is_active:
                raise UserNotExists
            lifetime = timedelta(seconds=self.websocket_ticket_lifetime_seconds)
            return await self._issue(Purpose.WEBSOCKET, locked.id, locked.email, lifetime)

    async def use_websocket_ticket(self, ticket: str) -> UP | None:
        """Use a ticket up, and return its user if the session that asked for it lives; None if not.

        The manager knows the session from then on. Commits on a plain session.
        """
        async with self.user_db.transaction():
            session_id = await self.user_db.ask(tokens.use_ticket, ticket)
        if session_id is None:
            return None
        found = await self.user_db.get_by_session(session_id, datetime.now(UTC))
        if found is None or not found[0].is_active:
            return None
        user, session = found
        self.current_session = CurrentSession(session.id, user.id, session.proved_at)
        return user

    def require_fresh_login(self, within: timedelta | None = None) -> None:
        """Require that the password was proved so lately in the session of this request; else `fresh_login_within`.

        Raises:
            LoginNotFresh: It was not, or there is no session that would know.
        """
        current = self.current_session
        if current is None or datetime.now(UTC) - current.proved_at >= (within or self.fresh_login_within):
            raise LoginNotFresh

    async def record_replayed_refresh_token(self, user_id: Any, connection: HTTPConnection | None) -> None:
        """Record that a refresh token came a second time, which has ended its session."""
        async with self.user_db.transaction():
            await self._record(AuditEventKind.REFRESH_TOKEN_REPLAYED, connection, user_id=user_id)
