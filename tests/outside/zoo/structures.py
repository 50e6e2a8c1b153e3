"""Tables that depend on each other: inheritance, self-reference, association; and indexes of each kind."""

import uuid
from typing import Any

import sqlalchemy as sa
from sqlalchemy.orm import DeclarativeBase, Mapped, mapped_column, relationship


class Base(DeclarativeBase):
    pass


class Person(Base):
    __tablename__ = "person"
    __mapper_args__ = {"polymorphic_on": "kind", "polymorphic_identity": "person"}
    __table_args__ = (
        sa.CheckConstraint("length(name) > 0", name="name_is_given"),
        sa.Index("ix_person_lower_name", sa.text("lower(name)")),
        sa.Index(
            "ix_person_bosses",
            "boss_id",
            unique=True,
            postgresql_where=sa.text("kind = 'Boss'"),
            sqlite_where=sa.text("kind = 'Boss'"),
        ),
        sa.Index("ix_person_name_desc", sa.text("name DESC"), "kind"),
        sa.UniqueConstraint("name", "kind", name="uq_person_name_kind"),
    )

    id: Mapped[int] = mapped_column(primary_key=True)
    kind: Mapped[str] = mapped_column(sa.String(20))
    name: Mapped[str] = mapped_column(sa.String(100))
    boss_id: Mapped[int | None] = mapped_column(sa.ForeignKey("person.id", ondelete="SET NULL", name="fk_boss"))
    length: Mapped[int] = mapped_column(sa.Computed("length(name)"))
    twice: Mapped[int] = mapped_column(sa.Computed("2 * length(name)", persisted=True))
    boss: Mapped["Person | None"] = relationship(remote_side="Person.id")


class Guest(Person):
    """Single-table inheritance."""

    __mapper_args__ = {"polymorphic_identity": "guest"}
    room: Mapped[int | None]


class Employee(Person):
    """Joined inheritance."""

    __tablename__ = "employee"
    __mapper_args__ = {"polymorphic_identity": "employee"}
    id: Mapped[int] = mapped_column(sa.ForeignKey("person.id", ondelete="CASCADE"), primary_key=True)
    number: Mapped[int] = mapped_column(sa.BigInteger, unique=True)


membership = sa.Table(
    "membership",
    Base.metadata,
    sa.Column("person_id", sa.ForeignKey("person.id", ondelete="CASCADE"), primary_key=True),
    sa.Column("team_id", sa.ForeignKey("team.id", ondelete="CASCADE"), primary_key=True, index=True),
)


class Team(Base):
    __tablename__ = "team"

    id: Mapped[int] = mapped_column(sa.Identity(start=100, cycle=True), primary_key=True)
    name: Mapped[str] = mapped_column(sa.String(50), unique=True, index=True)
    token: Mapped[uuid.UUID | None]
    members: Mapped[list[Person]] = relationship(secondary=membership)


class Seat(Base):
    """Refers to two columns at once."""

    __tablename__ = "seat"
    __table_args__ = (
        sa.ForeignKeyConstraint(["person_name", "person_kind"], ["person.name", "person.kind"], onupdate="CASCADE"),
    )

    row: Mapped[int] = mapped_column(primary_key=True)
    place: Mapped[int] = mapped_column(primary_key=True, autoincrement=False)
    person_name: Mapped[str | None] = mapped_column(sa.String(100))
    person_kind: Mapped[str | None] = mapped_column(sa.String(20))


def fill(connection: sa.Connection) -> None:
    """Insert a row into each table."""
    tables = Base.metadata.tables
    values: dict[str, Any] = {"id": 1, "kind": "employee", "name": "Anna"}
    connection.execute(sa.insert(tables["person"]).values(values))
    connection.execute(sa.insert(tables["person"]).values(id=2, kind="guest", name="Bob", boss_id=1, room=7))
    connection.execute(sa.insert(tables["employee"]).values(id=1, number=2**40))
    connection.execute(sa.insert(Team).values(name="one"))
    team = connection.scalar(sa.select(Team.id))
    connection.execute(membership.insert().values(person_id=2, team_id=team))
    connection.execute(sa.insert(Seat).values(row=1, place=1, person_name="Bob", person_kind="guest"))
    assert connection.execute(sa.select(Person.length, Person.twice).where(Person.id == 2)).one() == (3, 6)
