"""Items, which belong to a user: a SQLModel table."""

import uuid
from datetime import datetime
from typing import TYPE_CHECKING

from pydantic import BaseModel
from sqlalchemy import CheckConstraint, Index, func
from sqlmodel import Field, Relationship

from app.models.base import IntegerKey, TableModel, utc_now
from app.models.fields import Price, PriceColumn, Text

if TYPE_CHECKING:
    from app.models.user import User


class ItemBase(BaseModel):
    """The fields of an item that its table and its schemas share."""

    title: Text = Field(max_length=200)
    description: Text | None = Field(default=None, max_length=10_000)
    price: Price = Field(sa_type=PriceColumn)


class Item(TableModel, ItemBase, IntegerKey, table=True):
    """A thing with a price."""

    user_id: uuid.UUID = Field(foreign_key="user.id", ondelete="CASCADE")
    created_at: datetime = Field(default_factory=utc_now, sa_column_kwargs={"server_default": func.now()})

    owner: "User" = Relationship(back_populates="items", sa_relationship_kwargs={"lazy": "raise"})

    __table_args__ = (
        CheckConstraint("price >= 0 AND price <= 9999999999.99", name="price_in_range"),
        # A user's items, in the order in which they are listed.
        Index(None, "user_id", "id"),
    )
