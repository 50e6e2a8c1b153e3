"""FastAPI Users' strategies, which refuse lifetimes that would be endless and warn of weak secrets."""

from fastapi_users_sqlmodel.authentication.strategy.base import Strategy, StrategyDestroyNotSupportedError
from fastapi_users_sqlmodel.authentication.strategy.db import (
    AP,
    AccessTokenDatabase,
    AccessTokenProtocol,
    DatabaseStrategy,
)
from fastapi_users_sqlmodel.authentication.strategy.jwt import JWTStrategy

__all__ = [
    "AP",
    "AccessTokenDatabase",
    "AccessTokenProtocol",
    "DatabaseStrategy",
    "JWTStrategy",
    "Strategy",
    "StrategyDestroyNotSupportedError",
]

try:
    from fastapi_users_sqlmodel.authentication.strategy.redis import RedisStrategy
except ImportError:
    # Without the extra `redis`.
    pass
else:
    __all__ += ["RedisStrategy"]
