"""What each trick buys: the service without it, against the service."""

from contextlib import ExitStack

from rich.console import Console

from bench.database import Databases
from bench.load import CONNECTIONS, Generator
from bench.measure import Driven, Pace, take_turns
from bench.report import Section
from bench.servers import serving
from bench.suites.requests import SIZE, prepared
from bench.workload import Asked, Question, group, me, post

# By the names of the contenders: what it is, and where it stands.
TRICKS = {
    "shortcuts": "statements on the driver's connection, `_statements.py`",
    "idle connections": "connections checked out without a greenlet, `_statements.py`",
    "kept tokens": "verified access tokens are cached, `sessions/_tokens.py`",
    "plain objects": "users loaded without the ORM's loading machinery, `database/_objects.py`",
    "authenticator": "one user manager for all backends, `authentication`",
    "prefixes": "routers that match by their prefix, `app/api/prefixed.py`",
}
ON_POSTGRESQL_ALONE = {"idle connections"}
QUESTIONS = (
    Question("`GET /users/me`", me),
    Question("`GET /user-groups/{id}/users?limit=100`", group),
    Question("`GET /posts/{id}`", post),
)


def run(made: list[Databases], generator: Generator, pace: Pace, console: Console) -> Section:
    """Measure the service and, in turns with it, the service without each trick."""
    section = Section(
        "tricks",
        "What each optimization gains",
        f"One worker, {SIZE:,} users, {CONNECTIONS} connections, driven by {generator.name}; {pace.rounds} rounds of "
        f"{pace.seconds} s, alternating between the variants. The throughput of the service, divided by its throughput "
        "without this one optimization.",
        ("database", "optimization", *(question.name for question in QUESTIONS)),
    )
    for databases in made:
        database = databases.of_size(SIZE)
        name = "PostgreSQL" if databases.kind == "postgresql" else "SQLite"
        tricks = {
            trick: what
            for trick, what in TRICKS.items()
            if databases.kind == "postgresql" or trick not in ON_POSTGRESQL_ALONE
        }
        bought: dict[str, list[float]] = {trick: [] for trick in tricks}
        with ExitStack() as stack:
            programs = ["service", *(f"service without {trick}" for trick in tricks)]
            servers = [stack.enter_context(serving(program, database_url=database.url)) for program in programs]
            for question in QUESTIONS:
                with console.status(f"{databases.kind}: {question.name}"):
                    contenders = [
                        Driven(server, prepared(question, Asked(database.world, server))) for server in servers
                    ]
                    service, *others = take_turns(generator, contenders, pace)
                for trick, one in zip(tricks, others, strict=True):
                    bought[trick].append(service.throughput_against(one))
                    section.records.append(
                        {
                            "database": databases.kind,
                            "trick": trick,
                            "request": question.name.replace("`", ""),
                            "ratio": bought[trick][-1],
                        }
                    )
        for trick, what in tricks.items():
            section.rows.append((name, what, *(f"{ratio:.2f}" for ratio in bought[trick])))
            console.print(" ".join(section.rows[-1]), highlight=False)
    return section
