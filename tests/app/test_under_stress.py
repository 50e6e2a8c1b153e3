"""The real service when others hold what it needs, or its database is behind, or is gone."""

import asyncio
import os
import signal
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager

import httpx2
import psycopg
from sqlmodel import Session

from app.core.settings import settings
from app.models import User
from tests.app.databases import connected, migrated, signed_in
from tests.conftest import CreateDatabase
from tests.postgres import own_server, postgres_server
from tests.programs import Programs
from tests.server import Server, start_server

PASSWORD = "correct horse battery staple"
SERVICE_UNAVAILABLE = {"detail": "Service Unavailable"}


@contextmanager
def locked(url: str) -> Iterator[None]:
    """Hold every lock that a user needs to change something about themselves."""
    with connected(url) as connection:
        if connection.dialect.name == "postgresql":
            connection.exec_driver_sql('SELECT id FROM "user" FOR UPDATE')
        yield


class TestServiceUnderStress:
    async def test_those_who_wait_too_long_are_told_to_come_back(self, programs: Programs, database_url: str) -> None:
        key = settings.secret_key.get_secret_value()
        server = start_server(programs, database_url=migrated(database_url), env={"SECRET_KEY": key})
        user = User(email="ann@example.com", hashed_password="!")
        with connected(database_url) as connection, Session(connection, expire_on_commit=False) as session:
            session.add(user)
            session.commit()
        async with server.client() as client:
            client.headers.update(await signed_in(database_url, user))
            with locked(database_url):
                # More than the pool has connections: some wait for the lock, the others for a connection.
                waiting = [client.patch("/users/me", json={"name": "Ann"}) for _ in range(46)]
                live, *answers = await asyncio.gather(client.get("/health/live"), *waiting)
            assert (live.status_code, live.json()) == (200, {"status": "ok"})
            assert Counter(answer.status_code for answer in answers) == {503: 46}
            assert [answer.json() for answer in answers] == [SERVICE_UNAVAILABLE] * 46
            assert {answer.headers["Retry-After"] for answer in answers} == {"1"}
            changed = await client.patch("/users/me", json={"name": "Ann"})
            assert (changed.status_code, changed.json()["name"]) == (200, "Ann")

    def test_a_schema_that_is_behind_is_not_ready(self, programs: Programs, database_url: str) -> None:
        arguments = ["-m", "uvicorn", "main:app", "--port", "{port}"]
        server = start_server(programs, *arguments, database_url=database_url, until="/health/live")
        ready = httpx2.get(f"{server.url}/health/ready")
        assert (ready.status_code, ready.json()) == (503, SERVICE_UNAVAILABLE)
        posts = httpx2.get(f"{server.url}/posts")
        assert (posts.status_code, posts.json(), posts.headers["Retry-After"]) == (503, SERVICE_UNAVAILABLE, "1")


class TestLostConnections:
    """The server ends connections while requests use them: a read is repeated on another connection."""

    async def test_no_read_fails(self, programs: Programs, create_database: CreateDatabase) -> None:
        key = settings.secret_key.get_secret_value()
        url = migrated(create_database())
        server = start_server(programs, database_url=url, env={"SECRET_KEY": key})
        user = User(email="ann@example.com", hashed_password="!")
        with connected(url) as connection, Session(connection, expire_on_commit=False) as session:
            session.add(user)
            session.commit()
        is_over = False
        statuses: Counter[int] = Counter()

        async def read(client: httpx2.AsyncClient, path: str) -> None:
            while not is_over:
                statuses[(await client.get(path)).status_code] += 1

        async with server.client() as client:
            client.headers.update(await signed_in(url, user))
            paths = ("/users/me", "/posts", "/items") * 3
            readers = [asyncio.create_task(read(client, path)) for path in paths]
            for _ in range(12):
                await asyncio.sleep(0.1)
                await asyncio.to_thread(terminate_others, url)
            is_over = True
            await asyncio.gather(*readers)
        # 503 if each attempt of a read met another end.
        assert statuses.keys() - {503} == {200}, server.program.err
        assert statuses[503] * 10 < statuses[200]


def terminate_others(url: str) -> None:
    """End all other connections to a database, on the server's side."""
    with psycopg.connect(url, autocommit=True) as connection:
        connection.execute(
            "SELECT pg_terminate_backend(pid) FROM pg_stat_activity"
            " WHERE datname = current_database() AND pid <> pg_backend_pid()"
        )


@own_server
class TestServerAway:
    async def test_comes_back_and_goes(self, programs: Programs) -> None:
        with ExitStack() as database:
            url = migrated(database.enter_context(postgres_server()))
            server = start_server(programs, database_url=url)
            async with server.client() as client:
                # Several connections, so that none is left of which nobody knows that it is dead.
                used = await asyncio.gather(*(client.get("/user-groups") for _ in range(10)))
                assert [answer.status_code for answer in used] == [200] * 10
                crash(url)
                statuses = await until_served(client)
                assert set(statuses) <= {200, 503}
                again = await asyncio.gather(*(client.get("/user-groups") for _ in range(10)))
                assert [answer.status_code for answer in again] == [200] * 10
                registered = await client.post("/auth/register", json=account("ann"))
                assert registered.status_code == 201
                database.close()
                await self.assert_away(client, server)

    @staticmethod
    async def assert_away(client: httpx2.AsyncClient, server: Server) -> None:
        live = await client.get("/health/live")
        assert (live.status_code, live.json()) == (200, {"status": "ok"})
        for answer in await asyncio.gather(
            client.get("/health/ready"),
            client.get("/user-groups"),
            client.post("/auth/register", json=account("bob")),
            client.post("/auth/jwt/login", data={"username": "ann@example.com", "password": PASSWORD}),
        ):
            assert (answer.status_code, answer.json()) == (503, SERVICE_UNAVAILABLE)
            assert answer.headers["Retry-After"] == "1"
        assert PASSWORD not in server.program.out + server.program.err


def account(name: str) -> dict[str, str]:
    return {"email": f"{name}@example.com", "password": PASSWORD}


def crash(url: str) -> None:
    """Kill a process of the server, as running out of memory does: it ends all the others and starts anew."""
    with psycopg.connect(url, autocommit=True) as victim, psycopg.connect(url, autocommit=True) as bystander:
        os.kill(victim.info.backend_pid, signal.SIGKILL)
        eventually(lambda: is_dead(bystander))
    eventually(lambda: is_up(url))


def is_dead(connection: psycopg.Connection) -> bool:
    try:
        connection.execute("SELECT 1")
    except psycopg.OperationalError:
        return True
    return False


def is_up(url: str) -> bool:
    try:
        psycopg.connect(url).close()
    except psycopg.OperationalError:
        return False
    return True


def eventually(happened: Callable[[], bool]) -> None:
    deadline = time.monotonic() + 60
    while not happened():
        assert time.monotonic() < deadline
        time.sleep(0.02)


async def until_served(client: httpx2.AsyncClient) -> list[int]:
    """Ask until there is an answer, and return the statuses."""
    deadline = time.monotonic() + 60
    statuses: list[int] = []
    while 200 not in statuses:
        statuses.append((await client.get("/user-groups")).status_code)
        assert time.monotonic() < deadline, statuses
    return statuses
