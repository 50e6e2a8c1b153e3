"""Tables, constraints and indexes that only PostgreSQL has."""

import datetime as dt
from typing import Any

import sqlalchemy as sa
from sqlalchemy.dialects import postgresql
from sqlalchemy.orm import DeclarativeBase, Mapped, mapped_column


class Base(DeclarativeBase):
    pass


AMOUNT = postgresql.DOMAIN("amount", sa.Numeric(10, 2), check="VALUE >= 0")


class Booking(Base):
    __tablename__ = "booking"
    __table_args__ = (
        postgresql.ExcludeConstraint(("during", "&&"), using="gist", name="no_overlap", where=sa.text("room > 0")),
        sa.Index("ix_booking_details", "details", postgresql_using="gin", postgresql_ops={"details": "jsonb_path_ops"}),
        sa.Index("ix_booking_search", "search", postgresql_using="gin"),
        sa.Index("ix_booking_room", "room", postgresql_include=["note"], postgresql_where=sa.text("note <> 'A'")),
        sa.Index("ix_booking_note", sa.func.lower(sa.column("note")), unique=True, postgresql_nulls_not_distinct=True),
        sa.Index("ix_booking_city", sa.text("(details ->> 'City')")),
        sa.Index("ix_booking_note_pattern", "note", postgresql_ops={"note": "varchar_pattern_ops"}),
        sa.UniqueConstraint("room", "note", name="uq_booking", deferrable=True, initially="DEFERRED"),
        {"comment": "bookings"},
    )

    id: Mapped[int] = mapped_column(sa.Identity(always=True, start=10, increment=5), primary_key=True)
    number: Mapped[int] = mapped_column(sa.BigInteger, sa.Identity(), unique=True)
    room: Mapped[int]
    during: Mapped[Any] = mapped_column(postgresql.TSTZRANGE)
    note: Mapped[str] = mapped_column(sa.String(40), server_default="A")
    details: Mapped[Any] = mapped_column(postgresql.JSONB, server_default=sa.text("'{\"City\": 1}'::jsonb"))
    search: Mapped[Any] = mapped_column(
        postgresql.TSVECTOR, sa.Computed("to_tsvector('english', note)", persisted=True)
    )
    paid: Mapped[Any] = mapped_column(AMOUNT, server_default=sa.text("0"))
    tags: Mapped[list[str]] = mapped_column(postgresql.ARRAY(sa.Text), server_default="{}")
    until: Mapped[dt.datetime] = mapped_column(
        sa.DateTime(timezone=True), server_default=sa.text("now() + interval '1 day'")
    )
    drawn: Mapped[float] = mapped_column(server_default=sa.func.random())


class Payment(Base):
    """Uses the domain of another table, and refers to a row that may come later."""

    __tablename__ = "payment"

    id: Mapped[int] = mapped_column(primary_key=True)
    booking_id: Mapped[int] = mapped_column(
        sa.ForeignKey("booking.id", ondelete="CASCADE", deferrable=True, initially="DEFERRED"), index=True
    )
    amount: Mapped[Any] = mapped_column(AMOUNT)


class Measurement(Base):
    """A partitioned table."""

    __tablename__ = "measurement"
    __table_args__ = ({"postgresql_partition_by": "RANGE (day)"},)

    day: Mapped[dt.date] = mapped_column(primary_key=True)
    value: Mapped[float | None]


def fill(connection: sa.Connection) -> None:
    """Insert a row, and see the constraints at work."""
    during = sa.text("tstzrange(now(), now() + interval '1 hour')")
    connection.execute(sa.insert(Payment).values(booking_id=10, amount=5))
    connection.execute(sa.insert(Booking).values(room=1, during=during))
    assert connection.execute(sa.select(Booking.id, Booking.number, Booking.paid)).one() == (10, 1, 0)
