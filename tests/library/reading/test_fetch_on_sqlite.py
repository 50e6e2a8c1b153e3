"""Short reads are done in the event loop's own thread, where nothing may keep it for long."""

import asyncio
import sqlite3
from pathlib import Path
from typing import Any

import aiosqlite
import pytest
from sqlalchemy import Integer, bindparam, event, func, insert, select, text
from sqlalchemy.ext.asyncio import AsyncEngine, create_async_engine
from sqlalchemy.pool import StaticPool

from fastapi_users_sqlmodel import reading
from fastapi_users_sqlmodel.engines import prepare_sqlite
from fastapi_users_sqlmodel.reading import ReadSession, _drivers, fetch
from tests.library.reading.things import NAMES, NEW, ROW, SQLITE, metadata, things


@pytest.fixture
def engine_in_journal_mode(tmp_path: Path) -> AsyncEngine:
    """Make an engine whose readers wait for whoever writes, as on a file system where WAL is not to be had."""
    engine = create_async_engine(f"sqlite+aiosqlite:///{tmp_path}/test.db")
    prepare_sqlite(engine)

    @event.listens_for(engine.sync_engine, "connect")
    def leave_wal(connection: Any, _record: object) -> None:
        connection.cursor().execute("PRAGMA journal_mode = DELETE")

    return engine


async def turns(until: asyncio.Future[Any]) -> int:
    """Count how often others have their turn until then."""
    count = 0
    while not until.done():
        count += 1
        await asyncio.sleep(0.01)
    return count


async def test_a_read_asks_no_other_thread(tmp_path: Path, request: pytest.FixtureRequest) -> None:
    engine = create_async_engine(f"sqlite+aiosqlite:///{tmp_path}/test.db", pool_reset_on_return=None)
    prepare_sqlite(engine)
    async with engine.begin() as connection:
        await connection.run_sync(metadata.create_all)
        await connection.execute(insert(things), [ROW])
    async with ReadSession(reading.reading(engine)) as session:
        await fetch(session, NAMES)
        request.getfixturevalue("without_threads")
        assert [row[0] for row in await fetch(session, NAMES)] == ["Zoë"]
    await engine.dispose()


async def test_waits_elsewhere(engine_in_journal_mode: AsyncEngine, tmp_path: Path) -> None:
    """Whoever writes holds up this read, and nobody else; it is patient as it was configured."""
    async with engine_in_journal_mode.begin() as connection:
        await connection.run_sync(metadata.create_all)
        await connection.execute(insert(things), [ROW])
    async with ReadSession(reading.reading(engine_in_journal_mode)) as session:
        await fetch(session, NAMES)
        other = sqlite3.connect(tmp_path / "test.db", isolation_level=None)
        other.execute("BEGIN EXCLUSIVE")
        waiting = asyncio.ensure_future(fetch(session, NAMES))
        asyncio.get_running_loop().call_later(0.3, other.execute, "COMMIT")
        assert await turns(waiting) > 5
        assert [row[0] for row in await waiting] == ["Zoë"]
        other.close()
    async with engine_in_journal_mode.connect() as connection:
        assert await connection.scalar(text("PRAGMA busy_timeout")) == 5000
    await engine_in_journal_mode.dispose()


@pytest.mark.parametrize("engine", SQLITE, indirect=True)
async def test_goes_on_elsewhere(readers: Any) -> None:
    """What takes long is done by a thread; a short read afterwards is not."""
    numbers = select(bindparam("first", type_=Integer).label("i")).cte(recursive=True)
    numbers = numbers.union_all(select(numbers.c.i + 1).where(numbers.c.i < 3_000_000))
    count = select(func.count()).select_from(numbers)
    async with readers() as session:
        assert (await fetch(session, count, {"first": 2_999_999}))[0][0] == 2
        counting = asyncio.ensure_future(fetch(session, count, {"first": 1}))
        assert await turns(counting) > 5
        assert (await counting)[0][0] == 3_000_000
        assert [row[0] for row in await fetch(session, NAMES)] == ["Zoë", None]


