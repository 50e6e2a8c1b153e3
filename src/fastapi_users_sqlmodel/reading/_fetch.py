"""Statements that were made once: SQLAlchemy writes them, the driver is asked directly."""

import logging
from collections.abc import Callable, Mapping, Sequence
from typing import Any, cast
from weakref import WeakKeyDictionary, WeakSet

from sqlalchemy import CursorResult, Dialect, Engine, Insert, Select, event
from sqlalchemy.engine.interfaces import DBAPIConnection
from sqlalchemy.exc import ArgumentError, DBAPIError, MissingGreenlet, OperationalError
from sqlalchemy.ext.asyncio import AsyncEngine, AsyncSession
from sqlalchemy.orm import Session
from sqlalchemy.pool import (
    AsyncAdaptedQueuePool,
    ConnectionPoolEntry,
    PoolProxiedConnection,
    PoolResetState,
    QueuePool,
    reset_none,
)
from sqlalchemy.util.concurrency import await_only, greenlet_spawn, in_greenlet
from sqlalchemy.util.queue import AsyncAdaptedQueue

from fastapi_users_sqlmodel.reading._drivers import DRIVERS, Rows, has_waited, is_refused
from fastapi_users_sqlmodel.reading._sessions import ReadOnlySession, SyncBriefSession, has_connection, no_transactions

type Statement = Select[Any] | Insert


def without_greenlets(engine: AsyncEngine) -> None:
    """Let `fetch` take an idle connection out of the engine's pool, and give it back, without a greenlet for it.

    What that buys is measured in docs/performance.md. Whatever listens to the pool must not ask the database then,
    unless `sqlalchemy.util.concurrency.in_greenlet` says that it may. `fetch` tries a read again where the server has
    gone away meanwhile. With `pool_use_lifo=True`, a connection that was broken is the next one to be made anew.

    SQLAlchemy before 2.0.55 waits for what is there already: then there are greenlets all the same.

    Raises:
        ArgumentError: The pool is no queue; it pings what it gives out (`pool_pre_ping`); or it is SQLite's, and resets
            what it takes back: with `pool_reset_on_return=None`, what has begun is rolled back here.
    """
    pool, dialect = engine.sync_engine.pool, engine.dialect
    if not isinstance(pool, AsyncAdaptedQueuePool):
        raise ArgumentError(f"only a queue of connections has idle ones, and not a {type(pool).__name__}")
    if pool._pre_ping:  # noqa: SLF001  # Nothing public says so
        raise ArgumentError("pool_pre_ping asks the database")
    if dialect.name == "sqlite":
        if pool._reset_on_return is not reset_none:  # noqa: SLF001  # The same
            raise ArgumentError("SQLite's pool has to have pool_reset_on_return=None")
        event.listen(engine.sync_engine, "reset", _roll_back)
    if takes_what_is_there():
        event.listen(engine.sync_engine, "do_connect", _connect_in_greenlet)
        _dialects_without_greenlets.add(dialect)


def takes_what_is_there() -> bool:
    """Tell whether SQLAlchemy's queues need no greenlet for that."""
    queue: AsyncAdaptedQueue[bool] = AsyncAdaptedQueue(1)
    queue.put_nowait(True)
    try:
        return queue.get()
    except MissingGreenlet:
        return False


def _roll_back(connection: DBAPIConnection, _record: ConnectionPoolEntry, state: PoolResetState) -> None:
    driver_connection: Any = getattr(connection, "driver_connection", connection)
    if state.asyncio_safe and driver_connection.in_transaction:
        connection.rollback()


def _connect_in_greenlet(*_arguments: object) -> None:
    if not in_greenlet():
        raise _NotHereError


class _NotHereError(Exception):
    """The idle connection was a broken one, and to connect again would wait."""


