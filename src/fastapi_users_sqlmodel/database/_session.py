"""How a store works with the session it was given: off the event loop, and in whose transaction."""

import asyncio
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from contextvars import copy_context
from functools import partial
from typing import Any, Concatenate

from sqlalchemy import Connection, inspect
from sqlalchemy.exc import DBAPIError, IntegrityError
from sqlalchemy.ext.asyncio import AsyncSession
from sqlalchemy.orm import Session
from sqlalchemy.orm.exc import ObjectDeletedError, StaleDataError

from fastapi_users_sqlmodel.database._canonical import keep_canonical
from fastapi_users_sqlmodel.database._integrity import is_data_error
from fastapi_users_sqlmodel.database._objects import EAGER
from fastapi_users_sqlmodel.database._transactions import (
    Transactions,
    begin_on_sqlite,
    commit_and_keep,
    is_plain,
    loaded,
    restore,
)

# Those who wait for a lock or a connection keep a thread each, and who has it needs one to go on: the event loop's own
# few would all be theirs. So many are made as there are sessions at work at once, and they are used again.
_threads = ThreadPoolExecutor(10_000, thread_name_prefix="session")

# What the ORM says when somebody else has deleted the row: the second, when it had to look at it first.
ROW_IS_GONE = (StaleDataError, ObjectDeletedError)


class SessionStore(Transactions):
    """A store on an `AsyncSession`: SQLModel's or SQLAlchemy's own."""

    session: AsyncSession

    _waits_in_commit = True

    def _use(self, session: AsyncSession) -> None:
        if not isinstance(session, AsyncSession):
            raise TypeError(_wrong_session(self, wanted="AsyncSession", got=session))
        keep_canonical(session.sync_session)
        self.session = session

    async def run[**P, T](self, work: Callable[Concatenate[Session, P], T], *args: P.args, **kwargs: P.kwargs) -> T:
        """Run it in a greenlet."""
        return await self.session.run_sync(work, *args, **kwargs)


class SyncSessionStore(Transactions):
    """The same work on a sync `Session`, in a thread: the event loop goes on meanwhile."""

    session: Session

    _waits_in_commit = False

    def _use(self, session: Session) -> None:
        if not isinstance(session, Session):
            raise TypeError(_wrong_session(self, wanted="Session", got=session))
        keep_canonical(session)
        self.session = session

    async def run[**P, T](self, work: Callable[Concatenate[Session, P], T], *args: P.args, **kwargs: P.kwargs) -> T:
        """Run it in a thread, to its end."""
        in_context = partial(copy_context().run, work, self.session, *args, **kwargs)
        running = asyncio.get_running_loop().run_in_executor(_threads, in_context)
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
    plain = is_plain(session)
    before: dict[str, Any] = {}
    begun: Connection | None = None
    try:
        # What is pending is the caller's, and belongs before our BEGIN.
        session.flush()
        begun = begin_on_sqlite(session, type(row))
        with session.begin_nested():
            before = loaded(row)
            yield
    except BaseException as error:
        refused = isinstance(error, (IntegrityError, *ROW_IS_GONE)) or (
            isinstance(error, DBAPIError) and is_data_error(error)
        )
        if refused and begun is not None:
            # The session's own transaction goes on, in which nothing was written so far.
            begun.exec_driver_sql("ROLLBACK")
        if root is None and refused:
            # There is nothing left to commit, and a rollback would expire whatever else the session has loaded.
            session.commit()
        elif root is None:
            session.rollback()
        restore(row, before)
        raise
    if plain:
        session.commit()


def identity(row: object) -> Any:
    """Return the primary key without asking the database, where the row may be gone."""
    (key,) = inspect(row, raiseerr=True).identity or inspect(type(row)).primary_key_from_instance(row)
    return key


def reload(session: Session, row: object) -> None:
    """Load what a commit has expired, or the database has computed: outside the store, nobody may wait for it.

    Relationships that load by themselves with every row (`lazy="joined"`) are loaded for a new row, too.
    """
    state = inspect(row, raiseerr=True)
    eager = {one.key for one in state.mapper.relationships if one.lazy in EAGER and one.key not in state.dict}
    if names := state.expired_attributes | eager:
        with loading(session):
            session.refresh(row, None if state.expired else names)


@contextmanager
def loading(session: Session) -> Iterator[None]:
    """End a transaction that begins here, and expire nothing: who has written and only reads on holds no lock."""
    began_here = not session.in_transaction()
    yield
    if began_here and session.in_transaction():
        commit_and_keep(session)
