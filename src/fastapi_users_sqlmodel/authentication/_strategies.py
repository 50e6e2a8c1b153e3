"""The strategies of sessions: write, read, refresh and end their tokens."""

import logging
import uuid
from abc import abstractmethod
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, ClassVar, Generic, Self

from fastapi.requests import HTTPConnection
from fastapi_users.authentication import Strategy
from fastapi_users.exceptions import UserNotExists
from fastapi_users.models import ID, UP
from sqlalchemy.exc import DBAPIError

from fastapi_users_sqlmodel.csrf import has_bearer_token
from fastapi_users_sqlmodel.identity import is_storable
from fastapi_users_sqlmodel.manager import BaseUserManager
from fastapi_users_sqlmodel.manager._sessions import CurrentSession
from fastapi_users_sqlmodel.sessions import _rows
from fastapi_users_sqlmodel.sessions._rows import Client, LiveSession, SessionLifetimes, SessionTransport
from fastapi_users_sqlmodel.sessions._tokens import (
    Keys,
    RefreshToken,
    decode_access,
    decode_opaque,
    decode_refresh,
    encode_access,
    encode_opaque,
    encode_refresh,
)
from fastapi_users_sqlmodel.throttling import client_address

_USER_AGENT_LENGTH = 256

_log = logging.getLogger(__name__)


class AccessToken(str):
    """An access token, with what its transport sends beside it."""

    __slots__ = ("expires_in", "refresh_token")

    refresh_token: str
    expires_in: int

    def __new__(cls, token: str, *, refresh_token: str, expires_in: int) -> Self:
        """Make one; `expires_in` is in seconds."""
        made = super().__new__(cls, token)
        made.refresh_token, made.expires_in = refresh_token, expires_in
        return made


class Sessions:
    """The settings of all sessions of an app: keys, issuer and lifetimes.

    Args:
        secret: At least 32 bytes; each kind of token gets a key derived from it.
        previous: Former secrets, whose tokens stay good until they expire.
        issuer: `iss` and `aud` of access tokens; the public URL, for example.
        lifetimes: The lifetimes of tokens and sessions.
    """

    def __init__(
        self,
        secret: str,
        *,
        previous: tuple[str, ...] = (),
        issuer: str = "fastapi-users-sqlmodel",
        lifetimes: SessionLifetimes | None = None,
    ) -> None:
        self.keys = Keys(secret, previous)
        self.issuer = issuer
        self.lifetimes = lifetimes or SessionLifetimes()


@dataclass(frozen=True, slots=True)
class SessionStrategy(Strategy[UP, ID], Generic[UP, ID]):
    """The base of bearer and cookie sessions; a strategy belongs to one request and its manager."""

    sessions: Sessions
    user_manager: BaseUserManager[UP, ID]
    connection: HTTPConnection | None = None

    transport: ClassVar[SessionTransport]

    @abstractmethod
    async def read_token(self, token: str | None, user_manager: Any) -> UP | None:
        """Return the user of a token, if the token and its session are good; sets `current_session` of the manager."""

    async def write_token(self, user: UP) -> str:
        """Begin a session of a user who has just signed in, and return its token.

        Commits on a plain session.

        Raises:
            UserNotExists: The user was deleted or deactivated since, or has another password.
        """
        store, known_hash = self.user_manager.user_db, user.hashed_password
        async with store.transaction():
            locked = await store.lock(user.id)
            if locked is None or not locked.is_active or locked.hashed_password != known_hash:
                raise UserNotExists
            return await self._begin(locked)

    async def destroy_token(self, token: str, user: UP) -> None:  # noqa: ARG002  # FastAPI Users' signature
        """End the session of a token that was read for this request.

        Raises:
            SessionNotExists: It has ended already.
        """
        await self.user_manager.end_current_session(user)

    @abstractmethod
    async def _begin(self, user: UP) -> str: ...

    async def _begin_with(self, user: UP, purpose: str) -> tuple[uuid.UUID, bytes, datetime]:
        session_id = uuid.uuid4()
        secret, secret_hash = _rows.make_secret(self.sessions.keys, purpose)
        expires_at = await self.user_manager.user_db.ask(
            _rows.begin,
            user.id,
            session_id=session_id,
            transport=self.transport,
            secret_hash=secret_hash,
            lifetimes=self.sessions.lifetimes,
            client=_client(self.connection),
        )
        return session_id, secret, expires_at

    async def _read(self, session_id: uuid.UUID, manager: BaseUserManager[UP, ID]) -> tuple[UP, LiveSession] | None:
        """Read session and user with one statement."""
        found = await manager.user_db.get_by_session(session_id, datetime.now(UTC))
        if found is None or not found[0].is_active or found[1].transport != self.transport:
            return None
        return found

    async def _use(self, user: UP, row: LiveSession, manager: BaseUserManager[UP, ID]) -> UP:
        """Set the manager's session, and record the use now and then, if the database can be written."""
        manager.current_session = CurrentSession(row.id, user.id, row.proved_at)
        lifetimes, store = self.sessions.lifetimes, manager.user_db
        if datetime.now(UTC) - row.last_seen_at >= lifetimes.recorded_every:
            try:
                async with store.transaction():
                    await store.ask(_rows.touch, row.id, row.expires_at, lifetimes.idle)
            except DBAPIError as error:
                # The connection cannot write (a replica, a read-only transaction), or waits for a lock. A later request
                # records the use. The message of the error may show values.
                _log.info("The use of a session is not recorded: %s", type(error.orig).__name__)
            # Without delay: while the row is locked, requests that end this session wait.
            await manager.release()
        return user


