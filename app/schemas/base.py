"""What the shapes on the wire have in common: texts that every database can hold, and fields that may be left out."""

from typing import Annotated, Any

from pydantic import (
    AfterValidator,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    StringConstraints,
    WithJsonSchema,
)

from fastapi_users_sqlmodel.schemas import Email, StorableText, StoredEmail, storable

__all__ = [
    "Email",
    "Input",
    "Schema",
    "ShortText",
    "StorableText",
    "StoredEmail",
    "Title",
    "Username",
    "omittable",
    "storable",
]


class Schema(BaseModel):
    """What goes out; it is read from rows."""

    model_config = ConfigDict(from_attributes=True)


class Input(BaseModel):
    """What comes in: a field that nobody knows is refused."""

    model_config = ConfigDict(extra="forbid")


def omittable() -> Any:
    """Make a field of an update one that may be left out; null is refused unless its type says otherwise."""
    return Field(default_factory=lambda: None)


def _lower_case(text: object) -> object:
    return text.strip().lower() if isinstance(text, str) else text


type ShortText = Annotated[
    str, StringConstraints(strip_whitespace=True, min_length=1, max_length=100), AfterValidator(storable)
]
type Title = Annotated[
    str, StringConstraints(strip_whitespace=True, min_length=1, max_length=200), AfterValidator(storable)
]
type Username = Annotated[
    str,
    BeforeValidator(_lower_case),
    StringConstraints(pattern=r"^[a-z0-9._-]+$", min_length=3, max_length=32),
    WithJsonSchema({"type": "string", "pattern": "^[A-Za-z0-9._-]+$", "minLength": 3, "maxLength": 32}),
]
