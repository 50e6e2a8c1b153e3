"""Statements that were made once, in sessions for reading and in others: the same rows, whoever runs them."""

import asyncio
import logging
import sqlite3
import uuid
from collections.abc import AsyncIterator
from datetime import UTC, datetime
from decimal import Decimal
from pathlib import Path
from typing import Any
from unittest.mock import Mock

import aiosqlite
import pytest
from sqlalchemy import (
    JSON,
    Boolean,
    Column,
    DateTime,
    Float,
    Integer,
    LargeBinary,
    MetaData,
    Numeric,
    String,
    Table,
    Uuid,
    bindparam,
    event,
    func,
    insert,
    select,
    text,
)
from sqlalchemy.exc import ArgumentError, IntegrityError, InvalidRequestError, OperationalError
from sqlalchemy.ext.asyncio import AsyncEngine, async_sessionmaker, create_async_engine
from sqlalchemy.orm import DeclarativeBase
from sqlalchemy.pool import AsyncAdaptedQueuePool, NullPool, StaticPool
from sqlalchemy.util.concurrency import greenlet_spawn
from sqlmodel.ext.asyncio.session import AsyncSession
from sqlmodel.sql.sqltypes import UTCDateTime

from fastapi_users_sqlmodel import reading
from fastapi_users_sqlmodel.engines import async_url, prepare_sqlite
from fastapi_users_sqlmodel.reading import BriefSession, ReadSession, _drivers, _fetch, fetch, without_greenlets
from fastapi_users_sqlmodel.testing import count_statements
from tests.conftest import CreateDatabase

metadata = MetaData()
things = Table(
    "thing",
    metadata,
    Column("id", Integer, primary_key=True),
    Column("name", String(20), unique=True),
    Column("key", Uuid),
    Column("is_good", Boolean),
    Column("at", UTCDateTime),
    Column("day", DateTime),
    Column("price", Numeric(12, 2)),
    Column("weight", Float),
    Column("document", JSON),
    Column("bytes", LargeBinary),
)
ROW: dict[str, Any] = {
    "id": 1,
    "name": "Zoë",
    "key": uuid.UUID("0f1e2d3c-4b5a-4978-8695-a4b3c2d1e0f0"),
    "is_good": True,
    "at": datetime(2030, 1, 2, 3, 4, 5, 678901, tzinfo=UTC),
    "day": datetime(2030, 1, 2, 3, 4, 5),  # noqa: DTZ001  # A column without a zone
    "price": Decimal("19.90"),
    "weight": 0.5,
    "document": {"a": [1, None]},
    "bytes": b"\0\xff",
}
NOTHING = dict.fromkeys(ROW) | {"id": 2}
ONE = select(things).where(things.c.id == bindparam("id"))
NAMES = select(things.c.name).order_by(things.c.id)
NEW = insert(things).returning(things.c.id, things.c.key)


class Base(DeclarativeBase):
    pass


class Thing(Base):
    __table__ = Table("thing", Base.metadata, Column("id", Integer, primary_key=True), Column("name", String(20)))


WITHOUT_GREENLET = " without a greenlet"
SQLITE = ["sqlite", "sqlite" + WITHOUT_GREENLET]
POSTGRESQL = ["postgresql", "postgresql" + WITHOUT_GREENLET]


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


def idle(engine: AsyncEngine) -> bool:
    assert isinstance(engine.pool, AsyncAdaptedQueuePool)
    return engine.pool.checkedout() == 0


