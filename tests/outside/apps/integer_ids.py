"""Integer ids, FastAPI Users' tokens in the database, and tables with names of their own."""

from collections.abc import AsyncIterator
from typing import Annotated

from fastapi import Depends, FastAPI
from fastapi_users.authentication.strategy.db import AccessTokenDatabase, DatabaseStrategy
from sqlalchemy import ForeignKey
from sqlalchemy.ext.asyncio import AsyncSession
from sqlalchemy.orm import DeclarativeBase, Mapped, mapped_column

from fastapi_users_sqlmodel import (
    BaseUserManager,
    FastAPIUsers,
    IntegerIDMixin,
    SQLAlchemyAccessTokenDatabase,
    SQLAlchemyBaseAccessTokenTable,
    SQLAlchemyBaseUserTable,
    SQLAlchemyUserDatabase,
    check_models,
    schemas,
)
from fastapi_users_sqlmodel.authentication import AuthenticationBackend, BearerTransport

from .db import get_async_session
from .parts import include_routes


class Base(DeclarativeBase): ...


class User(SQLAlchemyBaseUserTable[int], Base):
    __tablename__ = "auth_user"
    id: Mapped[int] = mapped_column(primary_key=True)


class AccessToken(SQLAlchemyBaseAccessTokenTable[int], Base):
    __tablename__ = "auth_token"
    user_id: Mapped[int] = mapped_column(ForeignKey("auth_user.id", ondelete="CASCADE"))


check_models(Base)

SessionDep = Annotated[AsyncSession, Depends(get_async_session)]


class UserManager(IntegerIDMixin, BaseUserManager[User, int]): ...


async def get_user_manager(session: SessionDep) -> AsyncIterator[UserManager]:
    yield UserManager(SQLAlchemyUserDatabase(session, User))


async def get_access_token_db(session: SessionDep) -> AsyncIterator[SQLAlchemyAccessTokenDatabase[AccessToken]]:
    yield SQLAlchemyAccessTokenDatabase(session, AccessToken)


def get_database_strategy(
    tokens: Annotated[AccessTokenDatabase[AccessToken], Depends(get_access_token_db)],
) -> DatabaseStrategy[User, int, AccessToken]:
    return DatabaseStrategy(tokens, lifetime_seconds=3600)


backend = AuthenticationBackend("database", BearerTransport(tokenUrl="auth/login"), get_database_strategy)
users = FastAPIUsers[User, int](get_user_manager, [backend])

app = FastAPI()
include_routes(app, users, backend, schemas.BaseUser[int])
