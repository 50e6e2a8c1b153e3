"""Items: the owner's own, and a superuser's all; what is not yours is not found."""

from typing import Any

from sqlalchemy import ColumnElement, bindparam, insert, select, true
from sqlalchemy.orm import joinedload
from sqlmodel import col

from app.core.errors import NotFound, Unauthorized
from app.crud.base import Collection, Listing, Page, Rows, columns, integer_key, table_of
from app.models import Item, User
from app.models.base import MAX_INTEGER, utc_now
from app.schemas import ItemRead
from fastapi_users_sqlmodel import rel
from fastapi_users_sqlmodel.reading import fetch

_ITEMS = select(*columns(Item, ItemRead))
_ALL = Listing(ItemRead, _ITEMS, key=table_of(Item).c.id, parse=integer_key)
_OWN = Listing(
    ItemRead,
    _ITEMS.where(col(Item.user_id) == bindparam("viewer_id")),
    key=table_of(Item).c.id,
    parse=integer_key,
)


# Without the unit of work, which has nothing to weigh up for one row.
_INSERT = insert(table_of(Item)).returning(*columns(Item, ItemRead))


class ItemNotFound(NotFound):
    """There is no such item, or not for this person."""


class Items(Collection):
    """The items, on one session."""

    async def list(self, page: Page, *, seen_by: User) -> Rows:
        """Read a page of the items that somebody may see."""
        if seen_by.is_superuser:
            return await self.read_page(_ALL, page)
        return await self.read_page(_OWN, page, viewer_id=seen_by.id)

    async def get(self, item_id: int, *, seen_by: User) -> Item:
        """Read an item together with its owner.

        Raises:
            ItemNotFound: There is none, or it is somebody else's.
        """
        statement = select(Item).where(col(Item.id) == item_id, _visible(seen_by)).options(joinedload(rel(Item.owner)))
        item: Item | None = await self.find_one(statement) if item_id <= MAX_INTEGER else None
        if item is None:
            raise ItemNotFound(item_id)
        return item

    async def lock(self, item_id: int, *, seen_by: User) -> Item:
        """Read an item that nobody else changes until this transaction ends.

        Raises:
            ItemNotFound: There is none, or it is somebody else's.
        """
        statement = select(Item).where(col(Item.id) == item_id, _visible(seen_by)).with_for_update()
        item = await self.session.scalar(statement) if item_id <= MAX_INTEGER else None
        if item is None:
            raise ItemNotFound(item_id)
        return item

    async def create(self, values: dict[str, Any], *, owner: User) -> dict[str, Any]:
        """Create an item, and return its columns.

        Raises:
            Unauthorized: The owner was deleted meanwhile.
        """
        async with self.refused_as(missing=Unauthorized, table=Item):
            rows = await fetch(self.session, _INSERT, {**values, "user_id": owner.id, "created_at": utc_now()})
        return dict(zip(ItemRead.model_fields, rows[0], strict=True))

    async def update(self, item_id: int, changes: dict[str, Any], *, by: User) -> Item:
        """Change an item.

        Raises:
            ItemNotFound: There is none, or it is somebody else's.
        """
        item = await self.lock(item_id, seen_by=by)
        item.sqlmodel_update(changes)
        await self.session.flush()
        return item

    async def delete(self, item_id: int, *, by: User) -> None:
        """Delete an item.

        Raises:
            ItemNotFound: There is none, or it is somebody else's.
        """
        await self.session.delete(await self.lock(item_id, seen_by=by))
        await self.session.flush()


def _visible(viewer: User) -> ColumnElement[bool]:
    return true() if viewer.is_superuser else col(Item.user_id) == viewer.id
