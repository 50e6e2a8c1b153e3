"""The place of a login among those that may fail, until it is known whether this one did."""

import asyncio
import logging
from collections.abc import Callable, Coroutine
from types import TracebackType
from typing import Any, Self

from fastapi_users_sqlmodel.throttling._counters import GiveBack

_log = logging.getLogger(__name__)


class Background:
    """Short work that goes on after the request that began it was cancelled."""

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
    """The place of one login among those that may fail.

    As a context manager, it gives the place back at the end of its block, even by an error or a cancellation, unless
    `keep` was called: only a wrong password is a failed login.
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
            # In a task, because whoever is cancelled gives it back too.
            await asyncio.wait([self._background.start(self.give_back())])

    def keep(self) -> None:
        """Let the place stay taken: the password is wrong."""
        self._give_back = None

    async def give_back(self) -> None:
        """Count no failure: the password was right, or nobody looked at it. A second time changes nothing."""
        give_back, self._give_back = self._give_back, None
        if give_back is not None:
            await give_back()

    async def decide[T](self, verification: Coroutine[Any, Any, T], *, has_failed: Callable[[T], bool]) -> T:
        """Return what a verification comes to, and keep the place if it has failed.

        A cancellation does not end the verification, and its result counts as ever: otherwise a client could try
        passwords without being counted, by going away.
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
