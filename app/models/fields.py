"""Types of fields that tables and schemas share: what a schema validates, and the column that keeps the value.

SQLModel does not look into aliases made with `type`, so these are plain assignments. A text's `max_length` stands in
the field, where SQLModel finds the length of the column.
"""

import re
from decimal import Decimal
from typing import Annotated, Any

from pydantic import AfterValidator, BeforeValidator, Field, StringConstraints, WithJsonSchema
from sqlalchemy import Dialect, Float, Numeric
from sqlalchemy.types import TypeDecorator, TypeEngine

_PRICE_AS_TEXT = re.compile(r"\s*-?[0-9]+(\.[0-9]{1,2})?([eE][+-]?[0-9]+)?\s*", re.ASCII)


class PriceColumn(TypeDecorator[Decimal]):
    """Ten digits and two decimal places; SQLite, which has no decimals, keeps a float that holds them exactly."""

    impl = Numeric(12, 2)
    cache_ok = True

    def load_dialect_impl(self, dialect: Dialect) -> TypeEngine[Any]:
        """Choose what the driver gets."""
        return dialect.type_descriptor(Float() if dialect.name == "sqlite" else Numeric(12, 2))

    def process_bind_param(self, value: Decimal | None, dialect: Dialect) -> Any:
        """Send a float to SQLite."""
        return float(value) if value is not None and dialect.name == "sqlite" else value

    def process_result_value(self, value: Any, dialect: Dialect) -> Decimal | None:
        """Read a decimal with two places."""
        return Decimal(f"{value:.2f}") if value is not None and dialect.name == "sqlite" else value


def _two_places(value: object) -> object:
    """Refuse text with more than two places, which Python accepts if they are zeros, and digits of other scripts."""
    if isinstance(value, str) and not _PRICE_AS_TEXT.fullmatch(value):
        raise ValueError("should be a decimal number with at most two places")
    return value


def _lower_case(text: object) -> object:
    return text.strip().lower() if isinstance(text, str) else text


Text = Annotated[str, StringConstraints(strip_whitespace=True, min_length=1)]
Username = Annotated[
    str,
    BeforeValidator(_lower_case),
    StringConstraints(pattern=r"^[a-z0-9._-]+$", min_length=3, max_length=32),
    WithJsonSchema({"type": "string", "pattern": "^[A-Za-z0-9._-]+$", "minLength": 3, "maxLength": 32}),
]
Price = Annotated[
    Decimal,
    BeforeValidator(_two_places),
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
