"""A database with the tables of every form of models, and stores of every kind on it."""

import shutil
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import ExitStack
from functools import cache
from pathlib import Path

import pytest
from sqlalchemy import Engine, create_engine

from fastapi_users_sqlmodel.engines import sync_url
from tests.library.models import FORMS, Models, make_models
from tests.library.stores import KINDS, Stores, open_stores
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
