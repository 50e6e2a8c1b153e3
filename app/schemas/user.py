"""Users on the wire."""

import uuid
from datetime import datetime

from pydantic import ConfigDict, Field, StrictBool

from app.models.base import MAX_INTEGER
from app.schemas.base import Email, Input, Schema, ShortText, StorableText, StoredEmail, Username, omittable
from fastapi_users_sqlmodel import schemas


class UserBase(Schema):
    """What everybody sees of a user."""

    id: uuid.UUID
    name: str | None


class UserPublic(UserBase):
    """A user, to strangers: a username signs in, so it is not shown."""


class UserGroupMember(UserBase):
    """A user, to the members of the same group."""

    username: str | None
    email: StoredEmail


class UserRead(UserGroupMember):
    """A user, to oneself and to superusers."""

    is_active: bool
    is_superuser: bool
    is_verified: bool
    group_id: int | None
    created_at: datetime
    updated_at: datetime


class UserCreate(schemas.BaseUserCreate):
    """What one registers with; the flags are accepted, as FastAPI Users does, and without effect."""

    model_config = ConfigDict(extra="forbid")

    username: Username | None = None
    name: ShortText | None = None


class UserUpdate(Input):
    """What one may change about oneself; the flags only when they say what is true already."""

    username: Username | None = None
    name: ShortText | None = None
    email: Email = omittable()
    password: StorableText = omittable()
    current_password: StorableText = omittable()
    is_active: StrictBool = omittable()
    is_superuser: StrictBool = omittable()
    is_verified: StrictBool = omittable()


class UserUpdateBySuperuser(Input):
    """What a superuser may change about anyone; never a password."""

    username: Username | None = None
    name: ShortText | None = None
    email: Email = omittable()
    group_id: int | None = Field(default=None, ge=1, le=MAX_INTEGER, strict=True)
    is_active: StrictBool = omittable()
    is_superuser: StrictBool = omittable()
    is_verified: StrictBool = omittable()


class UserReplace(UserUpdate):
    """Everything that PUT takes: which part of it, depends on who asks."""

    group_id: int | None = Field(default=None, ge=1, le=MAX_INTEGER, strict=True)
