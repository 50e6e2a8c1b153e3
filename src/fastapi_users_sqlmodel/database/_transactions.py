"""The session of a store: run work on it, several operations in one transaction, and hooks after its commit."""

import asyncio
from collections.abc import AsyncIterator, Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import asynccontextmanager
from contextvars import copy_context
from dataclasses import dataclass, field
from functools import partial
from typing import Any, Concatenate, Self

from sqlalchemy import Connection, inspect
from sqlalchemy.ext.asyncio import AsyncSession
from sqlalchemy.orm import Session, SessionTransaction, SessionTransactionOrigin
from sqlalchemy.orm.attributes import set_committed_value

from fastapi_users_sqlmodel.database._listeners import Hook, keep_canonical, take_waiting, wait_for_commit

_PART = "fastapi_users_sqlmodel.part"

# A thread that waits for a lock or a connection stays occupied, and the one that holds it needs a thread to go on: the
# default executor of the event loop would run out. As many threads are made as sessions work at the same time.
_threads = ThreadPoolExecutor(10_000, thread_name_prefix="session")


class Transactions:
    """Transactions on the session of a store."""

    session: Any
    user_table: type[Any]

    _session_class: type[Any]
    # Whether the session can wait for a coroutine while it commits.
    _waits_in_commit: bool

    def _use(self, session: Any) -> None:
        if not isinstance(session, self._session_class):
            raise TypeError(
                f"{type(self).__name__} works on a sqlalchemy or sqlmodel {self._session_class.__name__}, and was "
                f"given a {type(session).__module__}.{type(session).__qualname__}"
            )
        keep_canonical(getattr(session, "sync_session", session))
        self.session = session

    async def run[**P, T](self, work: Callable[Concatenate[Session, P], T], *args: P.args, **kwargs: P.kwargs) -> T:
        """Run a function on the sync session, or on the one that an async session wraps."""
        raise NotImplementedError

    @asynccontextmanager
    async def transaction(self) -> AsyncIterator[None]:
        """Make one transaction of the block; a savepoint in a transaction that was opened explicitly.

        On a plain session, the transaction is committed at the end of the block. The hooks given to `after_commit` run
        after the outermost commit.
        """
        part = _Part()
        try:
            # In the `try`: a cancellation while the transaction begins must not leave it open.
            await self.run(part.begin, self.user_table)
            yield
            await self.run(part.commit)
        except BaseException:
            await self.run(part.roll_back)
            raise
        if part.savepoint is not None and part.outer is None and not self._waits_in_commit:
            part.hooks = take_waiting(self.session)
        for hook in part.hooks:
            await hook()

    def after_commit(self, hook: Hook) -> None:
        """Run a hook after the commit of the present transaction; never if the transaction is rolled back.

        A sync session cannot wait for a hook while it commits: in a transaction that was opened explicitly, the hook
        runs at the end of the outermost `transaction()` block.
        """
        wait_for_commit(getattr(self.session, "sync_session", self.session), hook)

    async def release(self) -> None:
        """Commit a plain session and return its connection to the pool, before slow work such as hashing.

        Does nothing in a transaction that was opened explicitly.
        """
        await self.run(_release)


class SessionStore(Transactions):
    """A store on an `AsyncSession`: SQLModel's or SQLAlchemy's own."""

    session: AsyncSession

    _session_class = AsyncSession
    _waits_in_commit = True

    async def run[**P, T](self, work: Callable[Concatenate[Session, P], T], *args: P.args, **kwargs: P.kwargs) -> T:
        """Run it in a greenlet."""
        return await self.session.run_sync(work, *args, **kwargs)


class SyncSessionStore(Transactions):
    """The same work on a sync `Session`, in a thread: the event loop goes on meanwhile."""

    session: Session

    _session_class = Session
    _waits_in_commit = False

    async def run[**P, T](self, work: Callable[Concatenate[Session, P], T], *args: P.args, **kwargs: P.kwargs) -> T:
        """Run it in a thread, to its end."""
        in_context = partial(copy_context().run, work, self.session, *args, **kwargs)
        running = asyncio.get_running_loop().run_in_executor(_threads, in_context)
        cancelled: asyncio.CancelledError | None = None
        while not running.done():
            # A cancelled request must not leave the session to two threads; anyio cancels again and again.
            try:
                await asyncio.wait([running])
            except asyncio.CancelledError as error:
                cancelled = error
        if cancelled is not None:
            # Retrieved, so that asyncio does not warn about it.
            running.exception()
            raise cancelled
        return running.result()


