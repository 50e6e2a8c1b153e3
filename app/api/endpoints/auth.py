"""/auth: the library's routes; register, sign in and out, see one's sessions, change address and password, leave."""

from fastapi import APIRouter

from app.core.settings import settings
from app.schemas import UserCreate, UserRead
from app.users import auth_backend, cookie_backend, fastapi_users

router = APIRouter(tags=["auth"])

router.include_router(fastapi_users.get_register_router(UserRead, UserCreate), prefix="/auth")
router.include_router(fastapi_users.get_register_router(UserRead, UserCreate, path=""), prefix="/users")
for backend in (auth_backend, cookie_backend):
    router.include_router(
        fastapi_users.get_auth_router(backend, requires_verification=settings.require_verified),
        prefix=f"/auth/{backend.name}",
    )
router.include_router(fastapi_users.get_refresh_router(auth_backend), prefix="/auth/jwt")
router.include_router(fastapi_users.get_sessions_router(), prefix="/auth")
router.include_router(fastapi_users.get_verify_router(UserRead), prefix="/auth")
router.include_router(fastapi_users.get_reset_password_router(), prefix="/auth")
router.include_router(fastapi_users.get_account_router(UserRead), prefix="/auth")
