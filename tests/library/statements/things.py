"""A table of things, statements about them that were made once, and the databases on which they are asked."""

import uuid
from datetime import UTC, datetime
from decimal import Decimal
from typing import Any

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
    insert,
    select,
)
from sqlalchemy.ext.asyncio import AsyncEngine
from sqlalchemy.orm import DeclarativeBase
from sqlalchemy.pool import AsyncAdaptedQueuePool
from sqlmodel.sql.sqltypes import UTCDateTime

from fastapi_users_sqlmodel.engines import autocommit_options

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


def in_autocommit(engine: AsyncEngine) -> AsyncEngine:
    return engine.execution_options(**autocommit_options(engine.sync_engine))


def idle(engine: AsyncEngine) -> bool:
    assert isinstance(engine.pool, AsyncAdaptedQueuePool)
    return engine.pool.checkedout() == 0
