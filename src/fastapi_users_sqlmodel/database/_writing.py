"""Write a row for a store: flush in a savepoint, restore it after a refusal, load it again."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from sqlalchemy import Connection, inspect
from sqlalchemy.exc import DBAPIError, IntegrityError
from sqlalchemy.orm import Session
from sqlalchemy.orm.exc import ObjectDeletedError, StaleDataError

from fastapi_users_sqlmodel.database._integrity import is_data_error
from fastapi_users_sqlmodel.database._objects import EAGER
from fastapi_users_sqlmodel.database._transactions import begin_on_sqlite, commit_and_keep, is_plain, loaded, restore

# The errors of the ORM about a row that was deleted meanwhile.
ROW_IS_GONE = (StaleDataError, ObjectDeletedError)


@contextmanager
def writing(session: Session, row: object) -> Iterator[None]:
    """Flush what is written to `row`, in a savepoint; on a plain session commit, in an explicit transaction do not.

    If the database refuses, the changes are undone, `row` has its former values, and the session stays usable. A
    transaction that began here has ended, so that SQLite's write lock is free.
    """
    # Before begin_nested(), which changes it.
    root = session.get_transaction()
    plain = is_plain(session)
    before: dict[str, Any] = {}
    begun: Connection | None = None
    try:
        # Pending changes are the caller's, and belong before our BEGIN.
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
            # There is nothing to commit, and a rollback would expire everything else that the session has loaded.
            session.commit()
        elif root is None:
            session.rollback()
        restore(row, before)
        raise
    if plain:
        session.commit()


def identity(row: object) -> Any:
    """Return the primary key without a statement: the row may be gone."""
    (key,) = inspect(row, raiseerr=True).identity or inspect(type(row)).primary_key_from_instance(row)
    return key


def reload(session: Session, row: object) -> None:
    """Load expired and computed attributes: outside the store, no attribute can wait for the database.

    Relationships that load by themselves with every row (`lazy="joined"`) are loaded for a new row, too.
    """
    state = inspect(row, raiseerr=True)
    eager = {one.key for one in state.mapper.relationships if one.lazy in EAGER and one.key not in state.dict}
    if names := state.expired_attributes | eager:
        with loading(session):
            session.refresh(row, None if state.expired else names)


@contextmanager
def loading(session: Session) -> Iterator[None]:
    """End a transaction that begins in the block, without expiring: a caller that only reads on holds no lock."""
    began_here = not session.in_transaction()
    yield
    if began_here and session.in_transaction():
        commit_and_keep(session)
