"""How the tokens of a session come and go."""

from datetime import timedelta
from typing import Self
from urllib.parse import urlsplit

from fastapi import Response
from fastapi.responses import JSONResponse
from fastapi_users.authentication import BearerTransport, CookieTransport
from fastapi_users.openapi import OpenAPIResponseType
from pydantic import BaseModel


class AccessToken(str):
    """An access token, which knows what its transport sends beside it."""

    __slots__ = ("expires_in", "refresh_token")

    refresh_token: str
    expires_in: int

    def __new__(cls, token: str, *, refresh_token: str, expires_in: int) -> Self:
        """Make one; `expires_in` is in seconds."""
        made = super().__new__(cls, token)
        made.refresh_token, made.expires_in = refresh_token, expires_in
        return made


class BearerRefreshResponse(BaseModel):
    """What signing in and refreshing answer (RFC 6749, 5.1)."""

    access_token: str
    token_type: str
    refresh_token: str
    expires_in: int


class BearerRefreshTransport(BearerTransport):
    """FastAPI Users' bearer transport, whose answer has a refresh token as well."""

    async def get_login_response(self, token: str) -> Response:
        """Return the answer for a token of `BearerSessionStrategy`."""
        if not isinstance(token, AccessToken):
            raise TypeError(f"{type(self).__name__} brings the tokens of BearerSessionStrategy")
        answer = BearerRefreshResponse(
            access_token=str(token),
            token_type="bearer",  # noqa: S106  # That is no password
            refresh_token=token.refresh_token,
            expires_in=token.expires_in,
        )
        return JSONResponse(answer.model_dump())

    @staticmethod
    def get_openapi_login_responses_success() -> OpenAPIResponseType:
        """Describe it."""
        return {200: {"model": BearerRefreshResponse}}


class SessionCookieTransport(CookieTransport):
    """FastAPI Users' cookie transport, safe by what the public URL is and not by what a request says.

    Where that is https, the name is `__Host-…` (RFC 6265bis, 4.1.3.2): no other host and no plain connection can set
    it; and no other name is read.
    """

    def __init__(self, public_url: str, *, name: str = "session", max_age: timedelta | None = None) -> None:
        is_https = urlsplit(public_url).scheme == "https"
        super().__init__(
            cookie_name=f"__Host-{name}" if is_https else name,
            cookie_max_age=int(max_age.total_seconds()) if max_age is not None else None,
            cookie_secure=is_https,
        )
