"""How many answers a second, against the limit on PostgreSQL and against the seed's pattern on SQLite."""

from collections.abc import Callable, Iterator
from contextlib import ExitStack
from itertools import batched

from rich.console import Console

from bench.database import Database, Databases
from bench.load import CONNECTIONS, Generator, Refreshes
from bench.measure import Driven, Load, Measured, Pace, take_turns
from bench.report import Section
from bench.servers import Server, serving
from bench.workload import QUESTIONS, REFRESH, Asked, Question, ask

SIZE = 10_000
CHAINS = 32
# The whole walk of one person is among them.
COMPARED = 10
# Whom the service is compared with; the second one of SQLite is there for information.
OPPONENTS = {"postgresql": ("limit",), "sqlite": ("naive", "limit of reads")}


def run(made: list[Databases], generator: Generator, pace: Pace, console: Console) -> Section:
    """Measure every request on every database."""
    section = Section(
        "requests",
        "Requests",
        f"One worker each, {SIZE:,} users in groups of 100, {CONNECTIONS} connections, driven by {generator.name}; "
        f"{pace.rounds} rounds of {pace.seconds} s, alternating between the contenders. Responses per second are "
        "medians, and the ratio is the median of the rounds' ratios: the service's throughput divided by the other "
        "contender's. Bounds apply to `limit` on PostgreSQL and to `naive` on SQLite; `limit of reads` is for "
        "information. CPU is the time of the server process for one response, in milliseconds.",
        ("database", "request", "service/s", "other", "other/s", "ratio", "bound", "service CPU", "other CPU"),
    )
    for databases in made:
        database, contenders = databases.of_size(SIZE), ("service", *OPPONENTS[databases.kind])
        with ExitStack() as stack:
            servers = {name: stack.enter_context(serving(name, database_url=database.url)) for name in contenders}
            _require_same_answers(database, servers)
            tokens = batched(database.world.refresh_tokens, CHAINS, strict=False)

            def chains(tokens: Iterator[tuple[str, ...]] = tokens) -> Load:
                return Refreshes(next(tokens))

            for question in QUESTIONS:
                if question is REFRESH and not generator.refreshes:
                    continue
                asked_of = [server for name, server in servers.items() if question.is_known_to(name)]
                with console.status(f"{database.kind}: {question.name}"):
                    driven = [
                        Driven(
                            server,
                            chains if question is REFRESH else prepared(question, Asked(database.world, server)),
                            1 if server.name == "naive" else question.pages,
                        )
                        for server in asked_of
                    ]
                    measured = take_turns(generator, driven, pace, seconds=question.seconds)
                mine, *others = measured
                names = [server.name for server in asked_of[1:]]
                for opponent in zip(names, others, strict=True) if others else [None]:
                    _add(section, database.kind, question, mine, opponent)
                    console.print(" ".join(section.rows[-1]), highlight=False)
    return section


def prepared(question: Question, asked: Asked) -> Callable[[], Load]:
    """Make the requests of a question, and see that the first is answered well."""
    requests = question.requests(asked) if question.requests is not None else []
    ask(asked.server, requests[0])
    return lambda: requests


def _require_same_answers(database: Database, servers: dict[str, Server]) -> None:
    """Compare what service and limit answer, byte by byte; of what is created, the number and the time are another's.

    Raises:
        SystemExit: They differ, and a comparison of their speed would mean nothing.
    """
    by_hand = next(name for name in servers if name.startswith("limit"))
    compared = [servers["service"], servers[by_hand]]
    for question in QUESTIONS:
        if question.requests is None or not question.is_known_to(by_hand):
            continue
        loads = [question.requests(Asked(database.world, server))[:COMPARED] for server in compared]
        for requests in zip(*loads, strict=True):
            first, second = (ask(server, request) for server, request in zip(compared, requests, strict=True))
            same = first.headers.get("link") == second.headers.get("link") and first.status_code == second.status_code
            if requests[0].method == "GET":
                same = same and first.content == second.content
            else:
                same = same and list(first.json()) == list(second.json())
            if not same:
                raise SystemExit(f"{requests[0].path}: service and {by_hand} answer differently.")


def _add(
    section: Section, kind: str, question: Question, mine: Measured, opponent: tuple[str, Measured] | None
) -> None:
    name, theirs = opponent or (None, None)
    required = {"limit": question.of_limit, "naive": question.times_naive}.get(name or "")
    ratio = mine.throughput_against(theirs) if theirs is not None else None
    section.rows.append(
        (
            "PostgreSQL" if kind == "postgresql" else "SQLite",
            question.name,
            f"{mine.per_second:,.0f}",
            name or "-",
            f"{theirs.per_second:,.1f}" if theirs is not None else "-",
            f"{ratio:.2f}" if ratio is not None else "-",
            f"≥ {required:g}" if required is not None else "-",
            f"{mine.cpu_ms:.2f}",
            f"{theirs.cpu_ms:.2f}" if theirs is not None else "-",
        )
    )
    section.records.append(
        {
            "database": kind,
            "request": question.name.strip("`"),
            "service_per_second": mine.per_second,
            "service_cpu_ms": mine.cpu_ms,
            "against": name,
            "against_per_second": theirs.per_second if theirs is not None else None,
            "against_cpu_ms": theirs.cpu_ms if theirs is not None else None,
            "ratio": ratio,
            "required": required,
        }
    )
    if ratio is not None and required is not None and ratio < required:
        section.missed.append(f"{kind}: {question.name} reaches {ratio:.2f} of {name}, and not {required:g}.")
