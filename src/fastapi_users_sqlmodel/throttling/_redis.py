"""Counters that several processes share in Redis or Valkey."""

import asyncio
import logging
import math
import secrets
import time
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress

from fastapi_users_sqlmodel.exceptions import TooManyRequests
from fastapi_users_sqlmodel.throttling._counters import Counter, GiveBack

_log = logging.getLogger(__name__)

# In seconds. The last one covers what no socket timeout ends, such as resolving a name.
_CONNECTS_WITHIN = 0.5
_SAYS_SOMETHING_WITHIN = 0.5
_ANSWERS_WITHIN = 2.0

_ASK_AGAIN_AFTER = 5.0
_THREADS = 8


class Away(Exception):
    """Redis does not answer, or did not answer lately."""


# A window is {window: its name, count: how many}, and ends with its key. Redis runs a script without anything between.
_TAKE = """
local wait = 0
for i, key in ipairs(KEYS) do
    if tonumber(redis.call('HGET', key, 'count') or 0) >= tonumber(ARGV[2 * i]) then
        wait = math.max(wait, redis.call('PTTL', key), 1)
    end
end
local answer = {wait}
if wait == 0 then
    for i, key in ipairs(KEYS) do
        if redis.call('HINCRBY', key, 'count', 1) == 1 then
            redis.call('HSET', key, 'window', ARGV[1])
            redis.call('PEXPIRE', key, ARGV[2 * i + 1])
        end
        answer[i + 1] = redis.call('HGET', key, 'window')
    end
end
return answer
"""
_GIVE_BACK = """
for i, key in ipairs(KEYS) do
    local window = redis.call('HGET', key, 'window')
    if window and (ARGV[i] == 'any' or ARGV[i] == window) and redis.call('HINCRBY', key, 'count', -1) == 0 then
        redis.call('DEL', key)
    end
end
"""


class SharedCounters:
    """Windows that several processes share; every method may raise `Away`.

    Commands run in threads: a connection of asyncio belongs to the event loop that opened it, and can be neither used
    nor closed after the loop has ended.
    """

    def __init__(self, url: str) -> None:
        from redis import Redis, RedisError
        from redis.backoff import NoBackoff
        from redis.retry import Retry

        self._client = Redis.from_url(
            f"redis{url.removeprefix('valkey')}" if url.startswith("valkey") else url,
            socket_connect_timeout=_CONNECTS_WITHIN,
            socket_timeout=_SAYS_SOMETHING_WITHIN,
            # A repeated command may count twice.
            retry=Retry(NoBackoff(), 0),
            max_connections=_THREADS,
        )
        # An unknown option raises now, and not at the first sign-in.
        self._client.connection_pool.connection_class(**self._client.connection_pool.connection_kwargs)
        self._take = self._client.register_script(_TAKE)
        self._give_back = self._client.register_script(_GIVE_BACK)
        # A timeout is an OSError, and what is no answer of Redis or no name of a host is a ValueError.
        self._errors = (RedisError, OSError, ValueError)
        self._executor = ThreadPoolExecutor(_THREADS, thread_name_prefix="throttling")
        self._outages = 0
        self._is_away = False
        self._ask_again_at = 0.0

    async def take(self, counters: Sequence[Counter]) -> GiveBack:
        keys = [key for key, _ in counters]
        bounds = [bound for _, limit in counters for bound in (limit.amount, limit.seconds * 1000)]
        wait, *windows = await self._ask(lambda: self._take(keys, [secrets.token_hex(8), *bounds]))
        if wait:
            raise TooManyRequests(math.ceil(wait / 1000))

        async def give_back() -> None:
            # If Redis has lost the count, or does not answer, the count ends with its window.
            with suppress(Away):
                await self._ask(lambda: self._give_back(keys, windows))

        return give_back

    async def give_back_one(self, counter: Counter) -> None:
        await self._ask(lambda: self._give_back([counter.key], ["any"]))

    async def clear(self, counter: Counter) -> None:
        await self._ask(lambda: self._client.delete(counter.key))

    async def close(self) -> None:
        self._client.close()

    async def _ask[T](self, question: Callable[[], T]) -> T:
        if self._is_away:
            if time.monotonic() < self._ask_again_at:
                raise Away
            # This request tries Redis again, and may have to wait; the others do not.
            self._ask_again_at = time.monotonic() + _ASK_AGAIN_AFTER
        outages = self._outages

        def ask() -> T:
            # A request that has waited for a thread does not wait for Redis as well, if it failed meanwhile.
            if self._outages != outages:
                raise Away
            try:
                return question()
            except self._errors:
                self._outages += 1
                raise

        try:
            answer = await asyncio.wait_for(asyncio.wrap_future(self._executor.submit(ask)), _ANSWERS_WITHIN)
        except self._errors as error:
            self._outages += 1
            self._ask_again_at = time.monotonic() + _ASK_AGAIN_AFTER
            if not self._is_away:
                self._is_away = True
                # Its message may show an address, or a key.
                _log.warning("Redis is away (%s): until it is back, each process counts alone", type(error).__name__)
            raise Away from error
        if self._is_away:
            self._is_away = False
            _log.info("Redis is back: the processes count together again")
        return answer
