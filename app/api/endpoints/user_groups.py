"""/user-groups: groups of users, and who is in them."""

from typing import Any

from app.api.deps import (
    CurrentUser,
    Id,
    PagerDep,
    RequestDep,
    UserGroupsDep,
    UserId,
    UserManagerDep,
    Viewer,
)
from app.api.prefixed import PrefixedRouter
from app.api.rows import RowsResponse
from app.core.errors import Forbidden, LoginNotFresh, Unauthorized
from app.crud.user import UserNotFound
from app.crud.user_group import UserGroupNameTaken, UserGroupNotFound
from app.models import UserGroup
from app.schemas import UserGroupCreate, UserGroupMember, UserGroupRead, UserGroupUpdate, UserPublic
from fastapi_users_sqlmodel.routers.errors import responses

router = PrefixedRouter(prefix="/user-groups", tags=["user-groups"])

# Signing in is optional: OpenAPI says so with a second, empty alternative.
ANYONE: dict[str, Any] = {"security": [{}]}
ADMINISTER = (Unauthorized, Forbidden, UserGroupNotFound)
MOVE = (*ADMINISTER, LoginNotFresh, UserNotFound)


@router.get("", response_model=list[UserGroupRead], openapi_extra=ANYONE)
async def list_user_groups(viewer: Viewer, groups: UserGroupsDep, pager: PagerDep) -> RowsResponse:
    """List the public groups and one's own; all of them for a superuser."""
    return pager.send(await groups.list(pager.page, seen_by=viewer))


@router.post(
    "",
    status_code=201,
    response_model=UserGroupRead,
    responses=responses(Unauthorized, Forbidden, UserGroupNameTaken),
)
async def create_user_group(new: UserGroupCreate, viewer: CurrentUser, groups: UserGroupsDep) -> RowsResponse:
    """Create a group, as a superuser."""
    return RowsResponse(await groups.create(new.model_dump(), by=viewer), status_code=201)


@router.get("/{group_id}", response_model=UserGroupRead, responses=responses(UserGroupNotFound), openapi_extra=ANYONE)
async def read_user_group(group_id: Id, viewer: Viewer, groups: UserGroupsDep) -> RowsResponse:
    """Read a group that is public or one's own."""
    return RowsResponse(await groups.get(group_id, seen_by=viewer))


@router.patch("/{group_id}", response_model=UserGroupRead, responses=responses(*ADMINISTER, UserGroupNameTaken))
async def update_user_group(
    group_id: Id, changes: UserGroupUpdate, viewer: CurrentUser, groups: UserGroupsDep
) -> UserGroup:
    """Change a group, as a superuser."""
    return await groups.update(group_id, changes.model_dump(exclude_unset=True), by=viewer)


@router.delete("/{group_id}", status_code=204, responses=responses(*ADMINISTER))
async def delete_user_group(group_id: Id, viewer: CurrentUser, groups: UserGroupsDep) -> None:
    """Delete a group, as a superuser; its users stay, without a group."""
    await groups.delete(group_id, by=viewer)


@router.get(
    "/{group_id}/users",
    response_model=list[UserGroupMember] | list[UserPublic],
    responses=responses(UserGroupNotFound),
    openapi_extra=ANYONE,
)
async def list_user_group_users(group_id: Id, viewer: Viewer, groups: UserGroupsDep, pager: PagerDep) -> RowsResponse:
    """List the users of a group: names for everybody, how to reach them for its members and superusers."""
    return pager.send(await groups.members(group_id, pager.page, seen_by=viewer))


@router.put("/{group_id}/users/{user_id}", status_code=204, responses=responses(*MOVE))
async def put_user_group_user(  # noqa: PLR0913, PLR0917  # Each is something that it asks for
    group_id: Id,
    user_id: UserId,
    viewer: CurrentUser,
    groups: UserGroupsDep,
    user_manager: UserManagerDep,
    request: RequestDep,
) -> None:
    """Move a user into a group, as a superuser."""
    await groups.get(group_id, seen_by=viewer)
    await user_manager.update_by_superuser(viewer, user_id, {"group_id": group_id}, request)


@router.delete("/{group_id}/users/{user_id}", status_code=204, responses=responses(*MOVE))
async def delete_user_group_user(  # noqa: PLR0913, PLR0917  # Likewise
    group_id: Id,
    user_id: UserId,
    viewer: CurrentUser,
    groups: UserGroupsDep,
    user_manager: UserManagerDep,
    request: RequestDep,
) -> None:
    """Take a user out of a group, as a superuser."""
    await groups.get(group_id, seen_by=viewer)
    await user_manager.take_out(user_id, group_id, by=viewer, request=request)
