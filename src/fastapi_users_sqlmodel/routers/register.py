"""Register."""

from typing import Any

from fastapi import APIRouter, Depends, Request
from fastapi.responses import JSONResponse
from fastapi_users import schemas
from fastapi_users.exceptions import InvalidPasswordException, UserAlreadyExists
from fastapi_users.models import ID, UP
from fastapi_users.router.common import ErrorCode
from pydantic import BaseModel

from fastapi_users_sqlmodel.exceptions import UsernameAlreadyExists, ValueAlreadyExists
from fastapi_users_sqlmodel.manager import BaseUserManager
from fastapi_users_sqlmodel.routers._errors import (
    REGISTER_USERNAME_ALREADY_EXISTS,
    REGISTER_VALUE_ALREADY_EXISTS,
    DiscreetRoute,
    responses,
    said,
)


def get_register_router(
    get_user_manager: Any,
    user_schema: type[BaseModel],
    user_create_schema: type[schemas.UC],
    *,
    path: str = "/register",
) -> APIRouter:
    """Make the route that registers."""
    router = APIRouter(route_class=DiscreetRoute)

    @router.post(
        path,
        status_code=201,
        response_model=user_schema,
        name="register:register",
        responses={
            202: {
                "description": "Accepted: the answer where accounts are concealed, whether or not there is one.",
                "content": {"application/json": {"schema": {"type": "null"}}},
            },
            **responses(
                ErrorCode.REGISTER_USER_ALREADY_EXISTS,
                REGISTER_USERNAME_ALREADY_EXISTS,
                REGISTER_VALUE_ALREADY_EXISTS,
                ErrorCode.REGISTER_INVALID_PASSWORD,
                statuses=(429, 503),
            ),
        },
    )
    async def register(
        request: Request,
        user_create: user_create_schema,  # type: ignore[valid-type]  # It is the route's own
        user_manager: BaseUserManager[UP, ID] = Depends(get_user_manager),
    ) -> Any:
        """Create an account."""
        with said(
            {
                UserAlreadyExists: ErrorCode.REGISTER_USER_ALREADY_EXISTS,
                UsernameAlreadyExists: REGISTER_USERNAME_ALREADY_EXISTS,
                ValueAlreadyExists: REGISTER_VALUE_ALREADY_EXISTS,
                InvalidPasswordException: ErrorCode.REGISTER_INVALID_PASSWORD,
            }
        ):
            user = await user_manager.register(user_create, request)
        return user if user is not None else JSONResponse(None, status_code=202)

    return router
