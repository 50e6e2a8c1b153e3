"""Sessions for what only reads: no transaction, nothing written, and a connection no longer than a statement takes."""

import asyncio
import contextlib
import logging
import sqlite3
from collections.abc import Awaitable, Callable, Mapping, Sequence
from typing import Any, Concatenate
from weakref import WeakKeyDictionary

from sqlalchemy import CursorResult, Dialect, Engine, Insert, Select, event
from sqlalchemy.exc import InvalidRequestError, OperationalError
from sqlalchemy.ext.asyncio import AsyncEngine
from sqlalchemy.ext.asyncio import AsyncSession as SQLAlchemyAsyncSession
from sqlalchemy.orm import Session as SQLAlchemySession
from sqlalchemy.orm import SessionTransaction
from sqlalchemy.pool import PoolProxiedConnection
from sqlalchemy.util.concurrency import await_only
from sqlmodel import Session
from sqlmodel.ext.asyncio.session import AsyncSession

from fastapi_users_sqlmodel.engines import NO_BEGIN


def reading(engine: AsyncEngine) -> AsyncEngine:
    """Return the same engine, on the same pool, for sessions that only read: none of them begins a transaction.

    SQLite's has to be one that `prepare_sqlite` has prepared.
    """
    return engine.execution_options(**_no_transactions(engine.sync_engine))


def _no_transactions(engine: Engine) -> dict[str, Any]:
    # There, AUTOCOMMIT would be set and taken back for every connection, through another thread each time.
    return {NO_BEGIN: True} if engine.dialect.name == "sqlite" else {"isolation_level": "AUTOCOMMIT"}


type Statement = Select[Any] | Insert


class SyncBriefSession(Session):
    """What stands behind a `BriefSession`."""


class ReadOnlySession(SyncBriefSession):
    """A session that holds no transaction: what it flushed would stay, whatever happens later."""


@event.listens_for(ReadOnlySession, "before_flush")
def _refuse_flush(session: SQLAlchemySession, _context: object, _instances: object) -> None:
    if session.new or session.dirty or session.deleted:
        raise InvalidRequestError("a safe method (GET, HEAD, OPTIONS) has no transaction and must not write")


class BriefSession(AsyncSession):
    """A session that begins when it must, and ends at once where nothing is left to wait for.

    It has one engine. It is not for projects that say something at the beginning of each transaction, such as the
    tenant whose rows are meant: what `fetch` reads before there is a transaction would not know it.
    """

    sync_session_class = SyncBriefSession

    async def __aexit__(self, *raised: object) -> None:
        """Close it."""
        if has_connection(self.sync_session):
            await super().__aexit__(*raised)
        else:
            self.sync_session.close()


class ReadSession(BriefSession):
    """The same for asyncio, on an engine made by `reading`.

    What `run_sync` runs has a connection for as long as it runs. So there is nothing to wait for when the session is
    closed, which would be a switch of greenlets and a task more for every request.
    """

    sync_session_class = ReadOnlySession

    async def run_sync[**P, T](
        self, fn: Callable[Concatenate[SQLAlchemySession, P], T], *arg: P.args, **kw: P.kwargs
    ) -> T:
        """Run it in a greenlet, and give the connection back there."""

        def run(session: SQLAlchemySession) -> T:
            try:
                return fn(session, *arg, **kw)
            finally:
                if (transaction := session.get_transaction()) is not None:
                    # There is nothing to commit: each statement has been by itself.
                    transaction.close()

        return await super().run_sync(run)


async def fetch(
    session: SQLAlchemyAsyncSession, statement: Statement, values: Mapping[str, Any] | None = None
) -> Sequence[Sequence[Any]]:
    """Run a statement that was made once, and return its rows; what differs from call to call is a `bindparam`.

    In a `BriefSession`, a `select` has a connection to itself, and no transaction, as long as that has not begun. What
    changes something has it in a `ReadSession` alone, where each statement is by itself. Any other session runs them on
    its own connection.

    SQLAlchemy compiles the statement and names the types, and from the second time on the pool's connection is asked
    directly: what that buys is measured in docs/performance.md. If it fails, or somebody listens to what is executed,
    SQLAlchemy does it, and says what is wrong.
    """
    return await session.run_sync(fetch_sync, statement, values)


