"""Fixtures for people who test a protected app: a database for each test, signed-in users, counted statements."""

from collections.abc import AsyncIterator, Callable, Coroutine, Generator, Iterator, Sequence
from contextlib import asynccontextmanager, contextmanager
from typing import Any

import pytest
from fastapi import FastAPI
from fastapi_users.authentication import AuthenticationBackend, BearerTransport, CookieTransport, Strategy
from sqlalchemy import MetaData, event
from sqlalchemy.ext.asyncio import AsyncEngine, create_async_engine
from sqlalchemy.pool import AsyncAdaptedQueuePool
from sqlmodel.ext.asyncio.session import AsyncSession

from fastapi_users_sqlmodel.engines import async_url, is_in_memory, prepare_sqlite


def database_fixtures(  # noqa: PLR0913  # Each is a fact about the app
    app: FastAPI,
    get_async_session: Callable[..., Any],
    metadata: MetaData,
    *,
    also: Sequence[Callable[..., Any]] = (),
    url: str = "sqlite://",
    commits: bool = False,
) -> tuple[Any, Any, Any]:
    """Make the pytest fixtures `engine`, `session` and `app`, to be assigned to these names in a `conftest.py`.

    `engine` has the tables, made for the test and dropped behind it. `session` and every request of `app` work on one
    connection in one transaction that is rolled back at the end, so that the test sees what the app wrote and the other
    way round. The fixtures are coroutines: use anyio's pytest plugin.

    Args:
        app: The application under test.
        get_async_session: The dependency that its stores and endpoints share; overriding it redirects authentication
            too.
        metadata: The tables.
        also: Other dependencies that hand over a session, where the app has several.
        url: Of an empty database; `sqlite://` is one in memory.
        commits: Whether the app's own `get_async_session` commits when a request has succeeded.
    """

    @pytest.fixture(name="engine")
    async def engine_fixture() -> AsyncIterator[AsyncEngine]:
        async with open_test_engine(metadata, url=url) as engine:
            yield engine

    @pytest.fixture(name="session")
    async def session_fixture(engine: AsyncEngine) -> AsyncIterator[AsyncSession]:
        async with engine.connect() as connection, connection.begin() as transaction:
            async with AsyncSession(
                connection, expire_on_commit=False, join_transaction_mode="create_savepoint"
            ) as session:
                yield session
            await transaction.rollback()

    @pytest.fixture(name="app")
    def app_fixture(session: AsyncSession) -> Iterator[FastAPI]:
        async def get_test_session() -> AsyncIterator[AsyncSession]:
            async with AsyncSession(
                session.bind, expire_on_commit=False, join_transaction_mode="create_savepoint"
            ) as own:
                yield own
                if commits:
                    await own.commit()

        replaced = dict(app.dependency_overrides)
        app.dependency_overrides.update(dict.fromkeys((get_async_session, *also), get_test_session))
        yield app
        app.dependency_overrides.clear()
        app.dependency_overrides.update(replaced)

    return engine_fixture, session_fixture, app_fixture


@asynccontextmanager
async def open_test_engine(metadata: MetaData, *, url: str = "sqlite://") -> AsyncIterator[AsyncEngine]:
    """Open an engine whose database has the tables of `metadata`; at the end they are dropped and it is closed."""
    engine = create_test_engine(url)
    try:
        async with engine.begin() as connection:
            await connection.run_sync(metadata.create_all)
        yield engine
        async with engine.begin() as connection:
            await connection.run_sync(metadata.drop_all)
    finally:
        await engine.dispose()


def create_test_engine(url: str = "sqlite://", **options: Any) -> AsyncEngine:
    """Create an engine; a database in memory is one database for everybody who uses it, one at a time."""
    parsed = async_url(url)
    if is_in_memory(parsed):
        # One connection, kept and never shared by two at once: SQLAlchemy's StaticPool would mix their transactions.
        options |= {"poolclass": AsyncAdaptedQueuePool, "pool_size": 1, "max_overflow": 0}
    engine = create_async_engine(parsed, **options)
    prepare_sqlite(engine)
    return engine


async def as_user(
    user: Any,
    backend: AuthenticationBackend[Any, Any],
    strategy: Strategy[Any, Any] | None = None,
) -> dict[str, str]:
    """Sign a user in, without a password, and return the headers that any HTTP client sends to be that user.

    Args:
        user: A row of the user table.
        backend: The authentication backend of the app, with a bearer or a cookie transport.
        strategy: Where `backend.get_strategy` takes arguments: the strategy itself.
    """
    made = strategy or backend.get_strategy()
    if isinstance(made, Generator | AsyncIterator):
        raise TypeError("this backend makes its strategy in a generator: pass the strategy")
    token = await (await made if isinstance(made, Coroutine) else made).write_token(user)
    match backend.transport:
        case BearerTransport():
            return {"Authorization": f"Bearer {token}"}
        case CookieTransport(cookie_name=name):
            return {"Cookie": f"{name}={token}"}
        case other:
            raise TypeError(f"as_user() knows bearer and cookie transports, not {type(other).__name__}")


@contextmanager
def count_statements(engine: AsyncEngine) -> Iterator[list[str]]:
    """Yield a list that every statement sent through the engine is appended to; `len()` counts them."""
    statements: list[str] = []

    def note(_connection: Any, _cursor: Any, statement: str, *_rest: Any) -> None:
        statements.append(statement)

    event.listen(engine.sync_engine, "before_cursor_execute", note)
    try:
        yield statements
    finally:
        event.remove(engine.sync_engine, "before_cursor_execute", note)
