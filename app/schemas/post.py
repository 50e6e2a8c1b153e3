"""Posts on the wire."""

import uuid
from datetime import datetime
from typing import Annotated

from pydantic import AfterValidator, StringConstraints

from app.schemas.base import Input, Schema, Title, omittable, storable

type Content = Annotated[
    str, StringConstraints(strip_whitespace=True, min_length=1, max_length=100_000), AfterValidator(storable)
]


class PostCreate(Input):
    """A new post, by whoever creates it."""

    title: Title
    content: Content


class PostUpdate(Input):
    """What may change about a post."""

    title: Title = omittable()
    content: Content = omittable()


class PostRead(Schema):
    """A post."""

    id: int
    title: str
    content: str
    author_id: uuid.UUID
    created_at: datetime
