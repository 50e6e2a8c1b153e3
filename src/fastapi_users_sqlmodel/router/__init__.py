"""What FastAPI Users has under this name: the functions that make its routers; the routes are those of `routers`."""

from fastapi_users_sqlmodel.router.auth import get_auth_router
from fastapi_users_sqlmodel.router.common import ErrorCode
from fastapi_users_sqlmodel.router.register import get_register_router
from fastapi_users_sqlmodel.router.reset import get_reset_password_router
from fastapi_users_sqlmodel.router.users import get_users_router
from fastapi_users_sqlmodel.router.verify import get_verify_router

__all__ = [
    "ErrorCode",
    "get_auth_router",
    "get_register_router",
    "get_reset_password_router",
    "get_users_router",
    "get_verify_router",
]

try:
    from fastapi_users_sqlmodel.router.oauth import get_oauth_associate_router, get_oauth_router
except ModuleNotFoundError:
    # Without FastAPI Users' extra `oauth`.
    pass
else:
    __all__ += ["get_oauth_associate_router", "get_oauth_router"]
