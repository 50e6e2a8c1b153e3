"""Users: bodies of requests and responses."""

import uuid
from datetime import datetime

from pydantic import BaseModel, Field, StrictBool

from app.models.base import MAX_INTEGER
from app.models.fields import Text, Username
from app.schemas.base import Changes, Input, Schema
from fastapi_users_sqlmodel import schemas
from fastapi_users_sqlmodel.schemas import Email, StorableText, StoredEmail


class UserBase(BaseModel):
    """The fields that a user may set when registering and later, and a superuser for anyone.

    The columns are in `app.models.user`: SQLAlchemy cannot make them of this class. `check_models` compares the two.
    """

    username: Username | None = None
    name: Text | None = Field(default=None, max_length=100)


class UserPublic(Schema):
    """A user, for strangers. A username signs in, so it is not shown."""

    id: uuid.UUID
    name: str | None


class UserGroupMember(UserPublic):
    """A user, for the members of the same group."""

    username: str | None
    email: StoredEmail


class UserRead(UserBase, UserGroupMember):
    """A user, for the user and for superusers."""

    is_active: bool
    is_superuser: bool
    is_verified: bool
    group_id: int | None
    created_at: datetime
    updated_at: datetime


class UserCreate(Input, UserBase, schemas.BaseUserCreate):
    """A registration. The flags are accepted, as FastAPI Users does, and have no effect."""


class _UserChanges(UserBase, Changes):
    email: Email
    is_active: StrictBool
    is_superuser: StrictBool
    is_verified: StrictBool


class UserUpdate(_UserChanges):
    """The fields that a user may change about the own account; a flag only to the value that it has."""

    password: StorableText
    current_password: StorableText


class UserAdminUpdate(_UserChanges):
    """The fields that a superuser may change about anyone; never a password."""

    group_id: int | None = Field(default=None, ge=1, le=MAX_INTEGER, strict=True)


class UserReplace(UserUpdate, UserAdminUpdate):
    """The fields that PUT accepts from a user or from a superuser."""
