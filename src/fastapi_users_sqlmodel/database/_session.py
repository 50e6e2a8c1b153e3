"""How a store works with the session it was given: off the event loop, and in whose transaction."""

import asyncio
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any, Concatenate

from sqlalchemy import Connection, inspect
from sqlalchemy.exc import IntegrityError
from sqlalchemy.ext.asyncio import AsyncSession
from sqlalchemy.orm import Session, SessionTransactionOrigin
from sqlalchemy.orm.attributes import set_committed_value
from sqlalchemy.orm.exc import ObjectDeletedError, StaleDataError

# What the ORM says when somebody else has deleted the row: the second, when it had to look at it first.
ROW_IS_GONE = (StaleDataError, ObjectDeletedError)


class SessionStore:
    """A store on an `AsyncSession`: SQLModel's or SQLAlchemy's own."""

    session: AsyncSession

    def _use(self, session: AsyncSession) -> None:
        if not isinstance(session, AsyncSession):
            raise TypeError(_wrong_session(self, wanted="AsyncSession", got=session))
        self.session = session

    async def _run[**P, T](self, work: Callable[Concatenate[Session, P], T], *args: P.args, **kwargs: P.kwargs) -> T:
        return await self.session.run_sync(work, *args, **kwargs)


class SyncSessionStore:
    """The same work on a sync `Session`, in a thread: the event loop goes on meanwhile."""

    session: Session

    def _use(self, session: Session) -> None:
        if not isinstance(session, Session):
            raise TypeError(_wrong_session(self, wanted="Session", got=session))
        self.session = session

    async def _run[**P, T](self, work: Callable[Concatenate[Session, P], T], *args: P.args, **kwargs: P.kwargs) -> T:
        running = asyncio.ensure_future(asyncio.to_thread(work, self.session, *args, **kwargs))
        cancelled: asyncio.CancelledError | None = None
        while not running.done():
            # A cancelled request must not leave the session to two threads at once; anyio cancels again and again.
            try:
                await asyncio.wait([running])
            except asyncio.CancelledError as error:
                cancelled = error
        if cancelled is not None:
            # Asked for, so that asyncio does not complain that nobody did.
            running.exception()
            raise cancelled
        return running.result()


def _wrong_session(store: object, *, wanted: str, got: object) -> str:
    kind = f"{type(got).__module__}.{type(got).__qualname__}"
    return f"{type(store).__name__} works on a sqlalchemy or sqlmodel {wanted}, and was given a {kind}"


@contextmanager
def writing(session: Session, row: object) -> Iterator[None]:
    """Flush what is written to `row`, in a savepoint; on a plain session commit, in an explicit transaction do not.

    When the database refuses, what was written here is undone, `row` is again what it was, and the session stays
    usable; a transaction that began here has ended, so that SQLite's write lock is free.
    """
    # Asked before begin_nested(), which changes the answer.
    root = session.get_transaction()
    plain = root is None or (
        root.origin is SessionTransactionOrigin.AUTOBEGIN and session.get_nested_transaction() is None
    )
    before: dict[str, Any] = {}
    begun: Connection | None = None
    try:
        begun = _begin_on_sqlite(session, type(row))
        with session.begin_nested():
            before = _loaded(row)
            yield
    except BaseException as error:
        refused = isinstance(error, (IntegrityError, *ROW_IS_GONE))
        if refused and begun is not None:
            # The session's own transaction goes on, in which nothing was written so far.
            begun.exec_driver_sql("ROLLBACK")
        if root is None and refused:
            # There is nothing left to commit, and a rollback would expire whatever else the session has loaded.
            session.commit()
        elif root is None:
            session.rollback()
        _restore(row, before)
        raise
    if plain:
        session.commit()


def _begin_on_sqlite(session: Session, row_type: type[object]) -> Connection | None:
    """Open a real transaction around the savepoint, and return the connection if there was none.

    As it comes, the sqlite3 driver opens none for a SAVEPOINT, and releasing an outermost one commits, whatever the
    caller decides later.
    """
    # What is pending is the caller's, and belongs before our BEGIN.
    session.flush()
    connection = session.connection(bind_arguments={"mapper": row_type})
    if connection.dialect.name == "sqlite" and not connection.connection.driver_connection.in_transaction:  # type: ignore[union-attr]  # SQLAlchemy calls it Any or None
        connection.exec_driver_sql("BEGIN")
        return connection
    return None


def identity(row: object) -> Any:
    """Return the primary key without asking the database, where the row may be gone."""
    (key,) = inspect(row, raiseerr=True).identity or inspect(type(row)).primary_key_from_instance(row)
    return key


def _loaded(row: object) -> dict[str, Any]:
    state = inspect(row, raiseerr=True)
    return {attribute.key: state.dict[attribute.key] for attribute in state.mapper.attrs if attribute.key in state.dict}


def _restore(row: object, before: dict[str, Any]) -> None:
    """Fill in what a rollback has expired; relationships too, which nobody could ask the database for outside."""
    state = inspect(row, raiseerr=True)
    if state.persistent:
        for name, value in before.items():
            if name not in state.dict:
                set_committed_value(row, name, value)


def reload(session: Session, row: object) -> None:
    """Load what a commit has expired, or the database has computed: outside the store, nobody may wait for it."""
    state = inspect(row, raiseerr=True)
    if state.expired_attributes:
        with loading(session):
            session.refresh(row, None if state.expired else state.expired_attributes)


@contextmanager
def loading(session: Session) -> Iterator[None]:
    """End a transaction that begins here, and expire nothing: who has written and only reads on holds no lock."""
    began_here = not session.in_transaction()
    yield
    if began_here and session.in_transaction():
        expires, session.expire_on_commit = session.expire_on_commit, False
        try:
            session.commit()
        finally:
            session.expire_on_commit = expires
