"""Items on the wire."""

import re
import uuid
from datetime import datetime
from decimal import Decimal
from typing import Annotated

from pydantic import AfterValidator, BeforeValidator, Field, StringConstraints, WithJsonSchema

from app.schemas.base import Input, Schema, Title, omittable, storable
from app.schemas.user import UserRead

type Description = Annotated[
    str, StringConstraints(strip_whitespace=True, min_length=1, max_length=10_000), AfterValidator(storable)
]
_PRICE_AS_TEXT = re.compile(r"\s*-?[0-9]+(\.[0-9]{1,2})?([eE][+-]?[0-9]+)?\s*", re.ASCII)


def _plain_decimal(value: object) -> object:
    """Refuse a text with more places, which Python would read all the same if they are zeros, and other digits."""
    if isinstance(value, str) and not _PRICE_AS_TEXT.fullmatch(value):
        raise ValueError("should be a decimal number with at most two places")
    return value


type Price = Annotated[
    Decimal,
    BeforeValidator(_plain_decimal),
    Field(ge=0, le=Decimal("9999999999.99"), max_digits=12, decimal_places=2),
    AfterValidator(lambda price: abs(price).quantize(Decimal("0.01"))),
    WithJsonSchema(
        {
            "anyOf": [
                {"type": "number", "minimum": 0, "maximum": 9999999999.99},
                {"type": "string", "pattern": r"^[0-9]{1,10}(\.[0-9]{1,2})?$"},
            ]
        }
    ),
]
type StoredPrice = Annotated[Decimal, WithJsonSchema({"type": "string", "pattern": r"^[0-9]{1,10}\.[0-9]{2}$"})]


class ItemCreate(Input):
    """A new item; it belongs to whoever creates it."""

    title: Title
    description: Description | None = None
    price: Price


class ItemUpdate(Input):
    """What may change about an item."""

    title: Title = omittable()
    description: Description | None = None
    price: Price = omittable()


class ItemRead(Schema):
    """An item; the price is a string with two decimal places."""

    id: int
    title: str
    description: str | None
    price: StoredPrice
    user_id: uuid.UUID
    created_at: datetime


class ItemReadWithOwner(ItemRead):
    """An item together with its owner."""

    owner: UserRead
