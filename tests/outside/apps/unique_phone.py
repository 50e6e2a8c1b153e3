"""A unique phone number, and a biography that is loaded only where it is shown."""

import uuid
from collections.abc import AsyncIterator
from typing import Annotated

from fastapi import Depends, FastAPI
from sqlalchemy import String, Text, select
from sqlalchemy.ext.asyncio import AsyncSession
from sqlalchemy.orm import DeclarativeBase, Mapped, mapped_column
from sqlmodel import col

from fastapi_users_sqlmodel import (
    BaseUserManager,
    FastAPIUsers,
    SessionBackend,
    Sessions,
    SQLAlchemyBaseUserTableUUID,
    SQLAlchemyUserDatabase,
    UUIDIDMixin,
    check_models,
    schemas,
)
from fastapi_users_sqlmodel.authentication import BearerRefreshTransport

from .db import SECRET, get_async_session
from .parts import include_routes


class Base(DeclarativeBase): ...


class User(SQLAlchemyBaseUserTableUUID, Base):
    phone: Mapped[str | None] = mapped_column(String(20), unique=True)
    biography: Mapped[str | None] = mapped_column(Text, deferred=True)


check_models(Base)

SessionDep = Annotated[AsyncSession, Depends(get_async_session)]


class UserManager(UUIDIDMixin, BaseUserManager[User, uuid.UUID]):
    registration_fields = BaseUserManager.registration_fields | {"phone"}
    own_fields = BaseUserManager.own_fields | {"phone", "biography"}
    superuser_fields = BaseUserManager.superuser_fields | {"phone"}


async def get_user_manager(session: SessionDep) -> AsyncIterator[UserManager]:
    yield UserManager(SQLAlchemyUserDatabase(session, User))


backend = SessionBackend[User, uuid.UUID](
    "jwt", BearerRefreshTransport(tokenUrl="auth/login"), Sessions(SECRET), get_user_manager
)
users = FastAPIUsers[User, uuid.UUID](get_user_manager, [backend])


class UserRead(schemas.BaseUser[uuid.UUID]):
    phone: str | None


class UserCreate(schemas.BaseUserCreate):
    phone: str | None = None


class UserUpdate(schemas.BaseUserUpdate):
    phone: str | None = None
    biography: str | None = None


app = FastAPI()
include_routes(app, users, backend, UserRead, create=UserCreate, update=UserUpdate)


@app.get("/biography")
async def read_biography(
    user: Annotated[User, Depends(users.current_user(active=True))], session: SessionDep
) -> str | None:
    return await session.scalar(select(User.biography).where(col(User.email) == user.email))
