"""The stores under FastAPI Users, SQLAlchemy tables with UUIDs: checked by mypy --strict, never run."""

import uuid
from collections.abc import AsyncIterator
from typing import Annotated, assert_type

from fastapi import Depends, FastAPI
from fastapi_users import BaseUserManager, FastAPIUsers, UUIDIDMixin
from fastapi_users.authentication import AuthenticationBackend, CookieTransport
from fastapi_users.authentication.strategy.db import AccessTokenDatabase, DatabaseStrategy
from fastapi_users.db import BaseUserDatabase
from fastapi_users.schemas import BaseUser, BaseUserCreate, BaseUserUpdate
from sqlalchemy.ext.asyncio import AsyncSession, async_sessionmaker, create_async_engine
from sqlalchemy.orm import DeclarativeBase, Mapped, relationship

from fastapi_users_sqlmodel import (
    SQLAlchemyAccessTokenDatabase,
    SQLAlchemyBaseAccessTokenTableUUID,
    SQLAlchemyBaseOAuthAccountTableUUID,
    SQLAlchemyBaseUserTableUUID,
    SQLAlchemyUserDatabase,
)


class Base(DeclarativeBase):
    pass


class OAuthAccount(SQLAlchemyBaseOAuthAccountTableUUID, Base):
    pass


class User(SQLAlchemyBaseUserTableUUID, Base):
    oauth_accounts: Mapped[list[OAuthAccount]] = relationship("OAuthAccount", lazy="joined")


class AccessToken(SQLAlchemyBaseAccessTokenTableUUID, Base):
    pass


engine = create_async_engine("sqlite+aiosqlite:///./test.db")
async_session_maker = async_sessionmaker(engine, expire_on_commit=False)


async def get_async_session() -> AsyncIterator[AsyncSession]:
    async with async_session_maker() as session:
        yield session


SessionDep = Annotated[AsyncSession, Depends(get_async_session)]


async def get_user_db(session: SessionDep) -> AsyncIterator[SQLAlchemyUserDatabase[User, uuid.UUID]]:
    yield SQLAlchemyUserDatabase(session, User, OAuthAccount)


async def get_access_token_db(session: SessionDep) -> AsyncIterator[SQLAlchemyAccessTokenDatabase[AccessToken]]:
    yield SQLAlchemyAccessTokenDatabase(session, AccessToken)


class UserManager(UUIDIDMixin, BaseUserManager[User, uuid.UUID]):
    reset_password_token_secret = "secret"
    verification_token_secret = "secret"


async def get_user_manager(
    user_db: Annotated[SQLAlchemyUserDatabase[User, uuid.UUID], Depends(get_user_db)],
) -> AsyncIterator[UserManager]:
    yield UserManager(user_db)


def get_strategy(
    database: Annotated[SQLAlchemyAccessTokenDatabase[AccessToken], Depends(get_access_token_db)],
) -> DatabaseStrategy[User, uuid.UUID, AccessToken]:
    return DatabaseStrategy(database, lifetime_seconds=3600)


auth_backend = AuthenticationBackend(name="cookie", transport=CookieTransport(), get_strategy=get_strategy)
fastapi_users = FastAPIUsers[User, uuid.UUID](get_user_manager, [auth_backend])
current_active_user = fastapi_users.current_user(active=True)

app = FastAPI()
app.include_router(fastapi_users.get_auth_router(auth_backend), prefix="/auth")
app.include_router(fastapi_users.get_register_router(BaseUser[uuid.UUID], BaseUserCreate), prefix="/auth")
app.include_router(fastapi_users.get_users_router(BaseUser[uuid.UUID], BaseUserUpdate), prefix="/users")


@app.get("/")
async def hello(user: Annotated[User, Depends(current_active_user)]) -> str:
    return user.email


async def protocols(session: AsyncSession) -> None:
    users: BaseUserDatabase[User, uuid.UUID] = SQLAlchemyUserDatabase(session, User)
    tokens: AccessTokenDatabase[AccessToken] = SQLAlchemyAccessTokenDatabase(session, AccessToken)
    assert_type(await users.get(uuid.uuid4()), User | None)
    assert_type(await tokens.get_by_token("token"), AccessToken | None)


async def answers(session: AsyncSession) -> None:
    users = SQLAlchemyUserDatabase[User, uuid.UUID](session, User, OAuthAccount)
    user = await users.create({"email": "anna@example.com", "hashed_password": "hash"})
    assert_type(user, User)
    assert_type(user.id, uuid.UUID)
    assert_type(await users.get_by_email("anna@example.com"), User | None)
    assert_type(await users.get_by_oauth_account("google", "7"), User | None)
    assert_type(await users.update(user, {"is_verified": True}), User)
    assert_type(await users.add_oauth_account(user, {}), User)
    assert_type(await users.update_oauth_account(user, user.oauth_accounts[0], {}), User)
    tokens = SQLAlchemyAccessTokenDatabase(session, AccessToken)
    token = await tokens.create({"token": "token", "user_id": user.id})
    assert_type(token, AccessToken)
    assert_type(token.user_id, uuid.UUID)
