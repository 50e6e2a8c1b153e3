"""Run several operations of a store in one transaction, and hooks after its commit."""

from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any, Concatenate, Self

import sqlmodel
from sqlalchemy import Connection, event, inspect
from sqlalchemy.orm import Session, SessionTransaction, SessionTransactionOrigin
from sqlalchemy.orm.attributes import set_committed_value
from sqlalchemy.util.concurrency import await_only

type Hook = Callable[[], Awaitable[None]]

# Keys in the `info` of a session that a store works on; each is removed when its transaction ends.
_WAITING = "fastapi_users_sqlmodel.waiting_for_commit"
_COMMITTED = "fastapi_users_sqlmodel.committed"
_PART = "fastapi_users_sqlmodel.part"


class StoreSession(sqlmodel.Session):
    """A session whose class has the listeners of the stores, so that none is added to each session."""


class Transactions:
    """Transactions on the session of a store."""

    session: Any
    user_table: type[Any]

    # Whether the session can wait for a coroutine in the middle of its commit.
    _waits_in_commit: bool

    async def run[**P, T](self, work: Callable[Concatenate[Session, P], T], *args: P.args, **kwargs: P.kwargs) -> T:
        """Run what works on a sync session; an async session is handed over as the one that it wraps."""
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
        if part.is_outermost and (part.savepoint is None or not self._waits_in_commit):
            for hook, _ in self.session.info.pop(_WAITING, []):
                await hook()

    def after_commit(self, hook: Hook) -> None:
        """Run a hook after the commit of the present transaction; never if the transaction is rolled back.

        A sync session cannot wait for a hook while it commits: in a transaction that was opened explicitly, the hook
        runs at the end of the outermost `transaction()` block.
        """
        session: Session = getattr(self.session, "sync_session", self.session)
        listen(session, _LISTENERS)
        session.info.setdefault(_WAITING, []).append((hook, session.get_nested_transaction()))

    async def release(self) -> None:
        """Commit a plain session and return its connection to the pool, before slow work such as hashing.

        Does nothing in a transaction that was opened explicitly.
        """
        await self.run(_release)


@dataclass(slots=True)
class _Part:
    """One `transaction()` block: a transaction, or a savepoint in one."""

    savepoint: SessionTransaction | None = None
    has_begun: bool = False
    outer: Self | None = None
    before: list[tuple[object, dict[str, Any]]] = field(default_factory=list)
    # The users that this block has locked or inserted, by id.
    locked: dict[Any, Any] = field(default_factory=dict)

    @property
    def is_outermost(self) -> bool:
        return self.outer is None

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
            # As it comes, SQLite would commit with our savepoint what is the caller's to commit.
            begin_on_sqlite(session, row_type, immediately=True)
            self.savepoint = session.begin_nested()

    def commit(self, session: Session) -> None:
        if self.savepoint is not None:
            self.savepoint.commit()
            if self.outer is not None:
                self.outer.locked.update(self.locked)
            self._end(session)
            return
        waiting = session.info.pop(_WAITING, [])
        commit_and_keep(session)
        self._end(session)
        session.info[_WAITING] = waiting

    def roll_back(self, session: Session) -> None:
        self._end(session)
        if self.has_begun:
            session.rollback()
        # A refused flush has made it inactive, and leaves it to us to end it; without a session it has ended.
        elif self.savepoint is not None and self.savepoint.session is not None:
            self.savepoint.rollback()
        # What the caller holds stays readable: outside, nobody can wait for what an attribute asks of the database.
        for row, values in self.before:
            restore(row, values)

    def _end(self, session: Session) -> None:
        # A block that failed to begin may not be the present one.
        if session.info.get(_PART) is self:
            session.info.pop(_PART)
            if self.outer is not None:
                session.info[_PART] = self.outer


def note_locked(session: Session, user: Any) -> None:
    """Remember until the end of the present block that this session has locked, or inserted, a user."""
    if (part := session.info.get(_PART)) is not None:
        part.locked[user.id] = user


def locked_user(session: Session, user_id: Any) -> Any | None:
    """Return a user that the present block has locked or inserted, if every attribute is loaded; else None."""
    part: _Part | None = session.info.get(_PART)
    while part is not None:
        user = part.locked.get(user_id)
        if user is not None and user in session and not inspect(user).expired_attributes:
            return user
        part = part.outer
    return None


def is_plain(session: Session) -> bool:
    """Tell whether a commit is ours: no transaction, or one that began by itself."""
    root = session.get_transaction()
    return root is None or (
        root.origin is SessionTransactionOrigin.AUTOBEGIN and session.get_nested_transaction() is None
    )


def begin_on_sqlite(session: Session, row_type: type[object], *, immediately: bool = False) -> Connection | None:
    """Open a real transaction on SQLite, and return the connection if there was none.

    As it comes, the sqlite3 driver opens none for a SELECT or a SAVEPOINT, and releasing an outermost one commits,
    whatever the caller decides later.

    Args:
        session: Its connection is meant.
        row_type: A mapped class of the database, where a session has several.
        immediately: Whether to wait for the other writers now: what is read then is still so when it is changed.
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
    """Fill in what a rollback has expired; relationships too, which nobody could ask the database for outside."""
    state = inspect(row, raiseerr=True)
    if state.persistent:
        for name, value in before.items():
            if name not in state.dict:
                set_committed_value(row, name, value)


def _release(session: Session) -> None:
    if session.in_transaction() and is_plain(session):
        commit_and_keep(session)


# Hooks that wait for a commit of somebody else are run by listeners. A session gets them with its first hook.


def _on_commit(session: Session) -> None:
    if _WAITING in session.info and not session.in_nested_transaction():
        session.info[_COMMITTED] = session.info.pop(_WAITING)


def _on_rollback(session: Session, rolled_back: SessionTransaction) -> None:
    if rolled_back.nested and _WAITING in session.info:
        waiting = session.info[_WAITING]
        session.info[_WAITING] = [(hook, inside) for hook, inside in waiting if not _is_within(inside, rolled_back)]


def _is_within(transaction: SessionTransaction | None, other: SessionTransaction) -> bool:
    while transaction is not None:
        if transaction is other:
            return True
        transaction = transaction.parent
    return False


def _on_end(session: Session, transaction: SessionTransaction) -> None:
    if transaction.parent is None:
        session.info.pop(_WAITING, None)
        if committed := session.info.pop(_COMMITTED, None):
            # Inside `with session.begin()`, SQLAlchemy refuses statements until the block ends. The transaction is
            # over, and the hooks work in another one.
            context, session._trans_context_manager = session._trans_context_manager, None  # noqa: SLF001
            try:
                # This is the greenlet of `AsyncSession.commit`: it can wait for a coroutine.
                for hook, _ in committed:
                    await_only(hook())
            finally:
                session._trans_context_manager = context  # noqa: SLF001


_LISTENERS: dict[str, Callable[..., Any]] = {
    "after_commit": _on_commit,
    "after_soft_rollback": _on_rollback,
    "after_transaction_end": _on_end,
}


def listen(session: Session, listeners: Mapping[str, Callable[..., Any]]) -> None:
    """Add listeners to a session, once; the class `StoreSession` has them already."""
    for name, listener in listeners.items():
        if not isinstance(session, StoreSession) and not event.contains(session, name, listener):
            event.listen(session, name, listener)


def listen_on_class(listeners: Mapping[str, Callable[..., Any]]) -> None:
    """Add listeners to `StoreSession`."""
    for name, listener in listeners.items():
        event.listen(StoreSession, name, listener)


listen_on_class(_LISTENERS)
