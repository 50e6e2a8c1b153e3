"""Posts, which anyone may read: a SQLModel table."""

import uuid
from datetime import datetime
from typing import TYPE_CHECKING

from sqlalchemy import Index, func
from sqlmodel import Field, Relationship

from app.models.base import TableModel, utc_now

if TYPE_CHECKING:
    from app.models.user import User


class Post(TableModel, table=True):
    """Something that somebody wrote."""

    id: int | None = Field(default=None, primary_key=True)
    title: str = Field(max_length=200)
    content: str = Field(max_length=100_000)
    author_id: uuid.UUID = Field(foreign_key="user.id", ondelete="CASCADE")
    created_at: datetime = Field(default_factory=utc_now, sa_column_kwargs={"server_default": func.now()})

    author: "User" = Relationship(back_populates="posts", sa_relationship_kwargs={"lazy": "raise"})

    # An author's posts, in the order in which they are listed.
    __table_args__ = (Index(None, "author_id", "id"),)
