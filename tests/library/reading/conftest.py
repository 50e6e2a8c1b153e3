"""Engines with a table of things, in SQLAlchemy's way and without a greenlet, and sessions on them."""

from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any
from unittest.mock import Mock

import aiosqlite
import pytest
from sqlalchemy import insert
from sqlalchemy.ext.asyncio import AsyncEngine, async_sessionmaker, create_async_engine

from fastapi_users_sqlmodel import reading
from fastapi_users_sqlmodel.engines import async_url, prepare_sqlite
from fastapi_users_sqlmodel.reading import BriefSession, ReadSession, _drivers, _fetch, without_greenlets
from tests.conftest import CreateDatabase
from tests.library.reading.things import NOTHING, POSTGRESQL, ROW, SQLITE, WITHOUT_GREENLET, metadata, things


@pytest.fixture(params=[*SQLITE, *POSTGRESQL])
async def engine(request: pytest.FixtureRequest, tmp_path: Path) -> AsyncIterator[AsyncEngine]:
    options: dict[str, Any] = {}
    if request.param in SQLITE:
        url = f"sqlite:///{tmp_path}/test.db"
        options = {"pool_reset_on_return": None}
    else:
        create: CreateDatabase = request.getfixturevalue("create_database")
        url = create()
    engine = create_async_engine(async_url(url), pool_size=2, max_overflow=0, pool_timeout=5, **options)
    prepare_sqlite(engine)
    if request.param.endswith(WITHOUT_GREENLET):
        without_greenlets(engine)
    async with engine.begin() as connection:
        await connection.run_sync(metadata.create_all)
        await connection.execute(insert(things), [ROW, NOTHING])
    yield engine
    await engine.dispose()


@pytest.fixture
def readers(engine: AsyncEngine) -> async_sessionmaker[ReadSession]:
    return async_sessionmaker(reading.reading(engine), class_=ReadSession, expire_on_commit=False)


@pytest.fixture
def writers(engine: AsyncEngine) -> async_sessionmaker[BriefSession]:
    return async_sessionmaker(engine, class_=BriefSession, expire_on_commit=False)


@pytest.fixture
def without_sqlalchemy(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let nobody run a statement the long way any more."""
    monkeypatch.setattr(_fetch, "_execute", Mock(side_effect=AssertionError("It was run by SQLAlchemy.")))


@pytest.fixture
def without_threads(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let nobody ask a connection's thread any more, however busy the machine is."""
    monkeypatch.setattr(_drivers, "_LONG", 60.0)
    refuse = Mock(side_effect=AssertionError("Another thread was asked."))
    monkeypatch.setattr(aiosqlite.Connection, "execute_fetchall", refuse)
    monkeypatch.setattr(aiosqlite.Connection, "rollback", refuse)
