"""Run frequent reads on the driver's connection, without SQLAlchemy's execution."""

import logging
import re
from collections.abc import Callable, Mapping, Sequence
from typing import Any
from weakref import WeakKeyDictionary, WeakSet

from sqlalchemy import CursorResult, Dialect, Engine, Insert, Select, __version__, event
from sqlalchemy.exc import DBAPIError, MissingGreenlet, OperationalError
from sqlalchemy.ext.asyncio import AsyncSession as SQLAlchemyAsyncSession
from sqlalchemy.orm import Session, SessionTransaction
from sqlalchemy.pool import AsyncAdaptedQueuePool, PoolProxiedConnection
from sqlalchemy.util.concurrency import greenlet_spawn, in_greenlet
from sqlmodel.ext.asyncio.session import AsyncSession

from fastapi_users_sqlmodel.database._listeners import StoreSession
from fastapi_users_sqlmodel.engines import autocommit_options

type Rows = Sequence[Sequence[Any]]
type Statement = Select[Any] | Insert

# On a lost connection; each attempt takes another connection of the pool, which may be lost as well.
ATTEMPTS = 3
# SQLSTATE (PostgreSQL, appendix A): a timeout cancelled the query; the connection or the server has ended.
_QUERY_CANCELED = "57014"
_CONNECTION_ENDED = ("08", "57P")
_SQLITE_LOCKED = ("SQLITE_BUSY", "SQLITE_LOCKED")
# The options of a URL that turn asyncpg's caches off, for a transaction pooler: it needs a transaction around both
# round trips of a statement.
_STATEMENT_CACHES = ("statement_cache_size", "prepared_statement_cache_size")
_BEGUN = "fastapi_users_sqlmodel.begun"


class SyncDirectSession(StoreSession):
    """The sync session of a `DirectSession`."""


class DirectSession(AsyncSession):
    """A session in which `fetch` runs reads in autocommit until the transaction has reached the database.

    It has one engine. It does not fit where a transaction begins with a statement that the reads depend on, such as
    one that sets the tenant.
    """

    sync_session_class = SyncDirectSession

    async def __aexit__(self, *raised: object) -> None:
        """Close the session; without a connection that needs neither a task nor a greenlet."""
        if has_begun(self.sync_session):
            await super().__aexit__(*raised)
        else:
            self.sync_session.close()


def has_begun(session: Session) -> bool:
    """Return whether the transaction of a `SyncDirectSession` has a connection."""
    return _BEGUN in session.info


@event.listens_for(SyncDirectSession, "after_begin")
def _on_begin(session: Session, transaction: SessionTransaction, _connection: object) -> None:
    while transaction.parent is not None:
        transaction = transaction.parent
    session.info[_BEGUN] = transaction


@event.listens_for(SyncDirectSession, "after_transaction_end")
def _on_end(session: Session, transaction: SessionTransaction) -> None:
    # A listener that ran before this one may have begun the next transaction.
    if session.info.get(_BEGUN) is transaction:
        del session.info[_BEGUN]


async def fetch(session: SQLAlchemyAsyncSession, statement: Statement, values: Mapping[str, Any] | None = None) -> Rows:
    """Run a statement that is built once, and return its rows; `values` are those of its `bindparam`s.

    A `select` in a `DirectSession` whose transaction has not begun is in autocommit; so is every statement on an engine
    in autocommit. SQLAlchemy compiles and executes it the first time; later calls run its SQL on the driver's
    connection and apply its type conversions. On a lost connection, a read is repeated on another one. All other
    statements run in the session's transaction.

    Raises:
        sqlalchemy.exc.DBAPIError: As SQLAlchemy's execution raises it. For a lock, a timeout or a write on a lost
            connection, an OperationalError.
    """
    given = values or {}
    engine = _engine_of(session.sync_session, statement)
    if engine is None:
        return await session.run_sync(lambda sync_session: sync_session.connection().execute(statement, given).all())
    known = _known.get(statement)
    if known is not None and known.fits(engine, given) and not _is_watched(engine):
        rows = await known.fetch(engine, given)
        if rows is not None:
            return rows
    return await greenlet_spawn(_execute, engine, statement, given)


