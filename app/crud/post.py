"""Posts: anyone may read them; the author and superusers may change them."""

import uuid

from sqlalchemy import bindparam, select
from sqlmodel import col

from app.core.errors import NotFound
from app.crud.base import EditableCollection, Rule
from app.crud.pages import Listing, Page, Rows, columns, table_of
from app.models import Post, User
from app.schemas import PostRead

_BY_AUTHOR = Listing(
    PostRead,
    select(*columns(Post, PostRead)).where(col(Post.author_id) == bindparam("author_id")),
    key=table_of(Post).c.id,
    newest_first=True,
)


class PostNotFound(NotFound):
    """There is no such post."""


class Posts(EditableCollection[Post]):
    """The posts, on one session."""

    model, shape, owner, not_found = Post, PostRead, "author_id", PostNotFound
    newest_first = True

    def changeable(self, by: User) -> Rule:
        """Return the rule for an author's own posts, or for all of them."""
        return self.own(by)

    async def list_by_author(self, author_id: uuid.UUID, page: Page) -> Rows:
        """Read a page of an author's posts, newest first."""
        return await self.read_page(_BY_AUTHOR, page, author_id=author_id)
