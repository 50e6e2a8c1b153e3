"""Types and defaults that both databases have, and a project's own decorators over them."""

import datetime as dt
import decimal
import enum
import uuid
from typing import Any, override

import sqlalchemy as sa
from sqlalchemy.dialects import postgresql
from sqlalchemy.ext.mutable import MutableDict, MutableList
from sqlalchemy.orm import DeclarativeBase, Mapped, mapped_column


class Base(DeclarativeBase):
    metadata = sa.MetaData(
        naming_convention={
            "ix": "ix_%(column_0_N_label)s",
            "uq": "uq_%(table_name)s_%(column_0_N_name)s",
            "ck": "ck_%(table_name)s_%(constraint_name)s",
            "fk": "fk_%(table_name)s_%(column_0_N_name)s_%(referred_table_name)s",
            "pk": "pk_%(table_name)s",
        }
    )


class Size(enum.StrEnum):
    SMALL = "S"
    LARGE = "L"


class Lowered(sa.types.TypeDecorator[str]):
    """Text in lower case."""

    impl = sa.String
    cache_ok = True

    @override
    def process_bind_param(self, value: str | None, dialect: sa.Dialect) -> str | None:
        return value and value.lower()


class Address(sa.types.TypeDecorator[str]):
    """A network address: PostgreSQL's own type there, text elsewhere."""

    impl = sa.String(45)
    cache_ok = True

    @override
    def load_dialect_impl(self, dialect: sa.Dialect) -> Any:
        return dialect.type_descriptor(postgresql.INET() if dialect.name == "postgresql" else sa.String(45))


class ShortText(sa.String):
    """A subclass that changes nothing about the column."""


class Owner:
    """Something without a repr() that is source."""


class Thing(Base):
    __tablename__ = "thing"
    __table_args__ = ({"comment": 'it\'s a "thing": 100%', "info": {"owner": Owner(), "team": "billing"}},)

    id: Mapped[uuid.UUID] = mapped_column(primary_key=True, default=uuid.uuid4)
    big: Mapped[int] = mapped_column(sa.BigInteger, server_default="0")
    small: Mapped[int] = mapped_column(sa.SmallInteger, server_default=sa.text("1"))
    price: Mapped[decimal.Decimal] = mapped_column(sa.Numeric(10, 2), server_default="0.50")
    float_: Mapped[float] = mapped_column("float", sa.Float(53), server_default=sa.text("1.5"))
    double: Mapped[float | None] = mapped_column(sa.Double)
    is_on: Mapped[bool] = mapped_column(server_default=sa.true())
    is_off: Mapped[bool] = mapped_column(server_default=sa.text("false"))
    text: Mapped[str] = mapped_column(sa.Text, server_default="it's: 100%", comment="who's")
    empty: Mapped[str] = mapped_column(sa.String(10), server_default="")
    unicode: Mapped[str | None] = mapped_column(sa.Unicode(10))
    char: Mapped[str | None] = mapped_column(sa.CHAR(2))
    short: Mapped[str | None] = mapped_column(ShortText(10), info={"owner": Owner()})
    lowered: Mapped[str | None] = mapped_column(Lowered(20))
    address: Mapped[str | None] = mapped_column(Address)
    blob: Mapped[bytes | None] = mapped_column(sa.LargeBinary)
    pickled: Mapped[Any | None] = mapped_column(sa.PickleType)
    day: Mapped[dt.date] = mapped_column(server_default=sa.func.current_date())
    time: Mapped[dt.time | None]
    at: Mapped[dt.datetime] = mapped_column(sa.DateTime(timezone=True), server_default=sa.func.now())
    later: Mapped[dt.datetime] = mapped_column(sa.DateTime, server_default=sa.text("CURRENT_TIMESTAMP"))
    interval: Mapped[dt.timedelta | None]
    json: Mapped[Any] = mapped_column(sa.JSON, server_default="{}")
    variant: Mapped[Any | None] = mapped_column(sa.JSON(none_as_null=True).with_variant(postgresql.JSONB, "postgresql"))
    mutable: Mapped[dict[str, Any] | None] = mapped_column(MutableDict.as_mutable(sa.JSON()))
    listed: Mapped[list[Any] | None] = mapped_column(
        MutableList.as_mutable(sa.JSON().with_variant(postgresql.ARRAY(sa.String(5)), "postgresql"))
    )
    size: Mapped[Size] = mapped_column(server_default=Size.LARGE.name)
    by_value: Mapped[Size] = mapped_column(
        sa.Enum(Size, name="size_value", values_callable=lambda sizes: [each.value for each in sizes]),
        server_default=Size.SMALL.value,
    )
    as_text: Mapped[Size | None] = mapped_column(sa.Enum(Size, native_enum=False, length=10))
    checked: Mapped[Size | None] = mapped_column(
        sa.Enum(Size, native_enum=False, create_constraint=True, name="checked")
    )
    expression: Mapped[int] = mapped_column(server_default=sa.text("(1 + 2)"))
    function: Mapped[str] = mapped_column(sa.String(10), server_default=sa.func.lower("ABC"))


def fill(connection: sa.Connection) -> None:
    """Insert a row."""
    connection.execute(
        sa.insert(Thing).values(
            address="127.0.0.1", lowered="ABC", mutable={"a": 1}, listed=["a"], as_text=Size.SMALL, checked=Size.LARGE
        )
    )
    row = connection.execute(sa.select(Thing)).first()
    assert row is not None
    assert (row.is_on, row.is_off, row.size, row.by_value, row.text) == (
        True,
        False,
        Size.LARGE,
        Size.SMALL,
        "it's: 100%",
    )
    assert (row.price, row.lowered, row.expression, row.function) == (decimal.Decimal("0.50"), "abc", 3, "abc")