def _engine_of(session: Session, statement: Statement) -> Engine | None:
    """Return the engine on which a statement is in autocommit; None if it has to run in the session's transaction."""
    engine = session.bind
    if not isinstance(session, SyncDirectSession) or not isinstance(engine, Engine) or has_begun(session):
        return None
    is_autocommit = autocommit_options(engine).items() <= engine.get_execution_options().items()
    if not (is_autocommit or isinstance(statement, Select)):
        return None
    return None if any(name in engine.url.query for name in _STATEMENT_CACHES) else engine


def _is_watched(engine: Engine) -> bool:
    # A listener may change the statement, or wants to see it.
    heard = engine.dispatch
    return bool(heard.before_cursor_execute or heard.before_execute) or engine.logger.isEnabledFor(logging.INFO)


def _execute(engine: Engine, statement: Statement, values: Mapping[str, Any]) -> Rows:
    for attempt in range(ATTEMPTS):
        try:
            with engine.execution_options(**autocommit_options(engine)).connect() as connection:
                result = connection.execute(statement, values)
                if engine.dialect.driver in DRIVERS and not _is_watched(engine):
                    if engine.dialect not in _guarded:
                        event.listen(engine, "do_connect", _require_greenlet)
                        _guarded.add(engine.dialect)
                    _remember(statement, result, frozenset(values))
                return result.all()
        except DBAPIError as error:
            # SQLAlchemy has invalidated the other connections as well: the next attempt connects anew.
            is_final = attempt == ATTEMPTS - 1 or not isinstance(statement, Select)
            if not error.connection_invalidated or is_final:
                raise
    raise AssertionError("the last attempt returns or raises")


def _require_greenlet(*_arguments: object) -> None:
    # `_idle_connection` has met an invalid connection.
    if not in_greenlet():
        raise MissingGreenlet("connecting waits, which takes a greenlet")


def _remember(statement: Statement, result: CursorResult[Any], names: frozenset[str]) -> None:
    compiled: Any = result.context.compiled
    # SQL that differs between calls is not kept: values that are written into it or called for, Python's defaults,
    # names that differ from their parameters; nor are columns whose order SQLAlchemy does not know.
    varies = compiled.insert_prefetch or compiled.post_compile_params | compiled.literal_execute_params
    is_named = names <= {bind.key for bind in compiled.binds.values()}
    is_in_order = compiled._ordered_columns and len(compiled._result_columns) == len(result.cursor.description or ())  # noqa: SLF001  # Nothing public says
    if is_named and is_in_order and not varies and not any(bind.callable for bind in compiled.binds.values()):
        _known[statement] = _Known(result, compiled, names)


def _has_waited(error: BaseException) -> bool:
    """Return whether a statement has waited as long as it may, so that a second attempt would double the time."""
    sqlite_name = getattr(error, "sqlite_errorname", None) or ""
    return getattr(error, "sqlstate", None) == _QUERY_CANCELED or sqlite_name.startswith(_SQLITE_LOCKED)


