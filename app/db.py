"""The engine and the session of a request: a transaction, or autocommit; every transaction begins and ends here."""

import time
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from functools import cache
from pathlib import Path
from typing import Any

from sqlalchemy import Connection, Engine, create_engine, event
from sqlalchemy.engine.interfaces import DBAPIConnection, ExceptionContext
from sqlalchemy.exc import DBAPIError, InterfaceError, InvalidatePoolError, InvalidRequestError, OperationalError
from sqlalchemy.exc import TimeoutError as PoolTimeoutError
from sqlalchemy.ext.asyncio import AsyncEngine, async_sessionmaker, create_async_engine
from sqlalchemy.orm import sessionmaker
from sqlalchemy.pool import AsyncAdaptedQueuePool, ConnectionPoolEntry, NullPool
from sqlalchemy.util.concurrency import in_greenlet
from sqlmodel import Session
from sqlmodel.ext.asyncio.session import AsyncSession
from starlette.requests import HTTPConnection

import app.models  # noqa: F401  # Registers every table before a session is opened.
from app.core.settings import Settings, settings
from fastapi_users_sqlmodel._statements import DirectSession, SyncDirectSession
from fastapi_users_sqlmodel.engines import autocommit_options, prepare_sqlite, sync_url

ALEMBIC_INI = Path(__file__).parent.parent / "alembic.ini"

READ_METHODS = frozenset({"GET", "HEAD"})
IDLE_SECONDS_BEFORE_PING = 5
# A key of the ASGI scope: the mark of the route.
_AUTOCOMMIT = "app.autocommit"
# For a connection of the pool, and for a server that does not answer.
SECONDS_TO_WAIT = 3

# Classes of SQLSTATE (PostgreSQL, appendix A) for statements that may succeed later, such as after a lock or a timeout.
PASSING = ("08", "40", "53", "55", "57")
# A table is missing: the database is not migrated, and `/health/ready` is 503 as well.
NOT_MIGRATED = ("42P01",)
# The errors of a request while the database cannot be used; the answer is 503.
DATABASE_AWAY = (OperationalError, InterfaceError, PoolTimeoutError, ConnectionError)

POSTGRESQL_SETTINGS = {
    "statement_timeout": "5s",
    "idle_in_transaction_session_timeout": "10s",
    "lock_timeout": "2s",
    "timezone": "UTC",
}


def create_app_engine(settings: Settings) -> AsyncEngine:
    """Create the engine of the service, with limits for connections and statements."""
    url = settings.database
    if settings.in_memory:
        # All sessions share one connection, one at a time: a second connection would be a second database.
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
    # Parameters, such as the hash of a password, reach no log.
    # The pool hands out the connection that was used last: the others hold no page cache on SQLite.
    engine = create_async_engine(url, hide_parameters=True, pool_use_lifo=True, **options)
    prepare_sqlite(engine)
    if settings.embedded:
        event.listen(engine.sync_engine, "connect", _cache_less)
    else:
        _ping_what_was_idle(engine)
        event.listen(engine.sync_engine, "handle_error", _as_operational_error)
    return engine


def _cache_less(connection: DBAPIConnection, _record: ConnectionPoolEntry) -> None:
    # 0.25 MiB of pages instead of 2 for each connection: the operating system caches the file as well.
    cursor = connection.cursor()
    cursor.execute("PRAGMA cache_size = -256")
    cursor.close()


async def _connect(*arguments: Any, **options: Any) -> Any:
    """Connect to PostgreSQL; SQLAlchemy does not translate asyncpg's errors here.

    Raises:
        ConnectionError: The server is away or refuses the connection, or asyncpg does not know an option of the URL.
    """
    import asyncpg  # type: ignore[import-untyped]  # It has no stubs, and a service on SQLite does not need it.

    try:
        return await asyncpg.connect(*arguments, **options)
    except Exception as error:
        # asyncpg's errors have no common class, and options that it does not know are a TypeError or a ValueError.
        raise ConnectionError(str(error) or type(error).__name__) from error


def _as_operational_error(context: ExceptionContext) -> OperationalError | None:
    """Return an OperationalError for a lost connection and for what may succeed later; None for any other error.

    An error of the driver that is no answer of the server to a statement, such as asyncpg's InternalClientError, means
    that the connection is lost. SQLAlchemy's dialect has no class of errors for that, and knows some by their text.
    """
    error, orig = context.sqlalchemy_exception, context.original_exception
    is_drivers = isinstance(orig, OSError) or type(orig).__module__.startswith("asyncpg.")
    if isinstance(error, InterfaceError) or (is_drivers and not isinstance(error, DBAPIError)):
        context.is_disconnect = True
    elif not (getattr(orig, "sqlstate", None) or "").startswith(PASSING + NOT_MIGRATED):
        return None
    lost = context.is_disconnect
    return OperationalError(context.statement, None, orig, hide_parameters=True, connection_invalidated=lost)


