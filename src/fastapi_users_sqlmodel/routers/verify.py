"""Verify an e-mail address."""

from contextlib import suppress
from typing import Any

from fastapi import APIRouter, Depends, Request
from fastapi_users.exceptions import InvalidVerifyToken, UserAlreadyVerified, UserInactive, UserNotExists
from fastapi_users.models import ID, UP
from fastapi_users.router.common import ErrorCode
from pydantic import BaseModel

from fastapi_users_sqlmodel.manager import BaseUserManager
from fastapi_users_sqlmodel.routers._errors import DiscreetRoute, responses, said
from fastapi_users_sqlmodel.schemas import EmailBody, TokenBody


def get_verify_router(get_user_manager: Any, user_schema: type[BaseModel]) -> APIRouter:
    """Make the routes that ask for a token and take it."""
    router = APIRouter(route_class=DiscreetRoute)

    @router.post(
        "/request-verify-token",
        status_code=202,
        name="verify:request-token",
        responses=responses(statuses=(429,)),
    )
    async def request_verify_token(
        request: Request,
        body: EmailBody,
        user_manager: BaseUserManager[UP, ID] = Depends(get_user_manager),
    ) -> None:
        """Send a mail to verify the address; the answer is the same whether or not there is an account."""
        # As FastAPI Users: what a project's own manager raises about the account tells nothing either.
        with said({}), suppress(UserNotExists, UserInactive, UserAlreadyVerified):
            await user_manager.request_verification(body.email, request)

    @router.post(
        "/verify",
        response_model=user_schema,
        name="verify:verify",
        responses=responses(ErrorCode.VERIFY_USER_BAD_TOKEN, ErrorCode.VERIFY_USER_ALREADY_VERIFIED),
    )
    async def verify(
        request: Request,
        body: TokenBody,
        user_manager: BaseUserManager[UP, ID] = Depends(get_user_manager),
    ) -> Any:
        """Verify an address with the token that was sent there."""
        with said(
            {
                InvalidVerifyToken: ErrorCode.VERIFY_USER_BAD_TOKEN,
                UserNotExists: ErrorCode.VERIFY_USER_BAD_TOKEN,
                UserAlreadyVerified: ErrorCode.VERIFY_USER_ALREADY_VERIFIED,
            }
        ):
            return await user_manager.verify(body.token, request)

    return router
