"""What a request costs each worker when there are more of them, on PostgreSQL."""

import os
from contextlib import ExitStack

from rich.console import Console

from bench.database import Databases
from bench.load import CONNECTIONS, Generator
from bench.measure import Driven, Pace, take_turns
from bench.report import Section
from bench.servers import serving
from bench.suites.requests import SIZE, prepared
from bench.workload import Asked, Question, group, me, new_item, post

COSTS_AT_MOST = 1.1
# Beside four workers, the database and the generator want a core as well.
CORES_FOR_FOUR = 5

QUESTIONS = (
    Question("`GET /users/me`", me),
    Question("`GET /user-groups/{id}/users?limit=100`", group),
    Question("`POST /items`", new_item),
    Question("`GET /posts/{id}`", post),
)


def run(made: list[Databases], generator: Generator, pace: Pace, console: Console) -> Section:
    """Measure with one worker and with several, in turns."""
    cores = os.process_cpu_count() or 1
    counts = (1, 2, 4) if cores >= CORES_FOR_FOUR else (1, 2)
    four = "" if 4 in counts else f" Four workers need {CORES_FOR_FOUR} cores; this machine has {cores}."
    section = Section(
        "workers",
        "Workers",
        f"PostgreSQL, {SIZE:,} users, {CONNECTIONS} connections for each worker, driven by {generator.name}; "
        f"{pace.rounds} rounds of {pace.seconds} s, alternating. The ratio compares the CPU time per response, of all "
        f"processes of the service together, with one worker; the bound is {COSTS_AT_MOST}.{four}",
        ("request", "workers", "responses/s", "CPU ms", "ratio"),
    )
    database = next((one.of_size(SIZE) for one in made if one.kind == "postgresql"), None)
    if database is None:
        return section
    with ExitStack() as stack:
        servers = [
            stack.enter_context(serving("service", database_url=database.url, workers=count)) for count in counts
        ]
        for question in QUESTIONS:
            with console.status(f"workers: {question.name}"):
                contenders = [
                    Driven(server, prepared(question, Asked(database.world, server)), connections=CONNECTIONS * count)
                    for server, count in zip(servers, counts, strict=True)
                ]
                measured = take_turns(generator, contenders, pace)
            for count, one in zip(counts, measured, strict=True):
                ratio = one.cpu_against(measured[0])
                cells = (f"{one.per_second:,.0f}", f"{one.cpu_ms:.2f}", f"{ratio:.2f}")
                section.rows.append((question.name, str(count), *cells))
                section.records.append(
                    {
                        "request": question.name.replace("`", ""),
                        "workers": count,
                        "per_second": one.per_second,
                        "cpu_ms": one.cpu_ms,
                        "ratio": ratio,
                        "required": COSTS_AT_MOST if count == 2 else None,
                    }
                )
                console.print(" ".join(section.rows[-1]), highlight=False)
                if count == 2 and ratio > COSTS_AT_MOST:
                    section.missed.append(
                        f"{question.name} costs {ratio:.2f} times the CPU with two workers, and not {COSTS_AT_MOST}."
                    )
    return section
