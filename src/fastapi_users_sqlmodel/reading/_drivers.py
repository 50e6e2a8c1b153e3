"""The drivers that are asked directly, on a connection of SQLAlchemy's pool."""

import sqlite3
import time
from collections.abc import Sequence
from itertools import chain, repeat
from typing import Any, Protocol

from sqlalchemy import Dialect
from sqlalchemy.pool import PoolProxiedConnection

from fastapi_users_sqlmodel.engines import IN_EVERY_THREAD

type Rows = Sequence[Sequence[Any]]


class Driver(Protocol):
    """How to ask a driver.

    Attributes:
        failures: Whatever it may raise.
    """

    failures: tuple[type[Exception], ...]

    def __init__(self, dialect: Dialect) -> None: ...

    async def fetch(
        self, connection: PoolProxiedConnection, sql: str, parameters: Sequence[Any], *, reads: bool
    ) -> Rows:
        """Run a statement by itself, and return its rows."""

    def is_as_before(self, connection: PoolProxiedConnection, error: BaseException) -> bool:
        """Tell whether an error was about the statement alone, and the connection can be used by the next."""


class Asyncpg:
    """For PostgreSQL."""

    def __init__(self, dialect: Dialect) -> None:
        dbapi: Any = dialect.loaded_dbapi
        self._refusal: type[Exception] = dbapi.asyncpg.PostgresError
        interface_error: type[Exception] = dbapi.asyncpg.InterfaceError
        self.failures: tuple[type[Exception], ...] = (dbapi.Error, self._refusal, interface_error, OSError)

    async def fetch(
        self, connection: PoolProxiedConnection, sql: str, parameters: Sequence[Any], *, reads: bool
    ) -> Rows:
        """Run a statement by itself, and return its rows."""
        del reads
        driver: Any = connection.driver_connection
        rows: Rows = await driver.fetch(sql, *parameters)
        return rows

    def is_as_before(self, connection: PoolProxiedConnection, error: BaseException) -> bool:
        """Tell whether an error was about the statement alone, and the connection can be used by the next."""
        driver: Any = connection.driver_connection
        return isinstance(error, self._refusal) and not driver.is_closed() and not _state(error).startswith(_GONE)


class Aiosqlite:
    """For SQLite. A short read is done in the event loop's own thread.

    To ask another thread takes longer than most reads do. It waits for nobody there, and is stopped after a while: then
    the connection's thread does it. So it does for a second after a statement that has taken long in few steps, such as
    a count of everything, and twice as long each time that it does so again, up to a minute. Most often it was the
    machine that was busy, or a page that was not in memory.
    """

    def __init__(self, dialect: Dialect) -> None:
        dbapi: Any = dialect.loaded_dbapi
        self._refusal: type[Exception] = dbapi.sqlite.Error
        # The last one is what aiosqlite says when its connection is closed.
        self.failures: tuple[type[Exception], ...] = (dbapi.Error, self._refusal, ValueError)
        self._elsewhere_until = 0.0
        self._elsewhere_for = _ELSEWHERE_AT_FIRST

    async def fetch(
        self, connection: PoolProxiedConnection, sql: str, parameters: Sequence[Any], *, reads: bool
    ) -> Rows:
        """Run a statement by itself, and return its rows."""
        rows: Rows
        driver: Any = connection.driver_connection
        now = time.monotonic()
        if reads and IN_EVERY_THREAD in connection.info and now >= self._elsewhere_until:
            try:
                # SQLAlchemy asks for it, too.
                rows = _fetch_here(driver._conn, sql, parameters)  # noqa: SLF001
            except self._refusal as error:
                if not _sqlite_name(error).startswith((*_SQLITE_WAITED, _SQLITE_STOPPED)):
                    raise
            else:
                if time.monotonic() - now <= _LONG:
                    self._elsewhere_for = _ELSEWHERE_AT_FIRST
                else:
                    self._elsewhere_until = now + self._elsewhere_for
                    self._elsewhere_for = min(2 * self._elsewhere_for, _ELSEWHERE_AT_MOST)
                return rows
        rows = await driver.execute_fetchall(sql, parameters)
        return rows

    def is_as_before(self, connection: PoolProxiedConnection, error: BaseException) -> bool:
        """Tell whether an error was about the statement alone, and the connection can be used by the next."""
        del connection
        return isinstance(error, self._refusal)


def _fetch_here(sqlite: sqlite3.Connection, sql: str, parameters: Sequence[Any]) -> Rows:
    patience = sqlite.execute("PRAGMA busy_timeout").fetchone()[0]
    sqlite.execute("PRAGMA busy_timeout = 0")
    # SQLite counts on from one run of a statement to the next: the first part may be a short one.
    sqlite.set_progress_handler(chain(repeat(0, _PARTS), repeat(1)).__next__, _STEPS // _PARTS)
    try:
        return sqlite.execute(sql, parameters).fetchall()
    finally:
        sqlite.set_progress_handler(None, 0)
        sqlite.execute(f"PRAGMA busy_timeout = {patience}")


def has_waited(error: BaseException) -> bool:
    """Tell whether a statement has taken as long as it may."""
    return _state(error) == _QUERY_CANCELED or _sqlite_name(error).startswith(_SQLITE_WAITED)


def is_refused(error: BaseException) -> bool:
    """Tell whether a constraint has refused a statement, so that nothing has happened."""
    return _state(error).startswith(_INTEGRITY) or isinstance(error, sqlite3.IntegrityError)


def _state(error: BaseException) -> str:
    return getattr(error, "sqlstate", None) or ""


def _sqlite_name(error: BaseException) -> str:
    return getattr(error, "sqlite_errorname", None) or ""


# Of SQLite's virtual machine, most often about a millisecond: a hundred rows of a list take some thousands.
_STEPS = 100_000
_PARTS = 10
# In seconds.
_LONG = 0.005
_ELSEWHERE_AT_FIRST = 1.0
_ELSEWHERE_AT_MOST = 60.0
_SQLITE_WAITED = ("SQLITE_BUSY", "SQLITE_LOCKED")
_SQLITE_STOPPED = "SQLITE_INTERRUPT"

# PostgreSQL, appendix A: after `statement_timeout`, too.
_QUERY_CANCELED = "57014"
# Its class of refusals by a constraint, and those of a connection or a server that ends.
_INTEGRITY = "23"
_GONE = ("08", "57P")

DRIVERS: dict[str, type[Driver]] = {"asyncpg": Asyncpg, "aiosqlite": Aiosqlite}
