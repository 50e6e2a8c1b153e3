"""The earliest time of the response to a refused sign-in: that of the slowest accepted password scheme."""

import asyncio
import threading
import time
from collections.abc import Sequence
from concurrent.futures import Executor, Future

from pwdlib.hashers import HasherProtocol

# Seconds, for each scheme at least.
_MEASURED_FOR = 0.2
# A verification with the dearest scheme takes a little longer than when it was measured, most of the time.
_MARGIN = 1.25
# How many verifications the present load of the machine is told by, and how much of it counts.
_REMEMBERED = 8
_FASTEST, _SLOWEST = 0.25, 4.0
# Seconds, so that a machine that stood still while it measured does not keep people waiting.
_LONGEST = 10.0


class Deadline:
    """The time that every refusal takes, whatever its verification took.

    It depends on the accepted schemes and on the machine, never on the account. A waiting request uses neither a thread
    nor a database connection. The time counts from the moment a thread begins to verify: the time in the queue depends
    on other requests, and is added for every account.

    Args:
        schemes: The accepted schemes, today's first. Each is measured once, when the first refusal waits.
        executor: The threads that hash, which measure as well.
    """

    def __init__(self, schemes: Sequence[HasherProtocol], executor: Executor) -> None:
        self._schemes = schemes
        self._executor = executor
        self._lock = threading.Lock()
        self._measurements: list[Future[float]] = []
        # Seconds for each scheme, when all are measured.
        self._costs: list[float] = []
        # The recent time of today's scheme, divided by the measured one. It is taken for the slowest scheme's too.
        self._pace = 1.0

    async def wait(self, began: float, *, verifications: int = 1) -> None:
        """Wait until a refusal may be answered.

        Args:
            began: The monotonic clock's time when its verification began.
            verifications: How many the dearest scheme would have needed.
        """
        if not self._costs:
            # Shielded, because others wait for the same measurements.
            self._costs = [await asyncio.shield(asyncio.wrap_future(one)) for one in self._measure()]
        await asyncio.sleep(began + self.seconds * verifications - time.monotonic())

    @property
    def seconds(self) -> float:
        """How long a refusal takes at present, from the begin of its verification."""
        return min(max(self._costs) * _MARGIN * min(max(self._pace, _FASTEST), _SLOWEST), _LONGEST)

    def record(self, seconds: float) -> None:
        """Record how long a verification with today's scheme took: it shows how busy the machine is."""
        if self._costs:
            self._pace += (seconds / self._costs[0] - self._pace) / _REMEMBERED

    def _measure(self) -> Sequence[Future[float]]:
        with self._lock:
            if not self._measurements:
                self._measurements = [self._executor.submit(_cost, scheme) for scheme in self._schemes]
            return self._measurements


def _cost(scheme: HasherProtocol) -> float:
    """Return the seconds of a verification: the mean, because short ones would otherwise show less of the load."""
    stored, began, runs = scheme.hash("the password"), time.monotonic(), 0
    while runs == 0 or time.monotonic() - began < _MEASURED_FOR:
        scheme.verify("another", stored)
        runs += 1
    return (time.monotonic() - began) / runs
