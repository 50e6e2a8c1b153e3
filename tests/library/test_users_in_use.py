"""A user to whom rows point whose foreign key does not let the user go."""

import uuid
from collections.abc import AsyncIterator
from typing import Any

import pytest
from fastapi import FastAPI
from fastapi_users.authentication import AuthenticationBackend, BearerTransport, JWTStrategy
from httpx2 import ASGITransport, AsyncClient
from sqlalchemy import ForeignKey, create_engine, func, select
from sqlalchemy.ext.asyncio import AsyncSession, create_async_engine
from sqlalchemy.orm import DeclarativeBase, Mapped, mapped_column

from fastapi_users_sqlmodel import FastAPIUsers, SQLAlchemyBaseUserTableUUID, SQLAlchemyUserDatabase, schemas
from fastapi_users_sqlmodel.engines import async_url, prepare_sqlite, sync_url
from tests.library.accounts import HASH, PASSWORD, Manager

ANNA, ROOT = "anna@example.com", "root@example.com"
IN_USE = {"detail": "USER_IN_USE"}


class Base(DeclarativeBase):
    pass


class User(SQLAlchemyBaseUserTableUUID, Base):
    pass


class Invoice(Base):
    """Kept for the books, whatever becomes of the customer."""

    __tablename__ = "invoice"
    id: Mapped[int] = mapped_column(primary_key=True)
    customer_id: Mapped[uuid.UUID] = mapped_column(ForeignKey("user.id", ondelete="RESTRICT"), index=True)


@pytest.fixture
async def session(database_url: str) -> AsyncIterator[AsyncSession]:
    outside = create_engine(sync_url(database_url))
    Base.metadata.create_all(outside)
    outside.dispose()
    engine = create_async_engine(async_url(database_url))
    prepare_sqlite(engine)
    async with AsyncSession(engine, expire_on_commit=False) as session:
        yield session
    await engine.dispose()


@pytest.fixture
async def client(session: AsyncSession) -> AsyncIterator[AsyncClient]:
    async def get_user_manager() -> Manager:
        return Manager(SQLAlchemyUserDatabase(session, User))

    def strategy() -> JWTStrategy[Any, Any]:
        return JWTStrategy("kd8f7Gh2lq9Zx0PmWb4rTn6vYc1sEj5u", lifetime_seconds=3600)

    backend = AuthenticationBackend[Any, Any]("jwt", BearerTransport("x"), strategy)
    users = FastAPIUsers[Any, Any](get_user_manager, [backend])
    app = FastAPI()
    read = schemas.BaseUser[uuid.UUID]
    app.include_router(users.get_auth_router(backend), prefix="/auth")
    app.include_router(users.get_account_router(read), prefix="/auth")
    app.include_router(users.get_users_router(read, schemas.BaseUserUpdate), prefix="/users")
    async with AsyncClient(transport=ASGITransport(app), base_url="https://example.com") as client:
        yield client


async def bearer(client: AsyncClient, email: str) -> dict[str, str]:
    answer = await client.post("/auth/login", data={"username": email, "password": PASSWORD})
    return {"authorization": f"Bearer {answer.json()['access_token']}"}


async def test_stays_until_nothing_points_to_the_user(client: AsyncClient, session: AsyncSession) -> None:
    anna = User(email=ANNA, hashed_password=HASH)
    root = User(email=ROOT, hashed_password=HASH, is_superuser=True)
    session.add_all([anna, root])
    await session.flush()
    session.add(Invoice(customer_id=anna.id))
    await session.commit()

    mine, roots = await bearer(client, ANNA), await bearer(client, ROOT)
    password = {"current_password": PASSWORD}
    refused = await client.post("/auth/delete-account", json=password, headers=mine)
    assert (refused.status_code, refused.json()) == (409, IN_USE)
    refused = await client.delete(f"/users/{anna.id}", headers=roots)
    assert (refused.status_code, refused.json()) == (409, IN_USE)
    # Nothing of it has happened, and the account works.
    assert (await client.get("/users/me", headers=mine)).json()["email"] == ANNA
    assert await session.scalar(select(func.count()).select_from(User)) == 2

    await session.execute(Invoice.__table__.delete())  # type: ignore[attr-defined]  # A FromClause, for the protocol
    await session.commit()
    assert (await client.post("/auth/delete-account", json=password, headers=mine)).status_code == 204
    assert await session.scalar(select(func.count()).select_from(User)) == 1
