"""The routes that reset a forgotten password."""

from fastapi_users.router.reset import RESET_PASSWORD_RESPONSES

from fastapi_users_sqlmodel.routers.reset import get_reset_password_router

__all__ = ["RESET_PASSWORD_RESPONSES", "get_reset_password_router"]
