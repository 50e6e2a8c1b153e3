"""The session of a request, in a small app with `app.db` alone."""

from collections.abc import AsyncIterator
from typing import Annotated, Any

import httpx2
import psycopg
import pytest
from fastapi import Depends, FastAPI, WebSocket
from sqlalchemy import Connection, event
from sqlalchemy.exc import InvalidRequestError
from sqlalchemy.ext.asyncio import AsyncEngine, async_sessionmaker
from sqlmodel import select
from sqlmodel.ext.asyncio.session import AsyncSession

from app import db
from app.api.errors import add_exception_handlers
from app.api.middleware import RequestID
from app.models import UserGroup
from tests.app.databases import connected, migrated
from tests.app.db.conftest import ask

SERVICE_UNAVAILABLE = {"detail": "Service Unavailable"}


def statements(engine: AsyncEngine) -> list[str]:
    """Return the list of statements, to which those that follow are added."""
    sent: list[str] = []

    def note(_connection: Connection, _cursor: Any, statement: str, *_rest: Any) -> None:
        sent.append(statement)

    event.listen(engine.sync_engine, "before_cursor_execute", note)
    return sent


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
