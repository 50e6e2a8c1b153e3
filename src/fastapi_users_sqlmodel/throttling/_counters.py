"""Counts in windows of time, in this process."""

import math
import threading
import time
from collections import OrderedDict, defaultdict
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from typing import NamedTuple, Protocol

from limits import RateLimitItem

from fastapi_users_sqlmodel.exceptions import TooManyRequests

type GiveBack = Callable[[], Awaitable[None]]


class Counter(NamedTuple):
    """What is counted under a key that says nothing, and up to where."""

    key: str
    limit: RateLimitItem


class Counters(Protocol):
    """Where windows are kept."""

    async def take(self, counters: Sequence[Counter]) -> GiveBack:
        """Count one in all of them or, when one has reached its limit, in none; return what undoes just that.

        Raises:
            TooManyRequests: One has reached its limit; it can be tried again when the last such window has ended.
        """

    async def give_back_one(self, counter: Counter) -> None:
        """Count one less in the present window, if it has any."""

    async def clear(self, counter: Counter) -> None:
        """End the present window."""


@dataclass(slots=True, eq=False)
class _Window:
    ends: float
    count: int = 0

    def has_ended(self, now: float, seconds: int) -> bool:
        # One that ends later than if it began now is from before the clock was set back.
        return not now < self.ends <= now + seconds


class Memory:
    """Windows in this process: for any thread and event loop, and no longer than they last."""

    def __init__(self) -> None:
        # By their length in seconds, because those of one length end in the order in which they began.
        self._windows: defaultdict[int, OrderedDict[str, _Window]] = defaultdict(OrderedDict)
        self._lock = threading.Lock()

    async def take(self, counters: Sequence[Counter]) -> GiveBack:
        now = time.time()
        with self._lock:
            self._forget_ended(now)
            found = [self._find(counter, now) for counter in counters]
            full = [
                window.ends if window is not None else now
                for window, (_, limit) in zip(found, counters, strict=True)
                if (window.count if window is not None else 0) >= limit.amount
            ]
            if full:
                raise TooManyRequests(math.ceil(max(full) - now))
            taken = [
                (counter, window if window is not None else self._begin(counter, now))
                for window, counter in zip(found, counters, strict=True)
            ]
            for _, window in taken:
                window.count += 1

        async def give_back() -> None:
            with self._lock:
                for counter, window in taken:
                    # Another window is none of this one's business.
                    if self._windows[counter.limit.get_expiry()].get(counter.key) is window:
                        self._give_back_one(counter)

        return give_back

    async def give_back_one(self, counter: Counter) -> None:
        with self._lock:
            self._forget_ended(time.time())
            self._give_back_one(counter)

    async def clear(self, counter: Counter) -> None:
        with self._lock:
            self._windows[counter.limit.get_expiry()].pop(counter.key, None)

    def _find(self, counter: Counter, now: float) -> _Window | None:
        seconds = counter.limit.get_expiry()
        window = self._windows[seconds].get(counter.key)
        return None if window is None or window.has_ended(now, seconds) else window

    def _begin(self, counter: Counter, now: float) -> _Window:
        seconds = counter.limit.get_expiry()
        windows = self._windows[seconds]
        windows.pop(counter.key, None)
        windows[counter.key] = _Window(now + seconds)
        return windows[counter.key]

    def _give_back_one(self, counter: Counter) -> None:
        windows = self._windows[counter.limit.get_expiry()]
        if (window := windows.get(counter.key)) is not None:
            window.count -= 1
            if window.count == 0:
                del windows[counter.key]

    def _forget_ended(self, now: float) -> None:
        for seconds, windows in self._windows.items():
            while windows and next(iter(windows.values())).has_ended(now, seconds):
                windows.popitem(last=False)
