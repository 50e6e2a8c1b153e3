"""An idle connection is taken out of the pool and given back without a greenlet."""

import asyncio
import logging
from pathlib import Path
from typing import Any
from unittest.mock import Mock

import pytest
from sqlalchemy import bindparam, func, insert, select
from sqlalchemy.exc import ArgumentError
from sqlalchemy.ext.asyncio import AsyncEngine, create_async_engine
from sqlalchemy.pool import NullPool
from sqlalchemy.util.concurrency import greenlet_spawn

from fastapi_users_sqlmodel import reading
from fastapi_users_sqlmodel.engines import prepare_sqlite
from fastapi_users_sqlmodel.reading import ReadSession, _fetch, fetch, without_greenlets
from tests.library.reading.things import NAMES, NOTHING, POSTGRESQL, ROW, SQLITE, idle, metadata, things


# To take a connection out of the queue, SQLAlchemy before 2.0.55 needs a greenlet, even if it is there.
@pytest.mark.skipif(not _fetch.takes_what_is_there(), reason="SQLAlchemy is older than 2.0.55")
@pytest.mark.parametrize("engine", [SQLITE[1], POSTGRESQL[1]], indirect=True)
async def test_a_read_needs_none(readers: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    async with readers() as session:
        await fetch(session, NAMES)
        monkeypatch.setattr(ReadSession, "run_sync", Mock(side_effect=AssertionError("It took a greenlet.")))
        monkeypatch.setattr(_fetch, "greenlet_spawn", Mock(side_effect=AssertionError("It took a greenlet.")))
        for _ in range(3):
            assert [row[0] for row in await fetch(session, NAMES)] == ["Zoë", None]


@pytest.mark.parametrize("engine", [POSTGRESQL[1]], indirect=True)
async def test_a_connection_for_which_there_is_no_place(engine: AsyncEngine, caplog: pytest.LogCaptureFixture) -> None:
    """It was more than the pool holds, and is closed."""
    small = create_async_engine(engine.url, pool_size=1, max_overflow=1)
    without_greenlets(small)
    sleep = select(func.pg_sleep(bindparam("seconds")))

    async def wait(seconds: float) -> None:
        async with ReadSession(reading.reading(small)) as session:
            await fetch(session, sleep, {"seconds": seconds})

    await wait(0.0)
    for _ in range(3):
        await asyncio.gather(wait(0.2), wait(0.0))
        assert idle(small)
    assert [record for record in caplog.records if record.levelno >= logging.ERROR] == []
    await small.dispose()


async def test_what_has_begun_is_rolled_back(tmp_path: Path) -> None:
    """The pool leaves that to it."""
    engine = create_async_engine(f"sqlite+aiosqlite:///{tmp_path}/test.db", pool_reset_on_return=None)
    prepare_sqlite(engine)
    without_greenlets(engine)
    async with engine.begin() as connection:
        await connection.run_sync(metadata.create_all)
        await connection.execute(insert(things), [ROW])
    raw = await engine.raw_connection()
    driver: Any = raw.driver_connection
    await driver.execute("BEGIN IMMEDIATE")
    await driver.execute("DELETE FROM thing")
    await greenlet_spawn(raw.close)
    async with ReadSession(reading.reading(engine)) as session:
        assert len(await fetch(session, NAMES)) == 1
    async with engine.begin() as connection:
        await connection.execute(insert(things), [NOTHING])
    await engine.dispose()


@pytest.mark.parametrize(
    "options",
    [{"poolclass": NullPool}, {"pool_pre_ping": True, "pool_reset_on_return": None}, {}],
    ids=["no queue", "pings", "resets"],
)
def test_a_pool_that_waits(tmp_path: Path, options: dict[str, Any]) -> None:
    engine = create_async_engine(f"sqlite+aiosqlite:///{tmp_path}/test.db", **options)
    with pytest.raises(ArgumentError):
        without_greenlets(engine)
