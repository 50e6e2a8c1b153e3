"""A GET gets a session that cannot write."""

import os
import uuid
from collections.abc import AsyncIterator
from datetime import timedelta
from typing import Annotated

from fastapi import Depends, FastAPI
from fastapi.requests import HTTPConnection
from sqlalchemy import event
from sqlalchemy.engine.interfaces import DBAPIConnection
from sqlalchemy.ext.asyncio import AsyncSession, create_async_engine
from sqlalchemy.orm import DeclarativeBase
from sqlalchemy.pool import ConnectionPoolEntry

from fastapi_users_sqlmodel import (
    BaseUserManager,
    FastAPIUsers,
    SessionBackend,
    SessionLifetimes,
    Sessions,
    SQLAlchemyBaseUserTableUUID,
    SQLAlchemyUserDatabase,
    UUIDIDMixin,
    check_models,
    schemas,
)
from fastapi_users_sqlmodel.authentication import BearerRefreshTransport

from .db import DATABASE_URL, SECRET, async_session_maker
from .parts import include_routes


class Base(DeclarativeBase): ...


class User(SQLAlchemyBaseUserTableUUID, Base): ...


check_models(Base)

reading_engine = create_async_engine(DATABASE_URL)


@event.listens_for(reading_engine.sync_engine, "connect")
def read_only(connection: DBAPIConnection, _record: ConnectionPoolEntry) -> None:
    is_sqlite = reading_engine.dialect.name == "sqlite"
    role = os.environ.get("READER")
    cursor = connection.cursor()
    if is_sqlite:
        cursor.execute("PRAGMA query_only = ON")
    else:
        cursor.execute(f"SET ROLE {role}" if role else "SET default_transaction_read_only = on")
    cursor.close()
    connection.commit()


async def get_async_session(connection: HTTPConnection) -> AsyncIterator[AsyncSession]:
    is_read = connection.scope.get("method") in {"GET", "HEAD"}
    async with AsyncSession(reading_engine, expire_on_commit=False) if is_read else async_session_maker() as session:
        yield session


class UserManager(UUIDIDMixin, BaseUserManager[User, uuid.UUID]): ...


async def get_user_manager(
    session: Annotated[AsyncSession, Depends(get_async_session)],
) -> AsyncIterator[UserManager]:
    yield UserManager(SQLAlchemyUserDatabase(session, User))


# A use is recorded twice in this time at most; this short, it is recorded in the second request already.
sessions = Sessions(SECRET, lifetimes=SessionLifetimes(idle=timedelta(seconds=4)))
backend = SessionBackend[User, uuid.UUID](
    "jwt", BearerRefreshTransport(tokenUrl="auth/login"), sessions, get_user_manager
)
users = FastAPIUsers[User, uuid.UUID](get_user_manager, [backend])

app = FastAPI()
include_routes(app, users, backend, schemas.BaseUser[uuid.UUID])
