"""The routes that register."""

from fastapi_users_sqlmodel.routers.register import get_register_router

__all__ = ["get_register_router"]
