"""What 20 simultaneous logins do to everybody else."""

import asyncio
import statistics
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

import httpx2
from rich.console import Console

from bench.database import Database, Databases
from bench.environment import ROOT
from bench.report import Section
from bench.servers import Server, serving
from bench.suites.requests import SIZE
from bench.world import PASSWORD

LOGINS_AT_ONCE = 20
LIVE, ME = "/health/live", "/users/me"
LIVE_P99_MS = 50.0
ME_AT_MOST = 2.0


@dataclass(frozen=True, slots=True)
class Row:
    """How long a request took, at peace and under fire, in milliseconds."""

    path: str
    peace: list[float]
    fire: list[float]
    logins_per_second: float

    @property
    def ratio(self) -> float:
        """How many times as long the median is under fire."""
        return statistics.median(self.fire) / statistics.median(self.peace)


def run(made: list[Databases], console: Console, *, seconds: float) -> Section:
    """Measure on every database."""
    section = Section(
        "under fire",
        "Sign-ins under load",
        f"One worker, {SIZE:,} users. A request every 10 ms, first without other load, then during {LOGINS_AT_ONCE} "
        f"concurrent sign-ins for {seconds:.0f} s. Milliseconds. Bounds under load: {LIVE_P99_MS:.0f} for the 99th "
        f"percentile of `{LIVE}`, and {ME_AT_MOST:g} times the median without load for `{ME}`.",
        (
            "database",
            "request",
            *("median", "p99", "max"),
            *("under load: median", "p99", "max"),
            "ratio of medians",
            "sign-ins/s",
        ),
    )
    for databases in made:
        database = databases.of_size(SIZE)
        with serving("service", database_url=database.url) as server:
            for path in (LIVE, ME):
                with console.status(f"{databases.kind}: {path} under fire"):
                    row = _measure(database, server, path, seconds)
                _add(section, databases.kind, row)
                console.print(" ".join(section.rows[-1]), highlight=False)
    return section


def _measure(database: Database, server: Server, path: str, seconds: float) -> Row:
    token = database.world.viewers[0].token
    url = f"http://127.0.0.1:{server.port}"
    peace = asyncio.run(ask_again_and_again(url, path, token, seconds))
    with _fire(url, database.world.emails[:LOGINS_AT_ONCE]) as statuses:
        under_fire = asyncio.run(ask_again_and_again(url, path, token, seconds))
    if set(statuses) != {"200"}:
        raise SystemExit(f"A login failed: {set(statuses)}")
    return Row(path, peace, under_fire, len(statuses) / seconds)


@contextmanager
def _fire(url: str, emails: list[str]) -> Iterator[list[str]]:
    """Sign in from another process, so that it is the service that is measured; the statuses are there afterwards."""
    statuses: list[str] = []
    arguments = [sys.executable, "-m", "bench.suites.under_fire", url, *emails]
    fire = subprocess.Popen(arguments, cwd=ROOT, stdout=subprocess.PIPE, text=True)  # noqa: S603  # Our own program
    assert fire.stdout is not None  # noqa: S101  # It is a pipe
    try:
        for _ in range(LOGINS_AT_ONCE):
            fire.stdout.readline()  # All of them have come through once.
        yield statuses
    finally:
        fire.terminate()
        statuses += fire.stdout.read().split()
        fire.wait(30)


async def ask_again_and_again(url: str, path: str, token: str, seconds: float) -> list[float]:
    """Ask every 10 ms for a while, and return how long each answer took."""
    times = []
    async with httpx2.AsyncClient(base_url=url, timeout=60, headers={"Authorization": f"Bearer {token}"}) as client:
        end = time.monotonic() + seconds
        while time.monotonic() < end:
            began = time.perf_counter()
            (await client.get(path)).raise_for_status()
            times.append((time.perf_counter() - began) * 1000)
            await asyncio.sleep(0.01)
    return times


async def sign_in_for_ever(url: str, emails: list[str]) -> None:
    """Sign in as all of them at once, again and again, and print a line for each; ended by whoever started it."""
    async with httpx2.AsyncClient(base_url=url, timeout=60) as client:

        async def again_and_again(email: str) -> None:
            while True:
                response = await client.post("/auth/jwt/login", data={"username": email, "password": PASSWORD})
                print(response.status_code, flush=True)  # noqa: T201  # The other process counts

        await asyncio.gather(*map(again_and_again, emails))


def _add(section: Section, kind: str, row: Row) -> None:
    summaries = [(statistics.median(times), _p99(times), max(times)) for times in (row.peace, row.fire)]
    cells = [f"{value:.1f}" for summary in summaries for value in summary]
    name = "PostgreSQL" if kind == "postgresql" else "SQLite"
    section.rows.append((name, f"`GET {row.path}`", *cells, f"{row.ratio:.2f}", f"{row.logins_per_second:.0f}"))
    names = ("median", "p99", "max")
    section.records.append(
        {
            "database": kind,
            "request": f"GET {row.path}",
            "peace_ms": dict(zip(names, summaries[0], strict=True)),
            "fire_ms": dict(zip(names, summaries[1], strict=True)),
            "ratio": row.ratio,
            "logins_per_second": row.logins_per_second,
        }
    )
    if row.path == LIVE and (p99 := _p99(row.fire)) > LIVE_P99_MS:
        section.missed.append(f"{kind}: {LIVE} under fire takes {p99:.0f} ms at the 99th percentile.")
    if row.path == ME and row.ratio > ME_AT_MOST:
        section.missed.append(f"{kind}: {ME} under fire takes {row.ratio:.2f} times as long, and not {ME_AT_MOST:g}.")


def _p99(times: list[float]) -> float:
    return statistics.quantiles(times, n=100)[98]


if __name__ == "__main__":
    asyncio.run(sign_in_for_ever(sys.argv[1], sys.argv[2:]))
