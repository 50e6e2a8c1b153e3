"""Change the password or the address of one's account, and delete the account."""

from typing import Annotated, Any

from fastapi import APIRouter, Depends, Request, Response
from fastapi_users.authentication import Authenticator
from fastapi_users.models import ID, UP
from pydantic import BaseModel, Field, create_model

from fastapi_users_sqlmodel.exceptions import (
    ConfirmEmailBadToken,
    InvalidCurrentPassword,
    LastSuperuser,
    ServiceUnavailable,
    TooManyRequests,
    Unauthorized,
    UndoChangeEmailBadToken,
    UpdateUserInvalidPassword,
    UserInUse,
)
from fastapi_users_sqlmodel.manager import BaseUserManager, UndoneEmailChange
from fastapi_users_sqlmodel.routers.errors import ErrorRoute, responses
from fastapi_users_sqlmodel.schemas import ChangeEmailBody, ChangePasswordBody, CurrentPasswordBody, TokenBody

PASSWORD_ERRORS = (InvalidCurrentPassword, Unauthorized, TooManyRequests, ServiceUnavailable)


def get_account_router(
    get_user_manager: Any, authenticator: Authenticator[UP, ID], user_schema: type[BaseModel]
) -> APIRouter:
    """Return a router for the account of the signed-in user."""
    router = APIRouter(route_class=ErrorRoute)
    Manager = Annotated[BaseUserManager[Any, Any], Depends(get_user_manager)]
    CurrentUser = Annotated[Any, Depends(authenticator.current_user(active=True))]
    token_field: Any = (str, Field(description="Sets a new password by `/reset-password`; good once."))
    undone_schema = create_model(
        f"{user_schema.__name__}WithResetToken", __base__=user_schema, reset_password_token=token_field
    )

    @router.post(
        "/change-password",
        status_code=204,
        name="account:change_password",
        responses=responses(*PASSWORD_ERRORS, UpdateUserInvalidPassword),
    )
    async def change_password(
        request: Request, body: ChangePasswordBody, user: CurrentUser, user_manager: Manager
    ) -> None:
        """Change the password."""
        await user_manager.change_password(user, body.current_password, body.new_password, request)

    @router.post(
        "/change-email",
        status_code=202,
        name="account:change_email",
        responses=responses(*PASSWORD_ERRORS),
    )
    async def change_email(request: Request, body: ChangeEmailBody, user: CurrentUser, user_manager: Manager) -> None:
        """Send a mail to the new address to confirm it, and tell the old one; nothing changes before."""
        await user_manager.request_change_email(user, body.new_email, body.current_password, request)

    @router.post(
        "/confirm-email",
        response_model=user_schema,
        name="account:confirm_email",
        responses=responses(ConfirmEmailBadToken),
    )
    async def confirm_email(request: Request, body: TokenBody, user_manager: Manager) -> Any:
        """Make the new address the account's, with the token that was sent there."""
        return await user_manager.confirm_email(body.token, request)

    @router.post(
        "/undo-change-email",
        response_model=undone_schema,
        name="account:undo_change_email",
        responses=responses(UndoChangeEmailBadToken),
    )
    async def undo_change_email(request: Request, response: Response, body: TokenBody, user_manager: Manager) -> Any:
        """Give the account back to the old address, with the token that was sent there; then a new password is due."""
        undone = await user_manager.undo_change_email(body.token, request)
        response.headers["Cache-Control"] = "no-store"
        return _UserWithResetToken(undone)

    @router.post(
        "/delete-account",
        status_code=204,
        name="account:delete_account",
        responses=responses(*PASSWORD_ERRORS, LastSuperuser, UserInUse),
    )
    async def delete_account(
        request: Request, body: CurrentPasswordBody, user: CurrentUser, user_manager: Manager
    ) -> None:
        """Delete the account, and what hangs on it."""
        await user_manager.delete_account(user, body.current_password, request)

    return router


class _UserWithResetToken:
    """The attributes of a user, with the token as one more."""

    def __init__(self, undone: UndoneEmailChange[Any]) -> None:
        self._user = undone.user
        self.reset_password_token = undone.reset_password_token

    def __getattr__(self, name: str) -> Any:
        return getattr(self._user, name)
