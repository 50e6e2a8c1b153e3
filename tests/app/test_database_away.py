"""The database is away, or too busy: the client learns that it may come again, and nothing is stored by half."""

from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import Any

import httpx2
import pytest
from sqlalchemy import event, text
from sqlalchemy.exc import OperationalError
from sqlalchemy.ext.asyncio import AsyncEngine, create_async_engine
from sqlalchemy.pool import AsyncAdaptedQueuePool
from sqlmodel import select

from app import db
from app.app import app
from app.core.settings import settings
from app.models import User
from fastapi_users_sqlmodel.engines import autocommit_options
from tests.app.conftest import BASE_URL, PASSWORD
from tests.app.shapes import UNKNOWN_USER, said
from tests.conftest import CreateDatabase

REGISTRATION = {"email": "anna@example.com", "password": PASSWORD}
REQUESTS: list[tuple[str, str, dict[str, Any]]] = [
    ("GET", "/health/ready", {}),
    ("GET", "/posts", {}),
    ("GET", f"/users/{UNKNOWN_USER}/posts", {}),
    ("POST", "/users", {"json": REGISTRATION}),
    ("POST", "/auth/jwt/login", {"data": {"username": "anna", "password": PASSWORD}}),
    ("POST", "/auth/forgot-password", {"json": {"email": "anna@example.com"}}),
]

type Serve = Callable[[AsyncEngine], httpx2.AsyncClient]


@pytest.fixture
async def serve(monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Serve]:
    """Return a function that puts an engine in the place of the service's own, its sessions being the real ones."""
    engines = []

    def serve(engine: AsyncEngine) -> httpx2.AsyncClient:
        engines.append(engine)
        autocommit = engine.execution_options(**autocommit_options(engine.sync_engine))
        monkeypatch.setitem(db.async_session_maker.kw, "bind", engine)
        monkeypatch.setitem(db.autocommit_session_maker.kw, "bind", autocommit)
        transport = httpx2.ASGITransport(app, raise_app_exceptions=False)
        return httpx2.AsyncClient(transport=transport, base_url=BASE_URL)

    yield serve
    for engine in engines:
        await engine.dispose()


def engine_of(url: str) -> AsyncEngine:
    """Create an engine as the service does."""
    url = url.replace("postgresql://", "postgresql+asyncpg://").replace("sqlite://", "sqlite+aiosqlite://")
    return db.create_app_engine(settings.model_copy(update={"database_url": url}))


async def migrate(engine: AsyncEngine) -> None:
    async with engine.begin() as connection:
        await connection.run_sync(db.upgrade)


async def assert_come_again(client: httpx2.AsyncClient, method: str, path: str, **body: Any) -> None:
    response = await client.request(method, path, headers={"X-Request-ID": "mine"}, **body)
    assert said(response) == (503, {"detail": "Service Unavailable"})
    assert response.headers["retry-after"] == "1"
    assert response.headers["x-request-id"] == "mine"


class TestAway:
    async def test_nobody_listens(self, serve: Serve) -> None:
        client = serve(engine_of("postgresql://nobody:s3cret@127.0.0.1:1/nothing"))
        for method, path, body in REQUESTS:
            await assert_come_again(client, method, path, **body)
        assert said(await client.get("/health/live")) == (200, {"status": "ok"})

    async def test_no_such_file(self, serve: Serve, tmp_path: Path) -> None:
        client = serve(engine_of(f"sqlite:///{tmp_path}/nowhere/test.db"))
        for method, path, body in REQUESTS:
            await assert_come_again(client, method, path, **body)
        assert said(await client.get("/health/live")) == (200, {"status": "ok"})

    async def test_no_such_database(self, serve: Serve, postgres_url: str) -> None:
        client = serve(engine_of(postgres_url.replace("/postgres", "/nothing")))
        for method, path, body in REQUESTS:
            await assert_come_again(client, method, path, **body)

    async def test_a_server_that_was_restarted(self, serve: Serve, create_database: CreateDatabase) -> None:
        """What was connected is not any more: a read is tried again; what writes fails, and connects the next time."""
        engine, other = engine_of(url := create_database()), engine_of(url)
        await migrate(engine)
        client = serve(engine)
        assert said(await client.get("/posts")) == (200, [])
        others = "SELECT pg_terminate_backend(pid, 5000) FROM pg_stat_activity WHERE pid <> pg_backend_pid()"
        for method, path, body in REQUESTS:
            async with other.begin() as connection:
                await connection.execute(text(f"{others} AND datname = current_database()"))
            if method == "GET":
                assert said(await client.get("/posts")) == (200, [])
            else:
                await assert_come_again(client, method, path, **body)
                assert (await client.request(method, path, **body)).status_code < 500
        await other.dispose()


