"""An app with sessions and a WebSocket, for a server process; DATABASE_URL names its database."""

import os
import uuid
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import timedelta
from typing import Annotated, Any

from fastapi import Depends, FastAPI, WebSocket, WebSocketDisconnect
from sqlalchemy.ext.asyncio import AsyncSession, async_sessionmaker, create_async_engine
from sqlalchemy.orm import DeclarativeBase

from fastapi_users_sqlmodel import (
    BaseUserManager,
    BearerRefreshTransport,
    FastAPIUsers,
    SessionBackend,
    SessionCookieTransport,
    Sessions,
    SQLAlchemyBaseUserTableUUID,
    SQLAlchemyUserDatabase,
    UUIDIDMixin,
    schemas,
)
from fastapi_users_sqlmodel.engines import async_url, prepare_sqlite

PAGE = "https://app.example.com"


class Base(DeclarativeBase):
    pass


class User(SQLAlchemyBaseUserTableUUID, Base):
    pass


engine = create_async_engine(async_url(os.environ["DATABASE_URL"]))
prepare_sqlite(engine)
async_session_maker = async_sessionmaker(engine, expire_on_commit=False)


async def get_async_session() -> AsyncIterator[AsyncSession]:
    async with async_session_maker() as session:
        yield session


class UserManager(UUIDIDMixin, BaseUserManager[User, uuid.UUID]):
    throttle = None


async def get_user_manager(session: Annotated[AsyncSession, Depends(get_async_session)]) -> UserManager:
    return UserManager(SQLAlchemyUserDatabase(session, User))


@asynccontextmanager
async def open_user_manager() -> AsyncIterator[UserManager]:
    async with async_session_maker() as session:
        yield UserManager(SQLAlchemyUserDatabase(session, User))


@asynccontextmanager
async def lifespan(_: FastAPI) -> AsyncIterator[None]:
    async with engine.begin() as connection:
        await connection.run_sync(Base.metadata.create_all)
    yield
    await engine.dispose()


sessions = Sessions("seven grey herons sleep above an old canal")
bearer = SessionBackend[User, uuid.UUID]("jwt", BearerRefreshTransport("auth/jwt/login"), sessions, get_user_manager)
cookie = SessionBackend[User, uuid.UUID](
    "cookie", SessionCookieTransport("http://localhost"), sessions, get_user_manager
)
users = FastAPIUsers[User, uuid.UUID](get_user_manager, [bearer, cookie])
websocket_user = users.websocket_user(open_user_manager, origins=[PAGE], check_every=timedelta(milliseconds=100))

app = FastAPI(lifespan=lifespan)
for backend in (bearer, cookie):
    app.include_router(users.get_auth_router(backend), prefix=f"/auth/{backend.name}")
app.include_router(users.get_register_router(schemas.BaseUser[uuid.UUID], schemas.BaseUserCreate), prefix="/auth")
app.include_router(users.get_sessions_router(), prefix="/auth")


@app.get("/me")
async def me(user: Annotated[Any, Depends(users.current_user())]) -> str:
    return str(user.email)


@app.websocket("/ws")
async def ws(websocket: WebSocket, user: Annotated[User, Depends(websocket_user)]) -> None:
    await websocket.accept()
    await websocket.send_text(user.email)
    try:
        while True:
            await websocket.send_text(await websocket.receive_text())
    except WebSocketDisconnect:
        pass