class TestRows:
    async def test_are_the_same_by_either_way(self, readers: Any, request: pytest.FixtureRequest) -> None:
        """In type and value: every value is what was written."""
        expected = [tuple(ROW.values()), tuple(NOTHING.values())]
        async with readers() as session:
            learned = [tuple((await fetch(session, ONE, {"id": number}))[0]) for number in (1, 2)]
            request.getfixturevalue("without_sqlalchemy")
            by_the_shortcut = [tuple((await fetch(session, ONE, {"id": number}))[0]) for number in (1, 2)]
        assert learned == by_the_shortcut == expected
        assert [isinstance(value, type(ROW[name])) for name, value in zip(ROW, by_the_shortcut[0], strict=True)] == [
            True
        ] * len(ROW)

    async def test_there_are_none(self, readers: Any) -> None:
        async with readers() as session:
            assert [list(await fetch(session, ONE, {"id": 3})) for _ in range(2)] == [[], []]

    async def test_a_list_that_expands(self, readers: Any) -> None:
        """SQLAlchemy writes another statement for each number of values: it goes on doing so."""
        some = select(things.c.id).where(things.c.id.in_(bindparam("ids", expanding=True)))
        async with readers() as session:
            for ids in ([1], [1, 2], [], [2]):
                assert sorted(row[0] for row in await fetch(session, some, {"ids": ids})) == ids

    async def test_statements_of_one_form(self, readers: Any) -> None:
        """SQLAlchemy compiles them once, with the values of whoever came first; each has its own."""
        first, second = (select(things.c.id).where(things.c.id == number) for number in (1, 2))
        async with readers() as session:
            for _ in range(3):
                assert [tuple(row) for row in await fetch(session, first)] == [(1,)]
                assert [tuple(row) for row in await fetch(session, second)] == [(2,)]

    async def test_constants(self, readers: Any, request: pytest.FixtureRequest) -> None:
        """By the shortcut as well, in the database's types."""
        at, key, price = ROW["at"], ROW["key"], ROW["price"]
        found = select(things.c.name).where(things.c.at == at, things.c.key == key, things.c.price == price)
        page = select(things.c.id).order_by(things.c.id).limit(bindparam("rows"))
        second, within = page.offset(1), select(page.subquery().c.id)
        async with readers() as session:
            await fetch(session, found)
            await fetch(session, second, {"rows": 1})
            await fetch(session, within, {"rows": 1})
            request.getfixturevalue("without_sqlalchemy")
            assert [tuple(row) for row in await fetch(session, found)] == [("Zoë",)]
            assert [tuple(row) for row in await fetch(session, second, {"rows": 2})] == [(2,)]
            assert [tuple(row) for row in await fetch(session, within, {"rows": 2})] == [(1,), (2,)]

    async def test_constants_by_their_names(self, readers: Any) -> None:
        """As SQLAlchemy calls them: whoever gives one means it."""
        named = select(things.c.id).where(things.c.id == 1)
        async with readers() as session:
            for number in (1, 2, 1):
                assert [row[0] for row in await fetch(session, named, {"id_1": number})] == [number]

    async def test_columns_that_nobody_knows(self, readers: Any) -> None:
        """It is SQLAlchemy's each time."""
        some = select(things.c.id, text("1")).where(things.c.id == 1)
        new = insert(things).values(name="new").returning(things.c.key, text("2"))
        async with readers() as session:
            for _ in range(3):
                assert [tuple(row) for row in await fetch(session, some)] == [(1, 1)]
            for number in (3, 4):
                fresh = new.values(name=f"{number}")
                assert [tuple(row) for row in await fetch(session, fresh, {"id": number})] == [(None, 2)]
            assert len(await fetch(session, NAMES)) == 4

    async def test_other_values(self, readers: Any) -> None:
        """Whatever was given the first time."""
        async with readers() as session:
            for number in range(3, 6):
                await fetch(session, NEW, {"id": number})
                await fetch(session, NEW, {"id": 10 + number, "name": str(number)})
            names = [row[0] for row in await fetch(session, NAMES)]
        assert names == ["Zoë", None, None, None, None, "3", "4", "5"]

    async def test_another_database(self, engine: AsyncEngine, readers: Any) -> None:
        """What was learned from one is nothing to the other."""
        other = create_async_engine("sqlite+aiosqlite://")
        async with other.begin() as connection:
            await connection.run_sync(metadata.create_all)
            await connection.execute(insert(things), [NOTHING | {"name": "other"}])
        async with readers() as here, ReadSession(reading.reading(other)) as there:
            for _ in range(3):
                assert [row[0] for row in await fetch(here, NAMES)] == ["Zoë", None]
                assert [row[0] for row in await fetch(there, NAMES)] == ["other"]
        await other.dispose()


