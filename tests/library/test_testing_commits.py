"""The fixtures for people who test a protected app, where its own session commits when a request has succeeded."""

from collections.abc import AsyncIterator

import httpx2
import pytest
from fastapi import FastAPI
from sqlmodel import select
from sqlmodel.ext.asyncio.session import AsyncSession

from fastapi_users_sqlmodel.testing import as_user, database_fixtures
from tests.library import protected_app
from tests.library.protected_app import Base, Note, User, bearer_backend

engine, session, app = database_fixtures(
    protected_app.app, protected_app.get_async_session, Base.metadata, commits=True
)


@pytest.fixture
async def client(app: FastAPI, session: AsyncSession) -> AsyncIterator[httpx2.AsyncClient]:
    user = User(email="anna@example.com", hashed_password="never asked for")
    session.add(user)
    await session.commit()
    headers = await as_user(user, bearer_backend)
    transport = httpx2.ASGITransport(app)
    async with httpx2.AsyncClient(transport=transport, base_url="https://test", headers=headers) as client:
        yield client


async def notes(session: AsyncSession) -> list[str]:
    return list((await session.exec(select(Note.text))).all())


@pytest.mark.parametrize("turn", [1, 2])
async def test_what_succeeded_is_stored_until_the_test_ends(
    client: httpx2.AsyncClient, session: AsyncSession, turn: int
) -> None:
    assert (await client.post("/notes/hello")).status_code == 200
    assert await notes(session) == ["hello"]


async def test_what_failed_is_not(client: httpx2.AsyncClient, session: AsyncSession) -> None:
    assert (await client.post("/notes/refused")).status_code == 400
    assert await notes(session) == []