async def fetch(session: AsyncSession, statement: Statement, values: Mapping[str, Any] | None = None) -> Rows:
    """Run a statement that was made once, and return its rows; what differs from call to call is a `bindparam`.

    In a `BriefSession`, a `select` has a connection to itself, and no transaction, as long as that has not begun. What
    changes something has it in a `ReadSession` alone, where each statement is by itself. Any other session runs them on
    its own connection.

    SQLAlchemy compiles the statement and names the types, and from the second time on the pool's connection is asked
    directly: what that buys is measured in docs/performance.md. If it fails, or somebody listens to what is executed,
    SQLAlchemy does it, and says what is wrong. Who listens to `engine_connect` hears of the first time alone, and a
    constant in the statement stays what it was then. On SQLite a short read gives nobody else a turn.
    """
    given = values or {}
    engine = _engine_of_its_own(session.sync_session, statement)
    shortcut = _learned(engine, statement, given) if engine is not None and _has_idle_connection(engine) else None
    if engine is None or shortcut is None or not shortcut.reads:
        return await session.run_sync(fetch_sync, statement, values)
    parameters = shortcut.parameters(given)
    try:
        connection = engine.raw_connection()
    except (_NotHereError, MissingGreenlet):
        return await session.run_sync(fetch_sync, statement, values)
    try:
        rows = await shortcut.ask(connection, parameters)
    except shortcut.driver.failures as error:
        # To close what is broken may wait.
        await greenlet_spawn(shortcut.give_back_after, error, connection)
        shortcut.raise_what_is_final(error)
        return await greenlet_spawn(_execute_again, engine, statement, given)
    except BaseException:
        await greenlet_spawn(connection.invalidate)
        raise
    if _has_place(engine):
        connection.close()
    else:
        # It is closed for good.
        await greenlet_spawn(connection.close)
    return shortcut.made(rows)


def fetch_sync(session: Session, statement: Statement, values: Mapping[str, Any] | None = None) -> Rows:
    """Do it with a sync session, or with the one behind an async session."""
    given = values or {}
    if (engine := _engine_of_its_own(session, statement)) is None:
        return session.connection().execute(statement, values).all()
    if (shortcut := _learned(engine, statement, given)) is None:
        return _execute(engine, statement, given)
    parameters = shortcut.parameters(given)
    try:
        connection = engine.raw_connection()
    except shortcut.dbapi_error:
        return _execute(engine, statement, given)
    try:
        rows = await_only(shortcut.ask(connection, parameters))
    except shortcut.driver.failures as error:
        shortcut.give_back_after(error, connection)
        shortcut.raise_what_is_final(error)
        return _execute_again(engine, statement, given)
    except BaseException:
        connection.invalidate()
        raise
    connection.close()
    return shortcut.made(rows)


def _engine_of_its_own(session: Session, statement: Statement) -> Engine | None:
    """Return the engine where a statement is by itself; None if it belongs to what the session does."""
    engine = session.bind
    if not isinstance(session, SyncBriefSession) or not isinstance(engine, Engine) or has_connection(session):
        return None
    if not isinstance(session, ReadOnlySession) and (not isinstance(statement, Select) or _is_pooled_elsewhere(engine)):
        return None
    # What was learned would name the schema of another tenant.
    return None if "schema_translate_map" in engine.get_execution_options() else engine


def _has_idle_connection(engine: Engine) -> bool:
    return engine.dialect in _dialects_without_greenlets and cast("QueuePool", engine.pool).checkedin() > 0


def _has_place(engine: Engine) -> bool:
    pool = cast("QueuePool", engine.pool)
    return pool.checkedin() < pool.size()


def _learned(engine: Engine, statement: Statement, values: Mapping[str, Any]) -> "_Shortcut | None":
    shortcut = _shortcuts.get(statement)
    return shortcut if shortcut is not None and shortcut.fits(engine, values) and not _is_watched(engine) else None


def _execute(engine: Engine, statement: Statement, values: Mapping[str, Any]) -> Rows:
    with engine.execution_options(**no_transactions(engine)).connect() as connection:
        result = connection.execute(statement, values)
        if engine.dialect.driver in DRIVERS and not _is_watched(engine) and not _is_pooled_elsewhere(engine):
            _learn(statement, result, frozenset(values))
        return result.all()


def _execute_again(engine: Engine, statement: Statement, values: Mapping[str, Any]) -> Rows:
    try:
        return _execute(engine, statement, values)
    except DBAPIError as error:
        if not error.connection_invalidated:
            raise
    # The server was restarted. SQLAlchemy knows it now, and connects anew.
    return _execute(engine, statement, values)


