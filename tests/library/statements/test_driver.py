"""When the driver is asked directly, and what becomes of it when that fails."""

import asyncio
import logging
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import Column, Integer, MetaData, Table, bindparam, event, func, insert, select, text
from sqlalchemy.exc import IntegrityError, OperationalError
from sqlalchemy.ext.asyncio import AsyncEngine, create_async_engine
from sqlalchemy.pool import AsyncAdaptedQueuePool, NullPool

from fastapi_users_sqlmodel._statements import DirectSession, fetch
from fastapi_users_sqlmodel.engines import prepare_sqlite
from fastapi_users_sqlmodel.testing import count_statements
from tests.library.statements.things import NAMES, NEW, ROW, idle, in_autocommit, metadata, things


async def test_is_not_taken_where_somebody_counts(engine: AsyncEngine, readers: Any) -> None:
    async with readers() as session:
        await fetch(session, NAMES)
        with count_statements(engine) as statements:
            await fetch(session, NAMES)
            await fetch(session, NAMES)
    assert len(statements) == 2


async def test_is_not_taken_where_somebody_rewrites(engine: AsyncEngine, readers: Any) -> None:
    """Nor is anything learned of that, which is nobody else's."""
    rewritten = in_autocommit(engine).execution_options(rewritten=True)
    ids = select(things.c.id).where(things.c.id > 0).order_by(things.c.id)

    def only_named(_connection: Any, statement: Any, multiparams: Any, params: Any, _options: Any) -> tuple[Any, ...]:
        return statement.where(things.c.name.is_not(None)), multiparams, params

    async with readers() as session, DirectSession(rewritten) as other:
        await fetch(session, NAMES)
        event.listen(rewritten.sync_engine, "before_execute", only_named, retval=True)
        for _ in range(3):
            assert [row[0] for row in await fetch(other, NAMES)] == ["Zoë"]
            assert [row[0] for row in await fetch(other, ids)] == [1]
        assert [row[0] for row in await fetch(session, ids)] == [1, 2]


@pytest.mark.parametrize("engine", ["postgresql"], indirect=True)
async def test_is_not_taken_behind_a_pooler(engine: AsyncEngine) -> None:
    """The round trips of a statement need a transaction there."""
    pooled = create_async_engine(engine.url.update_query_dict({"prepared_statement_cache_size": "0"}))
    async with DirectSession(in_autocommit(pooled)) as session:
        for _ in range(3):
            assert len(await fetch(session, NAMES)) == 2
            assert session.in_transaction()
    await pooled.dispose()


async def test_is_not_taken_where_statements_are_logged(readers: Any, caplog: pytest.LogCaptureFixture) -> None:
    async with readers() as session:
        await fetch(session, NAMES)
        with caplog.at_level(logging.INFO, "sqlalchemy.engine"):
            await fetch(session, NAMES)
    assert any("SELECT thing.name" in message for message in caplog.messages)


# On SQLite a query that nobody waits for goes on in its thread to its end.
@pytest.mark.parametrize("engine", ["postgresql"], indirect=True)
async def test_cancelled(engine: AsyncEngine, readers: Any) -> None:
    """Whoever is cancelled in the middle leaves no connection behind of which nobody knows the state."""
    numbers = select(bindparam("first", type_=Integer).label("i")).cte(recursive=True)
    numbers = numbers.union_all(select(numbers.c.i + 1).where(numbers.c.i < 300_000))
    count = select(func.count()).select_from(numbers)
    async with readers() as session:
        assert (await fetch(session, count, {"first": 299_999}))[0][0] == 2
        for _ in range(4):
            counting = asyncio.ensure_future(fetch(session, count, {"first": 1}))
            await asyncio.sleep(0.01)
            counting.cancel()
            with pytest.raises(asyncio.CancelledError):
                await counting
            assert idle(engine)
        assert [row[0] for row in await fetch(session, NAMES)] == ["Zoë", None]


