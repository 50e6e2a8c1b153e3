"""What every test may ask for. It is loaded without the service as well, so it never imports app."""

import socket
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Protocol

import pytest

from tests.postgres import postgres_database, postgres_server
from tests.programs import Programs, open_programs, preloaded_interpreter
from tests.valkey import valkey_server


class CreateDatabase(Protocol):
    """The type of the fixture `create_database`."""

    def __call__(self, *, template: str | None = None) -> str:
        """Create a PostgreSQL database, empty or a copy of the one at `template`, and return its URL."""


@pytest.fixture(scope="session")
def anyio_backend() -> str:
    return "asyncio"


@pytest.fixture(scope="session")
def postgres_url() -> Iterator[str]:
    with postgres_server() as url:
        yield url


@pytest.fixture(scope="session")
def valkey_url() -> Iterator[str]:
    with valkey_server() as url:
        yield url


@pytest.fixture
def create_database(postgres_url: str) -> Iterator[CreateDatabase]:
    with ExitStack() as databases:

        def create(*, template: str | None = None) -> str:
            return databases.enter_context(postgres_database(postgres_url, template=template))

        yield create


@pytest.fixture(params=["sqlite", "postgresql"])
def database_url(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    if request.param == "sqlite":
        return f"sqlite:///{tmp_path}/test.db"
    # Asked for here and not in the signature, so that a run on SQLite alone starts no server.
    create: CreateDatabase = request.getfixturevalue("create_database")
    return create()


@pytest.fixture(scope="session")
def interpreter() -> Iterator[socket.socket]:
    with preloaded_interpreter() as interpreter:
        yield interpreter


@pytest.fixture
def programs(interpreter: socket.socket, tmp_path: Path) -> Iterator[Programs]:
    with open_programs(interpreter, tmp_path / "programs") as programs:
        yield programs
