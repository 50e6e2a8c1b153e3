"""Throttles in memory and in Valkey, and how many attempts they let pass."""

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Any

from fastapi_users_sqlmodel.throttling import Limit, Throttle, TooManyRequests

ANN: dict[str, Any] = {"account": "ann", "network": "203.0.113.7"}
REDIS = "fastapi_users_sqlmodel.throttling._redis"
PATIENTLY = "?socket_timeout=60&socket_connect_timeout=60"
SECOND = Limit(2, 1)


@dataclass
class Store:
    """Where is counted: in memory, whose time is moved, or in Valkey, where it passes."""

    make: Callable[..., Throttle]
    wait: Callable[[float], Awaitable[None]]


async def at_once[T](attempts: int, attempt: Callable[[int], Awaitable[T]]) -> list[T]:
    """Make attempts at the same time, and return what those came to that were not refused."""
    ended = await asyncio.gather(*(attempt(number) for number in range(attempts)), return_exceptions=True)
    assert [error for error in ended if isinstance(error, BaseException) and type(error) is not TooManyRequests] == []
    return [one for one in ended if not isinstance(one, BaseException)]


async def passed(throttle: Throttle, attempts: int = 20, /, **who: Any) -> int:
    """Return how many of these failed logins were let through, one after another."""
    count = 0
    for _ in range(attempts):
        try:
            await throttle.reserve_login(**{**ANN, **who})
        except TooManyRequests:
            continue
        count += 1
    return count
