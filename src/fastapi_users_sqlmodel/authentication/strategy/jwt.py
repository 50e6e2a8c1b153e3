"""FastAPI Users' strategy of JSON Web Tokens."""

import warnings
from functools import lru_cache
from typing import Generic

from fastapi_users.authentication.strategy import jwt
from fastapi_users.authentication.strategy.jwt import JWTStrategyDestroyNotSupportedError
from fastapi_users.jwt import SecretType
from fastapi_users.models import ID, UP
from pydantic import SecretStr

from fastapi_users_sqlmodel.authentication.strategy._lifetimes import require_lifetime
from fastapi_users_sqlmodel.exceptions import SecurityWarning
from fastapi_users_sqlmodel.secret_keys import secret_key_problem

__all__ = ["JWTStrategy", "JWTStrategyDestroyNotSupportedError"]


class JWTStrategy(jwt.JWTStrategy[UP, ID], Generic[UP, ID]):
    """FastAPI Users' strategy, which warns of a weak secret (`SecurityWarning`): anybody could sign such tokens."""

    def __init__(
        self,
        secret: SecretType,
        lifetime_seconds: int | None,
        token_audience: list[str] | None = None,
        algorithm: str = "HS256",
        public_key: SecretType | None = None,
    ) -> None:
        """Keep them, as FastAPI Users does.

        Raises:
            ValueError: `lifetime_seconds` is zero or less.
        """
        require_lifetime("JWTStrategy", lifetime_seconds)
        audience = token_audience if token_audience is not None else ["fastapi-users:auth"]
        super().__init__(secret, lifetime_seconds, audience, algorithm, public_key)
        if (problem := weakness(self)) is not None:
            message = f"JWTStrategy: the secret is {problem}; make one with `openssl rand -base64 32`"
            warnings.warn(message, SecurityWarning, stacklevel=2)


def weakness(strategy: jwt.JWTStrategy[UP, ID]) -> str | None:
    """Return what is weak about the secret of a strategy; None for a good one, and for pairs of keys."""
    return _problem(_text(strategy.secret)) if strategy.algorithm.startswith("HS") else None


def _text(secret: SecretType) -> str:
    return secret.get_secret_value() if isinstance(secret, SecretStr) else secret


# FastAPI Users makes a strategy for every request.
_problem = lru_cache(maxsize=16)(secret_key_problem)
