"""A service with its limits, and people in networks of their own."""

import asyncio
import itertools
from collections.abc import AsyncIterator, Iterator
from ipaddress import ip_address
from typing import Any

import httpx2
import pytest
from sqlmodel import Session

from app.core.settings import settings
from app.models import User
from tests.app.conftest import PASSWORD, Ground, form
from tests.app.databases import connected, signed_in
from tests.app.shapes import said
from tests.server import Server, start_server
from tests.spellings import SPELLINGS

NEW_PASSWORD = "wrong horse, other battery"
BAD_CREDENTIALS = (400, {"detail": "LOGIN_BAD_CREDENTIALS"})
CURRENT_PASSWORD_BAD = (400, {"detail": "CURRENT_PASSWORD_BAD"})
TOO_MANY = (429, {"detail": "Too Many Requests"})
ACCEPTED = (202, None)
ENV = {
    "THROTTLING": "on",
    "TRUSTED_PROXIES": "127.0.0.1/32",
    # The same key as here, so that nobody needs to sign in first.
    "SECRET_KEY": settings.secret_key.get_secret_value(),
}

# No two tests come from one network, or are about one person.
_networks = itertools.count(int(ip_address("198.18.0.0")))
_people = itertools.count()


def new_network() -> str:
    return str(ip_address(next(_networks)))


def spellings(person: int) -> list[str]:
    """Return the spellings of an address of this person."""
    return [spelling.replace("rg@", f"rg{person}@").replace("RG@", f"RG{person}@") for spelling in SPELLINGS]


def assert_too_many(response: httpx2.Response, *, within: int) -> None:
    assert said(response) == TOO_MANY
    assert 1 <= int(response.headers["Retry-After"]) <= within


class House:
    """A running service behind a proxy, and people who come from somewhere."""

    def __init__(self, server: Server, database_url: str, hashed_password: str, client: httpx2.AsyncClient) -> None:
        self.server, self.database_url, self.hashed_password = server, database_url, hashed_password
        self.client = client

    def add_user(self, **columns: Any) -> User:
        person = next(_people)
        values = {"email": f"person{person}@example.com", "username": f"person{person}", **columns}
        user = User(hashed_password=self.hashed_password, **values)
        with connected(self.database_url) as connection, Session(connection, expire_on_commit=False) as session:
            session.add(user)
            session.commit()
        return user

    async def login(self, name: str, password: str = PASSWORD, *, network: str) -> httpx2.Response:
        headers = {"X-Forwarded-For": network}
        return await self.client.post("/auth/jwt/login", data=form(name, password), headers=headers)

    async def fail(self, name: str, count: int, *, network: str) -> None:
        # At once, because each waits to be refused.
        answers = await asyncio.gather(*(self.login(name, "x", network=network) for _ in range(count)))
        assert [said(answer) for answer in answers] == [BAD_CREDENTIALS] * count

    async def post(self, path: str, network: str, user: User | None = None, /, **body: str) -> httpx2.Response:
        return await self.request("POST", path, network, user, **body)

    async def request(
        self, method: str, path: str, network: str, user: User | None = None, /, **body: str
    ) -> httpx2.Response:
        headers = {} if user is None else await signed_in(self.database_url, user)
        return await self.client.request(method, path, json=body, headers={**headers, "X-Forwarded-For": network})

    async def letters_to(self, *addresses: str) -> list[int]:
        """Count the letters that have left, by recipient."""
        # Whatever was to leave before this letter has left.
        last = self.add_user()
        assert said(await self.post("/auth/forgot-password", new_network(), email=last.email)) == ACCEPTED
        self.server.program.until(lambda: f"\nTo: {last.email}\n" in self.server.program.out or None)
        return [self.server.program.out.count(f"\nTo: {address}\n") for address in addresses]

    def token_to(self, address: str) -> str:
        """Wait for a letter with a token, and return the token of the last one."""

        def find() -> str | None:
            _, found, letter = self.server.program.out.rpartition(f"\nTo: {address}\n")
            token = letter.partition("?token=")[2].partition("\n")[0]
            return token if found and token and f"\n{token}\n" in letter else None

        return self.server.program.until(find)


@pytest.fixture(scope="module")
def running(ground: Ground) -> Iterator[tuple[Server, str]]:
    server = start_server(ground.programs, database_url=ground.database_url, env=ENV)
    yield server, ground.database_url
    server.stop_silently()


@pytest.fixture
async def house(running: tuple[Server, str], hashed_password: str) -> AsyncIterator[House]:
    async with running[0].client() as client:
        yield House(*running, hashed_password, client)
