"""The engine and the session: settings in force, autocommit and transactions, and failures."""

import contextlib
import socket
import sqlite3
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Annotated, Any

import httpx2
import psycopg
import pytest
from fastapi import Depends, FastAPI, WebSocket
from sqlalchemy import Connection, event, text
from sqlalchemy.exc import DBAPIError, InvalidRequestError, OperationalError
from sqlalchemy.exc import TimeoutError as PoolTimeoutError
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine, async_sessionmaker
from sqlmodel import select
from sqlmodel.ext.asyncio.session import AsyncSession

from app import db
from app.api.errors import add_exception_handlers
from app.api.middleware import RequestID
from app.core.settings import Settings, settings
from app.models import UserGroup
from tests.app.databases import connected, migrated
from tests.conftest import CreateDatabase
from tests.server import free_port

PASSWORD = "correct horse battery staple"
SERVICE_UNAVAILABLE = {"detail": "Service Unavailable"}


def settings_for(url: str) -> Settings:
    return settings.model_copy(update={"database_url": Settings(database_url=url).database_url})


@pytest.fixture
async def open_engine() -> AsyncIterator[Any]:
    """Open engines of the service; all are closed at the end."""
    engines: list[AsyncEngine] = []

    def open_engine(url: str) -> AsyncEngine:
        engines.append(db.create_app_engine(settings_for(url)))
        return engines[-1]

    yield open_engine
    for engine in engines:
        await engine.dispose()


@pytest.fixture
def engine(open_engine: Any, database_url: str) -> AsyncEngine:
    opened: AsyncEngine = open_engine(database_url)
    return opened


@pytest.fixture
def postgresql(open_engine: Any, create_database: CreateDatabase) -> AsyncEngine:
    opened: AsyncEngine = open_engine(create_database())
    return opened


async def ask(connection: AsyncConnection, sql: str) -> Any:
    return (await connection.exec_driver_sql(sql)).scalar_one()


class TestPostgreSQL:
    async def test_limits_are_in_force(self, postgresql: AsyncEngine) -> None:
        names = ("statement_timeout", "lock_timeout", "idle_in_transaction_session_timeout", "TimeZone")
        async with postgresql.connect() as connection:
            found = {name: await ask(connection, f"SHOW {name}") for name in names}
        assert found == {
            "statement_timeout": "5s",
            "lock_timeout": "2s",
            "idle_in_transaction_session_timeout": "10s",
            "TimeZone": "UTC",
        }

    @pytest.mark.parametrize(
        "sql",
        [
            "SET statement_timeout = 1; SELECT pg_sleep(60)",
            "SET lock_timeout = 1; SELECT pg_advisory_lock(1)",
            "SELECT pg_terminate_backend(pg_backend_pid())",
            "DO $$ BEGIN RAISE deadlock_detected; END $$",
            "DO $$ BEGIN RAISE too_many_connections; END $$",
        ],
    )
    async def test_what_will_pass_is_an_operational_error(self, postgresql: AsyncEngine, sql: str) -> None:
        async with postgresql.connect() as other, postgresql.connect() as connection:
            await ask(other, "SELECT pg_advisory_lock(1)")
            with pytest.raises(OperationalError):  # noqa: PT012  # The last of them fails
                for statement in sql.split("; ") if sql.startswith("SET") else [sql]:
                    await connection.exec_driver_sql(statement)

    async def test_what_is_our_mistake_is_none(self, postgresql: AsyncEngine) -> None:
        async with postgresql.connect() as connection:
            with pytest.raises(DBAPIError) as mistake:
                await connection.exec_driver_sql("SELECT nonsense")
        assert not isinstance(mistake.value, OperationalError)

    async def test_fifteen_connections_and_no_more(
        self, monkeypatch: pytest.MonkeyPatch, open_engine: Any, create_database: CreateDatabase
    ) -> None:
        monkeypatch.setattr(db, "SECONDS_TO_WAIT", 0.1)
        engine: AsyncEngine = open_engine(create_database())
        connections = [await engine.connect() for _ in range(15)]
        with pytest.raises(PoolTimeoutError):
            await engine.connect()
        for connection in connections:
            await connection.close()

    async def test_a_connection_that_was_idle_is_pinged(
        self, monkeypatch: pytest.MonkeyPatch, postgresql: AsyncEngine
    ) -> None:
        monkeypatch.setattr(db, "IDLE_SECONDS_BEFORE_PING", 0)
        connections = [await postgresql.connect() for _ in range(3)]
        pids = [await ask(connection, "SELECT pg_backend_pid()") for connection in connections]
        for connection in connections:
            await connection.close()
        end_connections(postgresql)
        async with postgresql.connect() as connection:
            assert await ask(connection, "SELECT pg_backend_pid()") not in pids

    async def test_a_connection_that_was_just_used_is_not(
        self, monkeypatch: pytest.MonkeyPatch, postgresql: AsyncEngine
    ) -> None:
        pings: list[object] = []
        monkeypatch.setattr(db, "IDLE_SECONDS_BEFORE_PING", 60)
        monkeypatch.setattr(postgresql.dialect, "do_ping", pings.append)
        for _ in range(2):
            async with postgresql.connect() as connection:
                await ask(connection, "SELECT 1")
        assert pings == []

    async def test_a_server_that_says_nothing_is_away(self, monkeypatch: pytest.MonkeyPatch, open_engine: Any) -> None:
        monkeypatch.setattr(db, "SECONDS_TO_WAIT", 0.1)
        with socket.create_server(("127.0.0.1", 0)) as silent:
            engine: AsyncEngine = open_engine(f"postgresql://127.0.0.1:{silent.getsockname()[1]}/house")
            with pytest.raises(ConnectionError):
                await engine.connect()

    @pytest.mark.parametrize("where", ["127.0.0.1:{port}", "nosuch.invalid"])
    async def test_a_server_that_is_not_there_is_away(self, open_engine: Any, where: str) -> None:
        engine: AsyncEngine = open_engine(f"postgresql://{where.format(port=free_port())}/house")
        with pytest.raises(ConnectionError):
            await engine.connect()


