"""People who change their address, and what was written to them."""

from collections.abc import Iterator
from datetime import UTC, datetime
from typing import NamedTuple

import httpx2
import pytest
import time_machine

from app.models import User
from tests.app.conftest import PASSWORD, form
from tests.app.fixture_types import AsUser, CreateUser, Letter, Letters
from tests.app.shapes import said

NEW_PASSWORD = "wrong horse, other battery"
CONFIRM_BAD = (400, {"detail": "CONFIRM_EMAIL_BAD_TOKEN"})
UNDO_BAD = (400, {"detail": "UNDO_CHANGE_EMAIL_BAD_TOKEN"})


class Requested(NamedTuple):
    """The tokens of a change that was asked for."""

    confirm: str
    undo: str


class People:
    """Does what people do, in one line."""

    def __init__(self, client: httpx2.AsyncClient, as_user: AsUser, letters: Letters) -> None:
        self.client = client
        self.as_user = as_user
        self.letters = letters

    async def ask(self, user: User, email: str, password: str = PASSWORD) -> httpx2.Response:
        body = {"new_email": email, "current_password": password}
        return await (await self.as_user(user)).post("/auth/change-email", json=body)

    async def request(self, user: User, email: str) -> Requested:
        await self.letters()
        assert said(await self.ask(user, email)) == (202, None)
        told, asked = await self.letters()
        return Requested(asked.token, told.token)

    async def change(self, user: User, email: str) -> str:
        """Return the token that undoes it."""
        requested = await self.request(user, email)
        assert (await self.confirm(requested.confirm)).status_code == 200
        return requested.undo

    async def confirm(self, token: str) -> httpx2.Response:
        return await self.client.post("/auth/confirm-email", json={"token": token})

    async def undo(self, token: str) -> httpx2.Response:
        return await self.client.post("/auth/undo-change-email", json={"token": token})

    async def signs_in(self, name: str, password: str = PASSWORD) -> bool:
        return (await self.client.post("/auth/jwt/login", data=form(name, password))).status_code == 200


@pytest.fixture
async def owner(create_user: CreateUser) -> User:
    """Verified, because only such an address can be taken back."""
    return await create_user("owner", username="owner", name="The Owner", is_verified=True)


@pytest.fixture
def people(client: httpx2.AsyncClient, as_user: AsUser, letters: Letters) -> People:
    return People(client, as_user, letters)


@pytest.fixture
def clock() -> Iterator[time_machine.Traveller]:
    """A clock that stands still until it is told to go on."""
    with time_machine.travel(datetime.now(UTC), tick=False) as clock:
        yield clock


def heads(letters: list[Letter]) -> list[tuple[str, str]]:
    return [(letter.to, letter.subject) for letter in letters]
