"""A project's own backend of sessions: its strategy says who asks, whichever way it is given."""

from types import SimpleNamespace
from typing import Annotated, Any

import httpx2
import pytest
from fastapi import Depends, FastAPI
from starlette.requests import HTTPConnection

from fastapi_users_sqlmodel import FastAPIUsers
from fastapi_users_sqlmodel.authentication import (
    BearerRefreshTransport,
    BearerSessionStrategy,
    SessionBackend,
    Sessions,
)

SESSIONS = Sessions("seven grey herons sleep above an old canal")


async def get_user_manager() -> Any:
    """Nobody looks anybody up."""
    return SimpleNamespace()


class Guests(BearerSessionStrategy[Any, Any]):
    """Knows one person."""

    async def read_token(self, token: str | None, user_manager: Any) -> Any:
        return SimpleNamespace(id=1, name="Zoë", is_active=True) if token == "the guest's" else None


def guests(connection: HTTPConnection) -> Guests:
    nobody: Any = None
    return Guests(SESSIONS, nobody, connection)


class OverridesStrategy(SessionBackend[Any, Any]):
    def strategy(self, user_manager: Any, connection: HTTPConnection | None = None) -> Guests:
        return Guests(self.sessions, user_manager, connection)


class AssignsGetStrategy(SessionBackend[Any, Any]):
    """As a backend of FastAPI Users is given its strategy."""

    def __init__(self, *arguments: Any) -> None:
        super().__init__(*arguments)
        self.get_strategy = guests


@pytest.mark.parametrize("kind", [OverridesStrategy, AssignsGetStrategy])
async def test_says_who_asks(kind: type[SessionBackend[Any, Any]]) -> None:
    """Beside our own backend, which stands before it and knows nobody."""
    stock: SessionBackend[Any, Any] = SessionBackend("jwt", BearerRefreshTransport("x"), SESSIONS, get_user_manager)
    own = kind("guests", BearerRefreshTransport("y"), SESSIONS, get_user_manager)
    users = FastAPIUsers[Any, Any](get_user_manager, [stock, own])
    app = FastAPI()

    @app.get("/me")
    async def me(user: Annotated[Any, Depends(users.current_user(active=True))]) -> str:
        name: str = user.name
        return name

    async with httpx2.AsyncClient(transport=httpx2.ASGITransport(app), base_url="https://test") as client:
        answers = [
            await client.get("/me", headers={"Authorization": f"Bearer {token}"}) for token in ("the guest's", "x")
        ]
    assert [(answer.status_code, answer.json()) for answer in answers] == [
        (200, "Zoë"),
        (401, {"detail": "Unauthorized"}),
    ]
