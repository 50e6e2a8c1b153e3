"""The connection and the session: one request, one transaction; every transaction begins and ends here."""

import time
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from functools import cache
from pathlib import Path
from typing import Any

from sqlalchemy import Connection, Engine, create_engine, event
from sqlalchemy.engine.interfaces import DBAPIConnection, ExceptionContext
from sqlalchemy.exc import DBAPIError, InvalidatePoolError, OperationalError
from sqlalchemy.ext.asyncio import AsyncEngine, async_sessionmaker, create_async_engine
from sqlalchemy.orm import sessionmaker
from sqlalchemy.pool import AsyncAdaptedQueuePool, ConnectionPoolEntry, NullPool
from sqlalchemy.util.concurrency import in_greenlet
from sqlmodel import Session
from sqlmodel.ext.asyncio.session import AsyncSession
from starlette.requests import HTTPConnection

import app.models  # noqa: F401  # Who can open a session has every table registered.
from app.core.settings import Settings, settings
from fastapi_users_sqlmodel.engines import prepare_sqlite, sync_url
from fastapi_users_sqlmodel.reading import BriefSession, ReadOnlySession, ReadSession, reading, without_greenlets

ALEMBIC_INI = Path(__file__).parent.parent / "alembic.ini"

READ_METHODS = frozenset({"GET", "HEAD"})
IDLE_SECONDS_BEFORE_PING = 5
# Of an ASGI scope: its route is marked with `writes`.
_WRITES = "app.writes"
# For a connection of the pool, and for one to a server that does not answer.
SECONDS_TO_WAIT = 3

# The classes of SQLSTATE (PostgreSQL, appendix A) that say "not now", such as a lock or a statement that took too long.
PASSING = ("08", "40", "53", "55", "57")
# A table is missing: nobody has migrated yet, as `/health/ready` says as well.
NOT_MIGRATED = ("42P01",)

POSTGRESQL_SETTINGS = {
    "statement_timeout": "5s",
    "idle_in_transaction_session_timeout": "10s",
    "lock_timeout": "2s",
    "timezone": "UTC",
}


def create_app_engine(settings: Settings) -> AsyncEngine:
    """Create the engine of the service, with the limits that keep one slow request from taking it down."""
    url = settings.database
    if settings.in_memory:
        # One connection, used by one session at a time: that is one shared database.
        options: dict[str, Any] = {"poolclass": AsyncAdaptedQueuePool, "pool_size": 1, "max_overflow": 0}
    elif settings.embedded:
        options = {"pool_size": 15, "max_overflow": 0, "pool_timeout": SECONDS_TO_WAIT}
    else:
        options = {
            "pool_size": 15,
            "max_overflow": 0,
            "pool_timeout": SECONDS_TO_WAIT,
            "connect_args": {
                "server_settings": POSTGRESQL_SETTINGS,
                "timeout": SECONDS_TO_WAIT,
                "async_creator_fn": _connect,
            },
        }
    if settings.embedded:
        # `without_greenlets` sees to what has begun; a rollback of nothing would be another thread's, after every read.
        options["pool_reset_on_return"] = None
    # What a statement carries, such as the hash of a password, reaches no log.
    # The connection used last comes first: the others hold no memory for reads on SQLite.
    engine = create_async_engine(url, hide_parameters=True, pool_use_lifo=True, **options)
    prepare_sqlite(engine)
    without_greenlets(engine)
    if settings.embedded:
        event.listen(engine.sync_engine, "connect", _cache_less)
    else:
        _ping_what_was_idle(engine)
        event.listen(engine.sync_engine, "handle_error", _as_operational_error)
    return engine


def _cache_less(connection: DBAPIConnection, _record: ConnectionPoolEntry) -> None:
    # 0.25 MiB of pages, and not 2, for each connection of the pool: the system has them in its memory as well.
    cursor = connection.cursor()
    cursor.execute("PRAGMA cache_size = -256")
    cursor.close()


async def _connect(*arguments: Any, **options: Any) -> Any:
    """Connect to PostgreSQL; SQLAlchemy leaves asyncpg's errors as they are here, so they are made one.

    Raises:
        ConnectionError: The server is away or refuses us, or an option in the URL means nothing to asyncpg.
    """
    import asyncpg  # type: ignore[import-untyped]  # It has no stubs, and a service on SQLite does without it

    try:
        return await asyncpg.connect(*arguments, **options)
    except (OSError, TypeError, ValueError, asyncpg.PostgresError, asyncpg.InterfaceError) as error:
        raise ConnectionError(str(error) or type(error).__name__) from error


def _as_operational_error(context: ExceptionContext) -> OperationalError | None:
    """Say it as SQLite and psycopg do if it will pass: asyncpg's dialect has no kind for all but a few errors."""
    error = context.sqlalchemy_exception
    if not isinstance(error, DBAPIError) or error.orig is None:
        return None
    if not (getattr(error.orig, "sqlstate", None) or "").startswith(PASSING + NOT_MIGRATED):
        return None
    return OperationalError(
        error.statement,
        error.params,
        error.orig,
        hide_parameters=True,
        connection_invalidated=error.connection_invalidated,
    )


