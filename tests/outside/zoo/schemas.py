"""Tables and an enum in a second schema, which a revision by hand has created."""

import enum

import sqlalchemy as sa
from sqlalchemy.orm import DeclarativeBase, Mapped, mapped_column


class Base(DeclarativeBase):
    pass


class Status(enum.Enum):
    OPEN = "open"
    CLOSED = "closed"


class Client(Base):
    __tablename__ = "client"
    __table_args__ = (
        sa.CheckConstraint("name <> 'A'", name="not_a"),
        sa.Index("ix_client_lower_name", sa.text("lower(name)")),
        {"schema": "crm"},
    )

    id: Mapped[int] = mapped_column(primary_key=True)
    name: Mapped[str] = mapped_column(sa.String(40), server_default="B")
    status: Mapped[Status] = mapped_column(sa.Enum(Status, schema="crm"))


class Order(Base):
    __tablename__ = "order"

    id: Mapped[int] = mapped_column(primary_key=True)
    client_id: Mapped[int] = mapped_column(sa.ForeignKey("crm.client.id"), index=True)
    status: Mapped[Status] = mapped_column(sa.Enum(Status, schema="crm"))


def fill(connection: sa.Connection) -> None:
    """Insert a row into each table."""
    client = connection.scalar(sa.insert(Client).values(status=Status.OPEN).returning(Client.id))
    connection.execute(sa.insert(Order).values(client_id=client, status=Status.CLOSED))
