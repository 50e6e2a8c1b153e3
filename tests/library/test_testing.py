"""The fixtures for people who test a protected app, used on one whose stores commit."""

import os
import subprocess
import sys
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from typing import Any

import httpx2
import pytest
from fastapi import FastAPI
from fastapi_users.authentication import AuthenticationBackend, JWTStrategy
from fastapi_users.authentication.strategy.db import DatabaseStrategy
from sqlalchemy import inspect, text
from sqlalchemy.ext.asyncio import AsyncEngine
from sqlmodel import col, select
from sqlmodel.ext.asyncio.session import AsyncSession

from fastapi_users_sqlmodel import SQLAlchemyAccessTokenDatabase
from fastapi_users_sqlmodel.testing import (
    as_user,
    count_statements,
    create_test_engine,
    database_fixtures,
    open_test_engine,
)
from tests.conftest import CreateDatabase
from tests.library import protected_app
from tests.library.protected_app import AccessToken, Base, Note, User, bearer_backend, cookie_backend

engine, session, app = database_fixtures(protected_app.app, protected_app.get_async_session, Base.metadata)

OWN = """
import httpx2
import pytest
from fastapi_users_sqlmodel.testing import database_fixtures
from tests.library.protected_app import Base, app, get_async_session

engine, session, app = database_fixtures(app, get_async_session, Base.metadata, url="{url}")


@pytest.fixture
def anyio_backend():
    return "asyncio"


@pytest.mark.parametrize("turn", [1, 2])
async def test_every_test_begins_with_nothing(app, turn):
    async with httpx2.AsyncClient(transport=httpx2.ASGITransport(app), base_url="https://test") as client:
        for status in (201, 400):
            user = {{"email": "anna@example.com", "password": "correct horse"}}
            assert (await client.post("/auth/register", json=user)).status_code == status
"""
ANNA = {"email": "anna@example.com", "password": "correct horse"}


@pytest.fixture(autouse=True)
def nothing_is_left() -> Iterator[None]:
    yield
    assert protected_app.app.dependency_overrides == {}


@pytest.fixture
async def client(app: FastAPI) -> AsyncIterator[httpx2.AsyncClient]:
    async with httpx2.AsyncClient(transport=httpx2.ASGITransport(app), base_url="https://test") as client:
        yield client


@pytest.fixture
async def user(session: AsyncSession) -> User:
    user = User(email="anna@example.com", hashed_password="never asked for")
    session.add(user)
    await session.commit()
    return user


async def emails(session: AsyncSession) -> list[str]:
    return list((await session.exec(select(User.email))).all())


class TestDatabaseFixtures:
    async def test_the_test_sees_what_the_app_wrote(self, client: httpx2.AsyncClient, session: AsyncSession) -> None:
        response = await client.post("/auth/register", json=ANNA)
        assert response.status_code == 201
        assert await emails(session) == ["anna@example.com"]

    @pytest.mark.parametrize("turn", [1, 2])
    async def test_every_test_begins_with_nothing(
        self, client: httpx2.AsyncClient, session: AsyncSession, turn: int
    ) -> None:
        assert await emails(session) == []
        response = await client.post("/auth/register", json=ANNA)
        assert response.status_code == 201

    async def test_authentication_is_redirected_too(self, client: httpx2.AsyncClient) -> None:
        await client.post("/auth/register", json=ANNA)
        credentials = {"username": ANNA["email"], "password": ANNA["password"]}
        token = (await client.post("/auth/jwt/login", data=credentials)).json()["access_token"]
        response = await client.get("/me", headers={"Authorization": f"Bearer {token}"})
        assert (response.status_code, response.json()) == (200, {"email": "anna@example.com"})

    async def test_by_cookie_and_database(self, client: httpx2.AsyncClient, session: AsyncSession) -> None:
        await client.post("/auth/register", json=ANNA)
        credentials = {"username": ANNA["email"], "password": ANNA["password"]}
        assert (await client.post("/auth/cookie/login", data=credentials)).status_code == 204
        assert (await client.get("/me")).json() == {"email": "anna@example.com"}
        assert len((await session.exec(select(AccessToken))).all()) == 1
        assert (await client.post("/auth/cookie/logout")).status_code == 204
        assert (await session.exec(select(AccessToken))).all() == []

    async def test_what_the_app_does_not_commit_is_lost(
        self, client: httpx2.AsyncClient, session: AsyncSession, user: User
    ) -> None:
        response = await client.post("/notes/hello", headers=await as_user(user, bearer_backend))
        assert response.status_code == 200
        assert (await session.exec(select(Note))).all() == []

    async def test_a_refused_write_leaves_the_rest(self, client: httpx2.AsyncClient, session: AsyncSession) -> None:
        await client.post("/auth/register", json=ANNA)
        response = await client.post("/auth/register", json=ANNA)
        assert (response.status_code, response.json()) == (400, {"detail": "REGISTER_USER_ALREADY_EXISTS"})
        assert await emails(session) == ["anna@example.com"]

    async def test_the_test_rolls_back_its_own(self, client: httpx2.AsyncClient, session: AsyncSession) -> None:
        await client.post("/auth/register", json=ANNA)
        session.add(User(email="berta@example.com", hashed_password="hash"))
        await session.flush()
        await session.rollback()
        assert await emails(session) == ["anna@example.com"]

    def test_on_postgresql(self, create_database: CreateDatabase, tmp_path: Path) -> None:
        """The fixtures belong to a module, so this is one of its own."""
        (tmp_path / "test_own.py").write_text(OWN.format(url=create_database()))
        # What pyproject.toml says to every run, and no more.
        command = [
            sys.executable,
            "-m",
            "pytest",
            "-q",
            "-W",
            "error",
            "-o",
            "anyio_mode=auto",
            "-p",
            "no:cacheprovider",
        ]
        environment = os.environ | {"PYTHONPATH": os.pathsep.join(sys.path)}
        ended = subprocess.run(command, cwd=tmp_path, env=environment, capture_output=True, text=True, check=False)
        assert "2 passed" in ended.stdout, ended.stdout


