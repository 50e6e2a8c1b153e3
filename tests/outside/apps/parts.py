"""The routes that all of these apps have: FastAPI Users' own, under its usual prefixes."""

from typing import Any

from fastapi import FastAPI
from pydantic import BaseModel

from fastapi_users_sqlmodel import FastAPIUsers, schemas
from fastapi_users_sqlmodel.authentication import AuthenticationBackend


def include_routes(
    app: FastAPI,
    users: FastAPIUsers[Any, Any],
    backend: AuthenticationBackend[Any, Any],
    read: type[BaseModel],
    *,
    create: type[schemas.BaseUserCreate] = schemas.BaseUserCreate,
    update: type[schemas.BaseUserUpdate] = schemas.BaseUserUpdate,
    prefix: str = "",
) -> None:
    app.include_router(users.get_auth_router(backend), prefix=f"{prefix}/auth")
    app.include_router(users.get_register_router(read, create), prefix=f"{prefix}/auth")
    app.include_router(users.get_reset_password_router(), prefix=f"{prefix}/auth")
    app.include_router(users.get_verify_router(read), prefix=f"{prefix}/auth")
    app.include_router(users.get_users_router(read, update), prefix=f"{prefix}/users")
