"""/auth: the library's routes; register, sign in, verify and change an address, reset and change a password, leave."""

from fastapi import APIRouter

from app.core.settings import settings
from app.schemas import UserCreate, UserRead
from app.users import auth_backend, fastapi_users

router = APIRouter(tags=["auth"])

router.include_router(fastapi_users.get_register_router(UserRead, UserCreate), prefix="/auth")
router.include_router(fastapi_users.get_register_router(UserRead, UserCreate, path=""), prefix="/users")
router.include_router(
    fastapi_users.get_login_router(auth_backend, requires_verification=settings.require_verified), prefix="/auth/jwt"
)
router.include_router(fastapi_users.get_verify_router(UserRead), prefix="/auth")
router.include_router(fastapi_users.get_reset_password_router(), prefix="/auth")
router.include_router(fastapi_users.get_account_router(UserRead), prefix="/auth")
