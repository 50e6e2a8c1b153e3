"""/users: the library's routes for one's own account and for superusers, and the service's own."""

from typing import Any

from fastapi.exceptions import RequestValidationError
from pydantic import ValidationError

from app.api.deps import (
    AuditEventsDep,
    CurrentSuperuser,
    CurrentUser,
    PagerDep,
    PostsDep,
    RequestDep,
    UserId,
    UserManagerDep,
    UsersDep,
)
from app.api.prefixed import PrefixedRouter
from app.api.rows import RowsResponse
from app.core.errors import Forbidden, Unauthorized
from app.crud.user import UserNotFound
from app.crud.user_group import UserGroupNotFound
from app.models import User
from app.schemas import AuditEventRead, PostRead, UserAdminUpdate, UserPublic, UserRead, UserReplace, UserUpdate
from app.users import fastapi_users
from fastapi_users_sqlmodel.routers.errors import responses
from fastapi_users_sqlmodel.routers.users import ADMIN_UPDATE_ERRORS, OWN_UPDATE_ERRORS

router = PrefixedRouter(prefix="/users", tags=["users"])
fastapi_users.get_users_router(
    UserRead,
    UserUpdate,
    user_admin_update_schema=UserAdminUpdate,
    user_public_schema=UserPublic,
    not_found=UserNotFound,
    update_errors=[UserGroupNotFound],
    router=router,
)


@router.get("", response_model=list[UserRead], responses=responses(Unauthorized, Forbidden))
async def list_users(_superuser: CurrentSuperuser, users: UsersDep, pager: PagerDep) -> RowsResponse:
    """List all users."""
    return pager.send(await users.list(pager.page))


@router.get("/me/audit-events", response_model=list[AuditEventRead], responses=responses(Unauthorized))
async def list_my_audit_events(user: CurrentUser, events: AuditEventsDep, pager: PagerDep) -> RowsResponse:
    """List what has happened to one's account, newest first."""
    return pager.send(await events.list_own(pager.page, user))


@router.put(
    "/{id}",
    response_model=UserRead,
    responses=responses(*OWN_UPDATE_ERRORS, *ADMIN_UPDATE_ERRORS, UserNotFound, UserGroupNotFound),
)
async def put_user(
    id: UserId, changes: UserReplace, viewer: CurrentUser, user_manager: UserManagerDep, request: RequestDep
) -> User:
    """Change a user as a superuser, or oneself."""
    sent = changes.model_dump(exclude_unset=True)
    # Superusers too change their own e-mail address and password with the current password.
    if viewer.id == id and (not viewer.is_superuser or sent.keys() & {"current_password", "email", "password"}):
        return await user_manager.update_own(viewer, _only(UserUpdate, sent), request)
    # The manager refuses other users with 403, whatever the body has.
    allowed = _only(UserAdminUpdate, sent) if viewer.is_superuser else {}
    return await user_manager.update_by_superuser(viewer, id, allowed, request)


@router.get("/{id}/posts", response_model=list[PostRead], responses=responses(UserNotFound))
async def list_user_posts(id: UserId, users: UsersDep, posts: PostsDep, pager: PagerDep) -> RowsResponse:
    """List the posts of a user, newest first."""
    await users.require(id)
    return pager.send(await posts.list_by_author(id, pager.page))


def _only(shape: type[UserUpdate | UserAdminUpdate], sent: dict[str, Any]) -> dict[str, Any]:
    """Return the fields that were sent, validated as if this shape were the body's.

    Raises:
        RequestValidationError: The shape does not have a field, or refuses a value.
    """
    try:
        return shape.model_validate(sent).model_dump(exclude_unset=True)
    except ValidationError as error:
        raise RequestValidationError([{**line, "loc": ("body", *line["loc"])} for line in error.errors()]) from error
