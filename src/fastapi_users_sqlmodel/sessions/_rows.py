"""Begin, use, refresh and end sessions in the database; rows hold no credentials."""

import secrets
import uuid
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from enum import StrEnum
from functools import lru_cache
from typing import Any

from sqlalchemy import Connection, Row, Select, Update, bindparam, delete, insert, select, update

from fastapi_users_sqlmodel.sessions._tokens import Keys, RefreshToken, new_secret, successors
from fastapi_users_sqlmodel.tables._accounts import AccountTables

# In this time after a rotation, the same refresh token gets the same successor again: its response may be lost.
SAME_AGAIN_FOR = timedelta(seconds=10)
_RECORDED_EVERY = timedelta(minutes=5)
_SHORTEST = timedelta(seconds=1)
# The present time plus this has to be a time.
_LONGEST = timedelta(days=3650)
# Of one user, at the same time.
AT_MOST = 100


class SessionTransport(StrEnum):
    """The transport of the tokens of a session."""

    BEARER = "bearer"
    COOKIE = "cookie"


@dataclass(frozen=True, slots=True)
class SessionLifetimes:
    """How long tokens and sessions live.

    Args:
        access_token: How long an access token is good; never longer than its session.
        refresh_token: How long a session can live at all, however often it is refreshed.
        idle: How long an unused session lives.

    Raises:
        ValueError: One is shorter than a second, longer than ten years, or longer than `refresh_token`.
        TypeError: One is no timedelta.
    """

    access_token: timedelta = timedelta(hours=1)
    refresh_token: timedelta = timedelta(days=30)
    idle: timedelta = timedelta(days=14)

    def __post_init__(self) -> None:
        """Refuse what no session can have."""
        for name in ("refresh_token", "access_token", "idle"):
            value = getattr(self, name)
            if not isinstance(value, timedelta):
                raise TypeError(f"SessionLifetimes({name}={value!r}): give a timedelta")
            if not _SHORTEST <= value <= _LONGEST:
                raise ValueError(f"SessionLifetimes({name}={value}): give at least a second and at most ten years")
            if value > self.refresh_token:
                raise ValueError(
                    f"SessionLifetimes({name}={value}) is longer than refresh_token={self.refresh_token}, after which "
                    f"every session ends: give {name} at most that, or a longer refresh_token"
                )

    @property
    def recorded_every(self) -> timedelta:
        """How often a use is recorded, at most: a read stays a read."""
        return min(_RECORDED_EVERY, self.idle / 2)


@dataclass(frozen=True, slots=True)
class Client:
    """The address and the user agent of a client, as it sends them."""

    ip_address: str | None = None
    user_agent: str | None = None


@dataclass(frozen=True, slots=True)
class SessionInfo:
    """A session, as its user sees it."""

    id: uuid.UUID
    created_at: datetime
    last_seen_at: datetime
    ip_address: str | None
    user_agent: str | None


@dataclass(frozen=True, slots=True)
class LiveSession:
    """The columns of a session that a request reads, by their names."""

    id: uuid.UUID
    user_id: Any
    transport: str
    last_seen_at: datetime
    expires_at: datetime
    proved_at: datetime
    secret_hash: str


@dataclass(frozen=True, slots=True)
class Refreshed:
    """The result of a refresh: the child of the token, or None; then the token may have been replayed."""

    user_id: Any = None
    child: RefreshToken | None = None
    expires_at: datetime | None = None
    is_replay: bool = False


_DEAD = Refreshed()


