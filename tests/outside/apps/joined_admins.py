"""Admins have a table of their own that extends the users' (joined inheritance), and a manager of their own."""

import uuid
from collections.abc import AsyncIterator
from typing import Annotated

from fastapi import Depends, FastAPI
from sqlalchemy import ForeignKey, String
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
    kind: Mapped[str] = mapped_column(String(10), default="user")
    __mapper_args__ = {"polymorphic_on": "kind", "polymorphic_identity": "user"}  # noqa: RUF012  # SQLAlchemy's way


class Admin(User):
    __tablename__ = "admins"
    id: Mapped[uuid.UUID] = mapped_column(ForeignKey("user.id", ondelete="CASCADE"), primary_key=True)
    department: Mapped[str | None] = mapped_column(String(50))
    __mapper_args__ = {"polymorphic_identity": "admin"}  # noqa: RUF012  # SQLAlchemy's way


check_models(Base)

SessionDep = Annotated[AsyncSession, Depends(get_async_session)]


class UserManager(UUIDIDMixin, BaseUserManager[User, uuid.UUID]): ...


class AdminManager(UUIDIDMixin, BaseUserManager[Admin, uuid.UUID]):
    registration_fields = BaseUserManager.registration_fields | {"department"}
    own_fields = BaseUserManager.own_fields | {"department"}


async def get_user_manager(session: SessionDep) -> AsyncIterator[UserManager]:
    yield UserManager(SQLAlchemyUserDatabase(session, User))


async def get_admin_manager(session: SessionDep) -> AsyncIterator[AdminManager]:
    yield AdminManager(SQLAlchemyUserDatabase(session, Admin))


sessions = Sessions(SECRET)
backend = SessionBackend[User, uuid.UUID](
    "jwt", BearerRefreshTransport(tokenUrl="auth/login"), sessions, get_user_manager
)
admin_backend = SessionBackend[Admin, uuid.UUID](
    "admin", BearerRefreshTransport(tokenUrl="admins/auth/login"), sessions, get_admin_manager
)
users = FastAPIUsers[User, uuid.UUID](get_user_manager, [backend])
admins = FastAPIUsers[Admin, uuid.UUID](get_admin_manager, [admin_backend])


class AdminRead(schemas.BaseUser[uuid.UUID]):
    department: str | None


class AdminCreate(schemas.BaseUserCreate):
    department: str | None = None


class AdminUpdate(schemas.BaseUserUpdate):
    department: str | None = None


app = FastAPI()
include_routes(app, users, backend, schemas.BaseUser[uuid.UUID])
include_routes(app, admins, admin_backend, AdminRead, create=AdminCreate, update=AdminUpdate, prefix="/admins")
