"""The database of a command: its schema, and the transaction in which a command works."""

import asyncio
from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager

from sqlalchemy import Connection
from sqlalchemy.exc import DBAPIError, InterfaceError, OperationalError
from sqlmodel.ext.asyncio.session import AsyncSession

from app import db
from app.cli.program import console, fail
from app.core.settings import settings

BEHIND = "The schema of {} is behind: run `alembic upgrade head`."
IN_MEMORY = "A database in memory is its server's alone: `python main.py --sample-data` fills its own."


class DatabaseProblem(Exception):
    """The database cannot be used, or not yet; the message is a sentence for people."""


def ask_database[T](question: Callable[[Connection], T]) -> T:
    """Return the result of a function of a connection.

    Raises:
        DatabaseProblem: The database cannot be opened.
    """
    with _problem(DBAPIError, OSError):
        if not settings.embedded:
            # asyncpg is there, because the server needs it; a synchronous driver may be missing.
            return asyncio.run(_ask_asynchronously(question))
        # If the file cannot be opened, aiosqlite leaves a thread behind that fails when the event loop is closed.
        with db.sync_engine().connect() as connection:
            return question(connection)


async def _ask_asynchronously[T](question: Callable[[Connection], T]) -> T:
    try:
        async with db.autocommit_engine.connect() as connection:
            return await connection.run_sync(question)
    finally:
        # Its connections belong to this event loop, and the server has another one.
        await db.engine.dispose()


def require_schema() -> None:
    """Bring an embedded database to head; end with a sentence if another database is behind."""
    from alembic.util import CommandError

    with one_clear_sentence():
        if ask_database(db.is_at_head):
            return
        if not settings.embedded:
            raise DatabaseProblem(BEHIND.format(settings.shown_database))
        progress = console.status("Bringing the database to head …")
        with _problem(DBAPIError, CommandError), progress, db.sync_engine().connect() as connection:
            db.upgrade(connection)


def in_transaction[T](work: Callable[[AsyncSession], Awaitable[T]]) -> T:
    """Bring the schema to head, and run a function of a session in one transaction, which is committed at its end."""
    if settings.in_memory:
        fail(IN_MEMORY)
    require_schema()
    with one_clear_sentence():
        return asyncio.run(_in_transaction(work))


async def _in_transaction[T](work: Callable[[AsyncSession], Awaitable[T]]) -> T:
    try:
        async with db.async_session_maker() as session, session.begin():
            return await work(session)
    finally:
        await db.engine.dispose()


@contextmanager
def one_clear_sentence() -> Iterator[None]:
    """End with one sentence if the database cannot be used; any other error keeps its traceback."""
    try:
        with _problem(OperationalError, InterfaceError):
            yield
    except DatabaseProblem as problem:
        fail(str(problem))


@contextmanager
def _problem(*kinds: type[Exception]) -> Iterator[None]:
    try:
        yield
    except kinds as error:
        raise DatabaseProblem(db.explain(error)) from error
