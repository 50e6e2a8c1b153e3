"""Engines with a table of things, and sessions on them."""

from collections.abc import AsyncIterator
from pathlib import Path
from unittest.mock import Mock

import pytest
from sqlalchemy import insert
from sqlalchemy.ext.asyncio import AsyncEngine, async_sessionmaker, create_async_engine

from fastapi_users_sqlmodel import _statements
from fastapi_users_sqlmodel._statements import DirectSession
from fastapi_users_sqlmodel.engines import async_url, prepare_sqlite
from tests.conftest import CreateDatabase
from tests.library.statements.things import NOTHING, ROW, in_autocommit, metadata, things


@pytest.fixture(params=["sqlite", "postgresql"])
async def engine(request: pytest.FixtureRequest, tmp_path: Path) -> AsyncIterator[AsyncEngine]:
    if request.param == "sqlite":
        url = f"sqlite:///{tmp_path}/test.db"
    else:
        create: CreateDatabase = request.getfixturevalue("create_database")
        url = create()
    engine = create_async_engine(async_url(url), pool_size=2, max_overflow=0, pool_timeout=5)
    prepare_sqlite(engine)
    async with engine.begin() as connection:
        await connection.run_sync(metadata.create_all)
        await connection.execute(insert(things), [ROW, NOTHING])
    yield engine
    await engine.dispose()


@pytest.fixture
def readers(engine: AsyncEngine) -> async_sessionmaker[DirectSession]:
    return async_sessionmaker(in_autocommit(engine), class_=DirectSession, expire_on_commit=False)


@pytest.fixture
def writers(engine: AsyncEngine) -> async_sessionmaker[DirectSession]:
    return async_sessionmaker(engine, class_=DirectSession, expire_on_commit=False)


@pytest.fixture
def without_sqlalchemy(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let nobody run a statement the long way any more."""
    monkeypatch.setattr(_statements, "_execute", Mock(side_effect=AssertionError("It was run by SQLAlchemy.")))
