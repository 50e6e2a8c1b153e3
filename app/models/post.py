"""Posts, which anyone may read: a SQLModel table."""

import uuid
from datetime import datetime
from typing import TYPE_CHECKING

from pydantic import BaseModel
from sqlalchemy import Index, func
from sqlmodel import Field, Relationship

from app.models.base import IntegerKey, TableModel, utc_now
from app.models.fields import Text

if TYPE_CHECKING:
    from app.models.user import User


class PostBase(BaseModel):
    """The fields of a post that its table and its schemas share."""

    title: Text = Field(max_length=200)
    content: Text = Field(max_length=100_000)


class Post(TableModel, PostBase, IntegerKey, table=True):
    """A text with a title and an author."""

    author_id: uuid.UUID = Field(foreign_key="user.id", ondelete="CASCADE")
    created_at: datetime = Field(default_factory=utc_now, sa_column_kwargs={"server_default": func.now()})

    author: "User" = Relationship(back_populates="posts", sa_relationship_kwargs={"lazy": "raise"})

    # An author's posts, in the order in which they are listed.
    __table_args__ = (Index(None, "author_id", "id"),)
