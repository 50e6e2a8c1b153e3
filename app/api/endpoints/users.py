"""/users: oneself, and everybody for superusers."""

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
from app.api.errors import Meanings, responses, said_as
from app.api.prefixed import PrefixedRouter
from app.api.rows import RowsResponse
from app.core.errors import Forbidden, FreshLoginRequired, Unauthorized
from app.crud.user import (
    LastSuperuser,
    UpdateUserEmailAlreadyExists,
    UpdateUserUsernameAlreadyExists,
    UserNotFound,
)
from app.crud.user_group import UserGroupNotFound
from app.models import User
from app.schemas import AuditEventRead, PostRead, UserAdminUpdate, UserPublic, UserRead, UserReplace, UserUpdate
from app.users import CurrentPasswordBad, UpdateUserInvalidPassword
from fastapi_users_sqlmodel import exceptions

router = PrefixedRouter(prefix="/users", tags=["users"])

OWN_UPDATE = (Unauthorized, UpdateUserUsernameAlreadyExists, CurrentPasswordBad, UpdateUserInvalidPassword)
SUPERUSER_UPDATE = (
    Unauthorized,
    Forbidden,
    FreshLoginRequired,
    UserNotFound,
    UserGroupNotFound,
    UpdateUserEmailAlreadyExists,
    UpdateUserUsernameAlreadyExists,
    LastSuperuser,
)
DELETE = (Unauthorized, Forbidden, FreshLoginRequired, UserNotFound, LastSuperuser)

OWN_MEANINGS: Meanings = {
    exceptions.InvalidCurrentPassword: CurrentPasswordBad,
    exceptions.InvalidPasswordException: UpdateUserInvalidPassword,
    exceptions.UsernameAlreadyExists: UpdateUserUsernameAlreadyExists,
    # Deleted since the token was looked at.
    exceptions.UserNotExists: Unauthorized,
}
DELETE_MEANINGS: Meanings = {
    exceptions.NotSuperuser: Forbidden,
    exceptions.LoginNotFresh: FreshLoginRequired,
    exceptions.UserNotExists: UserNotFound,
    exceptions.LastSuperuser: LastSuperuser,
}
SUPERUSER_MEANINGS: Meanings = {
    **DELETE_MEANINGS,
    exceptions.UserAlreadyExists: UpdateUserEmailAlreadyExists,
    exceptions.UsernameAlreadyExists: UpdateUserUsernameAlreadyExists,
}


@router.get("", response_model=list[UserRead], responses=responses(Unauthorized, Forbidden))
async def list_users(_superuser: CurrentSuperuser, users: UsersDep, pager: PagerDep) -> RowsResponse:
    """List all users."""
    return pager.send(await users.list(pager.page))


@router.get("/me", response_model=UserRead, responses=responses(Unauthorized))
async def read_me(user: CurrentUser) -> User:
    """Read oneself."""
    return user


@router.patch("/me", response_model=UserRead, responses=responses(*OWN_UPDATE, statuses=(429,)))
async def update_me(changes: UserUpdate, user: CurrentUser, user_manager: UserManagerDep, request: RequestDep) -> User:
    """Change oneself; a new password or e-mail needs the current password, and the e-mail has to be confirmed."""
    with said_as(OWN_MEANINGS):
        return await user_manager.update_own(user, changes.model_dump(exclude_unset=True), request)


@router.get("/me/audit-events", response_model=list[AuditEventRead], responses=responses(Unauthorized))
async def list_my_audit_events(user: CurrentUser, events: AuditEventsDep, pager: PagerDep) -> RowsResponse:
    """List what has happened to one's account, newest first."""
    return pager.send(await events.list_own(pager.page, user))


@router.get("/{user_id}", response_model=UserRead | UserPublic, responses=responses(Unauthorized, UserNotFound))
async def read_user(user_id: UserId, viewer: CurrentUser, users: UsersDep) -> UserRead | UserPublic:
    """Read a user: all of oneself, all of anyone for a superuser, else the name."""
    in_full = viewer.is_superuser or viewer.id == user_id
    user = viewer if viewer.id == user_id else await users.get(user_id)
    return (UserRead if in_full else UserPublic).model_validate(user)


@router.patch("/{user_id}", response_model=UserRead, responses=responses(*SUPERUSER_UPDATE))
async def update_user(
    user_id: UserId,
    changes: UserAdminUpdate,
    viewer: CurrentUser,
    user_manager: UserManagerDep,
    request: RequestDep,
) -> User:
    """Change a user, as a superuser; a new e-mail address is not verified, and the old one is told."""
    with said_as(SUPERUSER_MEANINGS):
        return await user_manager.update_by_superuser(viewer, user_id, changes.model_dump(exclude_unset=True), request)


@router.put("/{user_id}", response_model=UserRead, responses=responses(*OWN_UPDATE, *SUPERUSER_UPDATE, statuses=(429,)))
async def put_user(
    user_id: UserId, changes: UserReplace, viewer: CurrentUser, user_manager: UserManagerDep, request: RequestDep
) -> User:
    """Change a user as a superuser, or oneself."""
    sent = changes.model_dump(exclude_unset=True)
    # Superusers are people too: what is theirs they change with the current password.
    if viewer.id == user_id and (not viewer.is_superuser or sent.keys() & {"current_password", "email", "password"}):
        with said_as(OWN_MEANINGS):
            return await user_manager.update_own(viewer, _only(UserUpdate, sent), request)
    # Whoever has no right to change this user learns that first, and not what the body should have been.
    allowed = _only(UserAdminUpdate, sent) if viewer.is_superuser else {}
    with said_as(SUPERUSER_MEANINGS):
        return await user_manager.update_by_superuser(viewer, user_id, allowed, request)


@router.delete("/{user_id}", status_code=204, responses=responses(*DELETE))
async def delete_user(user_id: UserId, viewer: CurrentUser, user_manager: UserManagerDep, request: RequestDep) -> None:
    """Delete a user, and what hangs on the user."""
    with said_as(DELETE_MEANINGS):
        await user_manager.delete_by_superuser(viewer, user_id, request)


@router.get("/{user_id}/posts", response_model=list[PostRead], responses=responses(UserNotFound))
async def list_user_posts(user_id: UserId, users: UsersDep, posts: PostsDep, pager: PagerDep) -> RowsResponse:
    """List the posts of a user, newest first."""
    await users.require(user_id)
    return pager.send(await posts.list_by_author(user_id, pager.page))


def _only(shape: type[UserUpdate | UserAdminUpdate], sent: dict[str, Any]) -> dict[str, Any]:
    """Refuse what this shape does not know, as if it had been the body's shape from the start."""
    try:
        return shape.model_validate(sent).model_dump(exclude_unset=True)
    except ValidationError as error:
        raise RequestValidationError([{**line, "loc": ("body", *line["loc"])} for line in error.errors()]) from error
