"""The same columns as SQLModel bases: inherit them together with your SQLModel base, and say `table=True`."""

import uuid
from datetime import UTC, datetime
from typing import TYPE_CHECKING, ClassVar, Generic

from fastapi_users.models import ID
from sqlalchemy import Text, false, func, true
from sqlmodel import Field, SQLModel
from sqlmodel.sql.sqltypes import UTCDateTime

from fastapi_users_sqlmodel.tables import _columns


class SQLModelBaseUserTable(_columns.EmailColumns, SQLModel, Generic[ID]):
    """Columns of a user with an id of your own: declare `id` in your class."""

    __tablename__: ClassVar[str] = "user"

    if TYPE_CHECKING:
        # A generic field cannot become a column; your class declares the real one.
        id: ID

    email: str = Field(max_length=_columns.EMAIL_LENGTH)
    email_canonical: str = Field(
        default="",
        max_length=_columns.EMAIL_CANONICAL_LENGTH,
        unique=True,
        index=True,
        sa_column_kwargs={"default": _columns.default_email_canonical},
    )
    hashed_password: str = Field(max_length=_columns.HASHED_PASSWORD_LENGTH)
    is_active: bool = Field(default=True, sa_column_kwargs={"server_default": true()})
    is_superuser: bool = Field(default=False, sa_column_kwargs={"server_default": false()})
    is_verified: bool = Field(default=False, sa_column_kwargs={"server_default": false()})


class SQLModelBaseUserTableUUID(SQLModelBaseUserTable[uuid.UUID]):
    """Columns of a user whose id is a UUID."""

    id: uuid.UUID = Field(default_factory=uuid.uuid4, primary_key=True)


class SQLModelBaseOAuthAccountTable(_columns.OneAccountAtProvider, SQLModel, Generic[ID]):
    """Columns of an account at a provider, with ids of your own: declare `id` and `user_id` in your class.

    The table gets a unique constraint over `oauth_name` and `account_id`, and an index on `user_id`, unless it has
    them.
    """

    __tablename__: ClassVar[str] = "oauth_account"

    if TYPE_CHECKING:
        id: ID

    oauth_name: str = Field(max_length=_columns.OAUTH_NAME_LENGTH)
    access_token: str = Field(sa_type=Text)
    expires_at: int | None = Field(default=None)
    refresh_token: str | None = Field(default=None, sa_type=Text)
    account_id: str = Field(max_length=_columns.ACCOUNT_ID_LENGTH)
    account_email: str = Field(max_length=_columns.EMAIL_LENGTH)


class SQLModelBaseOAuthAccountTableUUID(SQLModelBaseOAuthAccountTable[uuid.UUID]):
    """Columns of an account at a provider, where it and its user have UUIDs."""

    id: uuid.UUID = Field(default_factory=uuid.uuid4, primary_key=True)
    user_id: uuid.UUID = Field(foreign_key="user.id", ondelete="CASCADE", index=True)


class SQLModelBaseAccessTokenTable(_columns.BelongsToUser, SQLModel, Generic[ID]):
    """Columns of an access token for FastAPI Users' `DatabaseStrategy`: declare `user_id` in your class.

    The table gets an index on `user_id` unless it has one.
    """

    __tablename__: ClassVar[str] = "accesstoken"

    if TYPE_CHECKING:
        user_id: ID

    token: str = Field(max_length=_columns.TOKEN_LENGTH, primary_key=True)
    created_at: datetime = Field(
        default_factory=lambda: datetime.now(UTC),
        index=True,
        sa_type=UTCDateTime,
        sa_column_kwargs={"server_default": func.now()},
    )


class SQLModelBaseAccessTokenTableUUID(SQLModelBaseAccessTokenTable[uuid.UUID]):
    """Columns of an access token whose user has a UUID."""

    user_id: uuid.UUID = Field(foreign_key="user.id", ondelete="CASCADE", index=True)
