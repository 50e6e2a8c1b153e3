"""The database of a service in another process, seen from the test."""

from collections.abc import Iterator
from contextlib import contextmanager

from sqlalchemy import Connection, NullPool, create_engine

from app import db
from fastapi_users_sqlmodel.engines import prepare_sqlite, sync_url


@contextmanager
def connected(url: str) -> Iterator[Connection]:
    """Connect, in a transaction that is committed at the end."""
    engine = create_engine(sync_url(url), poolclass=NullPool)
    prepare_sqlite(engine)
    with engine.begin() as connection:
        yield connection


def migrated(url: str) -> str:
    """Bring a database to head, and return its URL."""
    engine = create_engine(sync_url(url), poolclass=NullPool)
    prepare_sqlite(engine)
    with engine.connect() as connection:
        db.upgrade(connection)
    return url
