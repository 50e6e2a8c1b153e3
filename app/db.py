"""The connection and the session: one request, one transaction; every transaction begins and ends here."""

import time
from collections.abc import AsyncIterator
from functools import lru_cache
from pathlib import Path
from typing import Any

from sqlalchemy import Connection, create_engine, event
from sqlalchemy.engine.interfaces import DBAPIConnection
from sqlalchemy.exc import InterfaceError, InvalidatePoolError, InvalidRequestError, OperationalError
from sqlalchemy.ext.asyncio import AsyncEngine, async_sessionmaker, create_async_engine
from sqlalchemy.orm import Session as SQLAlchemySession
from sqlalchemy.orm import sessionmaker
from sqlalchemy.pool import AsyncAdaptedQueuePool, ConnectionPoolEntry
from sqlmodel import Session
from sqlmodel.ext.asyncio.session import AsyncSession
from starlette.requests import HTTPConnection

import app.models  # noqa: F401  # Who can open a session has every table registered.
from app.core.settings import Settings, settings
from fastapi_users_sqlmodel.engines import prepare_sqlite, sync_url

ALEMBIC_INI = Path(__file__).parent.parent / "alembic.ini"

SAFE_METHODS = frozenset({"GET", "HEAD", "OPTIONS"})
IDLE_SECONDS_BEFORE_PING = 5

POSTGRESQL_SETTINGS = {
    "statement_timeout": "5s",
    "idle_in_transaction_session_timeout": "10s",
    "lock_timeout": "2s",
    "timezone": "UTC",
}


class ReadOnlySession(Session):
    """A session that holds no transaction: what it flushed would stay, whatever happens later."""


@event.listens_for(ReadOnlySession, "before_flush")
def _refuse_flush(session: SQLAlchemySession, _context: object, _instances: object) -> None:
    if session.new or session.dirty or session.deleted:
        raise InvalidRequestError("a safe method (GET, HEAD, OPTIONS) has no transaction and must not write")


def create_app_engine(settings: Settings) -> AsyncEngine:
    """Create the engine of the service, with the limits that keep one slow request from taking it down."""
    url = settings.database
    if settings.in_memory:
        # One connection, used by one session at a time: that is one shared database.
        options: dict[str, Any] = {"poolclass": AsyncAdaptedQueuePool, "pool_size": 1, "max_overflow": 0}
    elif settings.embedded:
        options = {"pool_size": 15, "max_overflow": 0, "pool_timeout": 3}
    else:
        options = {
            "pool_size": 15,
            "max_overflow": 0,
            "pool_timeout": 3,
            "connect_args": {"server_settings": POSTGRESQL_SETTINGS, "timeout": 3},
        }
    engine = create_async_engine(url, **options)
    prepare_sqlite(engine)
    if not settings.embedded:
        _ping_what_was_idle(engine)
    return engine


def _ping_what_was_idle(engine: AsyncEngine) -> None:
    """Ping a connection before use only if it has been idle for a while: a ping is a round trip on every request."""
    dialect = engine.sync_engine.dialect

    @event.listens_for(engine.sync_engine, "checkin")
    def note(_connection: DBAPIConnection | None, record: ConnectionPoolEntry) -> None:
        record.info["idle_since"] = time.monotonic()

    @event.listens_for(engine.sync_engine, "checkout")
    def ping(connection: DBAPIConnection, record: ConnectionPoolEntry, _proxy: object) -> None:
        if time.monotonic() - record.info.get("idle_since", time.monotonic()) < IDLE_SECONDS_BEFORE_PING:
            return
        try:
            alive = dialect.do_ping(connection)
        except dialect.loaded_dbapi.Error:
            alive = False
        if not alive:
            # The server was restarted: the other connections are as old.
            raise InvalidatePoolError


engine = create_app_engine(settings)
read_engine = engine.execution_options(isolation_level="AUTOCOMMIT")
async_session_maker = async_sessionmaker(engine, class_=AsyncSession, expire_on_commit=False)
read_session_maker = async_sessionmaker(
    read_engine, class_=AsyncSession, sync_session_class=ReadOnlySession, expire_on_commit=False
)


async def get_async_session(connection: HTTPConnection) -> AsyncIterator[AsyncSession]:
    """Hand over the request's session; what it wrote is committed when the endpoint has succeeded, before the answer.

    A safe method holds no transaction, and cannot write.
    """
    if connection.scope.get("method") in SAFE_METHODS:
        async with read_session_maker() as session:
            yield session
        return
    async with async_session_maker() as session:
        # Explicitly begun, so that the library's stores flush and leave the commit to this line below.
        await session.begin()
        yield session
        await session.commit()


async def pause(session: AsyncSession) -> None:
    """Commit and give the connection back before slow work such as hashing; the next statement takes another."""
    if session.in_transaction():
        await session.commit()
    if not isinstance(session.sync_session, ReadOnlySession):
        await session.begin()


@lru_cache
def sync_session_maker() -> sessionmaker[Session]:
    """Return the maker of sync sessions over the same models, for scripts and the command line.

    Raises:
        SystemExit: The database is PostgreSQL and psycopg is not installed, or it is in another process's memory.
    """
    if settings.in_memory:
        raise SystemExit("An in-memory database is the server's alone: start it with `python main.py --sample-data`.")
    try:
        sync_engine = create_engine(sync_url(settings.database))
    except ModuleNotFoundError as error:
        raise SystemExit(
            f"A script needs a synchronous driver for PostgreSQL ({error}): `uv sync --extra psycopg` installs it."
        ) from None
    prepare_sqlite(sync_engine)
    return sessionmaker(sync_engine, class_=Session, expire_on_commit=False)


def alembic_config() -> Any:
    """Return Alembic's configuration; imported here, because a server that is up to date needs no Alembic."""
    from alembic.config import Config

    return Config(ALEMBIC_INI)


def upgrade(connection: Connection) -> None:
    """Bring the database behind the connection to head; nothing happens when it is there already."""
    from alembic import command

    config = alembic_config()
    config.attributes["connection"] = connection
    command.upgrade(config, "head")


def is_at_head(connection: Connection) -> bool:
    """Tell whether the schema is the one that this code was written for."""
    from fastapi_users_sqlmodel.migrations import is_at_head

    return is_at_head(connection, alembic_config())


def explain(error: OSError | OperationalError | InterfaceError) -> str:
    """Say in one sentence why the database cannot be opened, without its password."""
    reason = str(error if isinstance(error, OSError) else error.orig).strip().splitlines()
    url = settings.database.render_as_string(hide_password=True)
    return f"The database {url} cannot be opened: {reason[0] if reason else type(error).__name__}"
