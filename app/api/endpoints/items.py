"""/items: one's own things, all things for superusers."""

from app.api.deps import ONE_STATEMENT, CurrentUser, Id, ItemsDep, PagerDep
from app.api.prefixed import PrefixedRouter
from app.api.rows import RowsResponse
from app.core.errors import Unauthorized
from app.crud.item import ItemNotFound
from app.models import Item
from app.schemas import ItemCreate, ItemRead, ItemReadWithOwner, ItemUpdate
from fastapi_users_sqlmodel.routers.errors import responses

router = PrefixedRouter(prefix="/items", tags=["items"])


@router.get("", response_model=list[ItemRead], responses=responses(Unauthorized))
async def list_items(viewer: CurrentUser, items: ItemsDep, pager: PagerDep) -> RowsResponse:
    """List one's own items; all of them for a superuser."""
    return pager.send(await items.list(pager.page, seen_by=viewer))


@router.post(
    "", status_code=201, response_model=ItemRead, responses=responses(Unauthorized), dependencies=[ONE_STATEMENT]
)
async def create_item(new: ItemCreate, viewer: CurrentUser, items: ItemsDep) -> RowsResponse:
    """Create an item of one's own."""
    return RowsResponse(await items.create(new.model_dump(), by=viewer), status_code=201)


@router.get("/{item_id}", response_model=ItemReadWithOwner, responses=responses(Unauthorized, ItemNotFound))
async def read_item(item_id: Id, viewer: CurrentUser, items: ItemsDep) -> Item:
    """Read an item and its owner."""
    return await items.get_with_owner(item_id, seen_by=viewer)


@router.patch("/{item_id}", response_model=ItemRead, responses=responses(Unauthorized, ItemNotFound))
async def update_item(item_id: Id, changes: ItemUpdate, viewer: CurrentUser, items: ItemsDep) -> Item:
    """Change an item."""
    return await items.update(item_id, changes.model_dump(exclude_unset=True), by=viewer)


@router.delete("/{item_id}", status_code=204, responses=responses(Unauthorized, ItemNotFound))
async def delete_item(item_id: Id, viewer: CurrentUser, items: ItemsDep) -> None:
    """Delete an item."""
    await items.delete(item_id, by=viewer)
