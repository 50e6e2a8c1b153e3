"""Items: bodies of requests and responses."""

import uuid
from datetime import datetime
from decimal import Decimal
from typing import Annotated

from pydantic import WithJsonSchema

from app.models.item import ItemBase
from app.schemas.base import Changes, Input, Row
from app.schemas.user import UserRead

type StoredPrice = Annotated[Decimal, WithJsonSchema({"type": "string", "pattern": r"^[0-9]{1,10}\.[0-9]{2}$"})]


class ItemCreate(ItemBase, Input):
    """A new item; it belongs to the user who creates it."""


class ItemUpdate(ItemBase, Changes):
    """Changes of an item."""


class ItemRead(ItemBase, Row):
    """An item; the price is a string with two decimal places."""

    price: StoredPrice
    user_id: uuid.UUID
    created_at: datetime


class ItemReadWithOwner(ItemRead):
    """An item together with its owner."""

    owner: UserRead
