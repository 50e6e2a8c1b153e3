"""Posts: anyone may read them, their author and superusers may change them."""

import uuid
from typing import Any

from sqlalchemy import bindparam, insert, select
from sqlmodel import col

from app.core.errors import Forbidden, NotFound, Unauthorized
from app.crud.base import Collection, Listing, Page, Rows, columns, integer_key, table_of
from app.models import Post, User
from app.models.base import MAX_INTEGER, utc_now
from app.schemas import PostRead
from fastapi_users_sqlmodel.reading import fetch

_POSTS = select(*columns(Post, PostRead))
_ONE = _POSTS.where(col(Post.id) == bindparam("post_id"))
_ALL = Listing(PostRead, _POSTS, key=table_of(Post).c.id, parse=integer_key, newest_first=True)
_AUTHORS = Listing(
    PostRead,
    _POSTS.where(col(Post.author_id) == bindparam("author_id")),
    key=table_of(Post).c.id,
    parse=integer_key,
    newest_first=True,
)
# Without the unit of work, which has nothing to weigh up for one row.
_INSERT = insert(table_of(Post)).returning(*columns(Post, PostRead))


class PostNotFound(NotFound):
    """There is no such post."""


class Posts(Collection):
    """The posts, on one session."""

    async def list(self, page: Page, *, author_id: uuid.UUID | None = None) -> Rows:
        """Read a page of all posts or of an author's, newest first."""
        if author_id is None:
            return await self.read_page(_ALL, page)
        return await self.read_page(_AUTHORS, page, author_id=author_id)

    async def get(self, post_id: int) -> dict[str, Any]:
        """Read a post's columns.

        Raises:
            PostNotFound: There is none.
        """
        found = await fetch(self.session, _ONE, {"post_id": post_id}) if post_id <= MAX_INTEGER else ()
        if not found:
            raise PostNotFound(post_id)
        return dict(zip(PostRead.model_fields, found[0], strict=True))

    async def lock(self, post_id: int, *, by: User) -> Post:
        """Read a post that nobody else changes until this transaction ends.

        Raises:
            PostNotFound: There is none.
            Forbidden: `by` is neither its author nor a superuser.
        """
        statement = select(Post).where(col(Post.id) == post_id).with_for_update()
        post = await self.session.scalar(statement) if post_id <= MAX_INTEGER else None
        if post is None:
            raise PostNotFound(post_id)
        if post.author_id != by.id and not by.is_superuser:
            raise Forbidden(by.id, post_id)
        return post

    async def create(self, values: dict[str, Any], *, author: User) -> dict[str, Any]:
        """Create a post, and return its columns.

        Raises:
            Unauthorized: The author was deleted meanwhile.
        """
        async with self.refused_as(missing=Unauthorized, table=Post):
            rows = await fetch(self.session, _INSERT, {**values, "author_id": author.id, "created_at": utc_now()})
        return dict(zip(PostRead.model_fields, rows[0], strict=True))

    async def update(self, post_id: int, changes: dict[str, Any], *, by: User) -> Post:
        """Change a post.

        Raises:
            PostNotFound: There is none.
            Forbidden: `by` is neither its author nor a superuser.
        """
        post = await self.lock(post_id, by=by)
        post.sqlmodel_update(changes)
        await self.session.flush()
        return post

    async def delete(self, post_id: int, *, by: User) -> None:
        """Delete a post.

        Raises:
            PostNotFound: There is none.
            Forbidden: `by` is neither its author nor a superuser.
        """
        await self.session.delete(await self.lock(post_id, by=by))
        await self.session.flush()
