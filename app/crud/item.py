"""Items: the owner sees and changes them, and superusers do; nobody else finds them."""

from sqlalchemy import select
from sqlalchemy.orm import joinedload
from sqlmodel import col

from app.core.errors import NotFound
from app.crud.base import EditableCollection, Rule, fits
from app.models import Item, User
from app.schemas import ItemRead
from fastapi_users_sqlmodel import rel


class ItemNotFound(NotFound):
    """There is no such item, or the person may not see it."""


class Items(EditableCollection[Item]):
    """The items, on one session."""

    model, shape, owner, not_found = Item, ItemRead, "user_id", ItemNotFound

    def visible(self, viewer: User | None) -> Rule:
        """Return the rule for a person's own items, or for all of them."""
        assert viewer is not None  # noqa: S101  # Every route of items asks for a user
        return self.own(viewer)

    async def get_with_owner(self, item_id: int, *, seen_by: User) -> Item:
        """Read an item and its owner.

        Raises:
            ItemNotFound: There is none, or it is another person's.
        """
        rule, values = self.visible(seen_by)
        statement = select(Item).where(col(Item.id) == item_id, rule).options(joinedload(rel(Item.owner)))
        item: Item | None = await self.find_one(statement.params(values)) if fits(item_id) else None
        if item is None:
            raise ItemNotFound(item_id)
        return item
