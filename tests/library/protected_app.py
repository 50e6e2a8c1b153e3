"""A protected app as its author would write it; the tests of fastapi_users_sqlmodel.testing test it."""

import uuid
from collections.abc import AsyncIterator
from typing import Annotated, Any

from fastapi import Depends, FastAPI, HTTPException
from fastapi_users import BaseUserManager, FastAPIUsers, UUIDIDMixin
from fastapi_users.authentication import AuthenticationBackend, BearerTransport, CookieTransport, JWTStrategy
from fastapi_users.authentication.strategy.db import DatabaseStrategy
from fastapi_users.password import PasswordHelper
from fastapi_users.schemas import BaseUser, BaseUserCreate
from pwdlib import PasswordHash
from pwdlib.hashers.argon2 import Argon2Hasher
from sqlalchemy.orm import DeclarativeBase, Mapped, mapped_column
from sqlmodel.ext.asyncio.session import AsyncSession

from fastapi_users_sqlmodel import (
    SQLAlchemyAccessTokenDatabase,
    SQLAlchemyBaseAccessTokenTableUUID,
    SQLAlchemyBaseUserTableUUID,
    SQLAlchemyUserDatabase,
)

SECRET = "a secret of thirty-two characters"


class Base(DeclarativeBase):
    pass


class User(SQLAlchemyBaseUserTableUUID, Base):
    pass


class AccessToken(SQLAlchemyBaseAccessTokenTableUUID, Base):
    pass


class Note(Base):
    __tablename__ = "note"

    text: Mapped[str] = mapped_column(primary_key=True)


async def get_async_session() -> AsyncIterator[AsyncSession]:
    raise AssertionError("a test has reached for the real database")
    yield


SessionDep = Annotated[AsyncSession, Depends(get_async_session)]


async def get_user_db(session: SessionDep) -> SQLAlchemyUserDatabase[User, uuid.UUID]:
    return SQLAlchemyUserDatabase(session, User)


async def get_access_token_db(session: SessionDep) -> SQLAlchemyAccessTokenDatabase[AccessToken]:
    return SQLAlchemyAccessTokenDatabase(session, AccessToken)


class UserManager(UUIDIDMixin, BaseUserManager[User, uuid.UUID]):
    reset_password_token_secret = SECRET
    verification_token_secret = SECRET


async def get_user_manager(
    user_db: Annotated[SQLAlchemyUserDatabase[User, uuid.UUID], Depends(get_user_db)],
) -> UserManager:
    # Cheap to compute: no test is about hashing.
    hasher = Argon2Hasher(time_cost=1, memory_cost=8, parallelism=1)
    return UserManager(user_db, PasswordHelper(PasswordHash((hasher,))))


def get_jwt_strategy() -> JWTStrategy[User, uuid.UUID]:
    return JWTStrategy(SECRET, lifetime_seconds=3600)


def get_database_strategy(
    tokens: Annotated[SQLAlchemyAccessTokenDatabase[AccessToken], Depends(get_access_token_db)],
) -> DatabaseStrategy[User, uuid.UUID, AccessToken]:
    return DatabaseStrategy(tokens, lifetime_seconds=3600)


bearer_backend = AuthenticationBackend("jwt", BearerTransport("auth/jwt/login"), get_jwt_strategy)
cookie_backend = AuthenticationBackend("cookie", CookieTransport("session"), get_database_strategy)
fastapi_users = FastAPIUsers[User, uuid.UUID](get_user_manager, [bearer_backend, cookie_backend])
CurrentUser = Annotated[User, Depends(fastapi_users.current_user(active=True))]

app = FastAPI()
app.include_router(fastapi_users.get_auth_router(bearer_backend), prefix="/auth/jwt")
app.include_router(fastapi_users.get_auth_router(cookie_backend), prefix="/auth/cookie")
app.include_router(fastapi_users.get_register_router(BaseUser[uuid.UUID], BaseUserCreate), prefix="/auth")


@app.get("/me")
async def me(user: CurrentUser) -> dict[str, Any]:
    return {"email": user.email}


@app.post("/notes/{text}")
async def write_note(text: str, user: CurrentUser, session: SessionDep) -> None:
    session.add(Note(text=text))
    await session.flush()
    if text == "refused":
        raise HTTPException(400)
