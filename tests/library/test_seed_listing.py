"""The listing of FastAPI Users' documentation runs with its import line changed, and so does its integer variant."""

import hashlib
import runpy
from collections.abc import AsyncIterator
from pathlib import Path
from types import SimpleNamespace
from typing import Annotated, Any

import httpx2
import pytest
from fastapi import Depends, FastAPI
from fastapi_users import BaseUserManager, FastAPIUsers, IntegerIDMixin, UUIDIDMixin
from fastapi_users.authentication import AuthenticationBackend, BearerTransport, CookieTransport, JWTStrategy
from fastapi_users.authentication.strategy.db import DatabaseStrategy
from fastapi_users.password import PasswordHelper
from fastapi_users.schemas import BaseUser, BaseUserCreate, BaseUserUpdate
from pwdlib import PasswordHash
from pwdlib.hashers.argon2 import Argon2Hasher
from sqlalchemy import ForeignKey
from sqlalchemy.ext.asyncio import AsyncSession
from sqlalchemy.orm import Mapped, mapped_column

from fastapi_users_sqlmodel import (
    SQLAlchemyAccessTokenDatabase,
    SQLAlchemyBaseAccessTokenTable,
    SQLAlchemyBaseAccessTokenTableUUID,
)

HERE = Path(__file__).parent
SECRET = "a secret of thirty-two characters"
ANNA = {"email": "anna@example.com", "password": "correct horse"}
CREDENTIALS = {"username": "ANNA@Example.com", "password": "correct horse"}


def uuid_access_token(base: Any) -> type[Any]:
    class AccessToken(SQLAlchemyBaseAccessTokenTableUUID, base):  # type: ignore[misc]  # The listing makes the base
        pass

    return AccessToken


def integer_access_token(base: Any) -> type[Any]:
    class AccessToken(SQLAlchemyBaseAccessTokenTable[Any], base):  # type: ignore[misc]  # As above
        user_id: Mapped[int] = mapped_column(ForeignKey("user.id", ondelete="CASCADE"), index=True)

    return AccessToken


class UUIDUserManager(UUIDIDMixin, BaseUserManager[Any, Any]):
    reset_password_token_secret = SECRET
    verification_token_secret = SECRET


class IntegerUserManager(IntegerIDMixin, BaseUserManager[Any, Any]):
    reset_password_token_secret = SECRET
    verification_token_secret = SECRET


def protect(
    listing: SimpleNamespace, access_token: type[Any], user_manager: type[BaseUserManager[Any, Any]]
) -> FastAPI:
    """Make the app that the documentation's next pages make."""

    async def get_user_manager(user_db: Annotated[Any, Depends(listing.get_user_db)]) -> AsyncIterator[Any]:
        hasher = Argon2Hasher(time_cost=1, memory_cost=8, parallelism=1)
        yield user_manager(user_db, PasswordHelper(PasswordHash((hasher,))))

    async def get_database_strategy(
        session: Annotated[AsyncSession, Depends(listing.get_async_session)],
    ) -> DatabaseStrategy[Any, Any, Any]:
        return DatabaseStrategy(SQLAlchemyAccessTokenDatabase(session, access_token), lifetime_seconds=3600)

    async def get_jwt_strategy() -> JWTStrategy[Any, Any]:
        return JWTStrategy(SECRET, lifetime_seconds=3600)

    jwt = AuthenticationBackend[Any, Any]("jwt", BearerTransport("auth/jwt/login"), get_jwt_strategy)
    database = AuthenticationBackend[Any, Any]("database", CookieTransport("session"), get_database_strategy)
    fastapi_users = FastAPIUsers[Any, Any](get_user_manager, [jwt, database])
    app = FastAPI()
    app.include_router(fastapi_users.get_auth_router(jwt), prefix="/auth/jwt")
    app.include_router(fastapi_users.get_auth_router(database), prefix="/auth/database")
    app.include_router(fastapi_users.get_register_router(BaseUser[Any], BaseUserCreate), prefix="/auth")
    app.include_router(fastapi_users.get_users_router(BaseUser[Any], BaseUserUpdate), prefix="/users")
    return app


@pytest.fixture(
    params=[
        ("seed_listing.py", uuid_access_token, UUIDUserManager),
        ("seed_listing_integer.py", integer_access_token, IntegerUserManager),
    ],
    ids=["uuid", "int"],
)
async def client(
    request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> AsyncIterator[httpx2.AsyncClient]:
    # The listing says ./test.db.
    monkeypatch.chdir(tmp_path)
    name, access_token, user_manager = request.param
    listing = SimpleNamespace(**runpy.run_path(str(HERE / name)))
    app = protect(listing, access_token(listing.Base), user_manager)
    await listing.create_db_and_tables()
    transport = httpx2.ASGITransport(app)
    async with httpx2.AsyncClient(transport=transport, base_url="https://test") as client:
        yield client
    await listing.engine.dispose()


async def test_a_user_registers_once(client: httpx2.AsyncClient) -> None:
    response = await client.post("/auth/register", json=ANNA)
    assert response.status_code == 201
    assert response.json() | {"id": "any"} == {
        "id": "any",
        "email": "anna@example.com",
        "is_active": True,
        "is_superuser": False,
        "is_verified": False,
    }
    again = await client.post("/auth/register", json=ANNA | {"email": "Anna@example.com"})
    assert (again.status_code, again.json()) == (400, {"detail": "REGISTER_USER_ALREADY_EXISTS"})


async def test_a_user_signs_in_with_a_jwt(client: httpx2.AsyncClient) -> None:
    registered = (await client.post("/auth/register", json=ANNA)).json()
    assert (await client.get("/users/me")).status_code == 401
    login = await client.post("/auth/jwt/login", data=CREDENTIALS)
    headers = {"Authorization": f"Bearer {login.json()['access_token']}"}
    assert (await client.get("/users/me", headers=headers)).json() == registered


async def test_a_user_signs_in_with_a_token_in_the_database(client: httpx2.AsyncClient) -> None:
    registered = (await client.post("/auth/register", json=ANNA)).json()
    assert (await client.post("/auth/database/login", data=CREDENTIALS)).status_code == 204
    token = client.cookies["session"]
    assert (await client.get("/users/me")).json() == registered
    assert (await client.post("/auth/database/logout")).status_code == 204
    assert (await client.get("/users/me", headers={"Cookie": f"session={token}"})).status_code == 401


async def test_a_user_changes_the_address_but_not_to_a_taken_one(client: httpx2.AsyncClient) -> None:
    await client.post("/auth/register", json=ANNA | {"email": "berta@example.com"})
    await client.post("/auth/register", json=ANNA)
    await client.post("/auth/database/login", data=CREDENTIALS)
    response = await client.patch("/users/me", json={"email": "carla@example.com"})
    assert (response.status_code, response.json()["email"]) == (200, "carla@example.com")
    response = await client.patch("/users/me", json={"email": "BERTA@example.com"})
    assert (response.status_code, response.json()) == (400, {"detail": "UPDATE_USER_EMAIL_ALREADY_EXISTS"})


def test_only_the_import_line_differs_from_the_documentation() -> None:
    _, _, code = (HERE / "seed_listing.py").read_text().partition("UP035\n")
    original = code.replace("from fastapi_users_sqlmodel import", "from fastapi_users.db import")
    digest = "36d30e08c5b99cd3b139e00971174be0f3002e3582cb340ab992d4a34cd4ba61"
    assert hashlib.sha256(original.encode()).hexdigest() == digest
