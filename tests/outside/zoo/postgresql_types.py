"""Every type of SQLAlchemy's PostgreSQL dialect that needs no extension, in the ways in which projects spell them."""

import datetime as dt
import decimal
import enum
from typing import Any

import sqlalchemy as sa
from sqlalchemy.dialects import postgresql
from sqlalchemy.ext.mutable import MutableDict
from sqlalchemy.orm import DeclarativeBase, Mapped, mapped_column


class Base(DeclarativeBase):
    pass


class Grade(enum.Enum):
    LOW = "low"
    HIGH = "high"


POSTCODE = postgresql.DOMAIN("postcode", sa.String(10), check=r"VALUE ~ '^\d{5}$'", not_null=True, default="00000")


class Documents(Base):
    __tablename__ = "documents"

    id: Mapped[int] = mapped_column(primary_key=True)
    a_class: Mapped[Any] = mapped_column(postgresql.JSONB)
    json: Mapped[Any] = mapped_column(postgresql.JSON)
    jsonb: Mapped[Any] = mapped_column(postgresql.JSONB(astext_type=sa.String(20), none_as_null=True))
    variant: Mapped[Any] = mapped_column(sa.JSON().with_variant(postgresql.JSONB(), "postgresql"))
    mutable: Mapped[dict[str, Any]] = mapped_column(MutableDict.as_mutable(postgresql.JSONB()))
    path: Mapped[str | None] = mapped_column(postgresql.JSONPATH)
    vector: Mapped[Any] = mapped_column(postgresql.TSVECTOR)
    query: Mapped[Any] = mapped_column(postgresql.TSQUERY)


class Lists(Base):
    __tablename__ = "lists"

    id: Mapped[int] = mapped_column(primary_key=True)
    numbers: Mapped[list[int]] = mapped_column(postgresql.ARRAY(sa.Integer))
    words: Mapped[list[list[str]]] = mapped_column(sa.ARRAY(sa.String(20), dimensions=2))
    documents: Mapped[list[Any] | None] = mapped_column(postgresql.ARRAY(postgresql.JSONB))
    moments: Mapped[list[Any] | None] = mapped_column(postgresql.ARRAY(postgresql.TIMESTAMP(timezone=True)))
    grades: Mapped[list[Grade]] = mapped_column(postgresql.ARRAY(sa.Enum(Grade)))
    codes: Mapped[list[str] | None] = mapped_column(postgresql.ARRAY(POSTCODE))


class Networks(Base):
    __tablename__ = "networks"

    id: Mapped[int] = mapped_column(primary_key=True)
    inet: Mapped[Any] = mapped_column(postgresql.INET)
    cidr: Mapped[Any] = mapped_column(postgresql.CIDR)
    macaddr: Mapped[str | None] = mapped_column(postgresql.MACADDR)
    macaddr8: Mapped[str | None] = mapped_column(postgresql.MACADDR8)


class Ranges(Base):
    __tablename__ = "ranges"

    id: Mapped[int] = mapped_column(primary_key=True)
    int4: Mapped[Any] = mapped_column(postgresql.INT4RANGE)
    int8: Mapped[Any] = mapped_column(postgresql.INT8RANGE)
    num: Mapped[Any] = mapped_column(postgresql.NUMRANGE)
    date: Mapped[Any] = mapped_column(postgresql.DATERANGE)
    ts: Mapped[Any] = mapped_column(postgresql.TSRANGE)
    tstz: Mapped[Any] = mapped_column(postgresql.TSTZRANGE)
    int4s: Mapped[Any] = mapped_column(postgresql.INT4MULTIRANGE)
    int8s: Mapped[Any] = mapped_column(postgresql.INT8MULTIRANGE)
    nums: Mapped[Any] = mapped_column(postgresql.NUMMULTIRANGE)
    dates: Mapped[Any] = mapped_column(postgresql.DATEMULTIRANGE)
    tss: Mapped[Any] = mapped_column(postgresql.TSMULTIRANGE)
    tstzs: Mapped[Any] = mapped_column(postgresql.TSTZMULTIRANGE)


