"""FastAPI Users' authentication backend, and the backend and transports of sessions."""

from collections.abc import Callable
from datetime import timedelta
from typing import Any, Generic
from urllib.parse import urlsplit

from fastapi import Depends, Response
from fastapi.requests import HTTPConnection
from fastapi.responses import JSONResponse
from fastapi_users.authentication import BearerTransport, CookieTransport
from fastapi_users.authentication.backend import AuthenticationBackend
from fastapi_users.models import ID, UP
from fastapi_users.openapi import OpenAPIResponseType
from pydantic import BaseModel

from fastapi_users_sqlmodel.authentication._strategies import (
    AccessToken,
    BearerSessionStrategy,
    CookieSessionStrategy,
    Sessions,
    SessionStrategy,
)

__all__ = ["AuthenticationBackend", "SessionBackend"]


class BearerRefreshResponse(BaseModel):
    """The response to signing in and refreshing (RFC 6749, 5.1)."""

    access_token: str
    token_type: str
    refresh_token: str
    expires_in: int


class BearerRefreshTransport(BearerTransport):
    """FastAPI Users' bearer transport, with a refresh token in the response."""

    async def get_login_response(self, token: str) -> Response:
        """Return the response with a token of `BearerSessionStrategy`."""
        if not isinstance(token, AccessToken):
            raise TypeError(f"{type(self).__name__} sends the tokens of BearerSessionStrategy")
        answer = BearerRefreshResponse(
            access_token=str(token),
            token_type="bearer",  # noqa: S106  # That is no password
            refresh_token=token.refresh_token,
            expires_in=token.expires_in,
        )
        return JSONResponse(answer.model_dump())

    @staticmethod
    def get_openapi_login_responses_success() -> OpenAPIResponseType:
        """Describe the response."""
        return {200: {"model": BearerRefreshResponse}}


class SessionCookieTransport(CookieTransport):
    """FastAPI Users' cookie transport, whose cookie is secure if the public URL is https, whatever a request says.

    The name is `__Host-…` then (RFC 6265bis, 4.1.3.2): no other host and no plain connection can set the cookie. No
    other name is read.
    """

    def __init__(self, public_url: str, *, name: str = "session", max_age: timedelta | None = None) -> None:
        is_https = urlsplit(public_url).scheme == "https"
        super().__init__(
            cookie_name=f"__Host-{name}" if is_https else name,
            cookie_max_age=int(max_age.total_seconds()) if max_age is not None else None,
            cookie_secure=is_https,
        )


class SessionBackend(AuthenticationBackend[UP, ID], Generic[UP, ID]):
    """FastAPI Users' authentication backend, with sessions.

    Args:
        name: The name of the backend.
        transport: The transport of its tokens; its class decides which strategy writes them.
        sessions: The settings of all sessions.
        get_user_manager: The dependency that returns the manager of a request.
    """

    transport: BearerRefreshTransport | SessionCookieTransport

    def __init__(
        self,
        name: str,
        transport: BearerRefreshTransport | SessionCookieTransport,
        sessions: Sessions,
        get_user_manager: Callable[..., Any],
    ) -> None:
        self.sessions = sessions

        async def get_strategy(
            connection: HTTPConnection, user_manager: Any = Depends(get_user_manager)
        ) -> SessionStrategy[UP, ID]:
            return self.strategy(user_manager, connection)

        super().__init__(name, transport, get_strategy)

    def strategy(self, user_manager: Any, connection: HTTPConnection | None = None) -> SessionStrategy[UP, ID]:
        """Make the strategy of a request."""
        if isinstance(self.transport, CookieTransport):
            return CookieSessionStrategy(self.sessions, user_manager, connection, self.transport.cookie_name)
        return BearerSessionStrategy(self.sessions, user_manager, connection)
