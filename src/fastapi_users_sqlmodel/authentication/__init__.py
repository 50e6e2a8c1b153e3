"""FastAPI Users' transports, strategies and backends, and those of sessions."""

from fastapi_users_sqlmodel.authentication._strategies import (
    AccessToken,
    BearerSessionStrategy,
    CookieSessionStrategy,
    Sessions,
    SessionStrategy,
)
from fastapi_users_sqlmodel.authentication.authenticator import Authenticator
from fastapi_users_sqlmodel.authentication.backend import (
    AuthenticationBackend,
    BearerRefreshResponse,
    BearerRefreshTransport,
    SessionBackend,
    SessionCookieTransport,
)
from fastapi_users_sqlmodel.authentication.strategy import JWTStrategy, Strategy
from fastapi_users_sqlmodel.authentication.transport import BearerTransport, CookieTransport, Transport
from fastapi_users_sqlmodel.sessions import SessionLifetimes

__all__ = [
    "AccessToken",
    "AuthenticationBackend",
    "Authenticator",
    "BearerRefreshResponse",
    "BearerRefreshTransport",
    "BearerSessionStrategy",
    "BearerTransport",
    "CookieSessionStrategy",
    "CookieTransport",
    "JWTStrategy",
    "SessionBackend",
    "SessionCookieTransport",
    "SessionLifetimes",
    "SessionStrategy",
    "Sessions",
    "Strategy",
    "Transport",
]

try:
    from fastapi_users_sqlmodel.authentication.strategy import RedisStrategy
except ImportError:
    # Without the extra `redis`.
    pass
else:
    __all__ += ["RedisStrategy"]
