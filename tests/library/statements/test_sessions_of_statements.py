"""Sessions for what only reads, and what the others do with a statement that was made once."""

import asyncio
from typing import Any

import pytest
from sqlalchemy import event, insert, text
from sqlalchemy.exc import IntegrityError
from sqlalchemy.ext.asyncio import AsyncEngine
from sqlmodel.ext.asyncio.session import AsyncSession

from fastapi_users_sqlmodel._statements import fetch
from tests.library.statements.things import NAMES, NEW, ONE, ROW, idle, things


async def test_holds_no_connection(engine: AsyncEngine, readers: Any) -> None:
    async with readers() as session:
        await fetch(session, NAMES)
        assert idle(engine)


async def test_waits_for_a_connection(engine: AsyncEngine, readers: Any) -> None:
    async with readers() as session:
        await fetch(session, NAMES)
        async with engine.connect(), engine.connect() as last:
            waiting = asyncio.ensure_future(fetch(session, NAMES))
            await asyncio.sleep(0.05)
            assert not waiting.done()
            await last.close()
            assert len(await waiting) == 2
    assert idle(engine)


async def test_many_at_once(engine: AsyncEngine, readers: Any) -> None:
    """Each has its own rows, and each connection comes back."""

    async def read(number: int) -> bool:
        async with readers() as session:
            found = [await fetch(session, ONE, {"id": number % 3}) for _ in range(5)]
        return all([row[0] for row in rows] == [number % 3] * (number % 3 > 0) for rows in found)

    assert all(await asyncio.gather(*(read(number) for number in range(40))))
    assert idle(engine)


async def test_a_statement_is_by_itself(engine: AsyncEngine, readers: Any) -> None:
    """It is there for everybody, whatever comes later."""
    async with readers() as session:
        assert [tuple(row) for row in await fetch(session, NEW, {"id": 3, "key": ROW["key"]})] == [(3, ROW["key"])]
        assert [tuple(row) for row in await fetch(session, NEW, {"id": 4, "key": None})] == [(4, None)]
    async with readers() as session:
        assert len(await fetch(session, NAMES)) == 4
    assert idle(engine)


async def test_a_statement_that_is_refused(readers: Any) -> None:
    """As an IntegrityError, the first time and later, and nothing is left of it."""
    async with readers() as session:
        for number in range(3, 6):
            with pytest.raises(IntegrityError):
                await fetch(session, NEW, {"id": number, "name": "Zoë"})
            await fetch(session, NEW, {"id": 10 + number, "name": str(number)})
        assert [row[0] for row in await fetch(session, NAMES)] == ["Zoë", None, "3", "4", "5"]


async def test_waits_for_nobody_who_writes(readers: Any, writers: Any) -> None:
    async with writers() as writer, readers() as reader:
        await fetch(reader, NAMES)
        await writer.run_sync(lambda sync: sync.connection().execute(insert(things), {"id": 3}))
        assert len(await fetch(reader, NAMES)) == 2
        await writer.commit()
        assert len(await fetch(reader, NAMES)) == 3


async def test_a_read_before_anything_begins(engine: AsyncEngine, writers: Any) -> None:
    """It takes no lock and keeps no connection, though a transaction was opened."""
    async with writers() as one, writers() as two:
        for session in (one, two):
            session.sync_session.begin()
            assert len(await fetch(session, NAMES)) == 2
        assert idle(engine)


async def test_a_read_of_what_was_written(engine: AsyncEngine, writers: Any, readers: Any) -> None:
    async with writers() as session:
        session.sync_session.begin()
        await fetch(session, NEW, {"id": 3})
        assert len(await fetch(session, NAMES)) == 3
        await session.rollback()
        assert len(await fetch(session, NAMES)) == 2
    async with readers() as session:
        assert len(await fetch(session, NAMES)) == 2
    assert idle(engine)


async def test_a_hook_that_begins_the_next_transaction(engine: AsyncEngine, writers: Any) -> None:
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


async def test_a_session_on_a_connection(engine: AsyncEngine) -> None:
    """As tests have them: everything happens on it."""
    async with engine.connect() as connection, connection.begin() as transaction:
        async with AsyncSession(connection, join_transaction_mode="create_savepoint") as session:
            await fetch(session, NEW, {"id": 3})
            assert len(await fetch(session, NAMES)) == 3
        await transaction.rollback()


async def test_one_of_another_kind(engine: AsyncEngine) -> None:
    """It may have to say at the beginning who is meant: everything happens in its transaction."""
    async with AsyncSession(engine) as session:
        for _ in range(3):
            assert len(await fetch(session, NAMES)) == 2
            assert session.in_transaction()
            assert not idle(engine)
