"""/auth: register, sign in, verify an address, reset a password."""

from fastapi import APIRouter, Response
from fastapi_users.authentication.transport.bearer import BearerResponse
from fastapi_users.exceptions import (
    InvalidPasswordException,
    InvalidResetPasswordToken,
    InvalidVerifyToken,
    UserAlreadyExists,
    UserAlreadyVerified,
    UserInactive,
    UserNotExists,
)

from app.api.deps import JWTStrategyDep, LoginForm, RequestDep, UserManagerDep
from app.api.errors import responses, said_as
from app.models import User
from app.schemas import UserCreate, UserRead
from app.schemas.auth import EmailInput, PasswordReset, TokenInput
from app.users import (
    LoginBadCredentials,
    RegisterInvalidPassword,
    RegisterUserAlreadyExists,
    RegisterUsernameAlreadyExists,
    ResetPasswordBadToken,
    ResetPasswordInvalidPassword,
    VerifyUserAlreadyVerified,
    VerifyUserBadToken,
    auth_backend,
)

router = APIRouter(tags=["auth"])


@router.post(
    "/auth/register",
    status_code=201,
    response_model=UserRead,
    responses=responses(RegisterUserAlreadyExists, RegisterUsernameAlreadyExists, RegisterInvalidPassword),
)
@router.post(
    "/users",
    status_code=201,
    response_model=UserRead,
    responses=responses(RegisterUserAlreadyExists, RegisterUsernameAlreadyExists, RegisterInvalidPassword),
)
async def register(new: UserCreate, user_manager: UserManagerDep, request: RequestDep) -> User:
    """Create an account, and send a mail to verify its address."""
    with said_as(
        {UserAlreadyExists: RegisterUserAlreadyExists, InvalidPasswordException: RegisterInvalidPassword},
    ):
        return await user_manager.create(new, safe=True, request=request)


@router.post("/auth/jwt/login", response_model=BearerResponse, responses=responses(LoginBadCredentials))
async def login(
    credentials: LoginForm, user_manager: UserManagerDep, strategy: JWTStrategyDep, request: RequestDep
) -> Response:
    """Sign in with an e-mail address or a username, and get an access token."""
    user = await user_manager.authenticate(credentials)
    if user is None or not user.is_active:
        raise LoginBadCredentials
    response = await auth_backend.login(strategy, user)
    # RFC 6749, 5.1: a token stays in nobody's cache.
    response.headers["Cache-Control"] = "no-store"
    await user_manager.on_after_login(user, request, response)
    return response


@router.post("/auth/request-verify-token", status_code=202)
async def request_verify_token(body: EmailInput, user_manager: UserManagerDep, request: RequestDep) -> None:
    """Send a mail to verify the address; the answer is the same whether or not there is an account."""
    user = await user_manager.user_db.get_by_email(body.email)
    if user is not None and user.is_active and not user.is_verified:
        await user_manager.request_verify(user, request)


@router.post(
    "/auth/verify",
    response_model=UserRead,
    responses=responses(VerifyUserBadToken, VerifyUserAlreadyVerified),
)
async def verify(body: TokenInput, user_manager: UserManagerDep, request: RequestDep) -> User:
    """Verify an address with the token that was sent there."""
    with said_as(
        {
            InvalidVerifyToken: VerifyUserBadToken,
            UserNotExists: VerifyUserBadToken,
            UserAlreadyVerified: VerifyUserAlreadyVerified,
        }
    ):
        user = await user_manager.verify(body.token, request)
    if not user.is_active:
        # FastAPI Users does not ask; what was written is rolled back.
        raise VerifyUserBadToken(user.id)
    return user


@router.post("/auth/forgot-password", status_code=202)
async def forgot_password(body: EmailInput, user_manager: UserManagerDep, request: RequestDep) -> None:
    """Send a mail to choose a new password; the answer is the same whether or not there is an account."""
    user = await user_manager.user_db.get_by_email(body.email)
    if user is not None and user.is_active:
        await user_manager.forgot_password(user, request)


@router.post("/auth/reset-password", responses=responses(ResetPasswordBadToken, ResetPasswordInvalidPassword))
async def reset_password(body: PasswordReset, user_manager: UserManagerDep, request: RequestDep) -> None:
    """Choose a new password with the token that was sent."""
    with said_as(
        {
            InvalidResetPasswordToken: ResetPasswordBadToken,
            UserNotExists: ResetPasswordBadToken,
            UserInactive: ResetPasswordBadToken,
            InvalidPasswordException: ResetPasswordInvalidPassword,
        }
    ):
        await user_manager.reset_password(body.token, body.password, request)
