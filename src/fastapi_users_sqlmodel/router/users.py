"""The routes that show and change users."""

from fastapi_users_sqlmodel.routers.users import get_users_router

__all__ = ["get_users_router"]