def end_connections(engine: AsyncEngine) -> None:
    """End all connections to the engine's database, on the server's side."""
    with psycopg.connect(engine.url.set(drivername="postgresql").render_as_string(hide_password=False)) as admin:
        admin.execute(
            "SELECT pg_terminate_backend(pid, 10000) FROM pg_stat_activity"
            " WHERE datname = current_database() AND pid <> pg_backend_pid()"
        )


PRAGMAS = {"journal_mode": "wal", "foreign_keys": 1, "busy_timeout": 5000, "synchronous": 1}


class TestSQLite:
    @pytest.fixture
    def url(self, tmp_path: Path) -> str:
        return f"sqlite:///{tmp_path}/test.db"

    async def test_pragmas_are_in_force(self, open_engine: Any, url: str) -> None:
        engine: AsyncEngine = open_engine(url)
        async with engine.connect() as connection:
            assert {name: await ask(connection, f"PRAGMA {name}") for name in PRAGMAS} == PRAGMAS

    async def test_what_writes_takes_the_lock_at_once(self, open_engine: Any, url: str) -> None:
        engine: AsyncEngine = open_engine(url)
        async with engine.connect() as connection:
            assert await ask(connection, "SELECT 1") == 1
            with contextlib.closing(sqlite3.connect(url.removeprefix("sqlite:///"), timeout=0)) as other:
                with pytest.raises(sqlite3.OperationalError, match="locked"):
                    other.execute("BEGIN IMMEDIATE")
                await connection.rollback()
                other.execute("BEGIN IMMEDIATE")

    async def test_what_reads_takes_none_and_sees_what_is_committed(self, open_engine: Any, url: str) -> None:
        engine: AsyncEngine = open_engine(migrated(url))
        reader = engine.execution_options(isolation_level="AUTOCOMMIT")
        async with engine.connect() as writing, reader.connect() as reading:
            await writing.exec_driver_sql("INSERT INTO usergroup (name) VALUES ('House')")
            assert await ask(reading, "SELECT count(*) FROM usergroup") == 0
            await writing.commit()
            assert await ask(reading, "SELECT count(*) FROM usergroup") == 1


def statements(engine: AsyncEngine) -> list[str]:
    """Return the list of statements, to which those that follow are added."""
    sent: list[str] = []

    def note(_connection: Connection, _cursor: Any, statement: str, *_rest: Any) -> None:
        sent.append(statement)

    event.listen(engine.sync_engine, "before_cursor_execute", note)
    return sent