class _Known:
    """The SQL of a statement, with the conversions of its parameters and columns, as SQLAlchemy executed it once."""

    def __init__(self, result: CursorResult[Any], compiled: Any, names: frozenset[str]) -> None:
        self._dialect, self._names = result.dialect, names
        self._is_asyncpg = self._dialect.driver == "asyncpg"
        self._is_read = isinstance(compiled.statement, Select)
        self.sql: str = result.context.statement
        # The constants are those of this statement: SQLAlchemy's cache may hold another one of the same form.
        constants = result.context.compiled_parameters[0]
        self._parameters = [self._parameter(compiled.binds[name], constants[name]) for name in compiled.positiontup]
        described: Any = zip(compiled._result_columns, result.cursor.description, strict=True)  # noqa: SLF001  # The same
        found = [self._type(column).result_processor(self._dialect, kind) for column, (_, kind, *_) in described]
        self._columns = [(index, convert) for index, convert in enumerate(found) if convert is not None]

    def fits(self, engine: Engine, values: Mapping[str, Any]) -> bool:
        """Return whether the SQL is that of such a database and such values."""
        return self._dialect is engine.dialect and self._names == values.keys()

    async def fetch(self, engine: Engine, values: Mapping[str, Any]) -> Rows | None:
        """Return the rows; None where the driver failed: SQLAlchemy executes the statement then, and raises the error.

        Raises:
            OperationalError: A second attempt would wait as long again for a lock or until a timeout, or write twice.
        """
        parameters = [
            constant if name is None else values[name] if convert is None else convert(values[name])
            for name, convert, constant in self._parameters
        ]
        dbapi: Any = self._dialect.loaded_dbapi
        try:
            connection: Any = self._idle_connection(engine) or await greenlet_spawn(engine.raw_connection)
        except dbapi.Error:
            return None
        driver: Any = connection.driver_connection
        try:
            if self._is_asyncpg:
                rows: Rows = await driver.fetch(self.sql, *parameters)
            else:
                rows = await driver.execute_fetchall(self.sql, parameters)
        except BaseException as error:
            # A cancelled statement may still run on its connection.
            is_refusal = self._is_refusal(error, driver)
            await greenlet_spawn(connection.close if is_refusal else connection.invalidate)
            if not isinstance(error, Exception):
                raise
            if _has_waited(error) or not (self._is_read or is_refusal):
                raise OperationalError(self.sql, None, error, hide_parameters=True) from error
            return None
        if self._is_asyncpg:
            connection.close()
        else:
            await greenlet_spawn(connection.close)
        if not self._columns:
            return rows
        converted = [list(row) for row in rows]
        for index, convert in self._columns:
            for row in converted:
                row[index] = convert(row[index])
        return converted

    def _idle_connection(self, engine: Engine) -> PoolProxiedConnection | None:
        """Check out an idle connection of asyncpg's pool without a greenlet; None if there is none."""
        has_idle = isinstance(engine.pool, AsyncAdaptedQueuePool) and engine.pool.checkedin() > 0
        if not (_GETS_WITHOUT_WAITING and self._is_asyncpg and has_idle):
            return None
        try:
            return engine.raw_connection()
        except MissingGreenlet:
            # It was an invalid one, and connecting again would wait.
            return None

    def _is_refusal(self, error: BaseException, driver: Any) -> bool:
        """Return whether the database refused the statement; any other error means that the connection is lost."""
        dbapi: Any = self._dialect.loaded_dbapi
        if not self._is_asyncpg:
            return isinstance(error, dbapi.sqlite.Error)
        state = getattr(error, "sqlstate", None) or ""
        is_answer = isinstance(error, dbapi.asyncpg.PostgresError) and not state.startswith(_CONNECTION_ENDED)
        return is_answer and not driver.is_closed()

    def _parameter(self, bind: Any, constant: Any) -> tuple[str | None, Callable[[Any], Any] | None, Any]:
        convert = self._type(bind).bind_processor(self._dialect)
        if bind.key in self._names:
            return bind.key, convert, None
        return None, None, constant if convert is None else convert(constant)

    def _type(self, expression: Any) -> Any:
        return expression.type.dialect_impl(self._dialect)


DRIVERS = ("asyncpg", "aiosqlite")
# Earlier versions wait in a greenlet for a connection that is in the pool already.
_GETS_WITHOUT_WAITING = tuple(map(int, re.findall(r"\d+", __version__)[:3])) >= (2, 0, 55)
# The dialects of the engines on which `_require_greenlet` listens.
_guarded: WeakSet[Dialect] = WeakSet()
_known: WeakKeyDictionary[Statement, _Known] = WeakKeyDictionary()
