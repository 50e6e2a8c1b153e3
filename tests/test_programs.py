"""The programs that the tests start are real ones, and leave nothing behind."""

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.programs import ROOT, Programs, Ran

# A run of the tests that has started a program, which has started one itself.
RUN = """
import sys, time
from pathlib import Path
from tests.programs import open_programs, preloaded_interpreter

FAMILY = "import os, time; print(os.getpid(), os.fork(), flush=True); time.sleep(600)"
with preloaded_interpreter() as interpreter, open_programs(interpreter, Path(sys.argv[1])) as programs:
    program = programs.start("-c", FAMILY)
    program.until(lambda: program.out.count("\\n") == 2 or None)
    print(program.pid, *program.out.split(), flush=True)
    time.sleep(600)
"""


def is_gone(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return True
    return False


def eventually(happened: Callable[[], bool]) -> bool:
    deadline = time.monotonic() + 30
    while not happened() and time.monotonic() < deadline:
        time.sleep(0.02)
    return happened()


class TestRun:
    def test_says_how_it_ended_and_what_it_said(self, programs: Programs) -> None:
        code = "import sys; print('out'); print('err', file=sys.stderr); sys.exit(7)"
        assert programs.run("-c", code) == Ran(7, "out\n", "err\n")
        assert programs.run("-c", code, fresh=True) == Ran(7, "out\n", "err\n")

    def test_has_nothing_of_this_environment(self, programs: Programs, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setenv("SECRET_KEY", "not theirs")
        # Python itself adds LC_CTYPE.
        code = "import os; print(sorted({*os.environ} - {'LC_CTYPE'}), os.getcwd())"
        preloaded = programs.run("-c", code, env={"A": "1"})
        assert preloaded == programs.run("-c", code, env={"A": "1"}, fresh=True)
        assert "'A'" in preloaded.out
        assert "SECRET_KEY" not in preloaded.out
        assert preloaded.out.endswith(f" {programs.folder}\n")

    def test_is_ended_with_all_that_it_started(self, programs: Programs) -> None:
        program = programs.start("-c", "import os, time; print(os.fork(), flush=True); time.sleep(600)")
        child = program.until(lambda: max(map(int, program.out.split()), default=0) or None)
        assert program.kill().status == -signal.SIGKILL
        assert eventually(lambda: is_gone(child))

    def test_is_ended_when_the_run_is(self, tmp_path: Path) -> None:
        arguments = [sys.executable, "-c", RUN, str(tmp_path / "programs")]
        run = subprocess.Popen(arguments, cwd=ROOT, stdout=subprocess.PIPE, text=True, start_new_session=True)
        with run:
            assert run.stdout is not None
            started = {int(word) for word in run.stdout.readline().split()} - {0}
            # To all of its group, as a terminal does.
            os.killpg(run.pid, signal.SIGKILL)
        assert started
        assert eventually(lambda: all(map(is_gone, started)))
