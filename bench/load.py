"""Drive a server from another process: with wrk where it is installed, else with Locust from the package index."""

import json
import shutil
import subprocess
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

HERE = Path(__file__).parent
CONNECTIONS = 8


@dataclass(frozen=True, slots=True)
class Request:
    """A request, prepared."""

    method: str
    path: str
    headers: tuple[tuple[str, str], ...] = ()
    body: str = ""

    def text(self, port: int) -> str:
        """Write it as it goes over the wire."""
        headers = [("Host", f"127.0.0.1:{port}"), *self.headers]
        if self.body:
            headers.append(("Content-Length", str(len(self.body.encode()))))
        lines = [f"{self.method} {self.path} HTTP/1.1", *(f"{name}: {value}" for name, value in headers)]
        return "\r\n".join([*lines, "", self.body])


@dataclass(frozen=True, slots=True)
class Refreshes:
    """Chains of refresh tokens: what one answer brings is what a later request sends."""

    tokens: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Answers:
    """How many came in how long, all of them good."""

    count: int
    seconds: float


class Generator(Protocol):
    """What drives."""

    name: str
    refreshes: bool

    def drive(
        self, port: int, load: list[Request] | Refreshes, *, seconds: int, connections: int = CONNECTIONS
    ) -> Answers:
        """Send requests in turn for a while, each connection the next one when it has an answer.

        Raises:
            RuntimeError: An answer was none, or no success.
        """


class Wrk:
    """wrk, with one thread."""

    name = "wrk"
    refreshes = True

    def drive(
        self, port: int, load: list[Request] | Refreshes, *, seconds: int, connections: int = CONNECTIONS
    ) -> Answers:
        """Send requests in turn."""
        with tempfile.NamedTemporaryFile("w", prefix="bench-") as file:
            if isinstance(load, Refreshes):
                file.write("\0".join(load.tokens))
            else:
                file.write("\0".join(request.text(port) for request in load))
            file.flush()
            arguments: list[str | Path] = [
                "wrk",
                "-t1",
                f"-c{connections}",
                f"-d{seconds}s",
                "--timeout",
                "60s",
                "-s",
                HERE / "wrk.lua",
            ]
            what = "refresh" if isinstance(load, Refreshes) else "requests"
            arguments += [f"http://127.0.0.1:{port}", "--", what, file.name, str(port)]
            ran = _run(arguments, seconds)
        lines = [line for line in ran.splitlines() if line.startswith('{"answers"')]
        if not lines:
            raise RuntimeError(f"wrk has not come to its end:\n{ran}")
        said = json.loads(lines[0])
        if said["failed"]:
            raise RuntimeError(f"{said['failed']} of {said['answers']} answers were none, or no success.")
        return Answers(said["answers"], said["microseconds"] / 1_000_000)


class Locust:
    """Locust's fast client, brought by uv when it is needed; it takes more of the machine than wrk does."""

    name = "Locust"
    refreshes = False

    def drive(
        self, port: int, load: list[Request] | Refreshes, *, seconds: int, connections: int = CONNECTIONS
    ) -> Answers:
        """Send requests in turn."""
        if isinstance(load, Refreshes):
            raise TypeError("Locust's part of the bench follows no chains")
        with tempfile.NamedTemporaryFile("w", prefix="bench-", suffix=".json") as file:
            json.dump([[one.method, one.path, dict(one.headers), one.body] for one in load], file)
            file.flush()
            arguments: list[str | Path] = [
                "uv",
                "tool",
                "run",
                "locust",
                "-f",
                HERE / "locustfile.py",
                "--headless",
                "--json",
            ]
            arguments += ["-u", str(connections), "-r", str(connections), "-t", f"{seconds}s"]
            arguments += ["--host", f"http://127.0.0.1:{port}", "--loglevel", "ERROR", "--requests", file.name]
            said = json.loads(_run(arguments, seconds))[0]
        if said["num_failures"]:
            raise RuntimeError(f"{said['num_failures']} of {said['num_requests']} answers were none, or no success.")
        return Answers(said["num_requests"], said["last_request_timestamp"] - said["start_time"])


def find_generator() -> Generator:
    """Return wrk if it is there, else Locust.

    Raises:
        SystemExit: Neither can be run.
    """
    if shutil.which("wrk"):
        return Wrk()
    if shutil.which("uv"):
        return Locust()
    raise SystemExit("The bench needs a load generator: install wrk, or uv, which brings Locust.")


def _run(arguments: list[str | Path], seconds: int) -> str:
    # Longer than the load lasts by as much as a slow answer, or the installation of the generator, takes.
    ran = subprocess.run(arguments, capture_output=True, text=True, timeout=seconds + 120, check=False)  # noqa: S603  # Our own words
    if ran.returncode != 0:
        raise RuntimeError(f"{arguments[0]} has failed:\n{ran.stdout}{ran.stderr}")
    return ran.stdout
