"""A forgotten password: who comes with its token, how often, and what the time that an answer takes gives away."""

import asyncio
import re
from collections import Counter

import httpx2
import pytest
from sqlalchemy import create_engine, text

from app.models import User
from app.users import password_helper
from tests.app.conftest import PASSWORD
from tests.app.databases import migrated
from tests.app.fixture_types import Letters
from tests.app.mail_server import until
from tests.conftest import CreateDatabase
from tests.programs import Programs
from tests.server import start_server

# The service, in which a password is verified when the test says so, and which tells how many wait for that.
HASHING_WAITS = """
import runpy, time
from pathlib import Path
from app.users import password_helper

verify = password_helper.verify

def wait_and_verify(*arguments):
    while not Path("go").exists():
        Path("waiting").write_text(str(password_helper.hasher._executor._work_queue.qsize()))
        time.sleep(0.01)
    return verify(*arguments)

password_helper.verify = wait_and_verify
runpy.run_module("main", run_name="__main__")
"""


async def test_of_six_who_come_at_once_one_does_it(programs: Programs, database_url: str) -> None:
    server = start_server(programs, database_url=migrated(database_url))
    async with server.client() as client:
        await client.post("/auth/register", json={"email": "anna@example.com", "password": PASSWORD})
        await client.post("/auth/forgot-password", json={"email": "anna@example.com"})
        link = server.program.until(lambda: re.search(r"reset-password\?token=(\S+)\n", server.program.out))
        token = link[1]
        passwords = [f"{PASSWORD} {number}" for number in range(6)]
        bodies = [{"token": token, "password": password} for password in passwords]
        answers = await asyncio.gather(*(client.post("/auth/reset-password", json=body) for body in bodies))
        assert Counter(answer.status_code for answer in answers) == {200: 1, 400: 5}
        assert {answer.text for answer in answers if answer.is_error} == {'{"detail":"RESET_PASSWORD_BAD_TOKEN"}'}
        done = next(password for password, answer in zip(passwords, answers, strict=True) if answer.is_success)
        for password in (PASSWORD, *passwords):
            form = {"username": "anna@example.com", "password": password}
            answer = await client.post("/auth/jwt/login", data=form)
            assert answer.status_code == (200 if password == done else 400)


async def test_nothing_slow_tells_who_has_an_account(
    client: httpx2.AsyncClient, owner: User, letters: Letters, monkeypatch: pytest.MonkeyPatch
) -> None:
    hashed: list[str] = []
    monkeypatch.setattr(password_helper, "hash", hashed.append)
    for email in (owner.email, "nobody@example.com"):
        assert (await client.post("/auth/forgot-password", json={"email": email})).status_code == 202
    assert [letter.to for letter in await letters()] == [owner.email]
    assert hashed == []


async def test_no_connection_waits_in_a_transaction_while_passwords_are_hashed(
    programs: Programs, create_database: CreateDatabase
) -> None:
    url = migrated(create_database())
    server = start_server(programs, "-c", HASHING_WAITS, database_url=url)
    engine = create_engine(url.replace("postgresql://", "postgresql+psycopg://"), isolation_level="AUTOCOMMIT")
    states = text(
        "SELECT state FROM pg_stat_activity WHERE datname = current_database() AND pid <> pg_backend_pid()"
        " AND backend_type = 'client backend'"
    )
    async with server.client() as client:
        forms = [{"username": f"{number}@example.com", "password": PASSWORD} for number in range(20)]
        for form in forms:
            new = {"email": form["username"], "password": PASSWORD}
            assert (await client.post("/auth/register", json=new)).status_code == 201
        answers = asyncio.gather(*(client.post("/auth/jwt/login", data=form) for form in forms))
        waiting = programs.folder / "waiting"
        await until(lambda: waiting.exists() and waiting.read_text() == "19")
        with engine.connect() as connection:
            found = Counter(connection.scalars(states))
        (programs.folder / "go").touch()
        assert {answer.status_code for answer in await answers} == {200}
    engine.dispose()
    assert found.keys() == {"idle"}
