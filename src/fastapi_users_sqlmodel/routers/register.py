"""Register."""

from typing import Annotated, Any

from fastapi import APIRouter, Depends, Request
from fastapi.responses import JSONResponse
from fastapi_users import schemas
from pydantic import BaseModel

from fastapi_users_sqlmodel.exceptions import (
    RegisterInvalidPassword,
    RegisterUserAlreadyExists,
    RegisterUsernameAlreadyExists,
    RegisterValueAlreadyExists,
    ServiceUnavailable,
    TooManyRequests,
)
from fastapi_users_sqlmodel.manager import BaseUserManager
from fastapi_users_sqlmodel.routers._fields import with_fields
from fastapi_users_sqlmodel.routers.errors import ErrorRoute, responses


def get_register_router(
    get_user_manager: Any,
    user_schema: type[BaseModel],
    user_create_schema: type[schemas.UC],
    *,
    path: str = "/register",
) -> APIRouter:
    """Return a router with the route that registers.

    The fields of `user_create_schema` are the manager's `registration_fields`, unless its class sets those.

    Raises:
        ValueError: The schema has a field that is not in the `registration_fields` that the manager's class sets.
    """
    get_user_manager = with_fields(get_user_manager, registration_fields=user_create_schema)
    router = APIRouter(route_class=ErrorRoute)
    create_schema: Any = user_create_schema
    Manager = Annotated[BaseUserManager[Any, Any], Depends(get_user_manager)]

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
                RegisterUserAlreadyExists,
                RegisterUsernameAlreadyExists,
                RegisterValueAlreadyExists,
                RegisterInvalidPassword,
                TooManyRequests,
                ServiceUnavailable,
            ),
        },
    )
    async def register(request: Request, user_create: create_schema, user_manager: Manager) -> Any:
        """Create an account."""
        user = await user_manager.register(user_create, request)
        return user if user is not None else JSONResponse(None, status_code=202)

    return router