@dataclass(frozen=True, slots=True)
class BearerSessionStrategy(SessionStrategy[UP, ID], Generic[UP, ID]):
    """An access token (JWT) that every request checks against its session, and a refresh token for the next one."""

    transport: ClassVar[SessionTransport] = SessionTransport.BEARER

    async def read_token(self, token: str | None, user_manager: Any) -> UP | None:
        """Return the user of an access token."""
        access = decode_access(self.sessions.keys, token or "", issuer=self.sessions.issuer)
        found = await self._read(access.session_id, user_manager) if access is not None else None
        if access is None or found is None or str(found[0].id) != access.user_id:
            return None
        return await self._use(*found, user_manager)

    async def refresh(self, token: str) -> AccessToken | None:
        """Return a new pair of tokens for a refresh token; None if it is not good.

        A token that was used before ends its session. That is committed on a plain session. In a transaction that was
        opened explicitly, the caller commits, also if the response is a 401.
        """
        keys, store = self.sessions.keys, self.user_manager.user_db
        if (known := decode_refresh(keys, token)) is None:
            return None
        try:
            async with store.transaction():
                refreshed = await store.ask(_rows.rotate, keys, known, self.sessions.lifetimes)
                if refreshed.is_replay:
                    await self.user_manager.record_replayed_refresh_token(refreshed.user_id, self.connection)
                elif refreshed.child is not None:
                    # Raises, so that the rotation is rolled back: the token stays good where its user is found.
                    await store.require_admitted(refreshed.user_id)
        except UserNotExists:
            return None
        if refreshed.child is None or refreshed.expires_at is None:
            return None
        return self._tokens(str(refreshed.user_id), refreshed.child, refreshed.expires_at)

    async def _begin(self, user: UP) -> str:
        session_id, secret, expires_at = await self._begin_with(user, "refresh")
        return self._tokens(str(user.id), RefreshToken(session_id, 0, secret), expires_at)

    def _tokens(self, user_id: str, refresh: RefreshToken, session_expires_at: datetime) -> AccessToken:
        now, keys = datetime.now(UTC), self.sessions.keys
        expires_at = min(now + self.sessions.lifetimes.access_token, session_expires_at)
        access = encode_access(keys, refresh.session_id, user_id, issuer=self.sessions.issuer, expires_at=expires_at)
        return AccessToken(
            access,
            refresh_token=encode_refresh(keys, refresh),
            expires_in=max(1, round((expires_at - now).total_seconds())),
        )


@dataclass(frozen=True, slots=True)
class CookieSessionStrategy(SessionStrategy[UP, ID], Generic[UP, ID]):
    """An opaque token for a cookie, another one at every login."""

    transport: ClassVar[SessionTransport] = SessionTransport.COOKIE
    cookie_name: str = ""

    async def read_token(self, token: str | None, user_manager: Any) -> UP | None:
        """Return the user of a cookie; None beside a bearer token, with which CSRF was not checked."""
        if self.connection is not None and has_bearer_token(self.connection.headers):
            return None
        opaque = decode_opaque(token or "")
        found = await self._read(opaque[0], user_manager) if opaque is not None else None
        if opaque is None or found is None or not self._is_right(found[1], opaque[1]):
            return None
        return await self._use(*found, user_manager)

    async def _begin(self, user: UP) -> str:
        # ASVS 7.2.4: a new sign-in ends the session that this browser had.
        planted = self.connection.cookies.get(self.cookie_name) if self.connection is not None else None
        if (opaque := decode_opaque(planted or "")) is not None:
            await self.user_manager.user_db.ask(_rows.leave, self.sessions.keys, *opaque)
        session_id, secret, _ = await self._begin_with(user, "cookie")
        return encode_opaque(session_id, secret)

    def _is_right(self, row: LiveSession, secret: bytes) -> bool:
        return self.sessions.keys.knows(row.secret_hash, "cookie", secret)


def _client(connection: HTTPConnection | None) -> Client:
    if connection is None:
        return Client()
    agent = connection.headers.get("user-agent", "")[:_USER_AGENT_LENGTH]
    address = client_address(connection)
    return Client(str(address) if address is not None else None, agent if agent and is_storable(agent) else None)
