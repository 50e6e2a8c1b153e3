"""Verify an e-mail address."""

from contextlib import suppress
from typing import Annotated, Any

from fastapi import APIRouter, Depends, Request
from fastapi_users.exceptions import UserAlreadyVerified, UserInactive, UserNotExists
from pydantic import BaseModel

from fastapi_users_sqlmodel.exceptions import TooManyRequests, VerifyUserAlreadyVerified, VerifyUserBadToken
from fastapi_users_sqlmodel.manager import BaseUserManager
from fastapi_users_sqlmodel.routers.errors import ErrorRoute, responses
from fastapi_users_sqlmodel.schemas import EmailBody, TokenBody


def get_verify_router(get_user_manager: Any, user_schema: type[BaseModel]) -> APIRouter:
    """Return a router that sends and accepts the tokens."""
    router = APIRouter(route_class=ErrorRoute)
    Manager = Annotated[BaseUserManager[Any, Any], Depends(get_user_manager)]

    @router.post(
        "/request-verify-token",
        status_code=202,
        name="verify:request-token",
        responses=responses(TooManyRequests),
    )
    async def request_verify_token(request: Request, body: EmailBody, user_manager: Manager) -> None:
        """Send a mail to verify the address; the answer is the same whether or not there is an account."""
        # The answer must not reveal whether there is an account, whatever a project's own manager raises.
        with suppress(UserNotExists, UserInactive, UserAlreadyVerified):
            await user_manager.request_verification(body.email, request)

    @router.post(
        "/verify",
        response_model=user_schema,
        name="verify:verify",
        responses=responses(VerifyUserBadToken, VerifyUserAlreadyVerified),
    )
    async def verify(request: Request, body: TokenBody, user_manager: Manager) -> Any:
        """Verify an address with the token that was sent there."""
        return await user_manager.verify(body.token, request)

    return router
