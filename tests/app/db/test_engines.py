"""The engines that `app.db` creates, on each database."""

import contextlib
import socket
import sqlite3
from pathlib import Path
from typing import Any

import psycopg
import pytest
from sqlalchemy import text
from sqlalchemy.exc import DBAPIError, OperationalError
from sqlalchemy.exc import TimeoutError as PoolTimeoutError
from sqlalchemy.ext.asyncio import AsyncEngine

from app import db
from tests.app.databases import connected, migrated
from tests.app.db.conftest import ask, settings_for
from tests.conftest import CreateDatabase
from tests.server import free_port

PASSWORD = "correct horse battery staple"


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
