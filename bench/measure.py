"""Take turns, so that what the machine does meanwhile is done to everybody; then compare within each round."""

import statistics
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from bench.load import CONNECTIONS, Generator, Refreshes, Request
from bench.servers import Server

type Load = list[Request] | Refreshes


@dataclass(frozen=True, slots=True)
class Pace:
    """How long and how often."""

    rounds: int
    seconds: int
    warm_up: int = 1


@dataclass(frozen=True, slots=True)
class Driven:
    """A server, and what it is asked; for chains of tokens, what it is asked in each round is another thing."""

    server: Server
    load: Callable[[], Load]
    # How many requests make one answer: a walk through ten pages is ten.
    unit: int = 1
    connections: int = CONNECTIONS


@dataclass(frozen=True, slots=True)
class Sample:
    """How many answers came in a second, and how much CPU time the server took for each."""

    per_second: float
    cpu_ms: float


@dataclass(frozen=True, slots=True)
class Measured:
    """The samples of one server, one for each round."""

    samples: tuple[Sample, ...]

    @property
    def per_second(self) -> float:
        """The median of answers in a second."""
        return statistics.median(sample.per_second for sample in self.samples)

    @property
    def cpu_ms(self) -> float:
        """The median of the server's CPU time for an answer."""
        return statistics.median(sample.cpu_ms for sample in self.samples)

    def throughput_against(self, other: "Measured") -> float:
        """Return the median of the rounds' ratios."""
        pairs = zip(self.samples, other.samples, strict=True)
        return statistics.median(mine.per_second / theirs.per_second for mine, theirs in pairs)

    def cpu_against(self, other: "Measured") -> float:
        """Return the median of the rounds' ratios."""
        pairs = zip(self.samples, other.samples, strict=True)
        return statistics.median(mine.cpu_ms / theirs.cpu_ms for mine, theirs in pairs)


def take_turns(
    generator: Generator, contenders: Sequence[Driven], pace: Pace, *, seconds: int | None = None
) -> list[Measured]:
    """Drive one contender after another, round by round: A B A B."""
    for driven in contenders:
        _drive(generator, driven, pace.warm_up)
    samples: list[list[Sample]] = [[] for _ in contenders]
    for _ in range(pace.rounds):
        for driven, taken in zip(contenders, samples, strict=True):
            taken.append(_drive(generator, driven, seconds or pace.seconds))
    return [Measured(tuple(taken)) for taken in samples]


def _drive(generator: Generator, driven: Driven, seconds: int) -> Sample:
    load, before = driven.load(), driven.server.cpu_seconds()
    answers = generator.drive(driven.server.port, load, seconds=seconds, connections=driven.connections)
    cpu = driven.server.cpu_seconds() - before
    count = answers.count / driven.unit
    return Sample(count / answers.seconds, cpu * 1000 / count)