class TestShortcut:
    async def test_is_not_taken_where_somebody_counts(self, engine: AsyncEngine, readers: Any) -> None:
        async with readers() as session:
            await fetch(session, NAMES)
            with count_statements(engine) as statements:
                await fetch(session, NAMES)
                await fetch(session, NAMES)
        assert len(statements) == 2

    async def test_is_not_taken_where_somebody_rewrites(self, engine: AsyncEngine, readers: Any) -> None:
        """Nor is anything learned of that, which is nobody else's."""
        rewritten = reading.reading(engine).execution_options(rewritten=True)
        ids = select(things.c.id).where(things.c.id > 0).order_by(things.c.id)

        def only_named(
            _connection: Any, statement: Any, multiparams: Any, params: Any, _options: Any
        ) -> tuple[Any, ...]:
            return statement.where(things.c.name.is_not(None)), multiparams, params

        async with readers() as session, ReadSession(rewritten) as other:
            await fetch(session, NAMES)
            event.listen(rewritten.sync_engine, "before_execute", only_named, retval=True)
            for _ in range(3):
                assert [row[0] for row in await fetch(other, NAMES)] == ["Zoë"]
                assert [row[0] for row in await fetch(other, ids)] == [1]
            assert [row[0] for row in await fetch(session, ids)] == [1, 2]

    @pytest.mark.parametrize("engine", POSTGRESQL, indirect=True)
    async def test_is_not_taken_behind_a_pooler(self, engine: AsyncEngine, monkeypatch: pytest.MonkeyPatch) -> None:
        """There, the next round trip may meet another server."""
        pooled = create_async_engine(engine.url.update_query_dict({"prepared_statement_cache_size": "0"}))
        executed = Mock(wraps=_fetch._execute)  # noqa: SLF001  # Which way it takes is the question
        monkeypatch.setattr(_fetch, "_execute", executed)
        async with ReadSession(reading.reading(pooled)) as session:
            for _ in range(3):
                assert len(await fetch(session, NAMES)) == 2
        await pooled.dispose()
        assert executed.call_count == 3

    async def test_is_not_taken_where_statements_are_logged(
        self, readers: Any, caplog: pytest.LogCaptureFixture
    ) -> None:
        async with readers() as session:
            await fetch(session, NAMES)
            with caplog.at_level(logging.INFO, "sqlalchemy.engine"):
                await fetch(session, NAMES)
        assert any("SELECT thing.name" in message for message in caplog.messages)

    # On SQLite a query that nobody waits for goes on in its thread to its end.
    @pytest.mark.parametrize("engine", POSTGRESQL, indirect=True)
    async def test_cancelled(self, engine: AsyncEngine, readers: Any) -> None:
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

    @pytest.mark.parametrize("engine", POSTGRESQL, indirect=True)
    async def test_takes_no_longer_than_it_may(self, engine: AsyncEngine, request: pytest.FixtureRequest) -> None:
        """What the server has stopped is not tried again."""
        limited = create_async_engine(
            engine.url, connect_args={"server_settings": {"statement_timeout": "100ms"}}, pool_size=1, max_overflow=0
        )
        sleep = select(func.pg_sleep(bindparam("seconds")))
        async with ReadSession(reading.reading(limited)) as session:
            await fetch(session, sleep, {"seconds": 0.0})
            request.getfixturevalue("without_sqlalchemy")
            with pytest.raises(OperationalError):
                await fetch(session, sleep, {"seconds": 5.0})
            await fetch(session, sleep, {"seconds": 0.0})
        await limited.dispose()

    @pytest.mark.parametrize("engine", POSTGRESQL, indirect=True)
    async def test_of_a_connection_that_is_gone(self, engine: AsyncEngine, readers: Any) -> None:
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

    @pytest.mark.parametrize("engine", POSTGRESQL, indirect=True)
    async def test_of_many_connections_that_are_gone(self, engine: AsyncEngine, readers: Any) -> None:
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

    async def test_a_default_is_made_anew(self, engine: AsyncEngine) -> None:
        made = iter(range(100))
        number = Column("n", Integer, default=lambda: next(made))
        counted = Table("counted", MetaData(), Column("id", Integer, primary_key=True), number)
        async with engine.begin() as connection:
            await connection.run_sync(counted.metadata.create_all)
        new = insert(counted).returning(counted.c.n)
        async with ReadSession(reading.reading(engine)) as session:
            assert [(await fetch(session, new, {"id": number}))[0][0] for number in range(4)] == [0, 1, 2, 3]

    async def test_a_refusal_keeps_the_connection(self, tmp_path: Path) -> None:
        """With it, a database in memory would be gone."""
        alone = create_async_engine("sqlite+aiosqlite://", poolclass=AsyncAdaptedQueuePool, pool_size=1, max_overflow=0)
        prepare_sqlite(alone)
        async with alone.begin() as connection:
            await connection.run_sync(metadata.create_all)
            await connection.execute(insert(things), [ROW])
        async with ReadSession(reading.reading(alone)) as session:
            await fetch(session, NEW, {"id": 2, "name": "other"})
            for number in (3, 4):
                with pytest.raises(IntegrityError):
                    await fetch(session, NEW, {"id": number, "name": "Zoë"})
            assert [row[0] for row in await fetch(session, NAMES)] == ["Zoë", "other"]
        await alone.dispose()


