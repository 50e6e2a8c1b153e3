"""Services on one database, and people who refresh at the same moment."""

import itertools
from collections.abc import AsyncIterator, Iterator
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from http.cookiejar import DefaultCookiePolicy
from typing import NamedTuple

import httpx2
import jwt
import pytest
from sqlmodel import Session

from app.core.settings import settings
from app.models import User
from tests.app.conftest import PASSWORD, Ground, form
from tests.app.databases import connected
from tests.app.shapes import UNAUTHORIZED, said
from tests.programs import Programs
from tests.server import Server, start_server

REFRESH_BAD_TOKEN = (401, {"detail": "REFRESH_BAD_TOKEN"})
FROM_OUR_PAGE = {"Sec-Fetch-Site": "same-origin"}
OUR_KEY, NEW_KEY, ANOTHER_KEY = (
    settings.secret_key.get_secret_value(),
    "the key after it, and as long as a secret key has to be",
    "a key of somebody else, and as long as ours",
)
REPLAYED = "refresh_token_replayed"

_people = itertools.count()


class Tokens(NamedTuple):
    """What signing in and refreshing bring."""

    access: str
    refresh: str

    @property
    def session_id(self) -> str:
        return str(jwt.decode(self.access, options={"verify_signature": False})["sid"])


@dataclass(frozen=True)
class House:
    """Processes of the service on one database."""

    clients: list[httpx2.AsyncClient]
    database_url: str
    hashed_password: str

    def add_user(self) -> str:
        email = f"person{next(_people)}@example.com"
        with connected(self.database_url) as connection, Session(connection) as session:
            session.add(User(email=email, hashed_password=self.hashed_password))
            session.commit()
        return email

    async def sign_in(self, email: str, *, at: int = 0) -> Tokens:
        return tokens_of(await self.clients[at].post("/auth/jwt/login", data=form(email, PASSWORD)))

    async def sign_in_by_cookie(self, email: str) -> dict[str, str]:
        """Sign in, and return the headers to be that user."""
        body = form(email, PASSWORD)
        answer = await self.clients[0].post("/auth/cookie/login", data=body, headers=FROM_OUR_PAGE)
        return {"Cookie": f"session={answer.cookies['session']}"}

    async def refresh(self, token: str, *, at: int = 0) -> httpx2.Response:
        return await self.clients[at].post("/auth/jwt/refresh", json={"refresh_token": token})

    async def refreshed(self, token: str, *, at: int = 0) -> Tokens:
        return tokens_of(await self.refresh(token, at=at))

    async def get(self, path: str, access: str, *, at: int = 0) -> httpx2.Response:
        return await self.clients[at].get(path, headers=bearer(access))

    async def assert_lives(self, *access_tokens: str) -> None:
        for at, token in itertools.product(range(len(self.clients)), access_tokens):
            assert (await self.get("/authenticated-route", token, at=at)).status_code == 200

    async def assert_dead(self, *tokens: Tokens) -> None:
        for at, pair in itertools.product(range(len(self.clients)), tokens):
            assert said(await self.get("/authenticated-route", pair.access, at=at)) == (401, UNAUTHORIZED)
            assert said(await self.refresh(pair.refresh, at=at)) == REFRESH_BAD_TOKEN

    async def sessions_of(self, tokens: Tokens) -> list[str]:
        return [one["id"] for one in (await self.get("/auth/sessions", tokens.access)).json()]

    async def events_of(self, tokens: Tokens) -> list[str]:
        """Return the kinds of what has happened to an account, newest first."""
        return [event["kind"] for event in (await self.get("/users/me/audit-events", tokens.access)).json()]


def tokens_of(answer: httpx2.Response) -> Tokens:
    assert answer.status_code == 200, answer.text
    return Tokens(answer.json()["access_token"], answer.json()["refresh_token"])


def bearer(access: str) -> dict[str, str]:
    return {"Authorization": f"Bearer {access}"}


def start(programs: Programs, url: str, key: str = OUR_KEY, previous: str = "") -> Server:
    env = {"SECRET_KEY": key, "SECRET_KEY_PREVIOUS": previous, "LOG_LEVEL": "WARNING"}
    return start_server(programs, database_url=url, env=env)


@asynccontextmanager
async def in_house(servers: list[Server], url: str, hashed_password: str) -> AsyncIterator[House]:
    async with AsyncExitStack() as opened:
        clients = [await opened.enter_async_context(server.client()) for server in servers]
        for client in clients:
            # Each request says itself who is asking.
            client.cookies.jar.set_policy(DefaultCookiePolicy(allowed_domains=[]))
        yield House(clients, url, hashed_password)


def stop(servers: list[Server]) -> None:
    for server in servers:
        server.stop_silently()


@pytest.fixture(scope="module")
def running(ground: Ground) -> Iterator[tuple[list[Server], str]]:
    servers = [start(ground.programs, ground.database_url) for _ in range(2)]
    yield servers, ground.database_url
    stop(servers)


@pytest.fixture
async def house(running: tuple[list[Server], str], hashed_password: str) -> AsyncIterator[House]:
    async with in_house(*running, hashed_password) as house:
        yield house
