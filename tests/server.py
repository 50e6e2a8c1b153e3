"""The real service in a process of its own, on a free port of this machine."""

import http.client
import signal
import socket
from collections.abc import Mapping
from dataclasses import dataclass
from http import HTTPStatus
from pathlib import Path

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
        # There is no TLS, and to load the certificates of the world takes longer than most requests.
        limits = httpx2.Limits(max_connections=None)
        return httpx2.AsyncClient(base_url=self.url, timeout=60, limits=limits, verify=False)

    def stop(self) -> Ran:
        """Ask it to end, and wait for that."""
        self.program.signal(signal.SIGTERM)
        return self.program.wait(within=STOPS_WITHIN)

    def stop_silently(self) -> None:
        """Ask it to end, and require that it has not failed in all its time."""
        ran = self.stop()
        assert "Traceback" not in ran.err, ran.err


def start_server(
    programs: Programs,
    *arguments: str,
    database_url: str | None = None,
    env: Mapping[str, str] | None = None,
    folder: Path | None = None,
    fresh: bool = False,
    until: str = "/health/ready",
) -> Server:
    """Start the service and wait until it is ready; its own default database is one in the folder of the programs.

    Args:
        programs: Starts it, and ends it if nobody else does.
        arguments: Those of `python`, with `{port}` for the port; those of `main.py` if there are none.
        database_url: Of a database that is at head, or an embedded one for `main.py`.
        env: What else is set.
        folder: Where it runs, if not in the folder of the programs.
        fresh: Whether the interpreter is one of its own.
        until: The path that is waited for.
    """
    port = free_port()
    given = {
        "PORT": str(port),
        "THROTTLING": "off",
        **({"DATABASE_URL": database_url} if database_url else {}),
        **(env or {}),
    }
    words = [word.format(port=port) for word in arguments or ("main.py",)]
    program = programs.start(*words, env=given, folder=folder, fresh=fresh)
    program.until(lambda: status_of(port, until) == HTTPStatus.OK or None)
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
