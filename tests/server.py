"""The real service in a process of its own, on a free port of this machine."""

import http.client
import signal
import socket
from collections.abc import Mapping
from dataclasses import dataclass
from http import HTTPStatus

import httpx2

from tests.programs import Program, Programs, Ran

# Beside 10 s for the requests that are under way, what a slow machine needs.
STOPS_WITHIN = 30.0


@dataclass(frozen=True)
class Server:
    """A service that is ready."""

    url: str
    program: Program

    def client(self) -> httpx2.AsyncClient:
        """Make a client that waits long, and opens as many connections as it is asked for."""
        return httpx2.AsyncClient(base_url=self.url, timeout=60, limits=httpx2.Limits(max_connections=None))

    def stop(self) -> Ran:
        """Ask it to end, and wait for that."""
        self.program.signal(signal.SIGTERM)
        return self.program.wait(within=STOPS_WITHIN)


def start_server(
    programs: Programs, *arguments: str, database_url: str, env: Mapping[str, str] | None = None, fresh: bool = False
) -> Server:
    """Start the service, with `main.py` if no arguments for `python` are given, and wait until it is ready."""
    port = free_port()
    given = {"DATABASE_URL": database_url, "PORT": str(port), **(env or {})}
    program = programs.start(*(word.format(port=port) for word in arguments or ("main.py",)), env=given, fresh=fresh)
    program.until(lambda: status_of(port, "/health/ready") == HTTPStatus.OK or None)
    return Server(f"http://127.0.0.1:{port}", program)


def status_of(port: int, path: str) -> int | None:
    """Return the status of an answer, or None if nobody answers."""
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=10)
    try:
        connection.request("GET", path)
        return connection.getresponse().status
    except (OSError, http.client.HTTPException):
        return None
    finally:
        connection.close()


def free_port() -> int:
    """Return a port that nobody listens on."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port
