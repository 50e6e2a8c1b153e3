"""Posts: bodies of requests and responses."""

import uuid
from datetime import datetime

from app.models.post import PostBase
from app.schemas.base import Changes, Input, Row


class PostCreate(PostBase, Input):
    """A new post, by the user who creates it."""


class PostUpdate(PostBase, Changes):
    """Changes of a post."""


class PostRead(PostBase, Row):
    """A post."""

    author_id: uuid.UUID
    created_at: datetime
