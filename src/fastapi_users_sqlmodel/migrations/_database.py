"""Open the database that a migration is for, with whatever driver its URL names, or say in a sentence why not."""

import asyncio
import importlib.util
import inspect
from collections.abc import Callable, Coroutine, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from typing import Any

from alembic.util import CommandError
from sqlalchemy import AsyncAdaptedQueuePool, Connection, Engine, NullPool, create_engine
from sqlalchemy.engine import URL, make_url
from sqlalchemy.exc import ArgumentError, DBAPIError, NoSuchModuleError, SQLAlchemyError
from sqlalchemy.ext.asyncio import AsyncEngine, create_async_engine

from fastapi_users_sqlmodel import _libpq

type Work = Callable[[Connection], None]


class DatabaseUnavailableError(CommandError):
    """The database cannot be opened; the message is for the person at the terminal and shows no password."""


def read_url(text: str | URL) -> URL:
    """Parse a database URL and choose the driver where it names none.

    SQLite always goes through the standard library: a migration gains nothing from aiosqlite's threads.

    Raises:
        DatabaseUnavailableError: It is no URL, or it is PostgreSQL's and no driver for that is installed.
    """
    try:
        url = make_url(text)
    except (ArgumentError, ValueError):
        # Neither the text nor SQLAlchemy's message is repeated: both may hold a password.
        raise DatabaseUnavailableError(
            "The database URL cannot be read; it should look like sqlite:///./app.db or postgresql://user@host/name."
        ) from None
    if url.drivername in {"sqlite", "sqlite+aiosqlite"}:
        return url.set(drivername="sqlite")
    if url.drivername in {"postgres", "postgresql"}:
        url = url.set(drivername=f"postgresql+{_postgres_driver()}")
    # The options that providers write into a URL of PostgreSQL are libpq's.
    if url.drivername == "postgresql+asyncpg":
        return _libpq.for_asyncpg(url)
    if url.drivername == "postgresql+psycopg":
        return _libpq.for_psycopg(url)
    return url


def _postgres_driver() -> str:
    for driver in ("asyncpg", "psycopg"):
        if importlib.util.find_spec(driver) is not None:
            return driver
    raise DatabaseUnavailableError("No PostgreSQL driver is installed: install asyncpg or psycopg.")


def on_url(url: URL, work: Work) -> None:
    """Do the work on a new connection that nobody else sees and that is closed afterwards."""
    with _refusals(url):
        is_async = url.get_dialect().is_async
        engine = create_async_engine(url, poolclass=NullPool) if is_async else create_engine(url, poolclass=NullPool)
    if isinstance(engine, AsyncEngine):
        _complete(_on_async_engine(engine, work, url))
    else:
        _on_engine(engine, work, url)


def on_connectable(connectable: Any, work: Work) -> None:
    """Do the work on what a program put into `config.attributes["connection"]`: a connection, or an engine for one.

    Both may be wrapped, as test tools do, as long as the wrapper has the methods of what it wraps.
    """
    is_connection = callable(getattr(connectable, "exec_driver_sql", None))
    is_async = inspect.iscoroutinefunction(getattr(connectable, "exec_driver_sql", None))
    of_async_engine = getattr(connectable, "sync_engine", None)
    if is_connection and not is_async:
        _on_connection(_unwrapped(connectable), work)
    elif isinstance(of_async_engine, Engine) and not is_connection:
        _complete(_on_async_engine(_with_own_pool(of_async_engine), work, of_async_engine.url))
    elif callable(getattr(connectable, "connect", None)) and not is_async:
        _on_engine(connectable, work, connectable.url)
    else:
        raise CommandError(
            f'config.attributes["connection"] is a {type(connectable).__name__}. It must be a synchronous Connection '
            "or an engine, or have their methods; from an AsyncConnection, use run_sync()."
        )


def _on_connection(connection: Connection, work: Work) -> None:
    was_in_transaction = connection.in_transaction()
    try:
        work(connection)
    finally:
        # A transaction that only reading began would be the caller's, and the next command would not commit it.
        if not was_in_transaction and connection.in_transaction():
            connection.rollback()


