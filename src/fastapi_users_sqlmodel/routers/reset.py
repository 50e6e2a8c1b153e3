"""Reset a forgotten password."""

from contextlib import suppress
from typing import Annotated, Any

from fastapi import APIRouter, Depends, Request
from fastapi_users.exceptions import UserInactive, UserNotExists

from fastapi_users_sqlmodel.exceptions import (
    ResetPasswordBadToken,
    ResetPasswordInvalidPassword,
    ServiceUnavailable,
    TooManyRequests,
)
from fastapi_users_sqlmodel.manager import BaseUserManager
from fastapi_users_sqlmodel.routers.errors import ErrorRoute, responses
from fastapi_users_sqlmodel.schemas import EmailBody, ResetPasswordBody


def get_reset_password_router(get_user_manager: Any) -> APIRouter:
    """Return a router that sends and accepts the tokens."""
    router = APIRouter(route_class=ErrorRoute)
    Manager = Annotated[BaseUserManager[Any, Any], Depends(get_user_manager)]

    @router.post(
        "/forgot-password",
        status_code=202,
        name="reset:forgot_password",
        responses=responses(TooManyRequests),
    )
    async def forgot_password(request: Request, body: EmailBody, user_manager: Manager) -> None:
        """Send a mail to choose a new password; the answer is the same whether or not there is an account."""
        # The answer must not reveal whether there is an account, whatever a project's own manager raises.
        with suppress(UserNotExists, UserInactive):
            await user_manager.request_reset_password(body.email, request)

    @router.post(
        "/reset-password",
        name="reset:reset_password",
        responses=responses(ResetPasswordBadToken, ResetPasswordInvalidPassword, TooManyRequests, ServiceUnavailable),
    )
    async def reset_password(request: Request, body: ResetPasswordBody, user_manager: Manager) -> None:
        """Choose a new password with the token that was sent; it signs nobody in."""
        await user_manager.reset_password(body.token, body.password, request)

    return router