class TestSyncEngine:
    """The half of it for scripts and the command line."""

    async def test_is_the_same_database(self, monkeypatch: pytest.MonkeyPatch, database_url: str) -> None:
        monkeypatch.setattr(db, "settings", settings_for(migrated(database_url)))
        engine = db.sync_engine.__wrapped__()
        with engine.begin() as connection:
            connection.exec_driver_sql("INSERT INTO usergroup (name) VALUES ('House')")
            if engine.dialect.name == "sqlite":
                found = {name: connection.exec_driver_sql(f"PRAGMA {name}").scalar_one() for name in PRAGMAS}
                assert found == PRAGMAS
        with connected(database_url) as connection:
            assert connection.exec_driver_sql("SELECT name FROM usergroup").scalar_one() == "House"

    def test_of_a_memory_there_is_none(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(db, "settings", settings_for("sqlite://"))
        with pytest.raises(SystemExit, match="A database in memory is its server's alone"):
            db.sync_engine.__wrapped__()


class TestErrors:
    async def test_do_not_repeat_what_a_statement_carries(self, engine: AsyncEngine) -> None:
        async with engine.connect() as connection:
            with pytest.raises(DBAPIError) as failure:
                await connection.execute(text("SELECT nonsense, :value"), {"value": PASSWORD})
        assert PASSWORD not in str(failure.value)


SessionDep = Annotated[AsyncSession, Depends(db.get_async_session, scope="function")]

tiny = FastAPI()
tiny.add_middleware(RequestID)
add_exception_handlers(tiny)


@tiny.get("/groups")
async def count_groups(session: SessionDep) -> int:
    return len((await session.exec(select(UserGroup))).all())


@tiny.get("/write")
async def write_in_a_safe_method(session: SessionDep) -> None:
    session.add(UserGroup(name="Never"))
    await session.flush()


@tiny.post("/write")
async def write(session: SessionDep, name: str = "House") -> None:
    session.add(UserGroup(name=name))


@tiny.get("/callback", dependencies=[Depends(db.writes)])
async def write_in_a_get(session: SessionDep) -> None:
    session.add(UserGroup(name="House"))


@tiny.websocket("/reading")
async def read_in_a_websocket(websocket: WebSocket, session: SessionDep) -> None:
    await websocket.accept()
    await websocket.send_json(await _refuses_to_write(session))


@tiny.websocket("/writing", dependencies=[Depends(db.writes)])
async def write_in_a_websocket(websocket: WebSocket, session: SessionDep) -> None:
    await websocket.accept()
    await websocket.send_json(await _refuses_to_write(session))


async def _refuses_to_write(session: AsyncSession) -> bool:
    session.add(UserGroup(name="House"))
    try:
        await session.flush()
    except InvalidRequestError:
        session.expunge_all()
        return True
    return False


@tiny.post("/write-and-fail")
async def write_and_fail(session: SessionDep) -> None:
    session.add(UserGroup(name="Never"))
    await session.flush()
    raise RuntimeError("the endpoint failed")


@tiny.api_route("/hold", methods=["GET", "POST"])
async def hold(session: SessionDep) -> dict[str, Any]:
    """Say what the server sees of this session's connection between two statements, and what it sees after a pause."""
    pool: Any = session.get_bind().pool  # type: ignore[union-attr]  # An engine, here
    connection = await session.connection()
    pid = await ask(connection, "SELECT pg_backend_pid()") if connection.dialect.name == "postgresql" else None
    await session.exec(select(UserGroup))
    held = pool.checkedout()
    state = seen_from_outside(session, pid)
    await db.pause(session)
    paused = pool.checkedout()
    await session.exec(select(UserGroup))
    return {"state": state, "held": held, "paused": paused, "again": pool.checkedout()}


@tiny.post("/pause-and-fail")
async def pause_and_fail(session: SessionDep) -> None:
    session.add(UserGroup(name="Before"))
    await db.pause(session)
    session.add(UserGroup(name="After"))
    await session.flush()
    raise RuntimeError("the endpoint failed")


def seen_from_outside(session: AsyncSession, pid: int | None) -> str | None:
    if pid is None:
        return None
    url = session.get_bind().engine.url.set(drivername="postgresql")
    with psycopg.connect(url.render_as_string(hide_password=False)) as outside:
        row = outside.execute("SELECT state FROM pg_stat_activity WHERE pid = %s", [pid]).fetchone()
    assert row is not None
    return str(row[0])


@pytest.fixture
async def client(
    monkeypatch: pytest.MonkeyPatch, engine: AsyncEngine, database_url: str
) -> AsyncIterator[httpx2.AsyncClient]:
    """Return a client of the tiny service, on sessions as the service has them."""
    migrated(database_url)
    for name, bind in [
        ("async_session_maker", engine),
        ("autocommit_session_maker", engine.execution_options(isolation_level="AUTOCOMMIT")),
    ]:
        maker: async_sessionmaker[AsyncSession] = getattr(db, name)
        monkeypatch.setattr(db, name, async_sessionmaker(**{**maker.kw, "class_": maker.class_, "bind": bind}))
    transport = httpx2.ASGITransport(tiny, raise_app_exceptions=False)
    async with httpx2.AsyncClient(transport=transport, base_url="http://localhost") as client:
        yield client


class TestSession:
    async def test_of_a_safe_method_cannot_write(self, client: httpx2.AsyncClient) -> None:
        assert (await client.get("/write")).status_code == 500
        assert (await client.get("/groups")).json() == 0

    async def test_of_a_safe_method_holds_no_transaction(self, client: httpx2.AsyncClient, engine: AsyncEngine) -> None:
        state = "idle" if engine.dialect.name == "postgresql" else None
        sent = statements(engine)
        assert (await client.get("/hold")).json() == {"state": state, "held": 1, "paused": 0, "again": 1}
        assert not [statement for statement in sent if statement.startswith("BEGIN")]

    async def test_of_a_get_that_is_marked_writes(self, client: httpx2.AsyncClient, database_url: str) -> None:
        assert (await client.get("/callback")).status_code == 200
        with connected(database_url) as connection:
            assert connection.exec_driver_sql("SELECT name FROM usergroup").scalar_one() == "House"

    @pytest.mark.parametrize(("path", "written"), [("/reading", 0), ("/writing", 1)])
    async def test_of_a_websocket_writes_where_it_is_marked(
        self, client: httpx2.AsyncClient, path: str, written: int
    ) -> None:
        sent = []

        async def receive() -> dict[str, Any]:
            return {"type": "websocket.connect"}

        async def send(message: Any) -> None:
            sent.append(message)

        await tiny({"type": "websocket", "path": path, "headers": [], "query_string": b""}, receive, send)
        said = [message["text"] for message in sent if message["type"] == "websocket.send"]
        assert said == ["false" if written else "true"]
        assert (await client.get("/groups")).json() == written

    async def test_of_another_method_holds_one(self, client: httpx2.AsyncClient, engine: AsyncEngine) -> None:
        state = "idle in transaction" if engine.dialect.name == "postgresql" else None
        assert (await client.post("/hold")).json() == {"state": state, "held": 1, "paused": 0, "again": 1}

    async def test_commits_before_the_answer(self, client: httpx2.AsyncClient, database_url: str) -> None:
        assert (await client.post("/write")).status_code == 200
        with connected(database_url) as connection:
            assert connection.exec_driver_sql("SELECT name FROM usergroup").scalar_one() == "House"

    async def test_keeps_nothing_when_the_endpoint_fails(self, client: httpx2.AsyncClient, engine: AsyncEngine) -> None:
        assert (await client.post("/write-and-fail")).status_code == 500
        assert (await client.get("/groups")).json() == 0
        assert engine.pool.checkedout() == 0  # type: ignore[attr-defined]  # A pool with a queue

    async def test_keeps_what_was_before_a_pause(self, client: httpx2.AsyncClient, database_url: str) -> None:
        assert (await client.post("/pause-and-fail")).status_code == 500
        with connected(database_url) as connection:
            assert connection.exec_driver_sql("SELECT name FROM usergroup").scalar_one() == "Before"

    async def test_that_cannot_commit_is_no_success(self, client: httpx2.AsyncClient, database_url: str) -> None:
        assert (await client.post("/write?name=One")).status_code == 200
        with connected(database_url) as connection:
            break_commits(connection)
        failed = await client.post("/write?name=Two")
        assert (failed.status_code, failed.json()) == (500, {"detail": "Internal Server Error"})
        assert (await client.get("/groups")).json() == 1

    # SQLite has no connection that could die.
    @pytest.mark.parametrize("database_url", ["postgresql"], indirect=True)
    async def test_whose_connection_dies_while_it_commits_is_no_success(
        self, client: httpx2.AsyncClient, database_url: str
    ) -> None:
        with connected(database_url) as connection:
            connection.exec_driver_sql(
                "CREATE FUNCTION die() RETURNS trigger LANGUAGE plpgsql AS"
                " 'BEGIN PERFORM pg_terminate_backend(pg_backend_pid()); RETURN NULL; END'"
            )
            connection.exec_driver_sql(
                "CREATE CONSTRAINT TRIGGER die AFTER INSERT ON usergroup DEFERRABLE INITIALLY DEFERRED"
                " FOR EACH ROW EXECUTE FUNCTION die()"
            )
        failed = await client.post("/write")
        assert (failed.status_code, failed.json()) == (503, SERVICE_UNAVAILABLE)
        assert failed.headers["Retry-After"] == "1"
        assert (await client.get("/groups")).json() == 0


def break_commits(connection: Connection) -> None:
    """Let every insert into `usergroup` promise what is found missing when it commits."""
    connection.exec_driver_sql(
        "CREATE TABLE promise (group_id integer REFERENCES usergroup (id) DEFERRABLE INITIALLY DEFERRED)"
    )
    if connection.dialect.name == "sqlite":
        connection.exec_driver_sql(
            "CREATE TRIGGER promise AFTER INSERT ON usergroup BEGIN INSERT INTO promise VALUES (-1); END"
        )
        return
    connection.exec_driver_sql(
        "CREATE FUNCTION promise() RETURNS trigger LANGUAGE plpgsql AS"
        " 'BEGIN INSERT INTO promise VALUES (-1); RETURN NULL; END'"
    )
    connection.exec_driver_sql(
        "CREATE TRIGGER promise AFTER INSERT ON usergroup FOR EACH ROW EXECUTE FUNCTION promise()"
    )
