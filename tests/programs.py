"""Run the programs of the repository as processes of their own: nothing of this environment or checkout is touched."""

import contextlib
import json
import os
import select
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import IO

ROOT = Path(__file__).parents[1]
ENDS_WITHIN = 60.0

# What most programs of the repository import.
WORLD = (
    "aiosmtplib",
    "aiosqlite",
    "alembic.command",
    "alembic.config",
    "asyncpg",
    "cryptography.fernet",
    "css_inline",
    "email_validator",
    "fastapi",
    "fastapi_users.authentication",
    "httptools",
    "jinja2",
    "psycopg",
    "pwdlib.hashers.argon2",
    "pwdlib.hashers.bcrypt",
    "pydantic_settings",
    "redis",
    "rich.status",
    "sqlalchemy.dialects.postgresql.asyncpg",
    "sqlalchemy.dialects.postgresql.psycopg",
    "sqlalchemy.dialects.sqlite.aiosqlite",
    "sqlmodel.ext.asyncio.session",
    "structlog",
    "typer.main",
    "uvicorn.protocols.http.httptools_impl",
    "uvloop",
    "fastapi_users_sqlmodel.migrations",
)

# For `-c`: run a module as if psycopg were not installed.
WITHOUT_PSYCOPG = """
import runpy, sys

class Missing:
    @staticmethod
    def find_spec(name, path=None, target=None):
        if name == "psycopg":
            raise ModuleNotFoundError(f"No module named {name!r}", name=name)

sys.meta_path.insert(0, Missing)
for name in [name for name in sys.modules if name.partition(".")[0] == "psycopg"]:
    del sys.modules[name]
sys.argv = sys.argv[1:]
runpy.run_module(sys.argv[0], run_name="__main__", alter_sys=True)
"""


@dataclass(frozen=True)
class Ran:
    """How a program ended, and what it said."""

    status: int
    out: str
    err: str


class Program:
    """A running program."""

    def __init__(self, report: IO[bytes], out: Path, err: Path) -> None:
        self.pid = int(report.readline())
        self._report = report
        self._out, self._err = out, err
        self._status: int | None = None

    @property
    def out(self) -> str:
        """What it has said so far."""
        return self._out.read_text()

    @property
    def err(self) -> str:
        """What it has complained about so far."""
        return self._err.read_text()

    def has_ended(self, *, within: float = 0) -> bool:
        """Tell whether it has ended, now or in this many seconds."""
        if self._status is None and select.select([self._report], [], [], within)[0]:
            self._status = int(self._report.readline())
        return self._status is not None

    def signal(self, number: signal.Signals) -> None:
        """Send a signal to it, unless it has ended."""
        if not self.has_ended():
            os.kill(self.pid, number)

    def wait(self, *, within: float = ENDS_WITHIN) -> Ran:
        """Wait for its end; a negative status is the signal that ended it."""
        if not self.has_ended(within=within) or self._status is None:
            raise AssertionError(f"It did not end within {within} seconds:\n{self.out}\n{self.err}")
        return Ran(self._status, self.out, self.err)

    def kill(self) -> Ran:
        """End it, and all that it has started, at once."""
        self.signal(signal.SIGKILL)
        return self.wait()

    def close(self) -> None:
        """End it, if it still runs, and forget it."""
        self.kill()
        self._report.close()

    def until[T](self, found: Callable[[], T | None], *, within: float = ENDS_WITHIN) -> T:
        """Wait until something is found to be so, and return it; the program must not end meanwhile."""
        deadline = time.monotonic() + within
        while (result := found()) is None:
            if self.has_ended(within=0.01) or time.monotonic() > deadline:
                raise AssertionError(f"It did not come to that:\n{self.out}\n{self.err}")
        return result


