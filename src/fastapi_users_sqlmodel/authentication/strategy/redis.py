"""FastAPI Users' strategy of tokens in Redis; needs the extra `redis`."""

from typing import Any, Generic

from fastapi_users.authentication.strategy import redis
from fastapi_users.models import ID, UP

from fastapi_users_sqlmodel.authentication.strategy._lifetimes import require_lifetime

__all__ = ["RedisStrategy"]


class RedisStrategy(redis.RedisStrategy[UP, ID], Generic[UP, ID]):
    """FastAPI Users' strategy, which refuses lifetimes that Redis refuses at every login."""

    def __init__(
        self, redis: Any, lifetime_seconds: int | None = None, *, key_prefix: str = "fastapi_users_token:"
    ) -> None:
        """Keep them, as FastAPI Users does.

        Raises:
            ValueError: `lifetime_seconds` is zero or less.
        """
        require_lifetime("RedisStrategy", lifetime_seconds)
        super().__init__(redis, lifetime_seconds, key_prefix=key_prefix)
