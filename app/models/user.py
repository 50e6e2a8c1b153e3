"""Users, their accounts at providers and their access tokens: SQLAlchemy tables."""

from datetime import datetime
from typing import TYPE_CHECKING

from sqlalchemy import CheckConstraint, ForeignKey, Index, String, func, text
from sqlalchemy.orm import Mapped, mapped_column, relationship
from sqlmodel.sql.sqltypes import UTCDateTime

from app.models.base import Base, utc_now
from fastapi_users_sqlmodel import (
    SQLAlchemyBaseAccessTokenTableUUID,
    SQLAlchemyBaseOAuthAccountTableUUID,
    SQLAlchemyBaseUserTableUUID,
)

if TYPE_CHECKING:
    from app.models.item import Item
    from app.models.post import Post
    from app.models.user_group import UserGroup


class User(SQLAlchemyBaseUserTableUUID, Base):
    """A person who may sign in."""

    username: Mapped[str | None] = mapped_column(String(32), unique=True, index=True)
    name: Mapped[str | None] = mapped_column(String(100))
    group_id: Mapped[int | None] = mapped_column(ForeignKey("usergroup.id", ondelete="SET NULL"))
    created_at: Mapped[datetime] = mapped_column(UTCDateTime(), default=utc_now, server_default=func.now())
    updated_at: Mapped[datetime] = mapped_column(
        UTCDateTime(), default=utc_now, onupdate=utc_now, server_default=func.now()
    )

    group: Mapped["UserGroup | None"] = relationship(back_populates="users", lazy="raise")
    items: Mapped[list["Item"]] = relationship(back_populates="owner", lazy="raise", passive_deletes="all")
    posts: Mapped[list["Post"]] = relationship(back_populates="author", lazy="raise", passive_deletes="all")
    oauth_accounts: Mapped[list["OAuthAccount"]] = relationship(lazy="raise", passive_deletes="all")

    __table_args__ = (
        CheckConstraint("username = lower(username)", name="username_is_lower_case"),
        # The members of a group, in the order in which they are listed.
        Index(None, "group_id", "id"),
        # All superusers, who are few, are locked before one of them loses rights.
        Index(None, "is_superuser", postgresql_where=text("is_superuser"), sqlite_where=text("is_superuser = 1")),
    )


class OAuthAccount(SQLAlchemyBaseOAuthAccountTableUUID, Base):
    """An account of a user at a provider."""


class AccessToken(SQLAlchemyBaseAccessTokenTableUUID, Base):
    """An access token of FastAPI Users' `DatabaseStrategy`, for who chooses that."""
