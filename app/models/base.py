"""One registry and one metadata for SQLAlchemy and SQLModel tables, and the column types that they share."""

from datetime import UTC, datetime
from decimal import Decimal
from typing import Any

from sqlalchemy import Dialect, Float, MetaData, Numeric
from sqlalchemy.orm import DeclarativeBase
from sqlalchemy.types import TypeDecorator, TypeEngine
from sqlmodel import SQLModel

from fastapi_users_sqlmodel import NAMING_CONVENTION

MAX_INTEGER = 2**31 - 1
"""The greatest value of an integer column, ids included."""


class Base(DeclarativeBase):
    """Base of the SQLAlchemy tables."""

    metadata = MetaData(naming_convention=NAMING_CONVENTION)


class TableModel(SQLModel, registry=Base.registry):
    """Base of the SQLModel tables, in the same registry: relationships cross between the two."""


class Price(TypeDecorator[Decimal]):
    """Ten digits and two decimal places; SQLite, which has no decimals, keeps a float that holds them exactly."""

    impl = Numeric(12, 2)
    cache_ok = True

    def load_dialect_impl(self, dialect: Dialect) -> TypeEngine[Any]:
        """Choose what the driver gets."""
        return dialect.type_descriptor(Float() if dialect.name == "sqlite" else Numeric(12, 2))

    def process_bind_param(self, value: Decimal | None, dialect: Dialect) -> Any:
        """Send a float to SQLite."""
        return float(value) if value is not None and dialect.name == "sqlite" else value

    def process_result_value(self, value: Any, dialect: Dialect) -> Decimal | None:
        """Read a decimal with two places."""
        return Decimal(f"{value:.2f}") if value is not None and dialect.name == "sqlite" else value


def utc_now() -> datetime:
    """Return the time, aware, in UTC."""
    return datetime.now(UTC)
