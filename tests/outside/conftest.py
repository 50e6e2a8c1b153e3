"""An environment into which the wheel is installed, and an empty folder in which a stranger works with it."""

import socket
from collections.abc import Iterator
from pathlib import Path

import pytest
from sqlalchemy import make_url

from tests.documents import installed, read_page
from tests.outside.environment import make_environment
from tests.outside.project import WORLD, Outside
from tests.programs import ROOT, open_programs, preloaded_interpreter

# Nothing of the repository is on the path.
CLEAN = {"PYTHONPATH": ""}


@pytest.fixture(scope="session")
def outside_python(tmp_path_factory: pytest.TempPathFactory, worker_id: str) -> Path:
    """Return the Python of an environment with the wheel and what the pages say to install."""
    base = tmp_path_factory.getbasetemp()
    # The workers of one run share a folder above their own.
    folder = (base if worker_id == "master" else base.parent) / "outside"
    assert not folder.is_relative_to(ROOT)
    requirements = [each for page in ("quick-start", "recipes") for each in installed(read_page(f"docs/{page}.md"))]
    return make_environment(folder, requirements)


@pytest.fixture(scope="session")
def outside_interpreter(outside_python: Path) -> Iterator[socket.socket]:
    """Return an interpreter of that environment that has imported the dependencies, and forks for each command."""
    with preloaded_interpreter(outside_python, WORLD, CLEAN) as interpreter:
        yield interpreter


@pytest.fixture
def outside(outside_python: Path, outside_interpreter: socket.socket, tmp_path: Path) -> Iterator[Outside]:
    """Return an empty folder, and the commands of the environment that has the wheel."""
    with open_programs(outside_interpreter, tmp_path / "outside", CLEAN) as programs:
        yield Outside(outside_python, programs)


@pytest.fixture
def outside_url(database_url: str) -> str:
    """Return the URL of an empty database, on SQLite and on PostgreSQL, with the driver that the page installs."""
    driver = "sqlite+aiosqlite" if database_url.startswith("sqlite") else "postgresql+asyncpg"
    return make_url(database_url).set(drivername=driver).render_as_string(hide_password=False)
