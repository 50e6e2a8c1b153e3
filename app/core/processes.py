"""How many processes serve, where something else than `main.py` has started them."""

import multiprocessing
import re
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path

# The status after which uvicorn and gunicorn start no other process in the place of the one that has ended.
STARTUP_FAILURE = 3

# The programs that start several processes of an application, and how they are told the number.
_SERVERS = frozenset({"fastapi", "granian", "gunicorn", "hypercorn", "uvicorn"})
_WORKERS_OPTION = re.compile(r"(?:--workers=?|-w=?)([0-9]+)?")


def server_processes() -> int:
    """Return how many processes the server has been told to start that imports this, 1 if nothing says so.

    uvicorn hands its configuration to each of its processes, however it was started. A process of another server has
    that server's command line, whether it was forked or spawned.
    """
    # Private, and the only place where it is. If multiprocessing renames it, a test fails, and the command line counts.
    arguments: Mapping[str, object] = getattr(multiprocessing.current_process(), "_kwargs", {})
    workers = getattr(arguments.get("config"), "workers", None)
    return max(workers if isinstance(workers, int) else 1, _told_on_the_command_line(sys.argv))


def _told_on_the_command_line(argv: Sequence[str]) -> int:
    program = Path(argv[0]) if argv else Path()
    name = program.parent.name if program.name == "__main__.py" else program.stem
    if name not in _SERVERS:
        return 1
    for at, argument in enumerate(argv[1:], start=1):
        if match := _WORKERS_OPTION.fullmatch(argument):
            value = match[1] or (argv[at + 1] if at + 1 < len(argv) else "")
            return int(value) if value.isdecimal() else 1
    return 1