def _learn(statement: Statement, result: CursorResult[Any], names: frozenset[str]) -> None:
    compiled: Any = result.context.compiled
    binds = compiled.binds.values()
    # What is made anew each time cannot be learned: a default, a value that is called for, a list or a value written
    # out; nor what has another name than the one it was given, or columns of which SQLAlchemy does not know which is
    # which.
    written_out = compiled.post_compile_params | compiled.literal_execute_params
    is_made_anew = compiled.insert_prefetch or written_out or any(bind.callable for bind in binds)
    is_named = names <= {bind.key for bind in binds}
    many = len(result.cursor.description or ())
    is_in_order = compiled._ordered_columns and len(compiled._result_columns) == many  # noqa: SLF001  # Nothing else says
    if is_named and is_in_order and not is_made_anew:
        _shortcuts[statement] = _Shortcut(result, compiled, names)


def _is_pooled_elsewhere(engine: Any) -> bool:
    # Whoever turns asyncpg's statement caches off has a pooler behind which each round trip may meet another server.
    return isinstance(engine, Engine) and any(name in engine.url.query for name in _STATEMENT_CACHES)


def _is_watched(engine: Engine) -> bool:
    # Each look at the listeners is felt in a short read. These may change what is executed, the others only see it.
    heard = engine.dispatch
    return bool(heard.before_cursor_execute or heard.before_execute) or engine.logger.isEnabledFor(logging.INFO)


class _Shortcut:
    """How a statement is run without SQLAlchemy's execution, learned from a time when it was run with it."""

    def __init__(self, result: CursorResult[Any], compiled: Any, names: frozenset[str]) -> None:
        self._dialect: Dialect = result.dialect
        self._names = names
        self.reads = isinstance(compiled.statement, Select)
        self.sql: str = result.context.statement
        self.driver = DRIVERS[self._dialect.driver](self._dialect)
        self.dbapi_error: type[Exception] = self._dialect.loaded_dbapi.Error
        # SQLAlchemy may have compiled this for another statement of the same form: the constants are those of this one.
        constants = result.context.compiled_parameters[0]
        self._parameters = [self._parameter(compiled.binds[name], constants[name]) for name in compiled.positiontup]
        described: Any = zip(compiled._result_columns, result.cursor.description, strict=True)  # noqa: SLF001  # The same
        ways = [self._type(column).result_processor(self._dialect, kind) for column, (_, kind, *_) in described]
        self._ways = [(index, way) for index, way in enumerate(ways) if way is not None]

    def fits(self, engine: Engine, values: Mapping[str, Any]) -> bool:
        """Tell whether this was learned for such a database and such values."""
        return self._dialect is engine.dialect and self._names == values.keys()

    def parameters(self, values: Mapping[str, Any]) -> list[Any]:
        """Return the values as the driver takes them."""
        return [
            constant if name is None else values[name] if way is None else way(values[name])
            for name, way, constant in self._parameters
        ]

    async def ask(self, connection: PoolProxiedConnection, parameters: Sequence[Any]) -> Rows:
        """Run it."""
        return await self.driver.fetch(connection, self.sql, parameters, reads=self.reads)

    def give_back_after(self, error: Exception, connection: PoolProxiedConnection) -> None:
        """Give a connection back on which it has failed, in a greenlet."""
        if self.driver.is_as_before(connection, error):
            connection.close()
        else:
            # Nobody gets a connection of which we know less than SQLAlchemy would.
            connection.invalidate()

    def raise_what_is_final(self, error: Exception) -> None:
        """Return if SQLAlchemy may run it again, on another connection if the first one was broken.

        Raises:
            OperationalError: It has taken as long as it may; or nobody knows whether something was changed.
        """
        if has_waited(error) or not (self.reads or is_refused(error)):
            raise OperationalError(self.sql, None, error, hide_parameters=True) from error

    def made(self, rows: Rows) -> Rows:
        """Return the values as SQLAlchemy's types make them of the driver's."""
        if not self._ways:
            return rows
        made = [list(row) for row in rows]
        for index, way in self._ways:
            for row in made:
                row[index] = way(row[index])
        return made

    def _parameter(self, bind: Any, constant: Any) -> tuple[str | None, Callable[[Any], Any] | None, Any]:
        way = self._type(bind).bind_processor(self._dialect)
        if bind.key in self._names:
            return bind.key, way, None
        return None, None, constant if way is None else way(constant)

    def _type(self, expression: Any) -> Any:
        return expression.type.dialect_impl(self._dialect)


_STATEMENT_CACHES = ("statement_cache_size", "prepared_statement_cache_size")

_dialects_without_greenlets: WeakSet[Dialect] = WeakSet()
_shortcuts: WeakKeyDictionary[Statement, _Shortcut] = WeakKeyDictionary()