@pytest.mark.parametrize("engine", SQLITE, indirect=True)
async def test_a_write_waits_elsewhere(readers: Any, writers: Any) -> None:
    async with writers() as writer, readers() as session:
        await fetch(session, NEW, {"id": 10})
        await writer.run_sync(lambda sync: sync.connection().execute(insert(things), {"id": 3}))
        writing = asyncio.ensure_future(fetch(session, NEW, {"id": 11}))
        await asyncio.sleep(0.2)
        assert not writing.done()
        await writer.commit()
        assert [row[0] for row in await writing] == [11]


@pytest.mark.parametrize("engine", SQLITE[1:], indirect=True)
async def test_a_page_asks_no_other_thread(engine: AsyncEngine, readers: Any, request: pytest.FixtureRequest) -> None:
    """However often it is read: SQLite counts on from one time to the next."""
    async with engine.begin() as connection:
        await connection.execute(insert(things), [{"id": number, "name": f"{number}"} for number in range(10, 110)])
    page = select(things).where(things.c.id > bindparam("after")).order_by(things.c.id).limit(100)
    async with readers() as session:
        await fetch(session, page, {"after": 5})
        request.getfixturevalue("without_threads")
        for _ in range(500):
            assert len(await fetch(session, page, {"after": 5})) == 100


class Clock:
    """A clock on which every read takes as long as we say."""

    def __init__(self) -> None:
        self.now = 1000.0
        self.takes = 0.0

    def monotonic(self) -> float:
        self.now += self.takes
        return self.now


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    clock = Clock()
    monkeypatch.setattr(_drivers, "time", clock)
    return clock


@pytest.fixture
def elsewhere(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """What was done by a connection's thread."""
    done = []
    fetch_all = aiosqlite.Connection.execute_fetchall

    async def note(connection: aiosqlite.Connection, sql: str, parameters: Any) -> Any:
        done.append(sql)
        return await fetch_all(connection, sql, parameters)

    monkeypatch.setattr(aiosqlite.Connection, "execute_fetchall", note)
    return done


@pytest.mark.parametrize("engine", SQLITE, indirect=True)
async def test_what_takes_long_in_few_steps(readers: Any, clock: Clock, elsewhere: list[str]) -> None:
    """It holds up everybody once, and less and less often. After a short time it is short again."""
    async with readers() as session:

        async def is_elsewhere() -> bool:
            elsewhere.clear()
            assert len(await fetch(session, NAMES)) == 2
            return bool(elsewhere)

        await fetch(session, NAMES)
        clock.takes = 0.01
        for seconds in (1, 2, 4, 8, 16, 32, 60, 60):
            assert not await is_elsewhere()
            assert await is_elsewhere()
            clock.now += seconds - 0.5
            assert await is_elsewhere()
            clock.now += 0.5
        clock.takes = 0.001
        assert not await is_elsewhere()
        clock.takes = 0.01
        assert not await is_elsewhere()
        assert await is_elsewhere()
        clock.now += 1
        assert not await is_elsewhere()


async def test_a_connection_that_is_everybodys(request: pytest.FixtureRequest) -> None:
    """What is set on it for one would be so for the other."""
    shared = create_async_engine("sqlite+aiosqlite://", poolclass=StaticPool, connect_args={"check_same_thread": False})
    prepare_sqlite(shared)
    async with shared.begin() as connection:
        await connection.run_sync(metadata.create_all)
    async with ReadSession(reading.reading(shared)) as session:
        for _ in range(2):
            assert len(await fetch(session, NAMES)) == 0
        request.getfixturevalue("without_threads")
        with pytest.raises(AssertionError, match="Another thread was asked"):
            await fetch(session, NAMES)
    await shared.dispose()


async def test_a_connection_of_its_thread_alone(tmp_path: Path) -> None:
    """That thread is asked."""
    engine = create_async_engine(f"sqlite+aiosqlite:///{tmp_path}/test.db", connect_args={"check_same_thread": True})
    prepare_sqlite(engine)
    async with engine.begin() as connection:
        await connection.run_sync(metadata.create_all)
        await connection.execute(insert(things), [ROW])
    async with ReadSession(reading.reading(engine)) as session:
        for _ in range(3):
            assert [row[0] for row in await fetch(session, NAMES)] == ["Zoë"]
    await engine.dispose()
