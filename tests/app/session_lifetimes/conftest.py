"""People with sessions, and a clock that stands still."""

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

import httpx2
import pytest
import time_machine
from sqlalchemy import Table

from app.models import User
from tests.app.conftest import form
from tests.app.fixture_types import Connect
from tests.app.shapes import UNAUTHORIZED, said

SESSIONS: Table = User.metadata.tables["user_session"]
SECOND, MINUTE, HOUR, DAY = timedelta(seconds=1), timedelta(minutes=1), timedelta(hours=1), timedelta(days=1)
IDLE, AT_ALL, FRESH = 14 * DAY, 30 * DAY, 15 * MINUTE
RECORDED_EVERY = 5 * MINUTE
OVER = (401, UNAUTHORIZED)


@pytest.fixture
def clock() -> Iterator[time_machine.Traveller]:
    """A clock that stands still until it is told to go on, and at a whole second: a token's time has no smaller."""
    with time_machine.travel(datetime.now(UTC).replace(microsecond=0), tick=False) as clock:
        yield clock


@dataclass
class Bearer:
    """An app that keeps two tokens."""

    connect: Connect
    access_token: str
    refresh_token: str

    async def get(self, path: str = "/users/me") -> httpx2.Response:
        return await self.connect(Authorization=f"Bearer {self.access_token}").get(path)

    async def refresh(self) -> httpx2.Response:
        """Ask for a new pair, and keep it if there is one."""
        response = await self.connect().post("/auth/jwt/refresh", json={"refresh_token": self.refresh_token})
        if response.status_code == 200:
            self.access_token = response.json()["access_token"]
            self.refresh_token = response.json()["refresh_token"]
        return response


@dataclass
class Browser:
    """Keeps a cookie, also when the cookie's own time is over."""

    connect: Connect
    cookie: str

    async def get(self, path: str = "/users/me") -> httpx2.Response:
        return await self.connect(Cookie=f"session={self.cookie}").get(path)


class People:
    """Signs in, in one line."""

    def __init__(self, connect: Connect) -> None:
        self.connect = connect

    async def bearer(self, name: str = "owner") -> Bearer:
        response = await self.connect().post("/auth/jwt/login", data=form(name))
        assert response.status_code == 200
        return Bearer(self.connect, response.json()["access_token"], response.json()["refresh_token"])

    async def browser(self, name: str = "owner") -> Browser:
        headers = {"Sec-Fetch-Site": "same-origin"}
        response = await self.connect().post("/auth/cookie/login", data=form(name), headers=headers)
        assert said(response) == (204, None)
        return Browser(self.connect, response.cookies["session"])


@pytest.fixture
def people(connect: Connect) -> People:
    return People(connect)
