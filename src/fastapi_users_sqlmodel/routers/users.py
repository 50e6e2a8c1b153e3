"""A user's own account, and all accounts for superusers."""

from collections.abc import Sequence
from typing import Annotated, Any

from fastapi import APIRouter, Depends, Request
from fastapi_users.authentication import Authenticator
from fastapi_users.models import ID, UP
from pydantic import BaseModel

from fastapi_users_sqlmodel.exceptions import (
    APIError,
    Forbidden,
    InvalidCurrentPassword,
    LastSuperuser,
    LoginNotFresh,
    NotFound,
    ServiceUnavailable,
    TooManyRequests,
    Unauthorized,
    UpdateUserEmailAlreadyExists,
    UpdateUserInvalidPassword,
    UpdateUserUsernameAlreadyExists,
    UpdateUserValueAlreadyExists,
    UserInUse,
)
from fastapi_users_sqlmodel.manager import BaseUserManager
from fastapi_users_sqlmodel.routers._fields import require_listed, with_fields
from fastapi_users_sqlmodel.routers.errors import ErrorRoute, responses

# The manager of a project may raise those that `BaseUserManager` does not raise on a route.
UPDATE_ERRORS = (
    Unauthorized,
    UpdateUserEmailAlreadyExists,
    UpdateUserInvalidPassword,
    UpdateUserUsernameAlreadyExists,
    UpdateUserValueAlreadyExists,
)
OWN_UPDATE_ERRORS = (*UPDATE_ERRORS, InvalidCurrentPassword, TooManyRequests, ServiceUnavailable)
ADMIN_UPDATE_ERRORS = (*UPDATE_ERRORS, Forbidden, LoginNotFresh, LastSuperuser)
ADMIN_DELETE_ERRORS = (Unauthorized, Forbidden, LoginNotFresh, LastSuperuser, UserInUse)


def get_users_router(  # noqa: PLR0913  # Each is a choice of its own
    get_user_manager: Any,
    user_schema: type[BaseModel],
    user_update_schema: type[BaseModel],
    authenticator: Authenticator[UP, ID],
    requires_verification: bool = False,  # noqa: FBT001, FBT002  # FastAPI Users' signature
    *,
    user_admin_update_schema: type[BaseModel] | None = None,
    user_public_schema: type[BaseModel] | None = None,
    not_found: type[NotFound] = NotFound,
    update_errors: Sequence[type[APIError]] = (),
    router: APIRouter | None = None,
) -> APIRouter:
    """Return a router for a user's own account, and for all accounts as a superuser, who never sets a password.

    Args:
        get_user_manager: The dependency that returns the user manager.
        user_schema: What users see of their own accounts, and superusers of all accounts.
        user_update_schema: What users send to change their own accounts.
        authenticator: Returns the signed-in user.
        requires_verification: Whether the address has to be verified.
        user_admin_update_schema: What superusers send; `user_update_schema` by default. With two schemas, the fields of
            each are the manager's `own_fields` and `superuser_fields`, unless its class sets those.
        user_public_schema: What signed-in users see of other accounts; without it, reading those is 403.
        not_found: The error for an unknown id.
        update_errors: Other errors that the manager's `apply` raises for a superuser.
        router: The router that gets the routes, a new one by default; its `route_class` must be `ErrorRoute`.

    Raises:
        ValueError: A schema has a field that no allow-list of the manager names.
    """
    router = router if router is not None else APIRouter(route_class=ErrorRoute)
    if user_admin_update_schema is None:
        require_listed(get_user_manager, user_update_schema)
    else:
        lists = {"own_fields": user_update_schema, "superuser_fields": user_admin_update_schema}
        get_user_manager = with_fields(get_user_manager, **lists)
    Manager = Annotated[BaseUserManager[Any, Any], Depends(get_user_manager)]
    own_update_schema: Any = user_update_schema
    admin_update_schema: Any = user_admin_update_schema or user_update_schema
    get_current_active_user = authenticator.current_user(active=True, verified=requires_verification)
    get_current_superuser = authenticator.current_user(active=True, verified=requires_verification, superuser=True)
    # Where users may read each other, an unknown id is 404 for all of them, and the manager raises NotSuperuser.
    public = user_public_schema is not None
    CurrentUser = Annotated[Any, Depends(get_current_active_user)]
    Visitor = Annotated[Any, Depends(get_current_active_user if public else get_current_superuser)]

    @router.get("/me", response_model=user_schema, name="users:current_user", responses=responses(Unauthorized))
    async def me(user: CurrentUser) -> Any:
        """Read oneself."""
        return user

    @router.patch(
        "/me", response_model=user_schema, name="users:patch_current_user", responses=responses(*OWN_UPDATE_ERRORS)
    )
    async def update_me(
        request: Request, user_update: own_update_schema, user: CurrentUser, user_manager: Manager
    ) -> Any:
        """Change oneself; a new password or e-mail needs the current password, and the e-mail has to be confirmed."""
        return await user_manager.update(user_update, user, safe=True, request=request)

    @router.get(
        "/{id}",
        response_model=user_schema | user_public_schema if public else user_schema,
        name="users:user",
        responses=responses(Unauthorized, *(() if public else (Forbidden,)), not_found),
    )
    async def get_user(id: str, visitor: Visitor, user_manager: Manager) -> Any:
        """Read a user."""
        user_id = user_manager.parse_id(id)
        user = visitor if visitor.id == user_id else await user_manager.get(user_id)
        if user_public_schema is None:
            return user
        is_shown_in_full = visitor.is_superuser or visitor.id == user.id
        return (user_schema if is_shown_in_full else user_public_schema).model_validate(user, from_attributes=True)

    @router.patch(
        "/{id}",
        response_model=user_schema,
        name="users:patch_user",
        responses=responses(*ADMIN_UPDATE_ERRORS, not_found, *update_errors),
    )
    async def update_user(
        id: str, request: Request, user_update: admin_update_schema, visitor: Visitor, user_manager: Manager
    ) -> Any:
        """Change a user, as a superuser; a new e-mail address is not verified, and the old one is told."""
        changes = user_update.model_dump(exclude_unset=True, exclude={"id", "oauth_accounts"})
        return await user_manager.update_by_superuser(visitor, user_manager.parse_id(id), changes, request)

    @router.delete(
        "/{id}",
        status_code=204,
        name="users:delete_user",
        responses=responses(*ADMIN_DELETE_ERRORS, not_found),
    )
    async def delete_user(id: str, request: Request, visitor: Visitor, user_manager: Manager) -> None:
        """Delete a user, as a superuser, and what hangs on the user."""
        await user_manager.delete_by_superuser(visitor, user_manager.parse_id(id), request)

    return router
