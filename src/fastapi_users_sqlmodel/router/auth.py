"""The routes that sign in and out."""

from fastapi_users_sqlmodel.routers.auth import get_auth_router

__all__ = ["get_auth_router"]
