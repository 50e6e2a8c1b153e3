"""String ids, FastAPI Users' cookies and JWTs, accounts at a provider that come with every user."""

import uuid
from collections.abc import AsyncIterator
from typing import Annotated, Any

from fastapi import Depends, FastAPI, Request
from sqlalchemy import ForeignKey, String
from sqlalchemy.ext.asyncio import AsyncSession
from sqlalchemy.orm import DeclarativeBase, Mapped, mapped_column, relationship

from fastapi_users_sqlmodel import (
    BaseUserManager,
    FastAPIUsers,
    SQLAlchemyBaseOAuthAccountTable,
    SQLAlchemyBaseUserTable,
    SQLAlchemyUserDatabase,
    check_models,
    schemas,
)
from fastapi_users_sqlmodel.authentication import AuthenticationBackend, CookieTransport, JWTStrategy

from .db import SECRET, get_async_session
from .parts import include_routes


class Base(DeclarativeBase): ...


def new_id() -> str:
    return f"usr_{uuid.uuid4().hex}"


class OAuthAccount(SQLAlchemyBaseOAuthAccountTable[str], Base):
    __tablename__ = "provider_accounts"
    id: Mapped[str] = mapped_column(String(36), primary_key=True, default=new_id)
    user_id: Mapped[str] = mapped_column(String(36), ForeignKey("users.id", ondelete="CASCADE"))


class User(SQLAlchemyBaseUserTable[str], Base):
    __tablename__ = "users"
    id: Mapped[str] = mapped_column(String(36), primary_key=True, default=new_id)
    oauth_accounts: Mapped[list[OAuthAccount]] = relationship(lazy="joined", cascade="all, delete-orphan")


check_models(Base)


class UserManager(BaseUserManager[User, str]):
    def parse_id(self, value: Any) -> str:
        return str(value)


async def get_user_manager(
    session: Annotated[AsyncSession, Depends(get_async_session)],
) -> AsyncIterator[UserManager]:
    yield UserManager(SQLAlchemyUserDatabase(session, User, OAuthAccount))


def get_jwt_strategy() -> JWTStrategy[User, str]:
    return JWTStrategy(SECRET, lifetime_seconds=3600)


backend = AuthenticationBackend("cookie", CookieTransport(cookie_secure=False), get_jwt_strategy)
users = FastAPIUsers[User, str](get_user_manager, [backend])


class UserRead(schemas.BaseUser[str], schemas.BaseOAuthAccountMixin): ...


app = FastAPI()
include_routes(app, users, backend, UserRead)


@app.post("/provider")
async def from_provider(
    request: Request, account: dict[str, str], manager: Annotated[UserManager, Depends(get_user_manager)]
) -> UserRead:
    """Take what a phone's SDK of a provider hands over."""
    found = await manager.oauth_callback(
        account["provider"], account["token"], account["id"], account["email"], request=request
    )
    return UserRead.model_validate(found)
