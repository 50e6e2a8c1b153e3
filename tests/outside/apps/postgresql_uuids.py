"""An app for PostgreSQL alone: foreign keys to the users have PostgreSQL's own type UUID."""

import uuid
from collections.abc import AsyncIterator
from typing import Annotated

from fastapi import Depends, FastAPI
from sqlalchemy import ForeignKey, select
from sqlalchemy.dialects.postgresql import UUID
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


class User(SQLAlchemyBaseUserTableUUID, Base): ...


class Order(Base):
    __tablename__ = "orders"
    id: Mapped[uuid.UUID] = mapped_column(UUID(as_uuid=True), primary_key=True, default=uuid.uuid4)
    user_id: Mapped[uuid.UUID] = mapped_column(UUID(as_uuid=True), ForeignKey("user.id", ondelete="CASCADE"))


check_models(Base)

SessionDep = Annotated[AsyncSession, Depends(get_async_session)]


class UserManager(UUIDIDMixin, BaseUserManager[User, uuid.UUID]): ...


async def get_user_manager(session: SessionDep) -> AsyncIterator[UserManager]:
    yield UserManager(SQLAlchemyUserDatabase(session, User))


backend = SessionBackend[User, uuid.UUID](
    "jwt", BearerRefreshTransport(tokenUrl="auth/login"), Sessions(SECRET), get_user_manager
)
users = FastAPIUsers[User, uuid.UUID](get_user_manager, [backend])

app = FastAPI()
include_routes(app, users, backend, schemas.BaseUser[uuid.UUID])


@app.post("/orders")
async def order(user: Annotated[User, Depends(users.current_user(active=True))], session: SessionDep) -> int:
    """Order something, and return how many orders there are."""
    session.add(Order(user_id=user.id))
    await session.commit()
    return len((await session.scalars(select(Order).where(Order.user_id == user.id))).all())
