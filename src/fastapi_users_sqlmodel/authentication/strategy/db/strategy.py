"""FastAPI Users' strategy of tokens in the database."""

from typing import Generic

from fastapi_users.authentication.strategy.db import AP, AccessTokenDatabase
from fastapi_users.authentication.strategy.db import strategy as upstream
from fastapi_users.models import ID, UP

from fastapi_users_sqlmodel.authentication.strategy._lifetimes import require_lifetime

__all__ = ["DatabaseStrategy"]


class DatabaseStrategy(upstream.DatabaseStrategy[UP, ID, AP], Generic[UP, ID, AP]):
    """FastAPI Users' strategy, which refuses a lifetime of 0 instead of reading it as none."""

    def __init__(self, database: AccessTokenDatabase[AP], lifetime_seconds: int | None = None) -> None:
        """Keep them, as FastAPI Users does.

        Raises:
            ValueError: `lifetime_seconds` is zero or less.
        """
        require_lifetime("DatabaseStrategy", lifetime_seconds)
        super().__init__(database, lifetime_seconds)
