"""What every test may ask for. It is loaded without the service as well, so it never imports app."""

import socket
from collections import defaultdict
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any, Protocol

import pytest

from tests.postgres import postgres_database, postgres_server
from tests.programs import Programs, open_programs, preloaded_interpreter
from tests.valkey import valkey_server


@pytest.hookimpl(tryfirst=True)
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Mark products as thorough: without them, each value of each parameter of a test remains in one case at least.

    PostgreSQL, which production uses, is preferred where several cases would do. A test that starts processes runs on
    PostgreSQL alone. Tests whose every case counts are marked `every_combination`.
    """
    cases: dict[str, list[pytest.Item]] = defaultdict(list)
    for item in items:
        if hasattr(item, "callspec") and not any(map(item.get_closest_marker, ("thorough", "every_combination"))):
            cases[item.nodeid.partition("[")[0]].append(item)
    for of_one_test in cases.values():
        for item in _dispensable(of_one_test):
            item.add_marker("thorough")


def _dispensable(cases: list[pytest.Item]) -> list[pytest.Item]:
    left = sorted(cases, key=lambda case: "postgresql" not in case.nodeid)
    seen: set[tuple[int, str]] = set()
    while True:
        best = max(left, key=lambda case: len(_values(case) - seen), default=None)
        if best is None or not _values(best) - seen:
            return left
        seen |= _values(best)
        left.remove(best)


def _values(case: Any) -> set[tuple[int, str]]:
    # Private, because pytest has no public way to tell the values of one `parametrize` from those of another.
    values = {*enumerate(case.callspec._idlist)}  # noqa: SLF001
    return {each for each in values if each[1] not in {"sqlite", "postgresql"}} | _database(case)


def _database(case: Any) -> set[tuple[int, str]]:
    """Return the database as a value that counts, or, for a test that starts processes, the same for both."""
    names = [name for name in ("sqlite", "postgresql") if name in case.callspec._idlist]  # noqa: SLF001
    return {(-1, "any" if "interpreter" in case.fixturenames else name) for name in names}


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
