"""Start what is measured, ask the kernel what it costs, and end it."""

import contextlib
import http.client
import os
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from bench.environment import ENVIRONMENT, ROOT

STARTS_WITHIN = 60.0
STOPS_WITHIN = 20.0
TICKS = os.sysconf("SC_CLK_TCK")

# The arguments of the interpreter.
PROGRAMS = {
    "service": (str(ROOT / "main.py"),),
    "service without hashing": ("-m", "bench.contenders.service_without_hashing"),
    "limit": ("-m", "bench.contenders.limit"),
    "limit of reads": ("-m", "bench.contenders.limit_sqlite"),
    "naive": ("-m", "bench.contenders.naive"),
}
WITHOUT = "service without "


@dataclass(frozen=True, slots=True)
class Server:
    """A contender that runs."""

    name: str
    port: int
    process: subprocess.Popen[bytes]

    def cpu_seconds(self) -> float:
        """Return the CPU time of the server and its workers so far."""
        return sum(_cpu_seconds(pid) for pid in _tree(self.process.pid))

    def rss(self) -> int:
        """Return how many bytes of memory the largest of its processes holds."""
        return max(_rss(pid) for pid in _tree(self.process.pid))


def spawn(program: str, *, database_url: str, folder: str, port: int, workers: int = 1) -> subprocess.Popen[bytes]:
    """Start a contender."""
    told = {"DATABASE_URL": database_url, "PORT": str(port), "WORKERS": str(workers)}
    if program in PROGRAMS:
        arguments = [sys.executable, *PROGRAMS[program]]
    else:
        trick = program.removeprefix(WITHOUT)
        arguments = [sys.executable, "-m", "bench.contenders.service_without", trick]
    env = {**os.environ, **ENVIRONMENT, **told}
    return subprocess.Popen(arguments, cwd=folder, env=env, stdout=subprocess.DEVNULL)  # noqa: S603  # Our own programs


@contextmanager
def serving(program: str, *, database_url: str, workers: int = 1) -> Iterator[Server]:
    """Yield a contender that answers.

    Raises:
        RuntimeError: It does not, in a minute.
    """
    with tempfile.TemporaryDirectory(prefix="bench-") as folder:
        port = free_port()
        process = spawn(program, database_url=database_url, folder=folder, port=port, workers=workers)
        try:
            _wait_until_it_answers(process, port)
            yield Server(program, port, process)
        finally:
            stop(process)


def stop(process: subprocess.Popen[bytes]) -> None:
    """Ask a contender to end, and make it if it does not."""
    pids = _tree(process.pid)
    process.terminate()
    try:
        process.wait(STOPS_WITHIN)
    except subprocess.TimeoutExpired:
        for pid in pids:
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, 9)
        process.wait(STOPS_WITHIN)


def free_port() -> int:
    """Return a port that nobody listens on."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


def _wait_until_it_answers(process: subprocess.Popen[bytes], port: int) -> None:
    deadline = time.monotonic() + STARTS_WITHIN
    while process.poll() is None and time.monotonic() < deadline:
        connection = http.client.HTTPConnection("127.0.0.1", port, timeout=5)
        with contextlib.suppress(OSError, http.client.HTTPException), contextlib.closing(connection):
            connection.request("GET", "/posts/1")
            if connection.getresponse().status == 200:
                return
        time.sleep(0.05)
    raise RuntimeError(f"A contender does not answer; its process has ended with {process.poll()}.")


def _tree(pid: int) -> list[int]:
    found = [pid]
    for parent in found:
        for children in Path(f"/proc/{parent}/task").glob("*/children"):
            with contextlib.suppress(OSError):
                found += map(int, children.read_text().split())
    return found


def _cpu_seconds(pid: int) -> float:
    # The name of the program, in parentheses, may have blanks in it.
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / TICKS


def _rss(pid: int) -> int:
    return int(Path(f"/proc/{pid}/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE")
