"""How long it takes from `python main.py` to the first answer, on a database that exists."""

import contextlib
import socket
import statistics
import tempfile
import time

from rich.console import Console

from bench.database import Databases
from bench.report import Section
from bench.servers import free_port, spawn, stop
from bench.suites.requests import SIZE

STARTS = 5
STARTS_WITHIN = 2.0
GIVE_UP_AFTER = 60.0
REQUEST = b"GET /posts/1 HTTP/1.1\r\nHost: 127.0.0.1\r\nConnection: close\r\n\r\n"


def run(made: list[Databases], console: Console) -> Section:
    """Start several times on each database."""
    section = Section(
        "start",
        "Start",
        f"`python main.py` on a database of {SIZE:,} users, from the start of the process to the end of the response "
        f"to `GET /posts/1`. Seconds, of {STARTS} starts; the bound for the median is {STARTS_WITHIN:g}.",
        ("database", "fastest", "median", "slowest"),
    )
    for databases in made:
        database = databases.of_size(SIZE)
        with console.status(f"{databases.kind}: starting"):
            times = [_first_answer(database.url) for _ in range(STARTS)]
        median = statistics.median(times)
        name = "PostgreSQL" if databases.kind == "postgresql" else "SQLite"
        section.rows.append((name, *(f"{value:.2f}" for value in (min(times), median, max(times)))))
        section.records.append(
            {"database": databases.kind, "seconds": times, "median": median, "required": STARTS_WITHIN}
        )
        console.print(" ".join(section.rows[-1]), highlight=False)
        if median > STARTS_WITHIN:
            section.missed.append(f"{databases.kind}: a start takes {median:.2f} s, and not at most {STARTS_WITHIN:g}.")
    return section


def _first_answer(database_url: str) -> float:
    """Start, ask until somebody answers, and return how long that took.

    Raises:
        RuntimeError: Nobody does, in a minute, or not with success.
    """
    with tempfile.TemporaryDirectory(prefix="bench-") as folder:
        port = free_port()
        began = time.perf_counter()
        process = spawn("service", database_url=database_url, folder=folder, port=port)
        try:
            while time.perf_counter() - began < GIVE_UP_AFTER:
                # Nobody listens yet, or somebody who has stopped listening again: main.py tries the port first.
                with contextlib.suppress(OSError):
                    if answer := _ask(port):
                        if not answer.startswith(b"HTTP/1.1 200 "):
                            raise RuntimeError(f"The first answer is {answer.partition(b'\r\n')[0].decode()}.")
                        return time.perf_counter() - began
                time.sleep(0.005)
        finally:
            stop(process)
    raise RuntimeError("The service does not answer.")


def _ask(port: int) -> bytes:
    with socket.create_connection(("127.0.0.1", port), timeout=10) as connection:
        connection.sendall(REQUEST)
        return b"".join(iter(lambda: connection.recv(65536), b""))
