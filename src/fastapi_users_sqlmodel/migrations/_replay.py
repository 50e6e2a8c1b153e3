"""Replay every migration in a scratch, so that autogenerate never looks at the real tables."""

import logging
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any, override

from alembic.operations import Operations
from alembic.runtime.migration import MigrationContext
from alembic.script import ScriptDirectory
from alembic.util import CommandError
from sqlalchemy import Connection, event
from sqlalchemy.exc import DBAPIError, SQLAlchemyError

from fastapi_users_sqlmodel.migrations._guard import UnsafeStatementError
from fastapi_users_sqlmodel.migrations._scratch import Scratch

# What a revision raises when rows or objects are missing that it reads: `one()`, `rows[0]`, `row.id` of None,
# `int(None)`, `next(iter(rows))`, an assertion or an error of its own.
_ERRORS = (
    ArithmeticError,
    AssertionError,
    AttributeError,
    LookupError,
    RuntimeError,
    SQLAlchemyError,
    StopIteration,
    TypeError,
    ValueError,
)

WAYS_OUT = (
    'name a database for it with run_migrations(…, scratch_url="…") or alembic -x scratch_url=…, or compare with the '
    'database as it stands: run_migrations(…, compare="database") or alembic -x compare=database.'
)


class _InOneTransaction(MigrationContext):
    """Replays migrations inside a transaction that nobody will commit."""

    @override
    @contextmanager
    def autocommit_block(self) -> Iterator[None]:
        yield


def replay(
    connection: Connection, script: ScriptDirectory, options: Mapping[str, Any], *, is_transaction: bool, hint: str = ""
) -> Scratch:
    """Bring the scratch behind a connection to head, and return what the migrations said about it.

    Args:
        connection: Of the scratch.
        script: The migrations.
        options: Those of `context.configure` that decide what Alembic does.
        is_transaction: Nothing may be committed: `autocommit_block` does nothing.
        hint: What else to say when a revision fails.

    Raises:
        CommandError: A revision failed.
    """
    scratch = Scratch()
    running: list[Any] = []

    def upgrade(revision: Any, _: MigrationContext) -> Iterable[Any]:
        # The method that command.upgrade calls; the command itself would run env.py once more, inside of env.py.
        for step in script._upgrade_revs("heads", revision):  # noqa: SLF001
            running[:] = [step]
            yield step

    kind = _InOneTransaction if is_transaction else MigrationContext
    migrations = kind(connection.dialect, connection, {**options, "fn": upgrade, "script": script})
    event.listen(connection, "before_execute", scratch.remember)
    try:
        with Operations.context(migrations), _silence():
            if not is_transaction:
                # Only an autocommit_block commits: what is left is rolled back when the connection is closed.
                migrations.begin_transaction()
            migrations.run_migrations()
    except UnsafeStatementError as error:
        raise CommandError(
            f"{_named(running[0])} cannot be replayed in a transaction that is rolled back: {error}. "
            f"{hint}Or {WAYS_OUT}"
        ) from error
    except CommandError:
        raise
    except (*_ERRORS, connection.dialect.loaded_dbapi.Error) as error:
        if not running:
            raise
        raise CommandError(_failure(running[0], error, hint)) from error
    finally:
        event.remove(connection, "before_execute", scratch.remember)
    return scratch


def _failure(step: Any, error: BaseException, hint: str) -> str:
    cause = error.orig if isinstance(error, DBAPIError) and error.orig is not None else error
    reason = " ".join(str(cause).split())
    said = f"{type(cause).__name__}: {reason}" if reason else type(cause).__name__
    return (
        f"{_named(step)} fails in the scratch, a database without rows in which autogenerate replays the migrations: "
        f"{said}. {hint}If it needs what only your database has, {WAYS_OUT}"
    )


def _named(step: Any) -> str:
    return f"Revision {step.revision.revision} ({step.revision.path})"


@contextmanager
def _silence() -> Iterator[None]:
    """Keep "Running upgrade" out of the log: it is not the user's database that is upgraded."""
    log = logging.getLogger("alembic.runtime.migration")

    def nothing(_: logging.LogRecord) -> bool:
        return False

    log.addFilter(nothing)
    try:
        yield
    finally:
        log.removeFilter(nothing)