def _ping_what_was_idle(engine: AsyncEngine) -> None:
    """Ping a connection before use only if it has been idle for a while: a ping is a round trip on every request.

    `fetch` reads without a greenlet, and so without this: it tries again by itself.
    """
    dialect = engine.sync_engine.dialect

    @event.listens_for(engine.sync_engine, "checkin")
    def note(_connection: DBAPIConnection | None, record: ConnectionPoolEntry) -> None:
        record.info["idle_since"] = time.monotonic()

    @event.listens_for(engine.sync_engine, "checkout")
    def ping(connection: DBAPIConnection, record: ConnectionPoolEntry, _proxy: object) -> None:
        idle = time.monotonic() - record.info.get("idle_since", time.monotonic())
        if idle < IDLE_SECONDS_BEFORE_PING or not in_greenlet():
            return
        try:
            alive = dialect.do_ping(connection)
        except dialect.loaded_dbapi.Error:
            alive = False
        if not alive:
            # The server was restarted: the other connections are as old.
            raise InvalidatePoolError


engine = create_app_engine(settings)
read_engine = reading(engine)
async_session_maker = async_sessionmaker(engine, class_=BriefSession, expire_on_commit=False)
read_session_maker = async_sessionmaker(read_engine, class_=ReadSession, expire_on_commit=False)


async def writes(connection: HTTPConnection) -> None:
    """Mark a GET route, or a WebSocket, as writing; use as `dependencies=[Depends(writes)]` of the route or router.

    FastAPI resolves these before the parameters of the endpoint, and so before the session.
    """
    connection.scope[_WRITES] = True


def is_read(connection: HTTPConnection) -> bool:
    """Return whether a request only reads: GET and HEAD, unless its route is marked with `writes`.

    A WebSocket begins with a GET and counts as one: no transaction stays open while it lasts.
    """
    scope = connection.scope
    return scope.get("method", "GET") in READ_METHODS and _WRITES not in scope


async def get_async_session(connection: HTTPConnection) -> AsyncSession:
    """Return the session of a request.

    A request that reads is in autocommit, and a flush raises. Any other request is one transaction, which is committed
    after the endpoint has returned and before the response is sent.
    """
    # FastAPI exits this then. For a generator it would also open a cancel scope, which costs a quarter of a short read.
    stack: AsyncExitStack = connection.scope["fastapi_function_astack"]
    return await stack.enter_async_context(read_session_maker() if is_read(connection) else _transaction())


@asynccontextmanager
async def _transaction() -> AsyncIterator[AsyncSession]:
    async with async_session_maker() as session:
        # Explicitly begun, so that the library's stores flush and leave the commit to this line below; nothing is sent.
        session.sync_session.begin()
        yield session
        if _has_something_to_commit(session):
            await session.commit()


def _has_something_to_commit(session: AsyncSession) -> bool:
    # What the library keeps in a session's `info` waits for the commit.
    return bool(session.info or session.new or session.dirty or session.deleted)


async def pause(session: AsyncSession) -> None:
    """Commit and give the connection back before slow work such as hashing; the next statement takes another."""
    if session.in_transaction():
        await session.commit()
    if not isinstance(session.sync_session, ReadOnlySession):
        await session.begin()


@cache
def sync_engine() -> Engine:
    """Return the sync engine of the same database, for scripts and the command line.

    Raises:
        SystemExit: The database is PostgreSQL and psycopg is not installed, or it is in another process's memory.
    """
    if settings.in_memory:
        raise SystemExit("A database in memory is its server's alone: `python main.py --sample-data` fills its own.")
    try:
        # A script leaves no connection behind, such as one to a file that the server is about to open.
        engine = create_engine(sync_url(settings.database), hide_parameters=True, poolclass=NullPool)
    except ModuleNotFoundError as error:
        raise SystemExit(
            f"A script needs a synchronous driver for PostgreSQL ({error}): `uv sync --extra psycopg` installs it."
        ) from None
    prepare_sqlite(engine)
    return engine


@cache
def sync_session_maker() -> sessionmaker[Session]:
    """Return the maker of sync sessions over the same models; raises as `sync_engine`."""
    return sessionmaker(sync_engine(), class_=Session, expire_on_commit=False)


def alembic_config() -> Any:
    """Return Alembic's configuration; imported here, because a server that is up to date needs no Alembic."""
    from alembic.config import Config

    return Config(ALEMBIC_INI)


def upgrade(connection: Connection) -> None:
    """Bring the database behind the connection to head, and commit; nothing happens when it is there already.

    The connection is in no transaction: SQLite cannot rebuild a table in one that has begun with foreign keys on.
    """
    from alembic import command

    config = alembic_config()
    config.attributes["connection"] = connection
    command.upgrade(config, "head")


def is_at_head(connection: Connection) -> bool:
    """Tell whether the schema is the one that this code was written for."""
    from fastapi_users_sqlmodel.migrations import is_at_head

    return is_at_head(connection, alembic_config())


def explain(error: Exception) -> str:
    """Say in one sentence why the database cannot be used, without its password."""
    cause = error.orig if isinstance(error, DBAPIError) and error.orig is not None else error
    reason = str(cause).strip().splitlines()
    return f"The database {settings.shown_database} cannot be used: {reason[0] if reason else type(cause).__name__}"