def begin(  # noqa: PLR0913  # Each is a fact about the session
    connection: Connection,
    tables: AccountTables,
    user_id: Any,
    *,
    session_id: uuid.UUID,
    transport: SessionTransport,
    secret_hash: str,
    lifetimes: SessionLifetimes,
    client: Client,
) -> datetime:
    """Begin a session of a user who has just proved the password; return the latest time at which it ends.

    Of the sessions of a user, the hundred that were used last stay.
    """
    table, now = tables.sessions, datetime.now(UTC)
    expires_at = now + lifetimes.refresh_token
    connection.execute(
        insert(table).values(
            id=session_id,
            user_id=user_id,
            transport=transport,
            method="password",
            created_at=now,
            last_seen_at=now,
            idle_expires_at=min(now + lifetimes.idle, expires_at),
            expires_at=expires_at,
            proved_at=now,
            ip_address=client.ip_address,
            user_agent=client.user_agent,
            secret_hash=secret_hash,
            generation=0,
        )
    )
    mine = table.c.user_id == user_id
    newest = select(table.c.id).where(mine).order_by(table.c.last_seen_at.desc(), table.c.id).limit(AT_MOST)
    connection.execute(delete(table).where(mine, table.c.id != session_id, table.c.id.not_in(newest)))
    return expires_at


def touch(
    connection: Connection, tables: AccountTables, session_id: uuid.UUID, expires_at: datetime, idle: timedelta
) -> None:
    """Record that a session is used, so that it lives on."""
    now = datetime.now(UTC)
    connection.execute(
        update(tables.sessions)
        .where(tables.sessions.c.id == session_id)
        .values(last_seen_at=now, idle_expires_at=min(now + idle, expires_at))
    )


def rotate(
    connection: Connection, tables: AccountTables, keys: Keys, token: RefreshToken, lifetimes: SessionLifetimes
) -> Refreshed:
    """Use a refresh token and return its child; a moment later, the same token gets the same child.

    A token that was used earlier ends the session (RFC 9700, 4.14.2): one of its two users is a thief.
    """
    live = {"session_id": token.session_id, "now": datetime.now(UTC)}
    row = connection.execute(_locked(tables), live).one_or_none()
    if row is None or row.transport != SessionTransport.BEARER:
        return _DEAD
    if _is_present(row, keys, token):
        return Refreshed(row.user_id, _next(connection, tables, keys, token, row, lifetimes), row.expires_at)
    if _is_just_rotated(row, keys, token):
        child = _same_again(row, keys, token)
        return Refreshed(row.user_id, child, row.expires_at) if child is not None else _DEAD
    end(connection, tables, token.session_id, row.user_id)
    return Refreshed(row.user_id, is_replay=True)


# These statements are built once, so that SQLAlchemy finds them in its cache.
@lru_cache(maxsize=32)
def _locked(tables: AccountTables) -> Select[Any]:
    table, user = tables.sessions, tables.user_columns
    lives = (table.c.id == bindparam("session_id"), table.c.idle_expires_at > bindparam("now"), user["is_active"])
    # Only the session is locked: changes of an account lock the user first, and then the sessions.
    return select(table).join(tables.users, user["id"] == table.c.user_id).where(*lives).with_for_update(of=table)


@lru_cache(maxsize=32)
def _rotation(tables: AccountTables) -> Update:
    return update(tables.sessions).where(tables.sessions.c.id == bindparam("session_id"))


def _is_present(row: Row[Any], keys: Keys, token: RefreshToken) -> bool:
    return row.generation == token.generation and keys.knows(row.secret_hash, "refresh", token.secret)


def _next(  # noqa: PLR0913, PLR0917  # A session, its token, and how long both live
    connection: Connection,
    tables: AccountTables,
    keys: Keys,
    token: RefreshToken,
    row: Row[Any],
    lifetimes: SessionLifetimes,
) -> RefreshToken:
    now, nonce = datetime.now(UTC), secrets.token_bytes(32)
    child = successors(keys, token, nonce)[0]
    rotated = {
        "secret_hash": keys.digests("refresh", child.secret)[0].hex(),
        "previous_hash": row.secret_hash,
        "nonce": nonce.hex(),
        "generation": child.generation,
        "rotated_at": now,
        "last_seen_at": now,
        "idle_expires_at": min(now + lifetimes.idle, row.expires_at),
    }
    connection.execute(_rotation(tables), {**rotated, "session_id": token.session_id})
    return child