def fetch_sync(
    session: SQLAlchemySession, statement: Statement, values: Mapping[str, Any] | None = None
) -> Sequence[Sequence[Any]]:
    """Do it with a sync session, or with the one behind an async session."""
    engine, reads = session.bind, isinstance(statement, Select)
    by_itself = isinstance(session, ReadOnlySession) or (
        isinstance(session, SyncBriefSession) and reads and not _is_pooled_elsewhere(session.bind)
    )
    if not by_itself or has_connection(session) or not isinstance(engine, Engine) or _is_translated(engine):
        return session.connection().execute(statement, values).all()
    shortcut, given = _shortcuts.get(statement), values or {}
    if shortcut is None or not shortcut.fits(engine, given) or _is_watched(engine):
        return _execute(engine, statement, given)
    parameters = shortcut.parameters(given)
    try:
        connection = engine.raw_connection()
    except shortcut.dbapi_error:
        return _execute(engine, statement, given)
    try:
        return shortcut.fetch(connection, parameters)
    except shortcut.failures as error:
        state = _state(error)
        is_refused = state.startswith(_INTEGRITY) or isinstance(error, sqlite3.IntegrityError)
        has_waited = state == _QUERY_CANCELED or getattr(error, "sqlite_errorname", "").startswith(_SQLITE_WAITED)
        if has_waited or not (reads or is_refused):
            # It has taken as long as it may; or nobody knows whether something was changed.
            raise OperationalError(shortcut.sql, None, error, hide_parameters=True) from error
        # The second time on another connection, if the first one was broken.
        return _execute(engine, statement, given)


def _execute(engine: Engine, statement: Statement, values: Mapping[str, Any]) -> Sequence[Sequence[Any]]:
    with engine.execution_options(**_no_transactions(engine)).connect() as connection:
        result = connection.execute(statement, values)
        compiled: Any = result.context.compiled
        # SQLAlchemy may have compiled this for another statement of the same form, which has other values in it; and a
        # list of values is written out anew each time.
        has_all_values = all(bind.required for bind in compiled.binds.values()) and not compiled.insert_prefetch
        can_be_learned = engine.dialect.driver in _FETCH and not _is_pooled_elsewhere(engine)
        if can_be_learned and has_all_values and not compiled.post_compile_params:
            _shortcuts[statement] = _Shortcut(result, compiled, frozenset(values))
        return result.all()


def has_connection(session: SQLAlchemySession) -> bool:
    """Tell whether a transaction of the session has really begun."""
    return _HAS_CONNECTION in session.info


@event.listens_for(SQLAlchemySession, "after_begin")
def _on_begin(session: SQLAlchemySession, transaction: SessionTransaction, _connection: object) -> None:
    while transaction.parent is not None:
        transaction = transaction.parent
    session.info[_HAS_CONNECTION] = transaction


@event.listens_for(SQLAlchemySession, "after_transaction_end")
def _on_end(session: SQLAlchemySession, transaction: SessionTransaction) -> None:
    # Whoever was told before may have begun the next one.
    if session.info.get(_HAS_CONNECTION) is transaction:
        del session.info[_HAS_CONNECTION]


def _is_pooled_elsewhere(engine: Any) -> bool:
    # Whoever turns asyncpg's statement caches off has a pooler behind which each round trip may meet another server.
    return isinstance(engine, Engine) and any(name in engine.url.query for name in _STATEMENT_CACHES)


def _is_translated(engine: Engine) -> bool:
    # What was learned would name the schema of another tenant.
    return "schema_translate_map" in engine.get_execution_options()


def _is_watched(engine: Engine) -> bool:
    # Each look at the listeners is felt in a short read; who listens to more than this listens to this as well.
    return bool(engine.dispatch.before_cursor_execute) or engine.logger.isEnabledFor(logging.INFO)


async def _fetch_from_asyncpg(
    connection: Any, sql: str, parameters: Sequence[Any], *, reads: bool
) -> Sequence[Sequence[Any]]:
    del reads
    return await connection.fetch(sql, *parameters)  # type: ignore[no-any-return]  # It has no stubs