class TestSQLite:
    """Short reads are done in the event loop's own thread, where nothing may keep it for long."""

    @pytest.fixture
    def engine_in_journal_mode(self, tmp_path: Path) -> AsyncEngine:
        """Make an engine whose readers wait for whoever writes, as on a file system where WAL is not to be had."""
        engine = create_async_engine(f"sqlite+aiosqlite:///{tmp_path}/test.db")
        prepare_sqlite(engine)

        @event.listens_for(engine.sync_engine, "connect")
        def leave_wal(connection: Any, _record: object) -> None:
            connection.cursor().execute("PRAGMA journal_mode = DELETE")

        return engine

    @pytest.fixture
    def without_threads(self, monkeypatch: pytest.MonkeyPatch) -> None:
        refuse = Mock(side_effect=AssertionError("Another thread was asked."))
        monkeypatch.setattr(aiosqlite.Connection, "execute_fetchall", refuse)
        monkeypatch.setattr(aiosqlite.Connection, "rollback", refuse)

    @staticmethod
    async def turns(until: asyncio.Future[Any]) -> int:
        """Count how often others have their turn until then."""
        count = 0
        while not until.done():
            count += 1
            await asyncio.sleep(0.01)
        return count

    async def test_a_read_asks_no_other_thread(self, tmp_path: Path, request: pytest.FixtureRequest) -> None:
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

    async def test_waits_elsewhere(self, engine_in_journal_mode: AsyncEngine, tmp_path: Path) -> None:
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
            assert await self.turns(waiting) > 5
            assert [row[0] for row in await waiting] == ["Zoë"]
            other.close()
        async with engine_in_journal_mode.connect() as connection:
            assert await connection.scalar(text("PRAGMA busy_timeout")) == 5000
        await engine_in_journal_mode.dispose()

    @pytest.mark.parametrize("engine", SQLITE, indirect=True)
    async def test_goes_on_elsewhere(self, readers: Any) -> None:
        """What takes long is done by a thread; a short read afterwards is not."""
        numbers = select(bindparam("first", type_=Integer).label("i")).cte(recursive=True)
        numbers = numbers.union_all(select(numbers.c.i + 1).where(numbers.c.i < 3_000_000))
        count = select(func.count()).select_from(numbers)
        async with readers() as session:
            assert (await fetch(session, count, {"first": 2_999_999}))[0][0] == 2
            counting = asyncio.ensure_future(fetch(session, count, {"first": 1}))
            assert await self.turns(counting) > 5
            assert (await counting)[0][0] == 3_000_000
            assert [row[0] for row in await fetch(session, NAMES)] == ["Zoë", None]

    @pytest.mark.parametrize("engine", SQLITE, indirect=True)
    async def test_a_write_waits_elsewhere(self, readers: Any, writers: Any) -> None:
        async with writers() as writer, readers() as session:
            await fetch(session, NEW, {"id": 10})
            await writer.run_sync(lambda sync: sync.connection().execute(insert(things), {"id": 3}))
            writing = asyncio.ensure_future(fetch(session, NEW, {"id": 11}))
            await asyncio.sleep(0.2)
            assert not writing.done()
            await writer.commit()
            assert [row[0] for row in await writing] == [11]

    @pytest.mark.parametrize("engine", SQLITE[1:], indirect=True)
    async def test_a_page_asks_no_other_thread(
        self, engine: AsyncEngine, readers: Any, request: pytest.FixtureRequest
    ) -> None:
        """However often it is read: SQLite counts on from one time to the next."""
        async with engine.begin() as connection:
            await connection.execute(insert(things), [{"id": number, "name": f"{number}"} for number in range(10, 110)])
        page = select(things).where(things.c.id > bindparam("after")).order_by(things.c.id).limit(100)
        async with readers() as session:
            await fetch(session, page, {"after": 5})
            request.getfixturevalue("without_threads")
            for _ in range(500):
                assert len(await fetch(session, page, {"after": 5})) == 100

    @pytest.mark.parametrize("engine", SQLITE, indirect=True)
    async def test_what_takes_long_in_few_steps(
        self, readers: Any, monkeypatch: pytest.MonkeyPatch, request: pytest.FixtureRequest
    ) -> None:
        """It holds up everybody once."""
        monkeypatch.setattr(_drivers, "_LONG", -1.0)
        async with readers() as session:
            for _ in range(2):
                assert len(await fetch(session, NAMES)) == 2
            request.getfixturevalue("without_threads")
            with pytest.raises(AssertionError, match="Another thread was asked"):
                await fetch(session, NAMES)

    async def test_a_connection_that_is_everybodys(self, request: pytest.FixtureRequest) -> None:
        """What is set on it for one would be so for the other."""
        shared = create_async_engine(
            "sqlite+aiosqlite://", poolclass=StaticPool, connect_args={"check_same_thread": False}
        )
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

    async def test_a_connection_of_its_thread_alone(self, tmp_path: Path) -> None:
        """That thread is asked."""
        engine = create_async_engine(
            f"sqlite+aiosqlite:///{tmp_path}/test.db", connect_args={"check_same_thread": True}
        )
        prepare_sqlite(engine)
        async with engine.begin() as connection:
            await connection.run_sync(metadata.create_all)
            await connection.execute(insert(things), [ROW])
        async with ReadSession(reading.reading(engine)) as session:
            for _ in range(3):
                assert [row[0] for row in await fetch(session, NAMES)] == ["Zoë"]
        await engine.dispose()


