"""Users in a table `users` of a schema, and a table of the default schema that points to them."""

import uuid
from collections.abc import AsyncIterator
from typing import Annotated

from fastapi import Depends, FastAPI
from sqlalchemy import ForeignKey
from sqlalchemy.ext.asyncio import AsyncSession
from sqlalchemy.orm import DeclarativeBase, Mapped, mapped_column

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
    __tablename__ = "users"
    __table_args__ = {"schema": "auth"}  # noqa: RUF012  # SQLAlchemy's way to say it


class Invoice(Base):
    __tablename__ = "invoices"
    id: Mapped[int] = mapped_column(primary_key=True)
    user_id: Mapped[uuid.UUID] = mapped_column(ForeignKey("auth.users.id", ondelete="CASCADE"))


check_models(Base)


class UserManager(UUIDIDMixin, BaseUserManager[User, uuid.UUID]): ...


async def get_user_manager(
    session: Annotated[AsyncSession, Depends(get_async_session)],
) -> AsyncIterator[UserManager]:
    yield UserManager(SQLAlchemyUserDatabase(session, User))


backend = SessionBackend[User, uuid.UUID](
    "jwt", BearerRefreshTransport(tokenUrl="auth/login"), Sessions(SECRET), get_user_manager
)
users = FastAPIUsers[User, uuid.UUID](get_user_manager, [backend])

app = FastAPI()
include_routes(app, users, backend, schemas.BaseUser[uuid.UUID])
