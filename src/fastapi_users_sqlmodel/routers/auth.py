"""Sign in and out."""

from functools import partial
from typing import Any

from fastapi import APIRouter, Depends, Request, Response
from fastapi.security import OAuth2PasswordRequestForm
from fastapi_users.authentication import AuthenticationBackend, Strategy
from fastapi_users.models import ID, UP
from starlette.background import BackgroundTask

from fastapi_users_sqlmodel.authentication import Authenticator, SessionBackend
from fastapi_users_sqlmodel.exceptions import (
    Forbidden,
    LoginBadCredentials,
    ServiceUnavailable,
    TooManyRequests,
    Unauthorized,
    UserNotVerified,
)
from fastapi_users_sqlmodel.manager import BaseUserManager
from fastapi_users_sqlmodel.routers.errors import ErrorRoute, responses


def get_login_router(
    backend: AuthenticationBackend[UP, ID],
    get_user_manager: Any,
    requires_verification: bool = False,  # noqa: FBT001, FBT002  # FastAPI Users' signature
) -> APIRouter:
    """Make the route that signs in; `requires_verification` refuses whoever has not verified the address."""
    router = APIRouter(route_class=ErrorRoute)
    unverified = (UserNotVerified,) if requires_verification else ()
    errors = (LoginBadCredentials, *unverified, TooManyRequests, ServiceUnavailable)

    @router.post(
        "/login",
        name=f"auth:{backend.name}.login",
        responses={**responses(*errors), **backend.transport.get_openapi_login_responses_success()},
    )
    async def login(
        request: Request,
        credentials: OAuth2PasswordRequestForm = Depends(),
        user_manager: BaseUserManager[UP, ID] = Depends(get_user_manager),
        strategy: Strategy[UP, ID] = Depends(backend.get_strategy),
    ) -> Response:
        """Sign in with an e-mail address or a username."""
        # Raises UserNotExists when the user was deleted or changed since the password was verified.
        signed_in = await user_manager.sign_in(
            credentials,
            request,
            requires_verification=requires_verification,
            begin=partial(backend.login, strategy),
            # Another strategy may write its token on another connection, which would wait for this one's lock.
            begins_inside=isinstance(backend, SessionBackend),
        )
        if signed_in is None:
            raise LoginBadCredentials
        response: Response = signed_in.begun
        # RFC 6749, 5.1: no cache may store a token.
        response.headers["Cache-Control"] = "no-store"
        await user_manager.release()
        await user_manager.on_after_login(signed_in.user, request, response)
        if signed_in.after_response is not None:
            response.background = BackgroundTask(signed_in.after_response)
        return response

    return router


def get_auth_router(
    backend: AuthenticationBackend[UP, ID],
    get_user_manager: Any,
    authenticator: Authenticator[UP, ID],  # noqa: ARG001  # FastAPI Users' signature
    requires_verification: bool = False,  # noqa: FBT001, FBT002  # The same
) -> APIRouter:
    """Make the routes that sign in and out; the logout takes the tokens of this backend alone."""
    router = get_login_router(backend, get_user_manager, requires_verification)
    # The token of another backend would be handed to this strategy, which knows nothing of it: 204, and it would live.
    own = Authenticator([backend], get_user_manager)
    # FastAPI Users asks for verification here too. Whoever has a session can always end it.
    verified = requires_verification and not isinstance(backend, SessionBackend)
    get_current_user_token = own.current_user_token(active=True, verified=verified)

    @router.post(
        "/logout",
        status_code=204,
        name=f"auth:{backend.name}.logout",
        responses={
            **responses(Unauthorized, *((Forbidden,) if verified else ())),
            **backend.transport.get_openapi_logout_responses_success(),
        },
    )
    async def logout(
        request: Request,
        user_token: tuple[UP, str] = Depends(get_current_user_token),
        user_manager: BaseUserManager[UP, ID] = Depends(get_user_manager),
        strategy: Strategy[UP, ID] = Depends(backend.get_strategy),
    ) -> Response:
        """Sign out, as far as the strategy can."""
        user, token = user_token
        async with user_manager.user_db.transaction():
            response = await backend.logout(strategy, user, token)
            await user_manager.record_logout(user, request)
        return response

    return router