class TestAsUser:
    async def test_nobody(self, client: httpx2.AsyncClient) -> None:
        assert (await client.get("/me")).status_code == 401

    async def test_with_a_bearer_token(self, client: httpx2.AsyncClient, user: User) -> None:
        headers = await as_user(user, bearer_backend)
        assert list(headers) == ["Authorization"]
        assert (await client.get("/me", headers=headers)).json() == {"email": "anna@example.com"}

    async def test_with_a_cookie_and_a_strategy(
        self, client: httpx2.AsyncClient, session: AsyncSession, user: User
    ) -> None:
        strategy = DatabaseStrategy[Any, Any, AccessToken](SQLAlchemyAccessTokenDatabase(session, AccessToken))
        headers = await as_user(user, cookie_backend, strategy)
        assert list(headers) == ["Cookie"]
        assert (await client.get("/me", headers=headers)).json() == {"email": "anna@example.com"}

    async def test_with_an_async_strategy(self, client: httpx2.AsyncClient, user: User) -> None:
        async def get_strategy() -> JWTStrategy[User, Any]:
            return protected_app.get_jwt_strategy()

        backend = AuthenticationBackend("jwt", bearer_backend.transport, get_strategy)
        headers = await as_user(user, backend)
        assert (await client.get("/me", headers=headers)).status_code == 200

    async def test_a_strategy_from_a_generator_is_to_be_passed(self, user: User) -> None:
        async def get_strategy() -> AsyncIterator[JWTStrategy[User, Any]]:
            yield protected_app.get_jwt_strategy()

        backend = AuthenticationBackend[User, Any]("jwt", bearer_backend.transport, get_strategy)
        with pytest.raises(TypeError, match="this backend makes its strategy in a generator: pass the strategy"):
            await as_user(user, backend)

    async def test_another_transport(self, user: User) -> None:
        class PigeonTransport:
            pass

        transport: Any = PigeonTransport()
        backend = AuthenticationBackend[User, Any]("pigeon", transport, protected_app.get_jwt_strategy)
        with pytest.raises(TypeError, match="knows bearer and cookie transports, not PigeonTransport"):
            await as_user(user, backend)


class TestCountStatements:
    async def test_of_a_request(self, client: httpx2.AsyncClient, engine: AsyncEngine, user: User) -> None:
        headers = await as_user(user, bearer_backend)
        with count_statements(engine) as statements:
            await client.get("/me", headers=headers)
        assert [statement.split()[0] for statement in statements] == ["SAVEPOINT", "SELECT", "ROLLBACK"]
        await client.get("/me", headers=headers)
        assert len(statements) == 3


class TestEngines:
    async def test_the_tables_are_made_and_dropped(self, database_url: str) -> None:
        async with open_test_engine(Base.metadata, url=database_url) as engine, engine.connect() as connection:
            assert await connection.scalar(text('SELECT count(*) FROM "user"')) == 0
        other = create_test_engine(database_url)
        async with other.connect() as connection:
            assert await connection.run_sync(lambda sync: inspect(sync).get_table_names()) == []
        await other.dispose()

    async def test_in_memory_there_is_one_database_for_everybody(self) -> None:
        async with open_test_engine(Base.metadata) as engine:
            for email in ("anna@example.com", "berta@example.com"):
                async with AsyncSession(engine) as session:
                    session.add(User(email=email, hashed_password="hash"))
                    await session.commit()
            async with AsyncSession(engine) as session:
                statement = select(User.email).order_by(col(User.email))
                assert (await session.exec(statement)).all() == ["anna@example.com", "berta@example.com"]

    async def test_in_memory_foreign_keys_are_kept(self) -> None:
        engine = create_test_engine()
        async with engine.connect() as connection:
            assert await connection.scalar(text("PRAGMA foreign_keys")) == 1
        await engine.dispose()