class TestWithoutGreenlets:
    @pytest.mark.skipif(not _fetch.takes_what_is_there(), reason="SQLAlchemy waits for what is there")
    @pytest.mark.parametrize("engine", [SQLITE[1], POSTGRESQL[1]], indirect=True)
    async def test_a_read_needs_none(self, readers: Any, monkeypatch: pytest.MonkeyPatch) -> None:
        async with readers() as session:
            await fetch(session, NAMES)
            monkeypatch.setattr(ReadSession, "run_sync", Mock(side_effect=AssertionError("It took a greenlet.")))
            monkeypatch.setattr(_fetch, "greenlet_spawn", Mock(side_effect=AssertionError("It took a greenlet.")))
            for _ in range(3):
                assert [row[0] for row in await fetch(session, NAMES)] == ["Zoë", None]

    @pytest.mark.parametrize("engine", [POSTGRESQL[1]], indirect=True)
    async def test_a_connection_for_which_there_is_no_place(
        self, engine: AsyncEngine, caplog: pytest.LogCaptureFixture
    ) -> None:
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

    async def test_what_has_begun_is_rolled_back(self, tmp_path: Path) -> None:
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
    def test_a_pool_that_waits(self, tmp_path: Path, options: dict[str, Any]) -> None:
        engine = create_async_engine(f"sqlite+aiosqlite:///{tmp_path}/test.db", **options)
        with pytest.raises(ArgumentError):
            without_greenlets(engine)


class TestReadSession:
    async def test_holds_no_connection(self, engine: AsyncEngine, readers: Any) -> None:
        async with readers() as session:
            await fetch(session, NAMES)
            assert idle(engine)
            thing = await session.run_sync(lambda sync: sync.get(Thing, 1))
            assert idle(engine)
            assert thing is not None
            assert thing.name == "Zoë"

    async def test_waits_for_a_connection(self, engine: AsyncEngine, readers: Any) -> None:
        async with readers() as session:
            await fetch(session, NAMES)
            async with engine.connect(), engine.connect() as last:
                waiting = asyncio.ensure_future(fetch(session, NAMES))
                await asyncio.sleep(0.05)
                assert not waiting.done()
                await last.close()
                assert len(await waiting) == 2
        assert idle(engine)

    async def test_many_at_once(self, engine: AsyncEngine, readers: Any) -> None:
        """Each has its own rows, and each connection comes back."""

        async def read(number: int) -> bool:
            async with readers() as session:
                found = [await fetch(session, ONE, {"id": number % 3}) for _ in range(5)]
            return all([row[0] for row in rows] == [number % 3] * (number % 3 > 0) for rows in found)

        assert all(await asyncio.gather(*(read(number) for number in range(40))))
        assert idle(engine)

    async def test_refuses_to_flush(self, readers: Any) -> None:
        async with readers() as session:
            session.add(Thing(id=3))
            with pytest.raises(InvalidRequestError, match="must not write"):
                await session.flush()

    async def test_a_statement_is_by_itself(self, engine: AsyncEngine, readers: Any) -> None:
        """It is there for everybody, whatever comes later."""
        async with readers() as session:
            assert [tuple(row) for row in await fetch(session, NEW, {"id": 3, "key": ROW["key"]})] == [(3, ROW["key"])]
            assert [tuple(row) for row in await fetch(session, NEW, {"id": 4, "key": None})] == [(4, None)]
        async with readers() as session:
            assert len(await fetch(session, NAMES)) == 4
        assert idle(engine)

    async def test_a_statement_that_is_refused(self, readers: Any) -> None:
        """As an IntegrityError, the first time and later, and nothing is left of it."""
        async with readers() as session:
            for number in range(3, 6):
                with pytest.raises(IntegrityError):
                    await fetch(session, NEW, {"id": number, "name": "Zoë"})
                await fetch(session, NEW, {"id": 10 + number, "name": str(number)})
            assert [row[0] for row in await fetch(session, NAMES)] == ["Zoë", None, "3", "4", "5"]

    async def test_waits_for_nobody_who_writes(self, readers: Any, writers: Any) -> None:
        async with writers() as writer, readers() as reader:
            await fetch(reader, NAMES)
            await writer.run_sync(lambda sync: sync.connection().execute(insert(things), {"id": 3}))
            assert len(await fetch(reader, NAMES)) == 2
            await writer.commit()
            assert len(await fetch(reader, NAMES)) == 3


