"""FastAPI Users' main object, which hands out our routers."""

from typing import Generic

import fastapi_users
from fastapi import APIRouter
from fastapi_users import schemas
from fastapi_users.authentication import AuthenticationBackend
from fastapi_users.models import ID, UP
from pydantic import BaseModel

from fastapi_users_sqlmodel.routers.account import get_account_router
from fastapi_users_sqlmodel.routers.auth import get_auth_router, get_login_router
from fastapi_users_sqlmodel.routers.register import get_register_router
from fastapi_users_sqlmodel.routers.reset import get_reset_password_router
from fastapi_users_sqlmodel.routers.users import get_users_router
from fastapi_users_sqlmodel.routers.verify import get_verify_router


class FastAPIUsers(fastapi_users.FastAPIUsers[UP, ID], Generic[UP, ID]):
    """The same object, with FastAPI Users' routes hardened, and those that it has not."""

    def get_register_router(
        self, user_schema: type[BaseModel], user_create_schema: type[schemas.UC], *, path: str = "/register"
    ) -> APIRouter:
        """Return a router with a route that registers."""
        return get_register_router(self.get_user_manager, user_schema, user_create_schema, path=path)

    def get_verify_router(self, user_schema: type[BaseModel]) -> APIRouter:
        """Return a router with routes that verify an address."""
        return get_verify_router(self.get_user_manager, user_schema)

    def get_reset_password_router(self) -> APIRouter:
        """Return a router with routes that reset a forgotten password."""
        return get_reset_password_router(self.get_user_manager)

    def get_auth_router(
        self,
        backend: AuthenticationBackend[UP, ID],
        requires_verification: bool = False,  # noqa: FBT001, FBT002  # FastAPI Users' signature
    ) -> APIRouter:
        """Return a router with routes that sign in and out with a backend."""
        return get_auth_router(backend, self.get_user_manager, self.authenticator, requires_verification)

    def get_login_router(
        self, backend: AuthenticationBackend[UP, ID], *, requires_verification: bool = False
    ) -> APIRouter:
        """Return a router with the route alone that signs in."""
        return get_login_router(backend, self.get_user_manager, requires_verification)

    def get_account_router(self, user_schema: type[BaseModel]) -> APIRouter:
        """Return a router with routes that change the password and the address, and delete the account."""
        return get_account_router(self.get_user_manager, self.authenticator, user_schema)

    def get_users_router(
        self,
        user_schema: type[BaseModel],
        user_update_schema: type[schemas.UU],
        requires_verification: bool = False,  # noqa: FBT001, FBT002  # FastAPI Users' signature
    ) -> APIRouter:
        """Return a router with routes of oneself, and of everybody for superusers."""
        return get_users_router(
            self.get_user_manager, user_schema, user_update_schema, self.authenticator, requires_verification
        )
