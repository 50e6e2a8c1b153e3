"""The running example."""

from pathlib import Path

import pytest

from tests.examples.running import start_example
from tests.programs import Programs
from tests.server import Server


@pytest.fixture
def example(programs: Programs) -> Server:
    return start_example(programs)


@pytest.fixture
def example_url(programs: Programs) -> str:
    """Return the URL of the database that the example makes."""
    return f"sqlite:///{programs.folder}/test.db"


@pytest.fixture
def notes(tmp_path: Path) -> Path:
    folder = tmp_path / "notes"
    folder.mkdir()
    return folder