@dataclass(slots=True)
class _Part:
    """One `transaction()` block: a transaction, or a savepoint in one."""

    savepoint: SessionTransaction | None = None
    has_begun: bool = False
    outer: Self | None = None
    before: list[tuple[object, dict[str, Any]]] = field(default_factory=list)
    # The users that this block has locked or inserted, by class and id.
    locked: dict[tuple[type[Any], Any], Any] = field(default_factory=dict)
    # What is left to run after the commit.
    hooks: list[Hook] = field(default_factory=list)

    def begin(self, session: Session, row_type: type[object]) -> None:
        self.outer = session.info.get(_PART)
        session.info[_PART] = self
        self.before = [(row, loaded(row)) for row in session]
        if is_plain(session):
            _release(session)
            session.begin()
            self.has_begun = True
            begin_on_sqlite(session, row_type, immediately=True)
        else:
            # By default, SQLite would commit the caller's changes when our savepoint is released.
            begin_on_sqlite(session, row_type, immediately=True)
            self.savepoint = session.begin_nested()

    def commit(self, session: Session) -> None:
        if self.savepoint is not None:
            self.savepoint.commit()
            if self.outer is not None:
                self.outer.locked.update(self.locked)
            self._end(session)
            return
        self.hooks = take_waiting(session)
        commit_and_keep(session)
        self._end(session)

    def roll_back(self, session: Session) -> None:
        self._end(session)
        if self.has_begun:
            session.rollback()
        # After a refused flush it is inactive and has to be ended; without a session it has ended.
        elif self.savepoint is not None and self.savepoint.session is not None:
            self.savepoint.rollback()
        # The caller's objects stay readable: outside the store, no attribute can wait for the database.
        for row, values in self.before:
            restore(row, values)

    def _end(self, session: Session) -> None:
        # A block that failed to begin may not be the present one.
        if session.info.get(_PART) is self:
            session.info.pop(_PART)
            if self.outer is not None:
                session.info[_PART] = self.outer


def note_locked(session: Session, user_table: type[Any], user: Any) -> None:
    """Remember until the end of the present block that this session has locked, or inserted, a user."""
    if (part := session.info.get(_PART)) is not None:
        part.locked[user_table, user.id] = user


def locked_user(session: Session, user_table: type[Any], user_id: Any) -> Any | None:
    """Return a user that the present block has locked or inserted, if every attribute is loaded; else None."""
    part: _Part | None = session.info.get(_PART)
    while part is not None:
        user = part.locked.get((user_table, user_id))
        if user is not None and user in session and not inspect(user).expired_attributes:
            return user
        part = part.outer
    return None


def is_plain(session: Session) -> bool:
    """Return whether the session has no transaction, or one that began by itself: then we commit."""
    root = session.get_transaction()
    return root is None or (
        root.origin is SessionTransactionOrigin.AUTOBEGIN and session.get_nested_transaction() is None
    )


def begin_on_sqlite(session: Session, row_type: type[object], *, immediately: bool = False) -> Connection | None:
    """Open a real transaction on SQLite, and return the connection if there was none.

    By default, the sqlite3 driver begins none for a SELECT or a SAVEPOINT, and releasing an outer savepoint commits.

    Args:
        session: The session.
        row_type: A mapped class of the database, where a session has several.
        immediately: Whether to take the write lock now, so that rows do not change between reading and writing.
    """
    connection = session.connection(bind_arguments={"mapper": row_type})
    if connection.dialect.name == "sqlite" and not connection.connection.driver_connection.in_transaction:  # type: ignore[union-attr]  # SQLAlchemy calls it Any or None
        connection.exec_driver_sql("BEGIN IMMEDIATE" if immediately else "BEGIN")
        return connection
    return None


def commit_and_keep(session: Session) -> None:
    """Commit, and expire nothing: what was loaded stays readable without a statement."""
    expires, session.expire_on_commit = session.expire_on_commit, False
    try:
        session.commit()
    finally:
        session.expire_on_commit = expires


def loaded(row: object) -> dict[str, Any]:
    state = inspect(row, raiseerr=True)
    return {attribute.key: state.dict[attribute.key] for attribute in state.mapper.attrs if attribute.key in state.dict}


def restore(row: object, before: dict[str, Any]) -> None:
    """Restore the attributes that a rollback has expired, relationships included."""
    state = inspect(row, raiseerr=True)
    if state.persistent:
        for name, value in before.items():
            if name not in state.dict:
                set_committed_value(row, name, value)


def _release(session: Session) -> None:
    if session.in_transaction() and is_plain(session):
        commit_and_keep(session)