class TestOtherSessions:
    async def test_a_read_before_anything_begins(self, engine: AsyncEngine, writers: Any) -> None:
        """It takes no lock and keeps no connection, though a transaction was opened."""
        async with writers() as one, writers() as two:
            for session in (one, two):
                session.sync_session.begin()
                assert len(await fetch(session, NAMES)) == 2
            assert idle(engine)

    async def test_a_read_of_what_was_written(self, engine: AsyncEngine, writers: Any, readers: Any) -> None:
        async with writers() as session:
            session.sync_session.begin()
            await fetch(session, NEW, {"id": 3})
            assert len(await fetch(session, NAMES)) == 3
            await session.rollback()
            assert len(await fetch(session, NAMES)) == 2
        async with readers() as session:
            assert len(await fetch(session, NAMES)) == 2
        assert idle(engine)

    async def test_a_hook_that_begins_the_next_transaction(self, engine: AsyncEngine, writers: Any) -> None:
        """Whoever is told that one has ended may use the session: its connection is given back all the same."""
        async with writers() as session:

            def begin_again(sync: Any, transaction: Any) -> None:
                if transaction.parent is None and not sync.info.pop("once", False):
                    sync.info["once"] = True
                    sync.connection().execute(text("SELECT 1"))

            event.listen(session.sync_session, "after_transaction_end", begin_again, insert=True)
            await fetch(session, NEW.returning(things.c.id), {"id": 3})
            await session.commit()
        assert idle(engine)

    async def test_a_session_on_a_connection(self, engine: AsyncEngine) -> None:
        """As tests have them: everything happens on it."""
        async with engine.connect() as connection, connection.begin() as transaction:
            async with AsyncSession(connection, join_transaction_mode="create_savepoint") as session:
                await fetch(session, NEW, {"id": 3})
                assert len(await fetch(session, NAMES)) == 3
            await transaction.rollback()

    async def test_one_of_another_kind(self, engine: AsyncEngine) -> None:
        """It may have to say at the beginning who is meant: everything happens in its transaction."""
        async with AsyncSession(engine) as session:
            for _ in range(3):
                assert len(await fetch(session, NAMES)) == 2
                assert session.in_transaction()
                assert not idle(engine)

    @pytest.mark.parametrize("engine", POSTGRESQL, indirect=True)
    async def test_another_schema(self, engine: AsyncEngine, readers: Any) -> None:
        """What was learned for one tenant says nothing about another."""
        async with engine.begin() as connection:
            await connection.execute(text("CREATE SCHEMA other"))
            await connection.execute(text("CREATE TABLE other.thing AS SELECT * FROM thing WHERE id = 1"))
        elsewhere = reading.reading(engine).execution_options(schema_translate_map={None: "other"})
        async with readers() as here, ReadSession(elsewhere) as there:
            for _ in range(3):
                assert len(await fetch(here, NAMES)) == 2
                assert len(await fetch(there, NAMES)) == 1
