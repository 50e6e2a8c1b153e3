"""The same with a user who has a username: a column more, and nothing else is said about it."""

from collections.abc import AsyncIterator
from typing import Annotated
from uuid import UUID

from fastapi import Depends
from sqlalchemy import String
from sqlalchemy.ext.asyncio import AsyncSession
from sqlalchemy.orm import DeclarativeBase, Mapped, mapped_column

from examples.fastapi_users_documentation import db
from fastapi_users_sqlmodel import SQLAlchemyBaseUserTableUUID, SQLAlchemyUserDatabase
from tests.examples.configured import app

__all__ = ["app"]


class Base(DeclarativeBase):
    pass


class User(SQLAlchemyBaseUserTableUUID, Base):
    username: Mapped[str | None] = mapped_column(String(32), unique=True)


async def get_user_db(
    session: Annotated[AsyncSession, Depends(db.get_async_session)],
) -> AsyncIterator[SQLAlchemyUserDatabase[User, UUID]]:
    yield SQLAlchemyUserDatabase(session, User)


app.dependency_overrides[db.get_user_db] = get_user_db
# Its tables are made when the app starts.
db.Base = Base  # type: ignore[assignment, misc]  # It stands in for the example's
