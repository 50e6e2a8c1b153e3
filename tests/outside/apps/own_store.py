"""A store that writes and asks by itself, and columns that are declared again, with other names in the database."""

import uuid
from collections.abc import AsyncIterator
from typing import TYPE_CHECKING, Annotated, Any

from fastapi import Depends, FastAPI
from sqlalchemy import Boolean, ForeignKey, String, func, select
from sqlalchemy.ext.asyncio import AsyncSession
from sqlalchemy.orm import DeclarativeBase, Mapped, mapped_column

from fastapi_users_sqlmodel import (
    BaseUserManager,
    FastAPIUsers,
    SessionBackend,
    Sessions,
    SQLAlchemyBaseUserTable,
    SQLAlchemyUserDatabase,
    UUIDIDMixin,
    check_models,
    schemas,
)
from fastapi_users_sqlmodel.authentication import BearerRefreshTransport

from .db import SECRET, get_async_session
from .parts import include_routes


class Base(DeclarativeBase): ...


class User(Base, SQLAlchemyBaseUserTable[uuid.UUID]):
    __tablename__ = "members"
    __table_args__ = {"extend_existing": True}  # noqa: RUF012  # as its users write it
    id: Mapped[uuid.UUID] = mapped_column("member_id", primary_key=True, default=uuid.uuid4)
    if not TYPE_CHECKING:  # FastAPI Users' protocol wants plain attributes.
        email: Mapped[str] = mapped_column("mail", String(320), unique=True, index=True)
        hashed_password: Mapped[str] = mapped_column("password", String(1024))
        is_active: Mapped[bool] = mapped_column("active", Boolean, default=True)
    username: Mapped[str | None] = mapped_column(String(50), unique=True)


class Profile(Base):
    __tablename__ = "profiles"
    id: Mapped[int] = mapped_column(primary_key=True)
    user_id: Mapped[uuid.UUID] = mapped_column(ForeignKey("members.member_id", ondelete="CASCADE"), unique=True)


check_models(Base)

SessionDep = Annotated[AsyncSession, Depends(get_async_session)]


class Members(SQLAlchemyUserDatabase[User, uuid.UUID]):
    async def create(self, create_dict: dict[str, Any]) -> User:
        """Create the profile with the user."""
        user = self.user_table(**create_dict)
        self.session.add(user)
        await self.session.flush()
        self.session.add(Profile(user_id=user.id))
        await self.session.commit()
        return user

    async def get_by_username(self, username: str) -> User | None:
        statement = select(User).where(func.lower(User.username) == username.lower())
        return (await self.session.execute(statement)).unique().scalar_one_or_none()


class UserManager(UUIDIDMixin, BaseUserManager[User, uuid.UUID]): ...


async def get_user_manager(session: SessionDep) -> AsyncIterator[UserManager]:
    yield UserManager(Members(session, User))


backend = SessionBackend[User, uuid.UUID](
    "jwt", BearerRefreshTransport(tokenUrl="auth/login"), Sessions(SECRET), get_user_manager
)
users = FastAPIUsers[User, uuid.UUID](get_user_manager, [backend])


class UserRead(schemas.BaseUser[uuid.UUID]):
    username: str | None


class UserCreate(schemas.BaseUserCreate):
    username: str | None = None


app = FastAPI()
include_routes(app, users, backend, UserRead, create=UserCreate)


@app.get("/profiles")
async def count_profiles(session: SessionDep) -> int:
    return await session.scalar(select(func.count()).select_from(Profile)) or 0
