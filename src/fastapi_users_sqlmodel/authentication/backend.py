"""FastAPI Users' authentication backend, and that of sessions."""

from collections.abc import Callable
from typing import Any, Generic

from fastapi import Depends
from fastapi.requests import HTTPConnection
from fastapi_users.authentication.backend import AuthenticationBackend
from fastapi_users.authentication.transport.cookie import CookieTransport
from fastapi_users.models import ID, UP

from fastapi_users_sqlmodel.authentication._strategies import (
    BearerSessionStrategy,
    CookieSessionStrategy,
    Sessions,
    SessionStrategy,
)
from fastapi_users_sqlmodel.authentication._transports import BearerRefreshTransport, SessionCookieTransport

__all__ = ["AuthenticationBackend", "SessionBackend"]


class SessionBackend(AuthenticationBackend[UP, ID], Generic[UP, ID]):
    """FastAPI Users' authentication backend, with sessions.

    Args:
        name: The name of the backend.
        transport: How its tokens come and go, which says what they are.
        sessions: What all sessions have in common.
        get_user_manager: The dependency that hands over the manager of a request.
    """

    transport: BearerRefreshTransport | SessionCookieTransport

    def __init__(
        self,
        name: str,
        transport: BearerRefreshTransport | SessionCookieTransport,
        sessions: Sessions,
        get_user_manager: Callable[..., Any],
    ) -> None:
        self.sessions = sessions

        async def get_strategy(
            connection: HTTPConnection, user_manager: Any = Depends(get_user_manager)
        ) -> SessionStrategy[UP, ID]:
            return self.strategy(user_manager, connection)

        super().__init__(name, transport, get_strategy)

    def strategy(self, user_manager: Any, connection: HTTPConnection | None = None) -> SessionStrategy[UP, ID]:
        """Make the strategy for a manager and what came to it."""
        if isinstance(self.transport, CookieTransport):
            return CookieSessionStrategy(self.sessions, user_manager, connection, self.transport.cookie_name)
        return BearerSessionStrategy(self.sessions, user_manager, connection)
