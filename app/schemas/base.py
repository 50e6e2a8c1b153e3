"""What the shapes on the wire have in common: texts that every database can hold, and fields that may be left out."""

from typing import Annotated, Any

from email_validator import EmailNotValidError, validate_email
from pydantic import AfterValidator, BaseModel, BeforeValidator, ConfigDict, Field, StringConstraints, WithJsonSchema

from fastapi_users_sqlmodel.identity import is_storable, typed_email


class Schema(BaseModel):
    """What goes out; it is read from rows."""

    model_config = ConfigDict(from_attributes=True)


class Input(BaseModel):
    """What comes in: a field that nobody knows is refused."""

    model_config = ConfigDict(extra="forbid")


def omittable() -> Any:
    """Make a field of an update one that may be left out; null is refused unless its type says otherwise."""
    return Field(default_factory=lambda: None)


def storable(text: str) -> str:
    """Refuse a text that not every database can hold."""
    if not is_storable(text):
        raise ValueError("must not contain NUL or a lone surrogate")
    return text


def _email(text: str) -> str:
    typed = typed_email(text)
    try:
        validate_email(typed, check_deliverability=False)
    except EmailNotValidError:
        # Its own words quote the characters that it does not like, and an answer never repeats the value.
        raise ValueError("not a valid e-mail address") from None
    return typed


def _lower_case(text: object) -> object:
    return text.strip().lower() if isinstance(text, str) else text


type SafeText = Annotated[str, AfterValidator(storable)]
type ShortText = Annotated[
    str, StringConstraints(strip_whitespace=True, min_length=1, max_length=100), AfterValidator(storable)
]
type Title = Annotated[
    str, StringConstraints(strip_whitespace=True, min_length=1, max_length=200), AfterValidator(storable)
]
# The e-mail stays as it was typed; EmailStr would change its spelling.
type Email = Annotated[
    str,
    StringConstraints(max_length=320),
    AfterValidator(storable),
    AfterValidator(_email),
    WithJsonSchema({"type": "string", "format": "email", "maxLength": 320}),
]
type Username = Annotated[
    str,
    BeforeValidator(_lower_case),
    StringConstraints(pattern=r"^[a-z0-9._-]+$", min_length=3, max_length=32),
    WithJsonSchema({"type": "string", "pattern": "^[A-Za-z0-9._-]+$", "minLength": 3, "maxLength": 32}),
]
# What the database holds is not validated again on its way out.
type StoredEmail = Annotated[str, WithJsonSchema({"type": "string", "format": "email"})]
