"""FastAPI Users' shapes on the wire, with fields that take what every database can hold, and nothing more."""

import uuid
from datetime import datetime
from typing import Annotated, Generic

from email_validator import EmailNotValidError, validate_email
from fastapi_users import schemas
from fastapi_users.models import ID
from fastapi_users.schemas import SCHEMA, UC, UU, BaseOAuthAccount, BaseOAuthAccountMixin, CreateUpdateDictModel, U
from pydantic import AfterValidator, BaseModel, ConfigDict, StringConstraints, WithJsonSchema

from fastapi_users_sqlmodel.identity import is_storable, typed_email

__all__ = [
    "SCHEMA",
    "UC",
    "UU",
    "BaseOAuthAccount",
    "BaseOAuthAccountMixin",
    "BaseUser",
    "BaseUserCreate",
    "BaseUserUpdate",
    "CreateUpdateDictModel",
    "Email",
    "StorableText",
    "StoredEmail",
    "U",
    "storable",
]


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


type StorableText = Annotated[str, AfterValidator(storable)]
# The e-mail stays as it was typed; EmailStr would change its spelling.
type Email = Annotated[
    str,
    StringConstraints(max_length=320),
    AfterValidator(storable),
    AfterValidator(_email),
    WithJsonSchema({"type": "string", "format": "email", "maxLength": 320}),
]
# What the database holds is not validated again on its way out.
type StoredEmail = Annotated[str, WithJsonSchema({"type": "string", "format": "email"})]


class BaseUser(schemas.BaseUser[ID], Generic[ID]):
    """A user, as the user and superusers see it."""

    email: StoredEmail


class BaseUserCreate(schemas.BaseUserCreate):
    """What one registers with; the flags are accepted, as FastAPI Users does, and without effect."""

    email: Email
    password: StorableText


class BaseUserUpdate(schemas.BaseUserUpdate):
    """What one may change about oneself: a new password or e-mail needs the current password beside it."""

    email: Email | None = None
    password: StorableText | None = None
    current_password: StorableText | None = None


class _Body(BaseModel):
    # A field that nobody knows is refused.
    model_config = ConfigDict(extra="forbid")


class EmailBody(_Body):
    """An e-mail address that something is sent to."""

    email: Email


class TokenBody(_Body):
    """A token that was sent by mail."""

    token: StorableText


class ResetPasswordBody(TokenBody):
    """A token that was sent by mail, and a new password."""

    password: StorableText


class CurrentPasswordBody(_Body):
    """The password that one has."""

    current_password: StorableText


class RefreshTokenBody(_Body):
    """A refresh token, as signing in or refreshing has answered it."""

    refresh_token: StorableText


class SessionRead(BaseModel):
    """Where somebody is signed in, as they say themselves; `current` is the session that asks."""

    id: uuid.UUID
    created_at: datetime
    last_seen_at: datetime
    ip_address: str | None
    user_agent: str | None
    current: bool


class WebSocketTicket(BaseModel):
    """What opens one WebSocket, as `?ticket=`, within so many seconds."""

    ticket: str
    expires_in: int


class ChangePasswordBody(CurrentPasswordBody):
    """The password that one has, and the one that one wants."""

    new_password: StorableText


class ChangeEmailBody(CurrentPasswordBody):
    """The password that one has, and the address that one wants."""

    new_email: Email
