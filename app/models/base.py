"""One registry and one metadata for SQLAlchemy and SQLModel tables."""

from datetime import UTC, datetime

from pydantic import BaseModel
from sqlalchemy import MetaData
from sqlalchemy.orm import DeclarativeBase
from sqlmodel import Field, SQLModel

from fastapi_users_sqlmodel import NAMING_CONVENTION

MAX_INTEGER = 2**31 - 1
"""The greatest value of an integer column, ids included."""


class Base(DeclarativeBase):
    """Base of the SQLAlchemy tables."""

    metadata = MetaData(naming_convention=NAMING_CONVENTION)


class TableModel(SQLModel, registry=Base.registry):
    """Base of the SQLModel tables, in the same registry: relationships cross between the two."""


class IntegerKey(BaseModel):
    """The key of a table whose rows the database numbers."""

    id: int | None = Field(default=None, primary_key=True)


def utc_now() -> datetime:
    """Return the time, aware, in UTC."""
    return datetime.now(UTC)
