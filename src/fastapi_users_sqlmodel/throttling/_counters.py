"""Limits, counters for one process in windows of time, and the place of an attempt in them."""

import asyncio
import logging
import math
import threading
import time
from collections import OrderedDict, defaultdict
from collections.abc import Awaitable, Callable, Coroutine, Sequence
from dataclasses import dataclass
from types import TracebackType
from typing import Any, NamedTuple, Protocol, Self

from fastapi_users_sqlmodel.exceptions import TooManyRequests

_log = logging.getLogger(__name__)

type GiveBack = Callable[[], Awaitable[None]]


class Limit(NamedTuple):
    """How many in a window of how many seconds; the window begins with the first that is counted in it."""

    amount: int
    seconds: int


class Counter(NamedTuple):
    """A hashed key, and its limit."""

    key: str
    limit: Limit


class Counters(Protocol):
    """A store of windows."""

    async def take(self, counters: Sequence[Counter]) -> GiveBack:
        """Count one in every counter, or in none if one has reached its limit; return a function that undoes this.

        Raises:
            TooManyRequests: A limit is reached; its time is that of the last such window to end.
        """

    async def give_back_one(self, counter: Counter) -> None:
        """Subtract one from the present window, if there is one."""

    async def clear(self, counter: Counter) -> None:
        """End the present window."""


@dataclass(slots=True, eq=False)
class _Window:
    ends: float
    count: int = 0

    def has_ended(self, now: float, seconds: int) -> bool:
        # A window that ends later than one that begins now is from before the clock was set back.
        return not now < self.ends <= now + seconds


class Memory:
    """Windows in the memory of this process, for all threads and event loops; they are removed when they end."""

    def __init__(self) -> None:
        # Grouped by length in seconds: windows of one length end in the order in which they began.
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
                    # A window that began since has not counted this one.
                    if self._windows[counter.limit.seconds].get(counter.key) is window:
                        self._give_back_one(counter)

        return give_back

    async def give_back_one(self, counter: Counter) -> None:
        with self._lock:
            self._forget_ended(time.time())
            self._give_back_one(counter)

    async def clear(self, counter: Counter) -> None:
        with self._lock:
            self._windows[counter.limit.seconds].pop(counter.key, None)

    def _find(self, counter: Counter, now: float) -> _Window | None:
        seconds = counter.limit.seconds
        window = self._windows[seconds].get(counter.key)
        return None if window is None or window.has_ended(now, seconds) else window

    def _begin(self, counter: Counter, now: float) -> _Window:
        seconds = counter.limit.seconds
        windows = self._windows[seconds]
        windows.pop(counter.key, None)
        windows[counter.key] = _Window(now + seconds)
        return windows[counter.key]

    def _give_back_one(self, counter: Counter) -> None:
        windows = self._windows[counter.limit.seconds]
        if (window := windows.get(counter.key)) is not None:
            window.count -= 1
            if window.count == 0:
                del windows[counter.key]

    def _forget_ended(self, now: float) -> None:
        for seconds, windows in self._windows.items():
            while windows and next(iter(windows.values())).has_ended(now, seconds):
                windows.popitem(last=False)


class Background:
    """Short tasks that go on after their request was cancelled."""

    def __init__(self) -> None:
        # The event loop itself keeps only weak references to tasks.
        self._tasks: set[asyncio.Task[Any]] = set()

    def start(self, work: Coroutine[Any, Any, Any]) -> asyncio.Task[Any]:
        """Run work in a task of its own; what it raises is logged."""
        task = asyncio.create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._end)
        return task

    async def finish(self) -> None:
        """Wait for the work of this event loop, at shutdown."""
        loop = asyncio.get_running_loop()
        if tasks := [task for task in list(self._tasks) if task.get_loop() is loop]:
            await asyncio.wait(tasks)

    def _end(self, task: asyncio.Task[Any]) -> None:
        self._tasks.discard(task)
        if not task.cancelled() and (error := task.exception()) is not None:
            _log.warning("A failed login could not be counted to the end", exc_info=error)


class Reservation:
    """The place of one sign-in among those that may fail.

    As a context manager, it gives the place back at the end of its block, also after an error or a cancellation, unless
    `keep` was called: only a wrong password is a failed sign-in.
    """

    def __init__(self, give_back: GiveBack | None = None, background: Background | None = None) -> None:
        self._give_back = give_back
        self._background = background or Background()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        if self._give_back is not None:
            # In a task, so that a cancelled request gives it back too.
            await asyncio.wait([self._background.start(self.give_back())])

    def keep(self) -> None:
        """Keep the place taken, because the password is wrong."""
        self._give_back = None

    async def give_back(self) -> None:
        """Count no failure, because the password was right or not verified; idempotent."""
        give_back, self._give_back = self._give_back, None
        if give_back is not None:
            await give_back()

    async def decide[T](self, verification: Coroutine[Any, Any, T], *, has_failed: Callable[[T], bool]) -> T:
        """Return the result of a verification, and keep the place if it has failed.

        A cancelled request does not end the verification, and its result counts: otherwise a client that disconnects
        could try passwords without being counted.
        """
        task = asyncio.ensure_future(verification)
        try:
            await asyncio.wait([task])
        except asyncio.CancelledError:
            left = Reservation(self._give_back, self._background)
            self.keep()
            self._background.start(left._decide_later(task, has_failed))
            raise
        result = task.result()
        if has_failed(result):
            self.keep()
        return result

    async def _decide_later[T](self, task: asyncio.Future[T], has_failed: Callable[[T], bool]) -> None:
        async with self:
            if has_failed(await task):
                self.keep()
