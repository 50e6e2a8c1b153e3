"""Types and operator classes of PostgreSQL's extensions, which a revision by hand has created."""

from typing import Any

import sqlalchemy as sa
from sqlalchemy.dialects import postgresql
from sqlalchemy.ext.mutable import MutableDict
from sqlalchemy.orm import DeclarativeBase, Mapped, mapped_column


class Base(DeclarativeBase):
    pass


class Contact(Base):
    __tablename__ = "contact"
    __table_args__ = (
        sa.Index("ix_contact_name_trgm", "name", postgresql_using="gin", postgresql_ops={"name": "gin_trgm_ops"}),
        sa.Index("ix_contact_lower_trgm", sa.text("lower(note) gin_trgm_ops"), postgresql_using="gin"),
        postgresql.ExcludeConstraint(("room", "="), ("during", "&&"), using="gist", name="one_guest"),
    )

    id: Mapped[int] = mapped_column(primary_key=True)
    email: Mapped[str] = mapped_column(postgresql.CITEXT, unique=True)
    emails: Mapped[list[str] | None] = mapped_column(postgresql.ARRAY(postgresql.CITEXT))
    attributes: Mapped[dict[str, str]] = mapped_column(MutableDict.as_mutable(postgresql.HSTORE), server_default="")
    name: Mapped[str] = mapped_column(sa.String(100))
    note: Mapped[str | None]
    room: Mapped[int]
    during: Mapped[Any] = mapped_column(postgresql.TSTZRANGE)


def fill(connection: sa.Connection) -> None:
    """Insert a row."""
    during = sa.text("tstzrange(now(), now() + interval '1 hour')")
    connection.execute(sa.insert(Contact).values(email="Ann@Example.com", name="Ann", room=1, during=during))
    assert connection.scalar(sa.select(Contact.name).where(Contact.email == "ann@example.com")) == "Ann"