async def _fetch_from_aiosqlite(
    connection: Any, sql: str, parameters: Sequence[Any], *, reads: bool
) -> Sequence[Sequence[Any]]:
    # One switch of threads, where a cursor needs four. Reads take turns: the interpreter runs one thread at a time, and
    # more of them spend CPU on waiting for each other. What changes something may wait for a lock, so it takes no turn.
    turn = _turns.setdefault(asyncio.get_running_loop(), asyncio.Lock()) if reads else contextlib.nullcontext()
    async with turn:
        return await connection.execute_fetchall(sql, parameters)  # type: ignore[no-any-return]  # It may not be there


_FETCH: dict[str, Callable[..., Awaitable[Sequence[Sequence[Any]]]]] = {
    "asyncpg": _fetch_from_asyncpg,
    "aiosqlite": _fetch_from_aiosqlite,
}
_turns: WeakKeyDictionary[asyncio.AbstractEventLoop, asyncio.Lock] = WeakKeyDictionary()


class _Shortcut:
    """How a statement is run without SQLAlchemy's execution, learned from a time when it was run with it."""

    def __init__(self, result: CursorResult[Any], compiled: Any, names: frozenset[str]) -> None:
        self.dialect: Dialect = result.dialect
        self._names = names
        self.sql: str = result.context.statement
        self._reads = isinstance(compiled.statement, Select)
        binds = [compiled.binds[name] for name in compiled.positiontup]
        self._parameters = [(bind.key, self._type(bind).bind_processor(self.dialect)) for bind in binds]
        described: Any = zip(
            compiled.effective_returning or compiled.statement.selected_columns, result.cursor.description, strict=True
        )
        ways = [self._type(column).result_processor(self.dialect, kind) for column, (_, kind, *_) in described]
        self._ways = [(index, way) for index, way in enumerate(ways) if way is not None]
        dbapi: Any = self.dialect.loaded_dbapi
        self.dbapi_error: type[Exception] = dbapi.Error
        self._is_asyncpg = self.dialect.driver == "asyncpg"
        # What the driver says of a statement, and not of its connection.
        self._refusal: type[Exception] = dbapi.asyncpg.PostgresError if self._is_asyncpg else dbapi.sqlite.Error
        others = (dbapi.asyncpg.InterfaceError, OSError) if self._is_asyncpg else (ValueError,)
        self.failures: tuple[type[Exception], ...] = (dbapi.Error, self._refusal, *others)

    def fits(self, engine: Engine, values: Mapping[str, Any]) -> bool:
        """Tell whether this was learned for such a database and such values."""
        return self.dialect is engine.dialect and self._names == values.keys()

    def parameters(self, values: Mapping[str, Any]) -> list[Any]:
        """Return the values as the driver takes them."""
        return [values[name] if way is None else way(values[name]) for name, way in self._parameters]

    def fetch(self, connection: PoolProxiedConnection, parameters: Sequence[Any]) -> Sequence[Sequence[Any]]:
        """Run it in a greenlet, and give the connection back."""
        driver: Any = connection.driver_connection
        try:
            rows = await_only(_FETCH[self.dialect.driver](driver, self.sql, parameters, reads=self._reads))
        except BaseException as error:
            is_gone = self._is_asyncpg and (driver.is_closed() or _state(error).startswith(_GONE))
            if isinstance(error, self._refusal) and not is_gone:
                connection.close()
            else:
                # Nobody gets a connection of which we know less than SQLAlchemy would.
                connection.invalidate()
            raise
        connection.close()
        if not self._ways:
            return rows
        made = [list(row) for row in rows]
        for index, way in self._ways:
            for row in made:
                row[index] = way(row[index])
        return made

    def _type(self, expression: Any) -> Any:
        return expression.type.dialect_impl(self.dialect)


def _state(error: BaseException) -> str:
    return getattr(error, "sqlstate", None) or ""


_STATEMENT_CACHES = ("statement_cache_size", "prepared_statement_cache_size")
_SQLITE_WAITED = ("SQLITE_BUSY", "SQLITE_LOCKED")
_HAS_CONNECTION = "fastapi_users_sqlmodel.has_connection"

# PostgreSQL, appendix A: after `statement_timeout`, too.
_QUERY_CANCELED = "57014"
# Its class of refusals by a constraint, and those of a connection or a server that ends.
_INTEGRITY = "23"
_GONE = ("08", "57P")

_shortcuts: WeakKeyDictionary[Statement, _Shortcut] = WeakKeyDictionary()
