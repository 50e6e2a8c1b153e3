"""Statements that were made once: the same rows, whoever runs them."""

from typing import Any

import pytest
from sqlalchemy import bindparam, insert, select, text
from sqlalchemy.ext.asyncio import AsyncEngine, create_async_engine

from fastapi_users_sqlmodel._statements import DirectSession, fetch
from tests.library.statements.things import NAMES, NEW, NOTHING, ONE, ROW, in_autocommit, metadata, things


async def test_are_the_same_by_either_way(readers: Any, request: pytest.FixtureRequest) -> None:
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


async def test_there_are_none(readers: Any) -> None:
    async with readers() as session:
        assert [list(await fetch(session, ONE, {"id": 3})) for _ in range(2)] == [[], []]


async def test_a_list_that_expands(readers: Any) -> None:
    """SQLAlchemy writes another statement for each number of values: it goes on doing so."""
    some = select(things.c.id).where(things.c.id.in_(bindparam("ids", expanding=True)))
    async with readers() as session:
        for ids in ([1], [1, 2], [], [2]):
            assert sorted(row[0] for row in await fetch(session, some, {"ids": ids})) == ids


async def test_a_value_that_is_written_out(readers: Any) -> None:
    """So is another statement for each value."""
    named = select(things.c.id).where(things.c.name == bindparam("name", literal_execute=True))
    async with readers() as session:
        for name, ids in (("Zoë", [1]), ("Zoë", [1]), ("'; DROP TABLE thing; --", []), ("Zoë", [1])):
            assert [row[0] for row in await fetch(session, named, {"name": name})] == ids


async def test_statements_of_one_form(readers: Any) -> None:
    """SQLAlchemy compiles them once, with the values of whoever came first; each has its own."""
    first, second = (select(things.c.id).where(things.c.id == number) for number in (1, 2))
    async with readers() as session:
        for _ in range(3):
            assert [tuple(row) for row in await fetch(session, first)] == [(1,)]
            assert [tuple(row) for row in await fetch(session, second)] == [(2,)]


async def test_constants(readers: Any, request: pytest.FixtureRequest) -> None:
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


async def test_constants_by_their_names(readers: Any) -> None:
    """As SQLAlchemy calls them: whoever gives one means it."""
    named = select(things.c.id).where(things.c.id == 1)
    async with readers() as session:
        for number in (1, 2, 1):
            assert [row[0] for row in await fetch(session, named, {"id_1": number})] == [number]


async def test_columns_that_nobody_knows(readers: Any) -> None:
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


async def test_other_values(readers: Any) -> None:
    """Whatever was given the first time."""
    async with readers() as session:
        for number in range(3, 6):
            await fetch(session, NEW, {"id": number})
            await fetch(session, NEW, {"id": 10 + number, "name": str(number)})
        names = [row[0] for row in await fetch(session, NAMES)]
    assert names == ["Zoë", None, None, None, None, "3", "4", "5"]


async def test_another_database(engine: AsyncEngine, readers: Any) -> None:
    """What was learned from one is nothing to the other."""
    other = create_async_engine("sqlite+aiosqlite://")
    async with other.begin() as connection:
        await connection.run_sync(metadata.create_all)
        await connection.execute(insert(things), [NOTHING | {"name": "other"}])
    async with readers() as here, DirectSession(in_autocommit(other)) as there:
        for _ in range(3):
            assert [row[0] for row in await fetch(here, NAMES)] == ["Zoë", None]
            assert [row[0] for row in await fetch(there, NAMES)] == ["other"]
    await other.dispose()