@pytest.mark.parametrize("engine", ["postgresql"], indirect=True)
async def test_takes_no_longer_than_it_may(engine: AsyncEngine, request: pytest.FixtureRequest) -> None:
    """What the server has stopped is not tried again."""
    limited = create_async_engine(
        engine.url, connect_args={"server_settings": {"statement_timeout": "100ms"}}, pool_size=1, max_overflow=0
    )
    sleep = select(func.pg_sleep(bindparam("seconds")))
    async with DirectSession(in_autocommit(limited)) as session:
        await fetch(session, sleep, {"seconds": 0.0})
        request.getfixturevalue("without_sqlalchemy")
        with pytest.raises(OperationalError):
            await fetch(session, sleep, {"seconds": 5.0})
        await fetch(session, sleep, {"seconds": 0.0})
    await limited.dispose()


@pytest.mark.parametrize("engine", ["postgresql"], indirect=True)
async def test_of_a_connection_that_is_gone(engine: AsyncEngine, readers: Any) -> None:
    """A read is tried again. What changes something is not: nobody knows what has become of it."""
    others = "SELECT pg_terminate_backend(pid, 5000) FROM pg_stat_activity WHERE pid <> pg_backend_pid()"
    other = create_async_engine(engine.url, poolclass=NullPool)

    async def disconnect() -> None:
        async with other.connect() as connection:
            await connection.execute(text(f"{others} AND datname = current_database()"))

    async with readers() as session:
        await fetch(session, NAMES)
        await fetch(session, NEW, {"id": 10, "name": "first"})
        await disconnect()
        assert len(await fetch(session, NAMES)) == 3
        await disconnect()
        with pytest.raises(OperationalError):
            await fetch(session, NEW, {"id": 11, "name": "second"})
        assert len(await fetch(session, NEW, {"id": 12, "name": "third"})) == 1
        assert [row[0] for row in await fetch(session, NAMES)] == ["Zoë", None, "first", "third"]
    await other.dispose()


@pytest.mark.parametrize("engine", ["postgresql"], indirect=True)
async def test_of_many_connections_that_are_gone(engine: AsyncEngine, readers: Any) -> None:
    """A read finds one that works, however many are idle and broken."""
    others = "SELECT pg_terminate_backend(pid, 5000) FROM pg_stat_activity WHERE pid <> pg_backend_pid()"
    async with readers() as session:
        await fetch(session, NAMES)
        async with engine.connect() as one, engine.connect() as two:
            await one.execute(text("SELECT 1"))
            await two.execute(text("SELECT 1"))
        other = create_async_engine(engine.url, poolclass=NullPool)
        async with other.connect() as connection:
            await connection.execute(text(f"{others} AND datname = current_database()"))
        await other.dispose()
        for _ in range(3):
            assert len(await fetch(session, NAMES)) == 2


async def test_a_default_is_made_anew(engine: AsyncEngine) -> None:
    made = iter(range(100))
    number = Column("n", Integer, default=lambda: next(made))
    counted = Table("counted", MetaData(), Column("id", Integer, primary_key=True), number)
    async with engine.begin() as connection:
        await connection.run_sync(counted.metadata.create_all)
    new = insert(counted).returning(counted.c.n)
    async with DirectSession(in_autocommit(engine)) as session:
        assert [(await fetch(session, new, {"id": number}))[0][0] for number in range(4)] == [0, 1, 2, 3]


async def test_a_refusal_keeps_the_connection(tmp_path: Path) -> None:
    """With it, a database in memory would be gone."""
    alone = create_async_engine("sqlite+aiosqlite://", poolclass=AsyncAdaptedQueuePool, pool_size=1, max_overflow=0)
    prepare_sqlite(alone)
    async with alone.begin() as connection:
        await connection.run_sync(metadata.create_all)
        await connection.execute(insert(things), [ROW])
    async with DirectSession(in_autocommit(alone)) as session:
        await fetch(session, NEW, {"id": 2, "name": "other"})
        for number in (3, 4):
            with pytest.raises(IntegrityError):
                await fetch(session, NEW, {"id": number, "name": "Zoë"})
        assert [row[0] for row in await fetch(session, NAMES)] == ["Zoë", "other"]
    await alone.dispose()
