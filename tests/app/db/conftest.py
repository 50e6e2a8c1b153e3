"""Engines of the service, and what runs on them."""

from collections.abc import AsyncIterator
from typing import Any

import pytest
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine

from app import db
from app.core.settings import Settings, settings
from tests.conftest import CreateDatabase


def settings_for(url: str) -> Settings:
    return settings.model_copy(update={"database_url": Settings(database_url=url).database_url})


@pytest.fixture
async def open_engine() -> AsyncIterator[Any]:
    """Open engines of the service; all are closed at the end."""
    engines: list[AsyncEngine] = []

    def open_engine(url: str) -> AsyncEngine:
        engines.append(db.create_app_engine(settings_for(url)))
        return engines[-1]

    yield open_engine
    for engine in engines:
        await engine.dispose()


@pytest.fixture
def engine(open_engine: Any, database_url: str) -> AsyncEngine:
    opened: AsyncEngine = open_engine(database_url)
    return opened


@pytest.fixture
def postgresql(open_engine: Any, create_database: CreateDatabase) -> AsyncEngine:
    opened: AsyncEngine = open_engine(create_database())
    return opened


async def ask(connection: AsyncConnection, sql: str) -> Any:
    return (await connection.exec_driver_sql(sql)).scalar_one()
