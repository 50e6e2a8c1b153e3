"""The example as a process of its own, and what tests ask of it."""

import asyncio
import re
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import httpx2
from sqlalchemy import Connection, NullPool, create_engine, text

from fastapi_users_sqlmodel.engines import sync_url
from tests.programs import Programs
from tests.server import Server, start_server

EXAMPLE = "examples.fastapi_users_documentation.app:app"
CONFIGURED = "tests.examples.configured:app"
WITH_USERNAME = "tests.examples.with_username:app"
ANNA = "anna@example.com"
PASSWORD = "correct horse battery"
NEW_PASSWORD = "wrong horse, other battery"
WRONG = "not this horse at all"
# What the example prints by itself.
PRINTED = re.compile(
    r"User \S+ has registered\.|User \S+ has forgot their password\. Reset token: \S+"
    r"|Verification requested for user \S+\. Verification token: \S+"
)


def start_example(programs: Programs, app: str = EXAMPLE, **env: str) -> Server:
    """Start it in the folder of the programs, where its test.db then is."""
    arguments = ("-m", "uvicorn", app, "--port", "{port}", "--log-level", "debug")
    return start_server(programs, *arguments, env=env, until="/openapi.json")


def noted(notes: Path, name: str) -> int:
    return len((notes / name).read_text().splitlines()) if (notes / name).exists() else 0


@contextmanager
def connected(url: str) -> Iterator[Connection]:
    """Connect to the database of an example, in a transaction that is committed at the end."""
    with create_engine(sync_url(url), poolclass=NullPool).begin() as connection:
        yield connection


def execute(url: str, statement: str, **values: Any) -> None:
    with connected(url) as connection:
        connection.execute(text(statement), values)


def count(url: str, statement: str, **values: Any) -> int:
    with connected(url) as connection:
        found: int = connection.execute(text(statement), values).scalar_one()
    return found


def make_superuser(url: str, email: str) -> None:
    execute(url, 'UPDATE "user" SET is_superuser = true WHERE email = :email', email=email)


async def register(client: httpx2.AsyncClient, email: str = ANNA, password: str = PASSWORD) -> str:
    """Register, and return the id."""
    answer = await client.post("/auth/register", json={"email": email, "password": password})
    assert answer.status_code == 201, answer.text
    user_id: str = answer.json()["id"]
    return user_id


async def login(client: httpx2.AsyncClient, name: str = ANNA, password: str = PASSWORD) -> httpx2.Response:
    return await client.post("/auth/jwt/login", data={"username": name, "password": password})


async def bearer(client: httpx2.AsyncClient, name: str = ANNA, password: str = PASSWORD) -> dict[str, str]:
    """Sign in, and return the headers of who has."""
    answer = await login(client, name, password)
    assert answer.status_code == 200, answer.text
    return {"Authorization": f"Bearer {answer.json()['access_token']}"}


async def printed_token(server: Server, kind: str, user_id: str) -> str:
    pattern = {
        "reset": rf"User {user_id} has forgot their password\. Reset token: (\S+)\n",
        "verify": rf"Verification requested for user {user_id}\. Verification token: (\S+)\n",
    }[kind]
    found = await asyncio.to_thread(server.program.until, lambda: re.findall(pattern, server.program.out) or None)
    token: str = found[-1]
    return token


def said(answer: httpx2.Response) -> tuple[int, Any]:
    return answer.status_code, answer.json() if answer.content else None


def code(name: str) -> tuple[int, Any]:
    return 400, {"detail": name}
