"""/users: oneself, and everybody for superusers."""

from collections.abc import Sequence
from typing import Any

from fastapi import APIRouter
from fastapi.exceptions import RequestValidationError
from pydantic import ValidationError

from app.api.deps import CurrentSuperuser, CurrentUser, PagerDep, PostsDep, UserId, UserManagerDep, UsersDep
from app.api.errors import responses
from app.core.errors import Forbidden, Unauthorized
from app.crud.user import (
    LastSuperuser,
    UpdateUserEmailAlreadyExists,
    UpdateUserUsernameAlreadyExists,
    UserNotFound,
)
from app.crud.user_group import UserGroupNotFound
from app.models import Post, User
from app.schemas import PostRead, UserPublic, UserRead, UserReplace, UserUpdate, UserUpdateBySuperuser
from app.users import CurrentPasswordBad, UpdateUserInvalidPassword

router = APIRouter(prefix="/users", tags=["users"])

OWN_UPDATE = (Unauthorized, UpdateUserUsernameAlreadyExists, CurrentPasswordBad, UpdateUserInvalidPassword)
SUPERUSER_UPDATE = (
    Unauthorized,
    Forbidden,
    UserNotFound,
    UserGroupNotFound,
    UpdateUserEmailAlreadyExists,
    UpdateUserUsernameAlreadyExists,
    LastSuperuser,
)


@router.get("", response_model=list[UserRead], responses=responses(Unauthorized, Forbidden))
async def list_users(_superuser: CurrentSuperuser, users: UsersDep, pager: PagerDep) -> Sequence[User]:
    """List all users."""
    return pager.send(await users.list(pager.page))


@router.get("/me", response_model=UserRead, responses=responses(Unauthorized))
async def read_me(user: CurrentUser) -> User:
    """Read oneself."""
    return user


@router.patch("/me", response_model=UserRead, responses=responses(*OWN_UPDATE))
async def update_me(changes: UserUpdate, user: CurrentUser, user_manager: UserManagerDep) -> User:
    """Change oneself; a new password needs the current one."""
    return await user_manager.change_own(user, changes.model_dump(exclude_unset=True))


@router.get("/{user_id}", response_model=UserRead | UserPublic, responses=responses(Unauthorized, UserNotFound))
async def read_user(user_id: UserId, viewer: CurrentUser, users: UsersDep) -> UserRead | UserPublic:
    """Read a user: all of oneself, all of anyone for a superuser, else the name."""
    in_full = viewer.is_superuser or viewer.id == user_id
    return (UserRead if in_full else UserPublic).model_validate(await users.get(user_id))


@router.patch("/{user_id}", response_model=UserRead, responses=responses(*SUPERUSER_UPDATE))
async def update_user(
    user_id: UserId, changes: UserUpdateBySuperuser, viewer: CurrentUser, user_manager: UserManagerDep
) -> User:
    """Change a user, as a superuser."""
    return await user_manager.administer(user_id, changes.model_dump(exclude_unset=True), by=viewer)


@router.put("/{user_id}", response_model=UserRead, responses=responses(*OWN_UPDATE, *SUPERUSER_UPDATE))
async def put_user(user_id: UserId, changes: UserReplace, viewer: CurrentUser, user_manager: UserManagerDep) -> User:
    """Change a user as a superuser, or oneself."""
    sent = changes.model_dump(exclude_unset=True)
    # Superusers are people too: with the current password they change what is their own.
    if viewer.id == user_id and (not viewer.is_superuser or "current_password" in sent):
        return await user_manager.change_own(viewer, _only(UserUpdate, sent))
    # Whoever has no right to change this user learns that first, and not what the body should have been.
    allowed = _only(UserUpdateBySuperuser, sent) if viewer.is_superuser else {}
    return await user_manager.administer(user_id, allowed, by=viewer)


@router.delete("/{user_id}", status_code=204, responses=responses(Unauthorized, Forbidden, UserNotFound, LastSuperuser))
async def delete_user(user_id: UserId, viewer: CurrentUser, users: UsersDep) -> None:
    """Delete a user, and what hangs on the user."""
    await users.delete(user_id, by=viewer)


@router.get("/{user_id}/posts", response_model=list[PostRead], responses=responses(UserNotFound))
async def list_user_posts(user_id: UserId, users: UsersDep, posts: PostsDep, pager: PagerDep) -> Sequence[Post]:
    """List the posts of a user, newest first."""
    await users.get(user_id)
    return pager.send(await posts.list(pager.page, author_id=user_id))


def _only(shape: type[UserUpdate | UserUpdateBySuperuser], sent: dict[str, Any]) -> dict[str, Any]:
    """Refuse what this shape does not know, as if it had been the body's shape from the start."""
    try:
        return shape.model_validate(sent).model_dump(exclude_unset=True)
    except ValidationError as error:
        raise RequestValidationError([{**line, "loc": ("body", *line["loc"])} for line in error.errors()]) from error
