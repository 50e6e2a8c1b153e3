"""An interpreter that has imported the world once, and becomes a program of ours whenever it is asked to.

Four fifths of the time in which a command starts is spent on importing what it stands on. This process imports that
once and forks for each program: a real process of its own, in its own folder and environment. Nothing of `app` is
imported here, because `app` reads the environment. It runs in other environments too (tests/outside), so it imports
nothing of this repository by itself.
"""

import contextlib
import fcntl
import gc
import importlib
import json
import os
import runpy
import select
import signal
import socket
import sys
import termios
from pathlib import Path
from typing import TypedDict


class Request(TypedDict):
    """What `tests/programs.py` asks for: the arguments are those of `python`."""

    arguments: list[str]
    environment: dict[str, str]
    folder: str
    fresh: bool


def serve(connection: socket.socket) -> Request:
    """Fork for every request; in the fork the call returns, and what is left to do is to run the program."""
    while True:
        message, descriptors, _, _ = socket.recv_fds(connection, 1 << 20, 4)
        if not message:
            sys.exit()
        *standard, report = descriptors
        if (child := os.fork()) == 0:
            connection.close()
            if os.fork() != 0:
                # Its child is the watcher, and is nobody's to wait for.
                os._exit(0)
            # What ends the run, such as Ctrl-C, must not end the watcher before its program.
            os.setsid()
            if (program := os.fork()) != 0:
                _watch(program, report)
                os._exit(0)
            os.close(report)
            _set_apart(standard)
            request: Request = json.loads(message)
            return request
        os.waitpid(child, 0)
        for descriptor in descriptors:
            os.close(descriptor)


def _set_apart(standard: list[int]) -> None:
    os.setsid()
    for number, descriptor in enumerate(standard):
        os.dup2(descriptor, number)
        os.close(descriptor)
    if os.isatty(0):
        # Whoever asks for a password asks at the controlling terminal.
        fcntl.ioctl(0, termios.TIOCSCTTY, 0)


def _watch(program: int, report: int) -> None:
    """Say how the program ends; when nobody listens any more, end it. What it leaves behind is ended as well."""
    listener = select.poll()
    listener.register(report, 0)
    with contextlib.suppress(BrokenPipeError):
        os.write(report, f"{program}\n".encode())
    while os.waitid(os.P_PID, program, os.WEXITED | os.WNOHANG | os.WNOWAIT) is None:
        if listener.poll(10):
            _kill(program)
    # Not reaped yet, so that its number is still nobody else's.
    _kill(program)
    _, status = os.waitpid(program, 0)
    with contextlib.suppress(BrokenPipeError):
        os.write(report, f"{os.waitstatus_to_exitcode(status)}\n".encode())


def _kill(group: int) -> None:
    with contextlib.suppress(ProcessLookupError, PermissionError):
        os.killpg(group, signal.SIGKILL)


def become(request: Request) -> None:
    """Do what `python` does with these arguments."""
    os.chdir(request["folder"])
    arguments = request["arguments"]
    if request["fresh"]:
        os.execve(sys.executable, [sys.executable, *arguments], request["environment"])
    os.environ.clear()
    os.environ.update(request["environment"])
    first, *rest = arguments
    path = [each for each in request["environment"].get("PYTHONPATH", "").split(os.pathsep) if each]
    match first:
        case "-m":
            name, *rest = rest
            sys.path[:0] = [request["folder"], *path]
            sys.argv = [name, *rest]
            runpy.run_module(name, run_name="__main__", alter_sys=True)
        case "-c":
            code, *rest = rest
            sys.path[:0] = ["", *path]
            sys.argv = ["-c", *rest]
            exec(compile(code, "<string>", "exec"), {"__name__": "__main__"})
        case script:
            sys.path[:0] = [str(Path(script).parent), *path]
            sys.argv = [script, *rest]
            runpy.run_path(script, run_name="__main__")


if __name__ == "__main__":
    # The arguments are the descriptor of the socket, and the modules to import once for all programs.
    for name in sys.argv[2:]:
        importlib.import_module(name)
    # The forks share what was imported, and the collector would write to all of it.
    gc.freeze()
    become(serve(socket.socket(fileno=int(sys.argv[1]))))
