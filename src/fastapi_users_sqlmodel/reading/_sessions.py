"""Sessions that hold a connection no longer than they must, and those for what only reads: they hold no transaction."""

from collections.abc import Callable
from typing import Any, Concatenate

from sqlalchemy import Engine, event
from sqlalchemy.exc import InvalidRequestError
from sqlalchemy.ext.asyncio import AsyncEngine
from sqlalchemy.orm import Session as SQLAlchemySession
from sqlalchemy.orm import SessionTransaction
from sqlmodel.ext.asyncio.session import AsyncSession

from fastapi_users_sqlmodel.database._transactions import StoreSession
from fastapi_users_sqlmodel.engines import NO_BEGIN


def reading(engine: AsyncEngine) -> AsyncEngine:
    """Return the same engine, on the same pool, for sessions that only read: none of them begins a transaction.

    SQLite's has to be one that `prepare_sqlite` has prepared.
    """
    return engine.execution_options(**no_transactions(engine.sync_engine))


def no_transactions(engine: Engine) -> dict[str, Any]:
    """Return the options with which an engine begins nothing."""
    # There, AUTOCOMMIT would be set and taken back for every connection, through another thread each time.
    return {NO_BEGIN: True} if engine.dialect.name == "sqlite" else {"isolation_level": "AUTOCOMMIT"}


class SyncBriefSession(StoreSession):
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


def has_connection(session: SQLAlchemySession) -> bool:
    """Tell whether a transaction of the session has really begun."""
    return _HAS_CONNECTION in session.info


@event.listens_for(SyncBriefSession, "after_begin")
def _on_begin(session: SQLAlchemySession, transaction: SessionTransaction, _connection: object) -> None:
    while transaction.parent is not None:
        transaction = transaction.parent
    session.info[_HAS_CONNECTION] = transaction


@event.listens_for(SyncBriefSession, "after_transaction_end")
def _on_end(session: SQLAlchemySession, transaction: SessionTransaction) -> None:
    # Whoever was told before may have begun the next one.
    if session.info.get(_HAS_CONNECTION) is transaction:
        del session.info[_HAS_CONNECTION]


_HAS_CONNECTION = "fastapi_users_sqlmodel.has_connection"
