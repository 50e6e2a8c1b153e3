"""Several operations of a store in one transaction, and what follows its commit, whoever commits."""

from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any, Concatenate

from sqlalchemy import Connection, event, inspect
from sqlalchemy.orm import Session, SessionTransaction, SessionTransactionOrigin
from sqlalchemy.orm.attributes import set_committed_value
from sqlalchemy.util.concurrency import await_only

type Hook = Callable[[], Awaitable[None]]

_WAITING = "fastapi_users_sqlmodel.waiting_for_commit"
_COMMITTED = "fastapi_users_sqlmodel.committed"
_IN_PART = "fastapi_users_sqlmodel.in_part"


class Transactions:
    """What a store does for those who need several of its operations to be one."""

    session: Any
    user_table: type[Any]

    # Whether the session can wait for a coroutine in the middle of its commit.
    _waits_in_commit: bool

    async def run[**P, T](self, work: Callable[Concatenate[Session, P], T], *args: P.args, **kwargs: P.kwargs) -> T:
        """Run what works on a sync session; an async session is handed over as the one that it wraps."""
        raise NotImplementedError

    @asynccontextmanager
    async def transaction(self) -> AsyncIterator[None]:
        """Make one transaction of what happens inside; in one that was opened explicitly, a savepoint.

        On a plain session it is committed at the end. What was given to `after_commit` follows the commit, whoever does
        it.
        """
        part = _Part()
        try:
            # Inside: whoever is cancelled while it begins, leaves nothing open either.
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
        """Run a hook after the commit of the transaction that is under way; if that is rolled back, never.

        A sync session cannot wait for a hook while it commits: in a transaction that was opened explicitly on one, the
        hook is run at the end of our own part of it.
        """
        session: Session = getattr(self.session, "sync_session", self.session)
        session.info.setdefault(_WAITING, []).append((hook, session.get_nested_transaction()))

    async def release(self) -> None:
        """Commit what was done on a plain session and give its connection back, before slow work such as hashing.

        A transaction that was opened explicitly is not ours to end: nothing happens.
        """
        await self.run(_release)


@dataclass(slots=True)
class _Part:
    """A transaction of ours, or our part of another one, as a savepoint."""

    savepoint: SessionTransaction | None = None
    has_begun: bool = False
    is_outermost: bool = False
    before: list[tuple[object, dict[str, Any]]] = field(default_factory=list)

    def begin(self, session: Session, row_type: type[object]) -> None:
        self.is_outermost = _IN_PART not in session.info
        session.info[_IN_PART] = True
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
        if self.is_outermost:
            session.info.pop(_IN_PART, None)


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


# A hook that waits for a transaction which somebody else has opened, and will commit or not: the session tells.


@event.listens_for(Session, "after_commit")
def _on_commit(session: Session) -> None:
    if _WAITING in session.info and not session.in_nested_transaction():
        session.info[_COMMITTED] = session.info.pop(_WAITING)


@event.listens_for(Session, "after_soft_rollback")
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


@event.listens_for(Session, "after_transaction_end")
def _on_end(session: Session, transaction: SessionTransaction) -> None:
    if transaction.parent is None:
        session.info.pop(_WAITING, None)
        if committed := session.info.pop(_COMMITTED, None):
            # Inside `with session.begin()`, SQLAlchemy forbids the session until that ends; its transaction is over,
            # and what a hook does is another one.
            context, session._trans_context_manager = session._trans_context_manager, None  # noqa: SLF001
            try:
                # We are in the greenlet of `AsyncSession.commit`, and the session is free for what the hook asks of it.
                for hook, _ in committed:
                    await_only(hook())
            finally:
                session._trans_context_manager = context  # noqa: SLF001
