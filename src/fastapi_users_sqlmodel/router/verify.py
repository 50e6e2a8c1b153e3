"""The routes that verify an address."""

from fastapi_users_sqlmodel.routers.verify import get_verify_router

__all__ = ["get_verify_router"]
