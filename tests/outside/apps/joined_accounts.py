"""FastAPI Users' documented OAuth tables: `lazy="joined"`, and the accounts in every answer."""

import uuid
from collections.abc import AsyncIterator
from typing import Annotated

from fastapi import Depends, FastAPI
from sqlalchemy.ext.asyncio import AsyncSession
from sqlalchemy.orm import DeclarativeBase, Mapped, relationship

from fastapi_users_sqlmodel import (
    BaseUserManager,
    FastAPIUsers,
    SQLAlchemyBaseOAuthAccountTableUUID,
    SQLAlchemyBaseUserTableUUID,
    SQLAlchemyUserDatabase,
    UUIDIDMixin,
    check_models,
    schemas,
)
from fastapi_users_sqlmodel.authentication import AuthenticationBackend, BearerTransport, JWTStrategy

from .db import SECRET, get_async_session
from .parts import include_routes


class Base(DeclarativeBase): ...


class OAuthAccount(SQLAlchemyBaseOAuthAccountTableUUID, Base): ...


class User(SQLAlchemyBaseUserTableUUID, Base):
    oauth_accounts: Mapped[list[OAuthAccount]] = relationship(
        "OAuthAccount", lazy="joined", order_by="OAuthAccount.oauth_name"
    )


check_models(Base)


class UserManager(UUIDIDMixin, BaseUserManager[User, uuid.UUID]): ...


async def get_user_manager(
    session: Annotated[AsyncSession, Depends(get_async_session)],
) -> AsyncIterator[UserManager]:
    yield UserManager(SQLAlchemyUserDatabase(session, User, OAuthAccount))


def get_jwt_strategy() -> JWTStrategy[User, uuid.UUID]:
    return JWTStrategy(SECRET, lifetime_seconds=3600)


backend = AuthenticationBackend("jwt", BearerTransport(tokenUrl="auth/login"), get_jwt_strategy)
users = FastAPIUsers[User, uuid.UUID](get_user_manager, [backend])


class UserRead(schemas.BaseUser[uuid.UUID], schemas.BaseOAuthAccountMixin): ...


app = FastAPI()
include_routes(app, users, backend, UserRead)


@app.post("/link")
async def link(
    name: str,
    user: Annotated[User, Depends(users.current_user(active=True))],
    manager: Annotated[UserManager, Depends(get_user_manager)],
) -> UserRead:
    account = {"oauth_name": name, "access_token": "token", "account_id": name, "account_email": user.email}
    return UserRead.model_validate(await manager.user_db.add_oauth_account(user, account))
