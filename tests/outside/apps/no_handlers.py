"""The library's routers and routes of the app's own, in an app that registers no exception handler."""

import uuid
from collections.abc import AsyncIterator
from typing import Annotated

from fastapi import APIRouter, Depends, FastAPI
from sqlalchemy.ext.asyncio import AsyncSession
from sqlalchemy.orm import DeclarativeBase

from fastapi_users_sqlmodel import (
    BaseUserManager,
    FastAPIUsers,
    SQLAlchemyBaseUserTableUUID,
    SQLAlchemyUserDatabase,
    UUIDIDMixin,
    schemas,
)
from fastapi_users_sqlmodel.authentication import AuthenticationBackend, BearerTransport, JWTStrategy
from fastapi_users_sqlmodel.exceptions import NotFound, UserNotExists
from fastapi_users_sqlmodel.routers.errors import ErrorRoute, responses

from .db import SECRET, get_async_session
from .parts import include_routes


class Base(DeclarativeBase): ...


class User(SQLAlchemyBaseUserTableUUID, Base): ...


class UserManager(UUIDIDMixin, BaseUserManager[User, uuid.UUID]): ...


async def get_user_manager(
    session: Annotated[AsyncSession, Depends(get_async_session)],
) -> AsyncIterator[UserManager]:
    yield UserManager(SQLAlchemyUserDatabase(session, User))


def get_jwt_strategy() -> JWTStrategy[User, uuid.UUID]:
    return JWTStrategy(SECRET, lifetime_seconds=3600)


backend = AuthenticationBackend("jwt", BearerTransport(tokenUrl="auth/login"), get_jwt_strategy)
users = FastAPIUsers[User, uuid.UUID](get_user_manager, [backend])
CurrentUser = Annotated[User, Depends(users.current_user(active=True))]
ManagerDep = Annotated[UserManager, Depends(get_user_manager)]

app = FastAPI()
include_routes(app, users, backend, schemas.BaseUser[uuid.UUID])
app.include_router(users.get_account_router(schemas.BaseUser[uuid.UUID]), prefix="/auth")


@app.get("/payments", dependencies=[Depends(users.fresh_login())])
async def list_payments() -> None: ...


@app.post("/promote/{user_id}", status_code=204)
async def promote(user_id: uuid.UUID, user: CurrentUser, manager: ManagerDep) -> None:
    await manager.update_by_superuser(user, user_id, {"is_superuser": True})


@app.post("/rename", status_code=204)
async def rename(changes: dict[str, str], user: CurrentUser, manager: ManagerDep) -> None:
    await manager.update_own(user, changes)


class FriendNotFound(NotFound, translates=(UserNotExists,)):
    """Nobody has this id."""


friends = APIRouter(prefix="/friends", route_class=ErrorRoute)


@friends.get("/{user_id}", responses=responses(FriendNotFound))
async def read_friend(user_id: uuid.UUID, manager: ManagerDep) -> str:
    return (await manager.get(user_id)).email


app.include_router(friends)
