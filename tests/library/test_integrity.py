"""Which constraint an `IntegrityError` means, on both databases in the same words."""

from collections.abc import Iterator
from typing import Any

import pytest
from sqlalchemy import (
    Column,
    Connection,
    ForeignKey,
    Index,
    Integer,
    MetaData,
    String,
    Table,
    UniqueConstraint,
    create_engine,
    func,
)
from sqlalchemy.exc import IntegrityError
from sqlalchemy.ext.asyncio import create_async_engine

from fastapi_users_sqlmodel import NAMING_CONVENTION, unique_violation
from fastapi_users_sqlmodel.database._integrity import is_foreign_key_violation
from fastapi_users_sqlmodel.engines import async_url, prepare_sqlite, sync_url


@pytest.fixture(params=["named", "unnamed"])
def house(request: pytest.FixtureRequest) -> Table:
    metadata = MetaData(naming_convention=NAMING_CONVENTION if request.param == "named" else None)
    table = Table(
        "house",
        metadata,
        Column("id", Integer, primary_key=True),
        Column("number", Integer, key="the_number", nullable=False),
        Column("street", String, unique=True),
        Column("town", String),
        Column("owner", String),
        Column("next_to", ForeignKey("house.id")),
        UniqueConstraint("the_number", "town"),
    )
    Index("ix_house_owner", func.lower(table.c.owner), unique=True)
    Index("ix_house_town_street", table.c.town, table.c.street, unique=True)
    return table


FIRST = {"id": 1, "the_number": 1, "street": "Elm, (St.)=(x", "town": "Springwood", "owner": "Nancy"}
CASES: list[tuple[dict[str, Any], set[str]]] = [
    ({"id": 1}, {"id"}),
    ({"street": FIRST["street"]}, {"street"}),
    ({"the_number": 1, "town": "Springwood"}, {"number", "town"}),
    ({"owner": "NANCY"}, {"owner"}),
    ({"the_number": None}, set()),
    ({"next_to": 99}, set()),
]
SECOND: dict[str, Any] = {"id": 2, "the_number": 2}


@pytest.fixture
def connection(database_url: str, house: Table) -> Iterator[Connection]:
    engine = create_engine(sync_url(database_url))
    prepare_sqlite(engine)
    with engine.connect() as connection:
        house.metadata.create_all(connection)
        connection.execute(house.insert(), FIRST)
        yield connection
    engine.dispose()


@pytest.mark.parametrize(("row", "columns"), CASES)
def test_the_columns_of_the_violated_constraint(
    connection: Connection, house: Table, row: dict[str, Any], columns: set[str]
) -> None:
    with pytest.raises(IntegrityError) as refused:
        connection.execute(house.insert(), SECOND | row)
    assert unique_violation(refused.value, house) == columns
    assert is_foreign_key_violation(refused.value) is ("next_to" in row)


async def test_asyncpg_and_aiosqlite_say_the_same(database_url: str, house: Table) -> None:
    engine = create_async_engine(async_url(database_url))
    prepare_sqlite(engine)
    for row, columns in CASES:
        async with engine.connect() as connection:
            await connection.run_sync(house.metadata.create_all)
            await connection.execute(house.insert(), FIRST)
            with pytest.raises(IntegrityError) as refused:
                await connection.execute(house.insert(), SECOND | row)
        assert unique_violation(refused.value, house) == columns
        assert is_foreign_key_violation(refused.value) is ("next_to" in row)
    await engine.dispose()


def test_a_constraint_of_another_table(connection: Connection, house: Table) -> None:
    other = Table("garden", MetaData(), Column("id", Integer, primary_key=True))
    other.create(connection)
    connection.execute(other.insert(), {"id": 1})
    with pytest.raises(IntegrityError) as refused:
        connection.execute(other.insert(), {"id": 1})
    assert unique_violation(refused.value, other) == {"id"}
