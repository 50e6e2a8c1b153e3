"""The columns of a user, an OAuth account and an access token, as mixins for a SQLAlchemy `DeclarativeBase`."""

import uuid
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Generic

from fastapi_users.models import ID
from sqlalchemy import Boolean, ForeignKey, Integer, String, Text, Uuid, false, func, true
from sqlalchemy.orm import Mapped, declared_attr, mapped_column
from sqlmodel.sql.sqltypes import UTCDateTime

from fastapi_users_sqlmodel.tables import _columns


class SQLAlchemyBaseUserTable(_columns.EmailColumns, Generic[ID]):
    """Columns of a user with an id of your own: declare `id` in your class."""

    __tablename__ = "user"

    if TYPE_CHECKING:
        # FastAPI Users' protocol asks for plain attributes; `col(User.email)` makes a column of one in expressions.
        id: ID
        email: str
        email_canonical: str
        hashed_password: str
        is_active: bool
        is_superuser: bool
        is_verified: bool
    else:
        email: Mapped[str] = mapped_column(String(_columns.EMAIL_LENGTH))
        email_canonical: Mapped[str] = mapped_column(
            String(_columns.EMAIL_CANONICAL_LENGTH), unique=True, index=True, default=_columns.default_email_canonical
        )
        hashed_password: Mapped[str] = mapped_column(String(_columns.HASHED_PASSWORD_LENGTH))
        is_active: Mapped[bool] = mapped_column(Boolean, default=True, server_default=true())
        is_superuser: Mapped[bool] = mapped_column(Boolean, default=False, server_default=false())
        is_verified: Mapped[bool] = mapped_column(Boolean, default=False, server_default=false())


class SQLAlchemyBaseUserTableUUID(SQLAlchemyBaseUserTable[uuid.UUID]):
    """Columns of a user whose id is a UUID."""

    if TYPE_CHECKING:
        id: uuid.UUID
    else:
        id: Mapped[uuid.UUID] = mapped_column(Uuid, primary_key=True, default=uuid.uuid4)


class SQLAlchemyBaseOAuthAccountTable(_columns.OneAccountAtProvider, Generic[ID]):
    """Columns of an account at a provider, with ids of your own: declare `id` and `user_id` in your class.

    The table gets a unique constraint over `oauth_name` and `account_id`, and an index on `user_id`, unless it has
    them.
    """

    __tablename__ = "oauth_account"

    if TYPE_CHECKING:
        id: ID
        oauth_name: str
        access_token: str
        expires_at: int | None
        refresh_token: str | None
        account_id: str
        account_email: str
    else:
        oauth_name: Mapped[str] = mapped_column(String(_columns.OAUTH_NAME_LENGTH))
        access_token: Mapped[str] = mapped_column(Text)
        expires_at: Mapped[int | None] = mapped_column(Integer)
        refresh_token: Mapped[str | None] = mapped_column(Text)
        account_id: Mapped[str] = mapped_column(String(_columns.ACCOUNT_ID_LENGTH))
        account_email: Mapped[str] = mapped_column(String(_columns.EMAIL_LENGTH))


class SQLAlchemyBaseOAuthAccountTableUUID(SQLAlchemyBaseOAuthAccountTable[uuid.UUID]):
    """Columns of an account at a provider, where it and its user have UUIDs."""

    if TYPE_CHECKING:
        id: uuid.UUID
        user_id: uuid.UUID
    else:
        id: Mapped[uuid.UUID] = mapped_column(Uuid, primary_key=True, default=uuid.uuid4)

        @declared_attr
        @classmethod
        def user_id(cls) -> Mapped[uuid.UUID]:
            """Belong to a user, and go with it."""
            return mapped_column(Uuid, ForeignKey("user.id", ondelete="CASCADE"), index=True)


class SQLAlchemyBaseAccessTokenTable(_columns.BelongsToUser, Generic[ID]):
    """Columns of an access token for FastAPI Users' `DatabaseStrategy`: declare `user_id` in your class.

    The table gets an index on `user_id` unless it has one.
    """

    __tablename__ = "accesstoken"

    if TYPE_CHECKING:
        token: str
        created_at: datetime
        user_id: ID
    else:
        token: Mapped[str] = mapped_column(String(_columns.TOKEN_LENGTH), primary_key=True)
        created_at: Mapped[datetime] = mapped_column(
            UTCDateTime(), index=True, default=lambda: datetime.now(UTC), server_default=func.now()
        )


class SQLAlchemyBaseAccessTokenTableUUID(SQLAlchemyBaseAccessTokenTable[uuid.UUID]):
    """Columns of an access token whose user has a UUID."""

    if TYPE_CHECKING:
        user_id: uuid.UUID
    else:

        @declared_attr
        @classmethod
        def user_id(cls) -> Mapped[uuid.UUID]:
            """Belong to a user, and go with it."""
            return mapped_column(Uuid, ForeignKey("user.id", ondelete="CASCADE"), index=True)
