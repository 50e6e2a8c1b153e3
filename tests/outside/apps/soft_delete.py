"""Deleted accounts stay as rows: the store finds them no more."""

import uuid
from collections.abc import AsyncIterator
from datetime import UTC, datetime
from typing import Annotated

from fastapi import Depends, FastAPI
from sqlalchemy import DateTime
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
    deleted_at: Mapped[datetime | None] = mapped_column(DateTime(timezone=True))


check_models(Base)


class LivingUsers(SQLAlchemyUserDatabase[User, uuid.UUID]):
    async def get(self, id: uuid.UUID) -> User | None:  # noqa: A002  # FastAPI Users' name
        return self._alive(await super().get(id))

    async def get_by_email(self, email: str) -> User | None:
        return self._alive(await super().get_by_email(email))

    @staticmethod
    def _alive(user: User | None) -> User | None:
        return user if user is not None and user.deleted_at is None else None


class UserManager(UUIDIDMixin, BaseUserManager[User, uuid.UUID]): ...


async def get_user_db(session: Annotated[AsyncSession, Depends(get_async_session)]) -> AsyncIterator[LivingUsers]:
    yield LivingUsers(session, User)


async def get_user_manager(user_db: Annotated[LivingUsers, Depends(get_user_db)]) -> AsyncIterator[UserManager]:
    yield UserManager(user_db)


backend = SessionBackend[User, uuid.UUID](
    "jwt", BearerRefreshTransport(tokenUrl="auth/login"), Sessions(SECRET), get_user_manager
)
users = FastAPIUsers[User, uuid.UUID](get_user_manager, [backend])

app = FastAPI()
app.include_router(users.get_refresh_router(backend), prefix="/auth")
include_routes(app, users, backend, schemas.BaseUser[uuid.UUID])


@app.post("/leave", status_code=204)
async def leave(
    user: Annotated[User, Depends(users.current_user(active=True))],
    user_db: Annotated[LivingUsers, Depends(get_user_db)],
) -> None:
    """Delete oneself softly."""
    await user_db.update(user, {"deleted_at": datetime.now(UTC)})
