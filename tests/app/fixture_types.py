"""The types of the fixtures of the service's tests."""

from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Any, NamedTuple, Protocol

import httpx2
from sqlmodel.ext.asyncio.session import AsyncSession

from app.models import User, UserGroup

type GetSession = Callable[..., AsyncIterator[AsyncSession]]


class CreateUser(Protocol):
    """The type of the fixture `create_user`."""

    async def __call__(self, name: str, /, **columns: Any) -> User:
        """Create the user `name@example.com`, whose password is PASSWORD."""


class CreateGroup(Protocol):
    """The type of the fixture `create_group`."""

    async def __call__(self, name: str, /, *members: User, is_public: bool = False) -> UserGroup:
        """Create a group and move users into it."""


class Letter(NamedTuple):
    """What was printed instead of sent."""

    to: str
    subject: str
    text: str

    @property
    def token(self) -> str:
        """The last line of the text."""
        return self.text.splitlines()[-1]


type Letters = Callable[[], Awaitable[list[Letter]]]


class Connect(Protocol):
    """The type of the fixture `connect`."""

    def __call__(self, **headers: str) -> httpx2.AsyncClient:
        """Make a client of the service that sends these headers."""


class AsUser(Protocol):
    """The type of the fixture `as_user`."""

    async def __call__(self, user: User, /) -> httpx2.AsyncClient:
        """Make a client that is signed in as a user."""


type From = Callable[..., httpx2.AsyncClient]
