"""What a signed-in person does to the account: another password, another address, none at all."""

from typing import Any

from fastapi import APIRouter, Depends, Request, Response
from fastapi_users.authentication import Authenticator
from fastapi_users.exceptions import InvalidPasswordException, UserNotExists
from fastapi_users.models import ID, UP
from fastapi_users.router.common import ErrorCode
from pydantic import BaseModel, Field, create_model

from fastapi_users_sqlmodel.exceptions import InvalidChangeEmailToken, InvalidCurrentPassword, LastSuperuser, UserInUse
from fastapi_users_sqlmodel.manager import BaseUserManager, UndoneEmailChange
from fastapi_users_sqlmodel.routers._errors import (
    CONFIRM_EMAIL_BAD_TOKEN,
    CURRENT_PASSWORD_BAD,
    LAST_SUPERUSER,
    UNDO_CHANGE_EMAIL_BAD_TOKEN,
    USER_IN_USE,
    DiscreetRoute,
    responses,
    said,
)
from fastapi_users_sqlmodel.schemas import ChangeEmailBody, ChangePasswordBody, CurrentPasswordBody, TokenBody


def get_account_router(
    get_user_manager: Any, authenticator: Authenticator[UP, ID], user_schema: type[BaseModel]
) -> APIRouter:
    """Make the routes."""
    router = APIRouter(route_class=DiscreetRoute)
    get_current_active_user = authenticator.current_user(active=True)
    token_field: Any = (str, Field(description="Sets a new password by `/reset-password`; good once."))
    undone_schema = create_model(
        f"{user_schema.__name__}WithResetToken", __base__=user_schema, reset_password_token=token_field
    )

    @router.post(
        "/change-password",
        status_code=204,
        name="account:change_password",
        responses=responses(CURRENT_PASSWORD_BAD, ErrorCode.UPDATE_USER_INVALID_PASSWORD, statuses=(401, 429, 503)),
    )
    async def change_password(
        request: Request,
        body: ChangePasswordBody,
        user: UP = Depends(get_current_active_user),
        user_manager: BaseUserManager[UP, ID] = Depends(get_user_manager),
    ) -> None:
        """Change the password."""
        with said(
            {
                InvalidCurrentPassword: CURRENT_PASSWORD_BAD,
                InvalidPasswordException: ErrorCode.UPDATE_USER_INVALID_PASSWORD,
                UserNotExists: 401,
            }
        ):
            await user_manager.change_password(user, body.current_password, body.new_password, request)

    @router.post(
        "/change-email",
        status_code=202,
        name="account:change_email",
        responses=responses(CURRENT_PASSWORD_BAD, statuses=(401, 429, 503)),
    )
    async def change_email(
        request: Request,
        body: ChangeEmailBody,
        user: UP = Depends(get_current_active_user),
        user_manager: BaseUserManager[UP, ID] = Depends(get_user_manager),
    ) -> None:
        """Send a mail to the new address to confirm it, and tell the old one; nothing changes before."""
        with said({InvalidCurrentPassword: CURRENT_PASSWORD_BAD, UserNotExists: 401}):
            await user_manager.request_change_email(user, body.new_email, body.current_password, request)

    @router.post(
        "/confirm-email",
        response_model=user_schema,
        name="account:confirm_email",
        responses=responses(CONFIRM_EMAIL_BAD_TOKEN),
    )
    async def confirm_email(
        request: Request,
        body: TokenBody,
        user_manager: BaseUserManager[UP, ID] = Depends(get_user_manager),
    ) -> Any:
        """Make the new address the account's, with the token that was sent there."""
        with said({InvalidChangeEmailToken: CONFIRM_EMAIL_BAD_TOKEN}):
            return await user_manager.confirm_email(body.token, request)

    @router.post(
        "/undo-change-email",
        response_model=undone_schema,
        name="account:undo_change_email",
        responses=responses(UNDO_CHANGE_EMAIL_BAD_TOKEN),
    )
    async def undo_change_email(
        request: Request,
        response: Response,
        body: TokenBody,
        user_manager: BaseUserManager[UP, ID] = Depends(get_user_manager),
    ) -> Any:
        """Give the account back to the old address, with the token that was sent there; then a new password is due."""
        with said({InvalidChangeEmailToken: UNDO_CHANGE_EMAIL_BAD_TOKEN}):
            undone = await user_manager.undo_change_email(body.token, request)
        response.headers["Cache-Control"] = "no-store"
        return _UserWithResetToken(undone)

    @router.post(
        "/delete-account",
        status_code=204,
        name="account:delete_account",
        responses=responses(CURRENT_PASSWORD_BAD, LAST_SUPERUSER, USER_IN_USE, statuses=(401, 429, 503)),
    )
    async def delete_account(
        request: Request,
        body: CurrentPasswordBody,
        user: UP = Depends(get_current_active_user),
        user_manager: BaseUserManager[UP, ID] = Depends(get_user_manager),
    ) -> None:
        """Delete the account, and what hangs on it."""
        with said(
            {
                InvalidCurrentPassword: CURRENT_PASSWORD_BAD,
                LastSuperuser: LAST_SUPERUSER,
                UserInUse: USER_IN_USE,
                UserNotExists: 401,
            }
        ):
            await user_manager.delete_account(user, body.current_password, request)

    return router


class _UserWithResetToken:
    """Shows the attributes of the user, and the token beside them."""

    def __init__(self, undone: UndoneEmailChange[Any]) -> None:
        self._user = undone.user
        self.reset_password_token = undone.reset_password_token

    def __getattr__(self, name: str) -> Any:
        return getattr(self._user, name)
