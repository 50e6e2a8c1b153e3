"""What a request costs when there are more users: the same at every size, or nearly."""

from contextlib import ExitStack

from rich.console import Console

from bench.database import Databases
from bench.load import CONNECTIONS, Generator
from bench.measure import Driven, Measured, Pace, take_turns
from bench.report import Section
from bench.servers import serving
from bench.suites.requests import prepared
from bench.workload import Asked, Question, deep_page, group, login, me, skipped_page

SIZES = (1_000, 100_000, 1_000_000)
SMALL_SIZES = (1_000, 10_000)
GROWS_AT_MOST = 1.3

QUESTIONS = (
    Question("`GET /users/me`", me),
    Question("`POST /auth/jwt/login`, hash aside", login),
    Question("`GET /posts?after=…`, the 10,000th", deep_page),
    Question("`GET /posts?skip=10000`", skipped_page),
    Question("`GET /user-groups/{id}/users?limit=100`", group),
)


def run(
    made: list[Databases], generator: Generator, pace: Pace, console: Console, *, sizes: tuple[int, ...]
) -> Section:
    """Measure at every size, all sizes in turns."""
    section = Section(
        "growth",
        "Growth",
        f"One worker for each size, {CONNECTIONS} connections, driven by {generator.name}; {pace.rounds} rounds of "
        f"{pace.seconds} s, alternating between the sizes. Milliseconds per response (1/throughput), in parentheses "
        f"the CPU time of the server process. The last column is the highest ratio to {sizes[0]:,} users, as a median "
        f"of the rounds; the bound is {GROWS_AT_MOST}. Password hashing is turned off.",
        ("database", "request", *(f"{size:,} users" for size in sizes), "grows by"),
        plot="growth.svg",
        plot_of="Cost against the number of users",
    )
    for databases in made:
        with ExitStack() as stack:
            world_of = {}
            for size in sizes:
                database = databases.of_size(size)
                server = stack.enter_context(serving("service without hashing", database_url=database.url))
                world_of[size] = Asked(database.world, server)
            for question in QUESTIONS:
                with console.status(f"{databases.kind}: {question.name}"):
                    contenders = [Driven(asked.server, prepared(question, asked)) for asked in world_of.values()]
                    measured = take_turns(generator, contenders, pace)
                _add(section, databases.kind, question, dict(zip(sizes, measured, strict=True)))
                console.print(" ".join(section.rows[-1]), highlight=False)
    return section


def _add(section: Section, kind: str, question: Question, measured: dict[int, Measured]) -> None:
    smallest = next(iter(measured.values()))
    ratios = {size: smallest.throughput_against(one) for size, one in measured.items()}
    grown = max(ratios.values())
    cells = (f"{1000 / one.per_second:.2f} ({one.cpu_ms:.2f})" for one in measured.values())
    name = "PostgreSQL" if kind == "postgresql" else "SQLite"
    section.rows.append((name, question.name, *cells, f"{grown:.2f}"))
    for size, one in measured.items():
        section.records.append(
            {
                "database": kind,
                "request": question.name.replace("`", ""),
                "users": size,
                "milliseconds": 1000 / one.per_second,
                "cpu_ms": one.cpu_ms,
                "ratio": ratios[size],
                "required": GROWS_AT_MOST,
            }
        )
    if grown > GROWS_AT_MOST:
        section.missed.append(f"{kind}: {question.name} grows by {grown:.2f}, and not at most {GROWS_AT_MOST}.")