class Programs:
    """Starts programs; a folder for what they write, and an environment with nothing in it that they did not get."""

    def __init__(self, interpreter: socket.socket, folder: Path, env: Mapping[str, str] | None = None) -> None:
        self._interpreter = interpreter
        self._env = dict(env or {})
        self._notes = folder / "notes"
        self._notes.mkdir(parents=True)
        self.folder = folder / "folder"
        self.folder.mkdir()
        self._started: list[Program] = []

    def set(self, **env: str) -> None:
        """Set variables in the environment of all programs that are started from now on."""
        self._env |= env

    def start(
        self,
        *arguments: str,
        env: Mapping[str, str] | None = None,
        folder: Path | None = None,
        terminal: int | None = None,
        fresh: bool = False,
    ) -> Program:
        """Start `python` with these arguments; a script is one of the repository.

        Args:
            arguments: As on the command line: a script, or `-m` and a module, or `-c` and code, and what it gets.
            env: The environment, beside what every program needs.
            folder: Where it runs, if not in the folder of its own.
            terminal: The descriptor of what it reads and writes; else it reads nothing, and what it writes is kept.
            fresh: Whether it is an interpreter of its own, which imports all by itself; that takes seconds.
        """
        environment = environment_of({**self._env, **(env or {})})
        if not arguments[0].startswith("-"):
            arguments = (str(Path(environment["PYTHONPATH"].split(os.pathsep)[0], arguments[0])), *arguments[1:])
        name = str(len(self._started))
        out, err = self._notes / f"{name}.out", self._notes / f"{name}.err"
        read, write = os.pipe()
        with contextlib.ExitStack() as files:
            if terminal is None:
                nothing = files.enter_context(Path(os.devnull).open())
                kept = [nothing, files.enter_context(out.open("w")), files.enter_context(err.open("w"))]
                standard = [file.fileno() for file in kept]
            else:
                out.touch()
                err.touch()
                standard = [terminal] * 3
            request = {
                "arguments": arguments,
                "environment": environment,
                "folder": str(folder or self.folder),
                "fresh": fresh,
            }
            socket.send_fds(self._interpreter, [json.dumps(request).encode()], [*standard, write])
        os.close(write)
        program = Program(os.fdopen(read, "rb", buffering=0), out, err)
        self._started.append(program)
        return program

    @property
    def root(self) -> Path:
        """Where the scripts are."""
        return ROOT

    def run(
        self, *arguments: str, env: Mapping[str, str] | None = None, folder: Path | None = None, fresh: bool = False
    ) -> Ran:
        """Run a program to its end."""
        return self.start(*arguments, env=env, folder=folder, fresh=fresh).wait()

    def close(self) -> None:
        """End what still runs."""
        for program in self._started:
            program.close()


def environment_of(given: Mapping[str, str]) -> dict[str, str]:
    """Return an environment in which only the given settings are set."""
    needed = {name: os.environ[name] for name in ("PATH", "TMPDIR") if name in os.environ}
    # What measures the coverage of other processes tells them in their environment.
    measured = {name: value for name, value in os.environ.items() if name.startswith("COV")}
    return {**needed, **measured, "PYTHONPATH": str(ROOT), "PYTHONUTF8": "1", **given}


@contextlib.contextmanager
def preloaded_interpreter(
    python: Path = Path(sys.executable), modules: Sequence[str] = WORLD, env: Mapping[str, str] | None = None
) -> Iterator[socket.socket]:
    """Start the interpreter that becomes our programs; it ends when its socket is closed."""
    ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_STREAM)
    with ours:
        with theirs:
            interpreter = subprocess.Popen(
                # -P: the folder of the script is on nobody's path.
                [python, "-P", ROOT / "tests" / "preloaded.py", str(theirs.fileno()), *modules],
                cwd=ROOT,
                env=environment_of(env or {}),
                pass_fds=[theirs.fileno()],
                stdin=subprocess.DEVNULL,
                stdout=subprocess.DEVNULL,
                # Otherwise Ctrl-C would end it before the tests have let go of it.
                start_new_session=True,
            )
        yield ours
    interpreter.wait(ENDS_WITHIN)


@contextlib.contextmanager
def open_programs(interpreter: socket.socket, folder: Path, env: Mapping[str, str] | None = None) -> Iterator[Programs]:
    """Yield a starter of programs; what still runs at the end is ended."""
    programs = Programs(interpreter, folder, env)
    try:
        yield programs
    finally:
        programs.close()
