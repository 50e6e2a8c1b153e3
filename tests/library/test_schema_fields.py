"""The fields that a route may set follow from its schema; a field that would always be refused is named at start-up."""

import uuid
from collections.abc import AsyncIterator
from typing import Annotated, Any

import pytest
from fastapi import Depends, FastAPI
from fastapi_users.authentication import AuthenticationBackend
from httpx2 import ASGITransport, AsyncClient
from pydantic import BaseModel, ConfigDict
from sqlalchemy import String
from sqlalchemy.ext.asyncio import AsyncSession, create_async_engine
from sqlalchemy.orm import DeclarativeBase, Mapped, mapped_column
from sqlalchemy.pool import StaticPool

from fastapi_users_sqlmodel import (
    BaseUserManager,
    FastAPIUsers,
    SQLAlchemyBaseUserTableUUID,
    SQLAlchemyUserDatabase,
    UUIDIDMixin,
    schemas,
)
from fastapi_users_sqlmodel.authentication import BearerTransport, JWTStrategy
from fastapi_users_sqlmodel.engines import prepare_sqlite

PASSWORD = "correct horse battery staple"


class Base(DeclarativeBase): ...


class User(SQLAlchemyBaseUserTableUUID, Base):
    phone: Mapped[str | None] = mapped_column(String(32))
    group_id: Mapped[int | None]


class Manager(UUIDIDMixin, BaseUserManager[User, uuid.UUID]): ...


class Explicit(Manager):
    registration_fields = BaseUserManager.registration_fields | {"phone"}
    own_fields = BaseUserManager.own_fields | {"phone"}
    superuser_fields = BaseUserManager.superuser_fields | {"phone", "group_id"}


class UserRead(schemas.BaseUser[uuid.UUID]):
    phone: str | None
    group_id: int | None


class UserCreate(schemas.BaseUserCreate):
    phone: str | None = None


class UserUpdate(schemas.BaseUserUpdate):
    model_config = ConfigDict(extra="forbid")
    phone: str | None = None


class UserAdminUpdate(UserUpdate):
    group_id: int | None = None


def configured(manager: type[Manager], session: AsyncSession | None = None) -> tuple[FastAPIUsers[Any, Any], Any]:
    async def get_session() -> AsyncIterator[AsyncSession]:
        assert session is not None
        yield session

    async def get_user_manager(session: Annotated[AsyncSession, Depends(get_session)]) -> Manager:
        return manager(SQLAlchemyUserDatabase(session, User))

    # As a project writes it: the dependency says what it returns.
    get_user_manager.__annotations__["return"] = manager
    backend = AuthenticationBackend[Any, Any](
        "jwt", BearerTransport("login"), lambda: JWTStrategy("a secret of thirty-two characters", 60)
    )
    return FastAPIUsers[Any, Any](get_user_manager, [backend]), backend


class World:
    """An app on a database in memory, and clients of a user and of a superuser."""

    def __init__(self, manager: type[Manager], update: type[BaseModel], admin: type[BaseModel] | None) -> None:
        self.engine = create_async_engine("sqlite+aiosqlite://", poolclass=StaticPool)
        prepare_sqlite(self.engine)
        self.session = AsyncSession(self.engine, expire_on_commit=False)
        users, backend = configured(manager, self.session)
        self.app = FastAPI()
        self.app.include_router(users.get_register_router(UserRead, UserCreate))
        self.app.include_router(users.get_auth_router(backend))
        router = users.get_users_router(UserRead, update, user_admin_update_schema=admin)
        self.app.include_router(router, prefix="/users")
        self.client = AsyncClient(transport=ASGITransport(self.app), base_url="https://example.com")

    async def sign_up(self, email: str, *, is_superuser: bool = False) -> dict[str, str]:
        created = await self.client.post("/register", json={"email": email, "password": PASSWORD, "phone": "1"})
        assert (created.status_code, created.json()["phone"]) == (201, "1")
        if is_superuser:
            user = await self.session.get_one(User, uuid.UUID(created.json()["id"]))
            user.is_superuser = True
            await self.session.commit()
        login = await self.client.post("/login", data={"username": email, "password": PASSWORD})
        return {"Authorization": f"Bearer {login.json()['access_token']}"}


@pytest.fixture(
    params=[
        (Manager, UserUpdate, UserAdminUpdate),
        (Explicit, UserUpdate, UserAdminUpdate),
        # One schema for both, as in FastAPI Users.
        (Explicit, UserAdminUpdate, None),
    ],
    ids=["two schemas", "two schemas and lists", "one schema"],
)
async def world(request: pytest.FixtureRequest) -> AsyncIterator[World]:
    world = World(*request.param)
    async with world.engine.begin() as connection:
        await connection.run_sync(Base.metadata.create_all)
    yield world
    await world.client.aclose()
    await world.session.close()
    await world.engine.dispose()


@pytest.mark.anyio
async def test_users_and_superusers_set_the_fields_that_are_theirs(world: World) -> None:
    user = await world.sign_up("anna@example.com")
    root = await world.sign_up("root@example.com", is_superuser=True)
    changed = await world.client.patch("/users/me", json={"phone": "2"}, headers=user)
    assert (changed.status_code, changed.json()["phone"]) == (200, "2")
    refused = await world.client.patch("/users/me", json={"group_id": 7}, headers=user)
    assert refused.status_code == 422
    path = f"/users/{changed.json()['id']}"
    changed = await world.client.patch(path, json={"phone": "3", "group_id": 7, "is_verified": True}, headers=root)
    assert changed.status_code == 200
    assert {name: changed.json()[name] for name in ("phone", "group_id", "is_verified")} == {
        "phone": "3",
        "group_id": 7,
        "is_verified": True,
    }
    refused = await world.client.patch(path, json={"password": PASSWORD + "!"}, headers=root)
    assert refused.status_code == 422


class TestStartUp:
    def test_a_field_of_the_one_schema_in_neither_list(self) -> None:
        users, _ = configured(Manager)
        with pytest.raises(ValueError, match="UserAdminUpdate has group_id, phone, which is not in own_fields or "):
            users.get_users_router(UserRead, UserAdminUpdate)

    def test_a_field_of_two_schemas_that_a_list_leaves_out(self) -> None:
        class Narrow(Manager):
            own_fields = frozenset({"username"})

        users, _ = configured(Narrow)
        with pytest.raises(ValueError, match="UserUpdate has phone, which is not in own_fields of the user manager"):
            users.get_users_router(UserRead, UserUpdate, user_admin_update_schema=UserAdminUpdate)

    def test_a_field_of_the_registration_that_its_list_leaves_out(self) -> None:
        class Narrow(Manager):
            registration_fields = frozenset[str]()

        users, _ = configured(Narrow)
        with pytest.raises(ValueError, match="UserCreate has phone, which is not in registration_fields"):
            users.get_register_router(UserRead, UserCreate)

    @pytest.mark.parametrize("name", ["hashed_password", "email_canonical"])
    def test_a_column_that_no_schema_may_open(self, name: str) -> None:
        class Open(UserUpdate):
            __annotations__ = {name: str}  # The name differs

        users, _ = configured(Manager)
        with pytest.raises(ValueError, match=f"Open has {name}"):
            users.get_users_router(UserRead, Open, user_admin_update_schema=UserAdminUpdate)
