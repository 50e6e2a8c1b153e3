"""The fixtures for an app in which two dependencies hand over a session: both are the test's."""

from typing import Annotated

import httpx2
from fastapi import Depends, FastAPI
from sqlmodel import select
from sqlmodel.ext.asyncio.session import AsyncSession

from fastapi_users_sqlmodel.testing import database_fixtures
from tests.library.protected_app import Base, Note

notes = FastAPI()


async def get_async_session() -> AsyncSession:
    raise AssertionError("a test has reached for the real database")


async def get_autocommit_session() -> AsyncSession:
    raise AssertionError("a test has reached for the real database")


@notes.post("/notes/{text}")
async def write(text: str, session: Annotated[AsyncSession, Depends(get_async_session)]) -> None:
    session.add(Note(text=text))
    await session.commit()


@notes.get("/notes")
async def read(session: Annotated[AsyncSession, Depends(get_autocommit_session)]) -> list[str]:
    return [note.text for note in await session.exec(select(Note))]


engine, session, app = database_fixtures(notes, get_async_session, Base.metadata, also=[get_autocommit_session])


async def test_both_are_the_tests(app: FastAPI, session: AsyncSession) -> None:
    async with httpx2.AsyncClient(transport=httpx2.ASGITransport(app), base_url="https://test") as client:
        await client.post("/notes/hello")
        assert (await client.get("/notes")).json() == ["hello"]
    assert [note.text for note in await session.exec(select(Note))] == ["hello"]


def test_neither_is_afterwards() -> None:
    assert notes.dependency_overrides == {}