class Values(Base):
    __tablename__ = "values"

    id: Mapped[int] = mapped_column(primary_key=True)
    bit: Mapped[Any | None] = mapped_column(postgresql.BIT(3))
    bits: Mapped[Any | None] = mapped_column(postgresql.BIT(3, varying=True))
    any_bits: Mapped[Any | None] = mapped_column(postgresql.BIT(varying=True))
    money: Mapped[str | None] = mapped_column(postgresql.MONEY)
    oid: Mapped[int | None] = mapped_column(postgresql.OID)
    regclass: Mapped[str | None] = mapped_column(postgresql.REGCLASS)
    regconfig: Mapped[str | None] = mapped_column(postgresql.REGCONFIG)
    interval: Mapped[dt.timedelta | None] = mapped_column(postgresql.INTERVAL)
    days: Mapped[dt.timedelta | None] = mapped_column(postgresql.INTERVAL(fields="DAY TO SECOND", precision=3))
    years: Mapped[Any | None] = mapped_column(postgresql.INTERVAL(fields="YEAR TO MONTH"))
    precise: Mapped[dt.datetime | None] = mapped_column(postgresql.TIMESTAMP(precision=3))
    zoned: Mapped[dt.datetime | None] = mapped_column(postgresql.TIMESTAMP(timezone=True, precision=0))
    time: Mapped[dt.time | None] = mapped_column(postgresql.TIME(precision=2))
    uuid: Mapped[Any] = mapped_column(postgresql.UUID(as_uuid=True), server_default=sa.func.gen_random_uuid())
    as_text: Mapped[str | None] = mapped_column(postgresql.UUID(as_uuid=False))
    bytea: Mapped[bytes | None] = mapped_column(postgresql.BYTEA)
    double: Mapped[float | None] = mapped_column(postgresql.DOUBLE_PRECISION)
    real: Mapped[float | None] = mapped_column(postgresql.REAL)
    numeric: Mapped[decimal.Decimal | None] = mapped_column(postgresql.NUMERIC(12, 4))
    char: Mapped[str | None] = mapped_column(postgresql.CHAR(3))
    collated: Mapped[str | None] = mapped_column(sa.String(20, collation="C"))
    grade: Mapped[Grade] = mapped_column(postgresql.ENUM(Grade), server_default=Grade.HIGH.name)
    other: Mapped[str] = mapped_column(postgresql.ENUM("it's", "a:b", "50%", name="Odd Enum"), server_default="it's")
    code: Mapped[str] = mapped_column(POSTCODE)


def fill(connection: sa.Connection) -> None:
    """Insert a row into each table."""
    documents = {name: {"a": [1, "ä"]} for name in ("a_class", "json", "jsonb", "variant", "mutable")} | {
        "vector": sa.func.to_tsvector("a cat"),
        "query": sa.func.to_tsquery("cat"),
    }
    connection.execute(sa.insert(Documents).values(documents))
    lists = {"numbers": [1, 2], "words": [["a", "b"], ["c", "d"]], "documents": [{"a": 1}], "grades": [Grade.LOW]}
    connection.execute(sa.insert(Lists).values(lists))
    connection.execute(
        sa.text("INSERT INTO networks (inet, cidr, macaddr) VALUES ('::1', '10.0.0.0/8', '08:00:2b:01:02:03')")
    )
    ranges = (
        "'[1,2)', '[1,2)', '[1,2)', '[2030-01-01,2030-01-02)', '[2030-01-01,2030-01-02)', '[2030-01-01,2030-01-02)'"
    )
    many = ranges.replace("'[", "'{[").replace(")'", ")}'")
    connection.execute(
        sa.text(
            f"INSERT INTO ranges (int4, int8, num, date, ts, tstz, int4s, int8s, nums, dates, tss, tstzs) "
            f"VALUES ({ranges}, {many})"
        )
    )
    connection.execute(sa.insert(Values).values(regclass="ranges", days=dt.timedelta(days=1), code="12345"))
    connection.execute(sa.insert(Values).values(other="50%", code="12345"))
    assert connection.scalar(sa.text("SELECT count(*) FROM values WHERE grade = 'HIGH'")) == 2
