"""A database with the tables of every form of models, and stores of every kind on it."""

import shutil
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import ExitStack
from functools import cache
from pathlib import Path

import pytest
from sqlalchemy import create_engine

from fastapi_users_sqlmodel.engines import sync_url
from tests.library.models import FORMS, Models, make_models
from tests.library.stores import KINDS, Stores, open_stores
from tests.postgres import postgres_database

type Databases = Callable[[str], str]


@pytest.fixture(scope="session")
def sqlite_databases(tmp_path_factory: pytest.TempPathFactory) -> Databases:
    """Return the URL of a database with the tables of a form, made once for the run."""

    @cache
    def with_tables(form: str) -> str:
        return create_tables(f"sqlite:///{tmp_path_factory.mktemp(form)}/template.db", form)

    return with_tables


@pytest.fixture(scope="session")
def postgresql_databases(postgres_url: str) -> Iterator[Databases]:
    """Return the URL of a database with the tables of a form, made once for the run."""
    with ExitStack() as databases:

        @cache
        def with_tables(form: str) -> str:
            return create_tables(databases.enter_context(postgres_database(postgres_url)), form)

        yield with_tables


def create_tables(url: str, form: str) -> str:
    engine = create_engine(sync_url(url))
    make_models(form).metadata.create_all(engine)
    engine.dispose()
    return url


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
    databases: Databases = request.getfixturevalue(f"{backend}_databases")
    if backend == "sqlite":
        shutil.copy(databases(form).removeprefix("sqlite:///"), tmp_path / "test.db")
        yield f"sqlite:///{tmp_path}/test.db"
        return
    # A database for each test would cost more than the test.
    yield databases(form)
    engine = create_engine(sync_url(databases(form)))
    with engine.begin() as connection:
        for table in reversed(make_models(form).metadata.sorted_tables):
            connection.execute(table.delete())
    engine.dispose()


@pytest.fixture
async def stores(models: Models, url: str, kind: str) -> AsyncIterator[Stores]:
    async with open_stores(models, url, kind) as stores:
        yield stores
