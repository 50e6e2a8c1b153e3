"""A database with the tables of every form of models, and stores of every kind on it."""

import asyncio
import shutil
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import ExitStack
from functools import cache
from pathlib import Path
from typing import Any

import pytest
import redis
import time_machine
from sqlalchemy import Engine, create_engine

from fastapi_users_sqlmodel.engines import sync_url
from fastapi_users_sqlmodel.throttling import Throttle
from tests.library.models import FORMS, Models, make_models
from tests.library.stores import KINDS, Stores, open_stores
from tests.library.throttles import PATIENTLY, REDIS, Store
from tests.postgres import postgres_database


@pytest.fixture(scope="session")
def sqlite_templates(tmp_path_factory: pytest.TempPathFactory) -> Callable[[str], Path]:
    """Return a file with the tables of a form, made once for the run."""

    @cache
    def with_tables(form: str) -> Path:
        path = tmp_path_factory.mktemp(form) / "template.db"
        engine = create_engine(f"sqlite:///{path}")
        make_models(form).metadata.create_all(engine)
        engine.dispose()
        return path

    return with_tables


@pytest.fixture(scope="session")
def postgresql_engines(postgres_url: str) -> Iterator[Callable[[str], Engine]]:
    """Return an engine for a database with the tables of a form, made once for the run."""
    with ExitStack() as databases:

        @cache
        def with_tables(form: str) -> Engine:
            engine = create_engine(sync_url(databases.enter_context(postgres_database(postgres_url))))
            databases.callback(engine.dispose)
            make_models(form).metadata.create_all(engine)
            return engine

        yield with_tables


@pytest.fixture(params=["sqlite", "postgresql"])
def backend(request: pytest.FixtureRequest) -> str:
    name: str = request.param
    return name


@pytest.fixture(params=FORMS)
def form(request: pytest.FixtureRequest) -> str:
    name: str = request.param
    return name


@pytest.fixture(params=KINDS)
def kind(request: pytest.FixtureRequest) -> str:
    name: str = request.param
    return name


@pytest.fixture
def models(form: str) -> Models:
    return make_models(form)


@pytest.fixture
def url(request: pytest.FixtureRequest, backend: str, form: str, tmp_path: Path) -> Iterator[str]:
    """Of a database that has the tables of the form, and no rows."""
    if backend == "sqlite":
        template: Path = request.getfixturevalue("sqlite_templates")(form)
        yield f"sqlite:///{shutil.copy(template, tmp_path / 'test.db')}"
        return
    engine: Engine = request.getfixturevalue("postgresql_engines")(form)
    yield engine.url.render_as_string(hide_password=False)
    with engine.begin() as connection:
        for table in reversed(make_models(form).metadata.sorted_tables):
            connection.execute(table.delete())


@pytest.fixture
async def stores(models: Models, url: str, kind: str) -> AsyncIterator[Stores]:
    async with open_stores(models, url, kind) as stores:
        yield stores


@pytest.fixture
def valkey(valkey_url: str) -> Iterator[redis.Redis]:
    """Return a client of a Valkey with nothing in it."""
    with redis.Redis.from_url(valkey_url, decode_responses=True) as client:
        client.flushall()
        yield client


@pytest.fixture(params=["memory", "valkey"])
async def store(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Store]:
    if request.param == "memory":
        with time_machine.travel("2030-01-01T00:00:00Z", tick=False) as traveller:

            async def move(seconds: float) -> None:
                traveller.shift(seconds)

            yield Store(Throttle, move)
        return
    request.getfixturevalue("valkey")
    url: str = request.getfixturevalue("valkey_url")
    # A machine that is busy with other tests is not an outage.
    monkeypatch.setattr(f"{REDIS}._ANSWERS_WITHIN", 60)
    made: list[Throttle] = []

    def make(**options: Any) -> Throttle:
        made.append(Throttle(url + PATIENTLY, **options))
        return made[-1]

    yield Store(make, asyncio.sleep)
    for throttle in made:
        await throttle.close()


@pytest.fixture
def throttle(store: Store) -> Throttle:
    return store.make()
