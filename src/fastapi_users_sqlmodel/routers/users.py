"""Oneself, and everybody for superusers."""

from typing import Any

from fastapi import APIRouter, Depends, Request
from fastapi_users import schemas
from fastapi_users.authentication import Authenticator
from fastapi_users.exceptions import InvalidID, InvalidPasswordException, UserAlreadyExists, UserNotExists
from fastapi_users.models import ID, UP
from fastapi_users.router.common import ErrorCode
from pydantic import BaseModel

from fastapi_users_sqlmodel.exceptions import (
    InvalidCurrentPassword,
    LastSuperuser,
    UserInUse,
    UsernameAlreadyExists,
    ValueAlreadyExists,
)
from fastapi_users_sqlmodel.manager import BaseUserManager
from fastapi_users_sqlmodel.routers._errors import (
    CURRENT_PASSWORD_BAD,
    FRESH_LOGIN_REQUIRED,
    LAST_SUPERUSER,
    UPDATE_USER_USERNAME_ALREADY_EXISTS,
    UPDATE_USER_VALUE_ALREADY_EXISTS,
    USER_IN_USE,
    DiscreetRoute,
    responses,
    said,
)


def _sent(user_update: schemas.BaseUserUpdate) -> dict[str, Any]:
    return user_update.model_dump(exclude_unset=True, exclude={"id", "oauth_accounts"})


def get_users_router(
    get_user_manager: Any,
    user_schema: type[BaseModel],
    user_update_schema: type[schemas.UU],
    authenticator: Authenticator[UP, ID],
    requires_verification: bool = False,  # noqa: FBT001, FBT002  # FastAPI Users' signature
) -> APIRouter:
    """Make the routes; a superuser changes anybody's rights, but never a password."""
    router = APIRouter(route_class=DiscreetRoute)
    get_current_active_user = authenticator.current_user(active=True, verified=requires_verification)
    get_current_superuser = authenticator.current_user(active=True, verified=requires_verification, superuser=True)

    @router.get("/me", response_model=user_schema, name="users:current_user", responses=responses(statuses=(401,)))
    async def me(user: UP = Depends(get_current_active_user)) -> Any:
        """Read oneself."""
        return user

    @router.patch(
        "/me",
        response_model=user_schema,
        name="users:patch_current_user",
        responses=responses(
            CURRENT_PASSWORD_BAD,
            ErrorCode.UPDATE_USER_INVALID_PASSWORD,
            ErrorCode.UPDATE_USER_EMAIL_ALREADY_EXISTS,
            UPDATE_USER_USERNAME_ALREADY_EXISTS,
            UPDATE_USER_VALUE_ALREADY_EXISTS,
            statuses=(401, 429, 503),
        ),
    )
    async def update_me(
        request: Request,
        user_update: user_update_schema,  # type: ignore[valid-type]  # It is the route's own
        user: UP = Depends(get_current_active_user),
        user_manager: BaseUserManager[UP, ID] = Depends(get_user_manager),
    ) -> Any:
        """Change oneself; a new password or e-mail needs the current password, and the e-mail has to be confirmed."""
        with said(
            {
                InvalidCurrentPassword: CURRENT_PASSWORD_BAD,
                InvalidPasswordException: ErrorCode.UPDATE_USER_INVALID_PASSWORD,
                # A project's own `update` may raise it.
                UserAlreadyExists: ErrorCode.UPDATE_USER_EMAIL_ALREADY_EXISTS,
                UsernameAlreadyExists: UPDATE_USER_USERNAME_ALREADY_EXISTS,
                ValueAlreadyExists: UPDATE_USER_VALUE_ALREADY_EXISTS,
                UserNotExists: 401,
            }
        ):
            return await user_manager.update(user_update, user, safe=True, request=request)

    @router.get(
        "/{id}",
        response_model=user_schema,
        dependencies=[Depends(get_current_superuser)],
        name="users:user",
        responses=responses(statuses=(401, 403, 404)),
    )
    async def get_user(
        id: str,
        user_manager: BaseUserManager[UP, ID] = Depends(get_user_manager),
    ) -> Any:
        """Read a user."""
        with said({InvalidID: 404, UserNotExists: 404}):
            return await user_manager.get(user_manager.parse_id(id))

    @router.patch(
        "/{id}",
        response_model=user_schema,
        name="users:patch_user",
        responses=responses(
            ErrorCode.UPDATE_USER_EMAIL_ALREADY_EXISTS,
            ErrorCode.UPDATE_USER_INVALID_PASSWORD,
            UPDATE_USER_USERNAME_ALREADY_EXISTS,
            UPDATE_USER_VALUE_ALREADY_EXISTS,
            LAST_SUPERUSER,
            FRESH_LOGIN_REQUIRED,
            statuses=(401, 403, 404),
        ),
    )
    async def update_user(
        id: str,
        request: Request,
        user_update: user_update_schema,  # type: ignore[valid-type]  # It is the route's own
        superuser: UP = Depends(get_current_superuser),
        user_manager: BaseUserManager[UP, ID] = Depends(get_user_manager),
    ) -> Any:
        """Change a user; a new e-mail address is not verified, and the old one is told."""
        sent = _sent(user_update)
        with said(
            {
                InvalidID: 404,
                UserNotExists: 404,
                UserAlreadyExists: ErrorCode.UPDATE_USER_EMAIL_ALREADY_EXISTS,
                # Nobody sets somebody else's password here, but a project's own manager may refuse one.
                InvalidPasswordException: ErrorCode.UPDATE_USER_INVALID_PASSWORD,
                UsernameAlreadyExists: UPDATE_USER_USERNAME_ALREADY_EXISTS,
                ValueAlreadyExists: UPDATE_USER_VALUE_ALREADY_EXISTS,
                LastSuperuser: LAST_SUPERUSER,
            }
        ):
            return await user_manager.update_by_superuser(superuser, user_manager.parse_id(id), sent, request)

    @router.delete(
        "/{id}",
        status_code=204,
        name="users:delete_user",
        responses=responses(LAST_SUPERUSER, USER_IN_USE, FRESH_LOGIN_REQUIRED, statuses=(401, 403, 404)),
    )
    async def delete_user(
        id: str,
        request: Request,
        superuser: UP = Depends(get_current_superuser),
        user_manager: BaseUserManager[UP, ID] = Depends(get_user_manager),
    ) -> None:
        """Delete a user, and what hangs on the user."""
        with said({InvalidID: 404, UserNotExists: 404, LastSuperuser: LAST_SUPERUSER, UserInUse: USER_IN_USE}):
            await user_manager.delete_by_superuser(superuser, user_manager.parse_id(id), request)

    return router
