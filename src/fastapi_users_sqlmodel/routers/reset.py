"""Reset a forgotten password."""

from contextlib import suppress
from typing import Any

from fastapi import APIRouter, Depends, Request
from fastapi_users.exceptions import (
    InvalidPasswordException,
    InvalidResetPasswordToken,
    UserInactive,
    UserNotExists,
)
from fastapi_users.models import ID, UP
from fastapi_users.router.common import ErrorCode

from fastapi_users_sqlmodel.manager import BaseUserManager
from fastapi_users_sqlmodel.routers._errors import DiscreetRoute, responses, said
from fastapi_users_sqlmodel.schemas import EmailBody, ResetPasswordBody


def get_reset_password_router(get_user_manager: Any) -> APIRouter:
    """Make the routes that ask for a token and take it."""
    router = APIRouter(route_class=DiscreetRoute)

    @router.post(
        "/forgot-password",
        status_code=202,
        name="reset:forgot_password",
        responses=responses(statuses=(429,)),
    )
    async def forgot_password(
        request: Request,
        body: EmailBody,
        user_manager: BaseUserManager[UP, ID] = Depends(get_user_manager),
    ) -> None:
        """Send a mail to choose a new password; the answer is the same whether or not there is an account."""
        # As FastAPI Users: what a project's own manager raises about the account tells nothing either.
        with said({}), suppress(UserNotExists, UserInactive):
            await user_manager.request_reset_password(body.email, request)

    @router.post(
        "/reset-password",
        name="reset:reset_password",
        responses=responses(
            ErrorCode.RESET_PASSWORD_BAD_TOKEN, ErrorCode.RESET_PASSWORD_INVALID_PASSWORD, statuses=(429, 503)
        ),
    )
    async def reset_password(
        request: Request,
        body: ResetPasswordBody,
        user_manager: BaseUserManager[UP, ID] = Depends(get_user_manager),
    ) -> None:
        """Choose a new password with the token that was sent; it signs nobody in."""
        with said(
            {
                InvalidResetPasswordToken: ErrorCode.RESET_PASSWORD_BAD_TOKEN,
                UserNotExists: ErrorCode.RESET_PASSWORD_BAD_TOKEN,
                UserInactive: ErrorCode.RESET_PASSWORD_BAD_TOKEN,
                InvalidPasswordException: ErrorCode.RESET_PASSWORD_INVALID_PASSWORD,
            }
        ):
            await user_manager.reset_password(body.token, body.password, request)

    return router
