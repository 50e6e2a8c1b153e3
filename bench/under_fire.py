"""What 20 simultaneous logins do to everybody else: python -m bench.under_fire [--write]."""

import argparse
import asyncio
import os
import platform
import secrets
import socket
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import httpx2

from tests.postgres import postgres_database, postgres_server

ROOT = Path(__file__).parents[1]
PERFORMANCE = ROOT / "docs" / "performance.md"
BEGIN, END = "<!-- under fire: begin -->", "<!-- under fire: end -->"

LOGINS_AT_ONCE = 20
SECONDS = 10.0
PASSWORD = "correct horse battery staple"  # noqa: S105  # It guards nothing
LIMIT_MS = 50.0


@dataclass(frozen=True, slots=True)
class Row:
    """How long a request took, at peace and under fire, in milliseconds."""

    database: str
    path: str
    peace: list[float]
    fire: list[float]
    logins_per_second: float

    def line(self) -> str:
        """Return it as a line of the table."""
        cells = [self.database, f"`GET {self.path}`"]
        cells += [f"{value:.1f}" for times in (self.peace, self.fire) for value in _summary(times)]
        return f"| {' | '.join([*cells, f'{self.logins_per_second:.0f}'])} |"


def _summary(times: list[float]) -> tuple[float, float, float]:
    return statistics.median(times), statistics.quantiles(times, n=100)[98], max(times)


@contextmanager
def service(folder: str, database_url: str) -> Iterator[str]:
    """Serve, with one worker and without limits, and yield the URL."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    env = {**os.environ, "DATABASE_URL": database_url, "PORT": str(port), "THROTTLING": "off", "LOG_LEVEL": "ERROR"}
    server = subprocess.Popen([sys.executable, ROOT / "main.py"], cwd=folder, env=env, stdout=subprocess.DEVNULL)  # noqa: S603  # Our own program
    try:
        deadline = time.monotonic() + 60
        while time.monotonic() < deadline:
            try:
                if httpx2.get(f"http://127.0.0.1:{port}/health/ready").is_success:
                    break
            except httpx2.TransportError:
                time.sleep(0.1)
        yield f"http://127.0.0.1:{port}"
    finally:
        server.terminate()
        server.wait(30)


async def prepare(url: str) -> tuple[list[str], str]:
    """Create the users who will sign in, and return their addresses and a token of the first."""
    emails = [f"{secrets.token_hex(8)}@example.com" for _ in range(LOGINS_AT_ONCE)]
    async with httpx2.AsyncClient(base_url=url, timeout=60) as client:
        for email in emails:
            (await client.post("/auth/register", json={"email": email, "password": PASSWORD})).raise_for_status()
        form = {"username": emails[0], "password": PASSWORD}
        token = (await client.post("/auth/jwt/login", data=form)).json()["access_token"]
    return emails, token


async def sign_in_for_ever(url: str, emails: list[str]) -> None:
    """Sign in as all of them at once, again and again, and print a line for each; ended by whoever started it."""
    async with httpx2.AsyncClient(base_url=url, timeout=60) as client:

        async def again_and_again(email: str) -> None:
            while True:
                response = await client.post("/auth/jwt/login", data={"username": email, "password": PASSWORD})
                print(response.status_code, flush=True)  # noqa: T201  # The other process counts

        await asyncio.gather(*map(again_and_again, emails))


async def measure(url: str, path: str, token: str) -> list[float]:
    """Ask every 10 ms for a while, and return how long each answer took."""
    times = []
    async with httpx2.AsyncClient(base_url=url, timeout=60, headers={"Authorization": f"Bearer {token}"}) as client:
        end = time.monotonic() + SECONDS
        while time.monotonic() < end:
            began = time.perf_counter()
            (await client.get(path)).raise_for_status()
            times.append((time.perf_counter() - began) * 1000)
            await asyncio.sleep(0.01)
    return times


def run(database: str, database_url: str) -> list[Row]:
    """Measure on one database."""
    rows = []
    with tempfile.TemporaryDirectory() as folder, service(folder, database_url) as url:
        emails, token = asyncio.run(prepare(url))
        for path in ("/health/live", "/users/me"):
            peace = asyncio.run(measure(url, path, token))
            # In a process of its own, so that it is the service that is measured.
            arguments = [sys.executable, "-m", "bench.under_fire", "--fire", url, *emails]
            fire = subprocess.Popen(arguments, cwd=ROOT, stdout=subprocess.PIPE, text=True)  # noqa: S603  # Likewise
            assert fire.stdout is not None  # noqa: S101  # It is a pipe
            for _ in range(LOGINS_AT_ONCE):
                fire.stdout.readline()  # All of them have come through once.
            try:
                under_fire = asyncio.run(measure(url, path, token))
            finally:
                fire.terminate()
                statuses = fire.stdout.read().split()
                fire.wait(30)
            if set(statuses) != {"200"}:
                raise SystemExit(f"A login failed: {set(statuses)}")
            rows.append(Row(database, path, peace, under_fire, len(statuses) / SECONDS))
    return rows


def main() -> None:
    """Measure, print the table, and write it into the docs if asked to."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--write", action="store_true", help="write the table into docs/performance.md")
    parser.add_argument("--fire", nargs="+", help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.fire:
        url, *emails = arguments.fire
        asyncio.run(sign_in_for_ever(url, emails))
    rows = run("SQLite", "sqlite+aiosqlite:///./bench.db")
    with postgres_server() as server, postgres_database(server) as database_url:
        subprocess.run(  # noqa: S603  # Likewise
            [sys.executable, "-m", "alembic", "-x", f"url={database_url}", "upgrade", "head"],
            cwd=ROOT,
            check=True,
            capture_output=True,
        )
        rows += run("PostgreSQL", database_url)
    where = (
        f"{platform.python_implementation()} {platform.python_version()}, {os.process_cpu_count()} cores, one worker"
    )
    what = f"{LOGINS_AT_ONCE} logins at once for {SECONDS:.0f} s, beside a request every 10 ms"
    table = "\n".join(
        [
            f"{where}; {what}. Milliseconds.",
            "",
            "| database | request | median | p99 | max | under fire: median | p99 | max | logins/s |",
            "|---|---|---|---|---|---|---|---|---|",
            *(row.line() for row in rows),
        ]
    )
    print(table)  # noqa: T201  # What it is for
    if arguments.write:
        text = PERFORMANCE.read_text()
        before, after = text.split(BEGIN)[0], text.split(END)[1]
        PERFORMANCE.write_text(f"{before}{BEGIN}\n{table}\n{END}{after}")
    if any(_summary(row.fire)[1] > LIMIT_MS for row in rows if row.path == "/health/live"):
        raise SystemExit(f"/health/live takes longer than {LIMIT_MS:.0f} ms at the 99th percentile.")


if __name__ == "__main__":
    main()