class TestBusy:
    async def test_every_connection_is_taken(self, serve: Serve) -> None:
        engine = create_async_engine(
            "sqlite+aiosqlite://", poolclass=AsyncAdaptedQueuePool, pool_size=1, max_overflow=0, pool_timeout=0.01
        )
        await migrate(engine)
        client = serve(engine)
        async with engine.connect():
            for method, path, body in REQUESTS:
                await assert_come_again(client, method, path, **body)
        assert said(await client.get("/posts")) == (200, [])

    @pytest.mark.parametrize("backend", ["sqlite", "postgresql"])
    async def test_a_row_is_locked_for_too_long(
        self, serve: Serve, request: pytest.FixtureRequest, tmp_path: Path, backend: str
    ) -> None:
        url = f"sqlite:///{tmp_path}/test.db" if backend == "sqlite" else request.getfixturevalue("create_database")()
        engine = engine_of(url)
        await migrate(engine)
        await engine.dispose()
        # The service waits for seconds; here, that would be waiting for nothing.
        impatient = "PRAGMA busy_timeout = 20" if backend == "sqlite" else "SET lock_timeout = '20ms'"
        event.listen(engine.sync_engine, "connect", lambda connection, _: connection.cursor().execute(impatient))
        client = serve(engine)
        other = engine_of(url)
        async with other.begin() as connection:
            if backend == "postgresql":
                await connection.execute(text('LOCK TABLE "user" IN EXCLUSIVE MODE'))
            await assert_come_again(client, "POST", "/users", json=REGISTRATION)
            assert said(await client.get("/posts")) == (200, [])
        await other.dispose()
        assert (await client.post("/users", json=REGISTRATION)).status_code == 201


class TestCommit:
    async def test_one_that_fails_is_no_success(self, serve: Serve) -> None:
        """It comes before the answer; and it leaves no transaction behind."""
        engine = engine_of("sqlite://")
        await migrate(engine)
        client = serve(engine)

        def fail(_connection: Any) -> None:
            raise OperationalError("COMMIT", None, Exception("the disk is full"))

        event.listen(engine.sync_engine, "commit", fail)
        await assert_come_again(client, "POST", "/users", json=REGISTRATION)
        event.remove(engine.sync_engine, "commit", fail)
        assert (await client.post("/users", json=REGISTRATION)).status_code == 201

    async def test_what_was_answered_is_stored(self, serve: Serve) -> None:
        engine = engine_of("sqlite://")
        await migrate(engine)
        client = serve(engine)
        user_id = (await client.post("/users", json=REGISTRATION)).json()["id"]
        async with engine.connect() as connection:
            assert [str(row.id) for row in await connection.execute(select(User.__table__))] == [user_id]  # type: ignore[call-overload]  # A table
        response = await client.post("/users", json={**REGISTRATION, "username": "a b"})
        assert response.status_code == 422
        response = await client.post("/users", json=REGISTRATION)
        assert said(response) == (400, {"detail": "REGISTER_USER_ALREADY_EXISTS"})
