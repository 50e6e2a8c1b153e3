"""Items, which belong to a user: a SQLModel table."""

import uuid
from datetime import datetime
from decimal import Decimal
from typing import TYPE_CHECKING

from sqlalchemy import CheckConstraint, Index, func
from sqlmodel import Field, Relationship

from app.models.base import Price, TableModel, utc_now

if TYPE_CHECKING:
    from app.models.user import User


class Item(TableModel, table=True):
    """A thing with a price."""

    id: int | None = Field(default=None, primary_key=True)
    title: str = Field(max_length=200)
    description: str | None = Field(default=None, max_length=10_000)
    price: Decimal = Field(sa_type=Price)
    user_id: uuid.UUID = Field(foreign_key="user.id", ondelete="CASCADE")
    created_at: datetime = Field(default_factory=utc_now, sa_column_kwargs={"server_default": func.now()})

    owner: "User" = Relationship(back_populates="items", sa_relationship_kwargs={"lazy": "raise"})

    __table_args__ = (
        CheckConstraint("price >= 0 AND price <= 9999999999.99", name="price_in_range"),
        # A user's items, in the order in which they are listed.
        Index(None, "user_id", "id"),
    )
