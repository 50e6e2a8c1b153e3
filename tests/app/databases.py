"""The database of a service in another process, seen from the test."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from sqlalchemy import Connection, NullPool, create_engine
from sqlmodel import Session

from app import db
from app.models import User
from app.users import UserManager, auth_backend
from fastapi_users_sqlmodel import SQLModelUserDatabase, testing
from fastapi_users_sqlmodel.authentication import SessionBackend
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


async def signed_in(url: str, user: User, backend: SessionBackend[Any, Any] = auth_backend) -> dict[str, str]:
    """Sign a user in without a password, at a service that has our key, and return the headers to be that user."""
    with connected(url) as connection, Session(connection, expire_on_commit=False) as session:
        manager = UserManager(SQLModelUserDatabase(session, User), session)  # type: ignore[arg-type]  # A sync store
        headers = await testing.as_user(session.get_one(User, user.id), backend, backend.strategy(manager))
        session.commit()
        return headers