def _with_own_pool(engine: Engine) -> AsyncEngine:
    """Return an engine that shares no connections with the given one, because they belong to its event loop."""
    pool = engine.pool
    # A static pool is one connection on purpose, such as that of a database in memory.
    if isinstance(pool, AsyncAdaptedQueuePool):
        pool = pool.recreate()
    return AsyncEngine(
        Engine(
            pool,
            engine.dialect,
            engine.url,
            execution_options=engine.get_execution_options(),
            hide_parameters=engine.hide_parameters,
        )
    )


def _unwrapped(connection: Any) -> Connection:
    """Return the connection behind a wrapper that passes attributes on: SQLAlchemy reflects through that one only."""
    while not isinstance(connection, Connection):
        inner = getattr(connection.exec_driver_sql, "__self__", connection)
        if inner is connection:
            break
        connection = inner
    found: Connection = connection
    return found


def _on_engine(engine: Engine, work: Work, url: URL) -> None:
    with _refusals(url):
        opened = engine.connect()
    with opened:
        connection = _unwrapped(opened)
        with _refusals(url):
            prepare(connection)
        work(connection)


async def _on_async_engine(engine: AsyncEngine, work: Work, url: URL) -> None:
    with _refusals(url):
        connection = await engine.connect()
    try:
        with _refusals(url):
            await connection.run_sync(prepare)
        await connection.run_sync(work)
    finally:
        await connection.close()
        if isinstance(engine.sync_engine.pool, AsyncAdaptedQueuePool):
            # Its connections die with this event loop.
            await engine.dispose()


def prepare(connection: Connection) -> None:
    """Set the time-outs of a migration, and on SQLite open the file."""
    if connection.dialect.name == "postgresql":
        # A migration may take long, but it must not queue for a lock for long: everybody else would queue behind it.
        connection.exec_driver_sql("SET lock_timeout = '3s'")
        connection.exec_driver_sql("SET statement_timeout = 0")
    elif connection.dialect.name == "sqlite":
        # SQLite opens a file only when it reads it: now it tells whether that is a database.
        connection.exec_driver_sql("PRAGMA schema_version")
    connection.commit()


def _complete(coroutine: Coroutine[None, None, None]) -> None:
    if not _is_in_event_loop():
        asyncio.run(coroutine)
        return
    # Alembic's commands are synchronous, and a running event loop cannot be entered again.
    with ThreadPoolExecutor(max_workers=1) as executor:
        executor.submit(asyncio.run, coroutine).result()


def _is_in_event_loop() -> bool:
    try:
        asyncio.get_running_loop()
    except RuntimeError:
        return False
    return True


@contextmanager
def _refusals(url: URL) -> Iterator[None]:
    try:
        yield
    except NoSuchModuleError:
        raise DatabaseUnavailableError(f"There is no database or driver of the name {url.drivername!r}.") from None
    except ImportError as error:
        raise DatabaseUnavailableError(
            f"The driver {error.name or url.drivername!r} of the database URL {_shown(url)} is not installed."
        ) from None
    except _errors_of(url) as error:
        cause = error.orig if isinstance(error, DBAPIError) and error.orig is not None else error
        reason = " ".join(str(cause).split()) or type(cause).__name__
        for secret in _secrets(url):
            reason = reason.replace(secret, "***")
        raise DatabaseUnavailableError(f"The database {_shown(url)} cannot be opened: {reason}") from None


def _errors_of(url: URL) -> tuple[type[Exception], ...]:
    # TypeError and ValueError: a driver says so to options in the URL that it does not know.
    errors = (SQLAlchemyError, OSError, TypeError, ValueError)
    if url.drivername != "postgresql+asyncpg" or importlib.util.find_spec("asyncpg") is None:
        return errors
    # SQLAlchemy leaves asyncpg's errors as they are while it connects; the import waits until they are asked for,
    # because asyncpg may not be installed.
    import asyncpg  # type: ignore[import-untyped]  # it has no stubs

    return *errors, asyncpg.PostgresError, asyncpg.InterfaceError


def _shown(url: URL) -> str:
    return url.set(query={}).render_as_string(hide_password=True)


def _secrets(url: URL) -> list[str]:
    in_query = [value for values in url.normalized_query.values() for value in values]
    return [secret for secret in (url.password, *in_query) if secret]