def _is_just_rotated(row: Row[Any], keys: Keys, token: RefreshToken) -> bool:
    """Return whether a token was used for the first time just now, and its child not yet."""
    # Had the child been used, the generation would be another one.
    is_predecessor = row.generation == token.generation + 1 and keys.knows(row.previous_hash, "refresh", token.secret)
    return is_predecessor and datetime.now(UTC) - row.rotated_at < SAME_AGAIN_FOR


def _same_again(row: Row[Any], keys: Keys, token: RefreshToken) -> RefreshToken | None:
    """Return the child again; None if it was made with a newer key, which another process knows already."""
    children = successors(keys, token, bytes.fromhex(row.nonce))
    return next((one for one in children if keys.knows(row.secret_hash, "refresh", one.secret)), None)


def prove(connection: Connection, tables: AccountTables, session_id: uuid.UUID) -> bool:
    """Record that the password was right again just now; False if the session is over."""
    statement = update(tables.sessions).where(tables.sessions.c.id == session_id).values(proved_at=datetime.now(UTC))
    return connection.execute(statement).rowcount == 1


def end(connection: Connection, tables: AccountTables, session_id: uuid.UUID, user_id: Any) -> bool:
    """End one session of a user; False if there is none that lives."""
    table = tables.sessions
    mine = (table.c.id == session_id, table.c.user_id == user_id)
    ended = connection.execute(delete(table).where(*mine).returning(table.c.idle_expires_at)).scalars().all()
    return any(expires_at > datetime.now(UTC) for expires_at in ended)


def leave(connection: Connection, tables: AccountTables, keys: Keys, session_id: uuid.UUID, secret: bytes) -> None:
    """End a session if this is the secret of its cookie."""
    table = tables.sessions
    stored = connection.scalar(select(table.c.secret_hash).where(table.c.id == session_id))
    if keys.knows(stored, "cookie", secret):
        connection.execute(delete(table).where(table.c.id == session_id))


def end_all(connection: Connection, tables: AccountTables, user_id: Any, *, besides: uuid.UUID | None = None) -> int:
    """End a user's sessions, all or all but one, and return how many they were."""
    table = tables.sessions
    others = [table.c.id != besides] if besides is not None else []
    return connection.execute(delete(table).where(table.c.user_id == user_id, *others)).rowcount


def listed(connection: Connection, tables: AccountTables, user_id: Any) -> Sequence[SessionInfo]:
    """List the live sessions of a user, the last used one first."""
    table = tables.sessions
    columns = (table.c.id, table.c.created_at, table.c.last_seen_at, table.c.ip_address, table.c.user_agent)
    mine = (table.c.user_id == user_id, table.c.idle_expires_at > datetime.now(UTC))
    newest = select(*columns).where(*mine).order_by(table.c.last_seen_at.desc(), table.c.id)
    return [SessionInfo(*row) for row in connection.execute(newest)]


def user_id_of(
    connection: Connection, tables: AccountTables, session_id: uuid.UUID, *, flags: Sequence[str] = ("is_active",)
) -> Any | None:
    """Return the id of the user of a session that lives, if the user has these flags; else None."""
    table, user = tables.sessions, tables.user_columns
    alive = (table.c.id == session_id, table.c.idle_expires_at > datetime.now(UTC), *(user[name] for name in flags))
    return connection.scalar(select(table.c.user_id).join(tables.users, user["id"] == table.c.user_id).where(*alive))


def purge(connection: Connection, tables: AccountTables, *, limit: int = 1000) -> int:
    """Delete at most `limit` expired sessions, and return how many."""
    table = tables.sessions
    expired = select(table.c.id).where(table.c.idle_expires_at <= datetime.now(UTC)).limit(limit)
    return connection.execute(delete(table).where(table.c.id.in_(expired))).rowcount


def make_secret(keys: Keys, purpose: str) -> tuple[bytes, str]:
    """Make a secret, and its hash for the row."""
    secret = new_secret()
    return secret, keys.digests(purpose, secret)[0].hex()