def _ping_what_was_idle(engine: AsyncEngine) -> None:
    """Ping a connection before use only if it has been idle for a while: a ping is a round trip.

    `fetch` checks connections out without a greenlet, and so without a ping: it repeats a read on a lost connection.
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
        except Exception:  # noqa: BLE001  # The driver's errors have no common class; after any, the connection is closed.
            alive = False
        if not alive:
            # The server was restarted, so the other connections are lost as well.
            raise InvalidatePoolError


class AutocommitSession(SyncDirectSession):
    """A session that begins no transaction, and so does not flush: a part of a flush would stay if the rest failed."""


@event.listens_for(AutocommitSession, "before_flush")
def _refuse_flush(session: Session, _context: object, _instances: object) -> None:
    if session.new or session.dirty or session.deleted:
        raise InvalidRequestError("A route in autocommit must not write; mark a GET that writes with `writes`.")


engine = create_app_engine(settings)
autocommit_engine = engine.execution_options(**autocommit_options(engine.sync_engine))
async_session_maker = async_sessionmaker(engine, class_=DirectSession, expire_on_commit=False)
autocommit_session_maker = async_sessionmaker(
    autocommit_engine, class_=DirectSession, sync_session_class=AutocommitSession, expire_on_commit=False
)


async def writes(connection: HTTPConnection) -> None:
    """Mark the route of a GET or a WebSocket as writing: its session is a transaction.

    Add `dependencies=[Depends(writes)]` to the route or router: FastAPI resolves it before the session.
    """
    connection.scope[_AUTOCOMMIT] = False


async def one_statement(connection: HTTPConnection) -> None:
    """Mark a route whose only write is one statement of `fetch`, in the same way: it needs no BEGIN and no COMMIT."""
    connection.scope[_AUTOCOMMIT] = True


def is_autocommit(connection: HTTPConnection) -> bool:
    """Return whether the session of a request is in autocommit: for GET and HEAD, and where the route is marked.

    A WebSocket counts as the GET that it begins with: no transaction stays open while it lasts.
    """
    scope = connection.scope
    return bool(scope.get(_AUTOCOMMIT, scope.get("method", "GET") in READ_METHODS))


async def get_async_session(connection: HTTPConnection) -> AsyncSession:
    """Return the session of a request.

    It is in autocommit where `is_autocommit` says so, and refuses to flush. Everywhere else it is one transaction,
    which is committed after the endpoint has returned and before the response is sent.
    """
    # FastAPI exits this then. For a generator it would also open a cancel scope, which costs a quarter of a short read.
    stack: AsyncExitStack = connection.scope["fastapi_function_astack"]
    return await stack.enter_async_context(autocommit_session_maker() if is_autocommit(connection) else _transaction())


@asynccontextmanager
async def _transaction() -> AsyncIterator[AsyncSession]:
    async with async_session_maker() as session:
        # In a transaction that was begun explicitly, the library's stores flush and do not commit. It sends no BEGIN.
        session.sync_session.begin()
        yield session
        if _has_something_to_commit(session):
            await session.commit()


def _has_something_to_commit(session: AsyncSession) -> bool:
    # The library keeps hooks that wait for the commit in the session's `info`.
    return bool(session.info or session.new or session.dirty or session.deleted)


async def pause(session: AsyncSession) -> None:
    """Commit and return the connection to the pool before slow work such as hashing."""
    if session.in_transaction():
        await session.commit()
    if not isinstance(session.sync_session, AutocommitSession):
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
    """Upgrade the database of a connection to head, and commit.

    The connection must not be in a transaction: in one with foreign keys on, SQLite cannot rebuild a table.
    """
    from alembic import command

    config = alembic_config()
    config.attributes["connection"] = connection
    command.upgrade(config, "head")


def is_at_head(connection: Connection) -> bool:
    """Return whether the schema is at the head of the migrations."""
    from fastapi_users_sqlmodel.migrations import is_at_head

    return is_at_head(connection, alembic_config())


def explain(error: Exception) -> str:
    """Return a sentence for people: which database cannot be used, and why. It has no password in it."""
    cause = error.orig if isinstance(error, DBAPIError) and error.orig is not None else error
    reason = str(cause).strip().splitlines()
    return f"The database {settings.shown_database} cannot be used: {reason[0] if reason else type(cause).__name__}"
