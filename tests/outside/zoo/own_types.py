"""Types of a project's own that SQLAlchemy has no word for, one of them as a third party would write it."""

from typing import Any, override

import sqlalchemy as sa
from sqlalchemy.orm import DeclarativeBase, Mapped, mapped_column


class Base(DeclarativeBase):
    pass


class Point(sa.types.UserDefinedType[Any]):
    """PostgreSQL's geometric type, which SQLAlchemy does not know."""

    cache_ok = True

    @override
    def get_col_spec(self, **_: Any) -> str:
        return "POINT"


class Measure(sa.types.UserDefinedType[Any]):
    """A type with an argument, kept under another name."""

    cache_ok = True

    def __init__(self, digits: int = 4) -> None:
        self._digits = digits

    @override
    def __repr__(self) -> str:
        return f"Measure({self._digits})"

    @override
    def get_col_spec(self, **_: Any) -> str:
        return f"NUMERIC({self._digits}, 1)"


class Place(sa.types.TypeDecorator[Any]):
    """A decorator over a type of one's own."""

    impl = Point
    cache_ok = True


class Spot(Base):
    __tablename__ = "spot"

    id: Mapped[int] = mapped_column(primary_key=True)
    point: Mapped[Any] = mapped_column(Point)
    place: Mapped[Any | None] = mapped_column(Place)
    measure: Mapped[Any | None] = mapped_column(Measure(6))


def fill(connection: sa.Connection) -> None:
    """Insert a row."""
    connection.execute(sa.text("INSERT INTO spot (point, measure) VALUES ('(1,2)', 12.5)"))
