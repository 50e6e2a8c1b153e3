"""Open a database: which driver a URL means, and SQLite so that it keeps what it was told."""

import logging
import sqlite3
from typing import Any

from sqlalchemy import Connection, Engine, event
from sqlalchemy.engine import URL, make_url
from sqlalchemy.engine.interfaces import DBAPIConnection
from sqlalchemy.ext.asyncio import AsyncEngine
from sqlalchemy.pool import ConnectionPoolEntry, PoolResetState

from fastapi_users_sqlmodel import _libpq

_ASYNC_DRIVERS = {"sqlite": "sqlite+aiosqlite", "postgresql": "postgresql+asyncpg", "postgres": "postgresql+asyncpg"}
_SYNC_DRIVERS = {"sqlite": "sqlite", "postgresql": "postgresql+psycopg", "postgres": "postgresql+psycopg"}

# An execution option for SQLite: no transaction is begun.
NO_BEGIN = "fastapi_users_sqlmodel_no_begin"


def async_url(url: str | URL) -> URL:
    """Give a URL its async driver: aiosqlite or asyncpg; any other database keeps the one it names.

    The options in a URL of PostgreSQL are libpq's, as every provider writes them. Those that asyncpg has too are
    translated. All others, such as `channel_binding`, Prisma's `schema` or a misspelt one, are left out, and a warning
    in the log names them. The last value of an option that is given twice counts.

    Raises:
        sqlalchemy.exc.ArgumentError: It is no URL.
    """
    found = _with_driver(url, _ASYNC_DRIVERS)
    return _libpq.for_asyncpg(found) if found.drivername == "postgresql+asyncpg" else found


def sync_url(url: str | URL) -> URL:
    """Give a URL its sync driver: the standard library's sqlite3 or psycopg 3, with libpq's options.

    Raises:
        sqlalchemy.exc.ArgumentError: It is no URL.
    """
    found = _with_driver(url, _SYNC_DRIVERS)
    return _libpq.for_psycopg(found) if found.drivername == "postgresql+psycopg" else found


def _with_driver(url: str | URL, drivers: dict[str, str]) -> URL:
    parsed = make_url(url)
    backend = parsed.drivername.partition("+")[0]
    return parsed.set(drivername=drivers.get(backend, parsed.drivername))


def is_in_memory(url: URL) -> bool:
    """Tell whether the URL means a SQLite database that lives in one connection."""
    return url.get_backend_name() == "sqlite" and url.database in {None, "", ":memory:"}


def prepare_sqlite(engine: Engine | AsyncEngine) -> None:
    """Make a new engine's SQLite connections keep foreign keys, transactions and savepoints; leave others alone.

    Foreign keys are enforced; a transaction takes the write lock at once (`BEGIN IMMEDIATE`), because one that reads
    first and writes later fails when somebody else wrote meanwhile; who waits for the lock waits up to 5 s. Files are
    in WAL mode with `synchronous=NORMAL`: readers are never blocked, and a power cut loses no consistency, at worst the
    last commits. Connections in AUTOCOMMIT take no lock. What `hide_parameters` keeps out of the log stays out of it.
    """
    sync_engine = engine.sync_engine if isinstance(engine, AsyncEngine) else engine
    if sync_engine.dialect.name == "sqlite":
        event.listen(sync_engine, "connect", _on_connect)
        event.listen(sync_engine, "begin", _on_begin)
        event.listen(sync_engine, "reset", _on_reset)
        if sync_engine.hide_parameters:
            # At DEBUG, aiosqlite shows whatever a statement carries, such as the hash of a password.
            logging.getLogger("aiosqlite").setLevel(logging.INFO)


def autocommit_options(engine: Engine) -> dict[str, Any]:
    """Return the execution options with which connections of an engine begin no transaction.

    SQLite's engine has to be one that `prepare_sqlite` has prepared.
    """
    # On SQLite, the isolation level would be set and reset for each connection, in the connection's thread.
    return {NO_BEGIN: True} if engine.dialect.name == "sqlite" else {"isolation_level": "AUTOCOMMIT"}


def _on_connect(connection: DBAPIConnection, _record: ConnectionPoolEntry) -> None:
    # The driver shall not begin or commit by itself.
    connection.isolation_level = None
    cursor: Any = connection.cursor()
    cursor.execute("PRAGMA foreign_keys = ON")
    cursor.execute("PRAGMA busy_timeout = 5000")
    _use_wal(cursor)
    cursor.execute("PRAGMA synchronous = NORMAL")
    cursor.close()


def _use_wal(cursor: Any) -> None:
    """Switch the file to WAL, once for its whole life.

    Of several connections that do so at the same moment, SQLite refuses some at once, whatever their busy_timeout.
    Taking the write lock waits as it should; afterwards somebody else has switched, or nobody is in the way.
    """
    for _ in range(10):
        try:
            cursor.execute("PRAGMA journal_mode = WAL")
        except sqlite3.OperationalError:
            cursor.execute("BEGIN IMMEDIATE")
            cursor.execute("COMMIT")
        else:
            return
    cursor.execute("PRAGMA journal_mode = WAL")


def _on_begin(connection: Connection) -> None:
    options = connection.get_execution_options()
    if options.get("isolation_level") != "AUTOCOMMIT" and NO_BEGIN not in options:
        connection.exec_driver_sql("BEGIN IMMEDIATE")


def _on_reset(connection: DBAPIConnection, _record: ConnectionPoolEntry, state: PoolResetState) -> None:
    # A COMMIT that fails leaves its transaction open, and with it the write lock; SQLAlchemy takes it for ended.
    driver_connection: Any = getattr(connection, "driver_connection", connection)
    if state.transaction_was_reset and state.asyncio_safe and driver_connection.in_transaction:
        connection.rollback()
