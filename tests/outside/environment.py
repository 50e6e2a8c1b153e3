"""The library as its users get it: a wheel, in an environment with nothing else but what the page says to install."""

import fcntl
import importlib.metadata
import os
import shutil
import subprocess
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from packaging.utils import canonicalize_name

from tests.documents import DISTRIBUTION, ROOT


def make_environment(folder: Path, requirements: Sequence[str]) -> Path:
    """Build the wheel, install the requirements with it, and return the environment's Python.

    The first process of a run that asks for a folder does the work; the others wait for it.

    Raises:
        RuntimeError: There is no uv, or it failed; with what it said.
    """
    folder.mkdir(parents=True, exist_ok=True)
    python = folder / "venv" / "bin" / "python"
    ready = folder / "ready"
    with _locked(folder / "lock"):
        if not ready.exists():
            uv = _find_uv()
            _run(uv, "build", "--wheel", "--quiet", "--out-dir", str(folder / "wheel"), str(ROOT))
            _run(uv, "venv", "--quiet", "--python", sys.executable, str(folder / "venv"))
            (wheel,) = (folder / "wheel").glob("*.whl")
            (folder / "constraints.txt").write_text(_constraints())
            given = [_from_wheel(requirement, wheel) for requirement in requirements]
            constraints = str(folder / "constraints.txt")
            _run(uv, "pip", "install", "--quiet", "--python", str(python), "--constraints", constraints, *given)
            ready.touch()
    return python


def _from_wheel(requirement: str, wheel: Path) -> str:
    name, bracket, extras = requirement.partition("[")
    return f"{name}{bracket}{extras} @ {wheel.as_uri()}" if name == DISTRIBUTION else requirement


def _constraints() -> str:
    """Pin what is installed here, so that a run is repeatable; scripts/compatibility tries other versions."""
    found = {canonicalize_name(each.name): each.version for each in importlib.metadata.distributions()}
    del found[canonicalize_name(DISTRIBUTION)]
    return "".join(f"{name}=={version}\n" for name, version in sorted(found.items()))


@contextmanager
def _locked(path: Path) -> Iterator[None]:
    with path.open("w") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        yield


def _find_uv() -> str:
    # `uv run` names itself in UV.
    for found in (os.environ.get("UV"), shutil.which("uv")):
        if found and subprocess.run([found, "--version"], capture_output=True, check=False).returncode == 0:
            return found
    raise RuntimeError("tests/outside needs uv: run the tests with `uv run pytest`, or set UV to the path of uv")


def _run(*command: str) -> None:
    # The settings of the person who runs the tests stay (cache, index, certificates); their environment does not.
    ignored = {"VIRTUAL_ENV", "UV_PROJECT_ENVIRONMENT", "PYTHONPATH"}
    env = {name: value for name, value in os.environ.items() if name not in ignored}
    ran = subprocess.run(
        command, env={**env, "UV_PYTHON_DOWNLOADS": "never"}, capture_output=True, text=True, check=False, cwd="/"
    )
    if ran.returncode != 0:
        raise RuntimeError(f"{' '.join(command)} failed:\n{ran.stdout}{ran.stderr}")
