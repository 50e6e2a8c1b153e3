"""FastAPI Users' transports, strategies and backends, and those of sessions."""

from collections.abc import Callable
from functools import cached_property
from inspect import Parameter, Signature
from typing import Any, Generic

from fastapi import Depends
from fastapi.requests import HTTPConnection
from fastapi_users import authentication
from fastapi_users.authentication import (
    AuthenticationBackend,
    BearerTransport,
    CookieTransport,
    JWTStrategy,
    Strategy,
    Transport,
)
from fastapi_users.authentication.authenticator import name_to_strategy_variable_name
from fastapi_users.models import ID, UP

from fastapi_users_sqlmodel.authentication._strategies import (
    BearerSessionStrategy,
    CookieSessionStrategy,
    Sessions,
    SessionStrategy,
)
from fastapi_users_sqlmodel.authentication._transports import (
    AccessToken,
    BearerRefreshResponse,
    BearerRefreshTransport,
    SessionCookieTransport,
)
from fastapi_users_sqlmodel.sessions import SessionLifetimes

# FastAPI Users' own too, for whoever changes an import; its strategies for a database and for Redis need more.
__all__ = [
    "AccessToken",
    "AuthenticationBackend",
    "Authenticator",
    "BearerRefreshResponse",
    "BearerRefreshTransport",
    "BearerSessionStrategy",
    "BearerTransport",
    "CookieSessionStrategy",
    "CookieTransport",
    "JWTStrategy",
    "SessionBackend",
    "SessionCookieTransport",
    "SessionLifetimes",
    "SessionStrategy",
    "Sessions",
    "Strategy",
    "Transport",
]


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


class Authenticator(authentication.Authenticator[UP, ID], Generic[UP, ID]):
    """FastAPI Users' authenticator, with a shorter way to a session.

    FastAPI goes through what a dependency depends on wherever it stands, known or not: here a manager is asked for
    once, and not once more for each backend's strategy. What that buys is measured in docs/performance.md. An
    override of a `SessionBackend`'s `get_strategy` reaches the routes, and not this.
    """

    def _get_dependency_signature(self, get_enabled_backends: Any = None) -> Signature:
        signature = super()._get_dependency_signature(get_enabled_backends)
        connection = Parameter(_CONNECTION, Parameter.POSITIONAL_OR_KEYWORD, annotation=HTTPConnection)
        others = [parameter for name, parameter in signature.parameters.items() if name not in self._session_backends]
        return signature.replace(parameters=[connection, *others])

    async def _authenticate(self, *args: Any, **kwargs: Any) -> tuple[UP | None, str | None]:
        connection = kwargs.pop(_CONNECTION)
        for name, backend in self._session_backends.items():
            kwargs[name] = backend.strategy(kwargs["user_manager"], connection)
        return await super()._authenticate(*args, **kwargs)

    @cached_property
    def _session_backends(self) -> dict[str, SessionBackend[UP, ID]]:
        """Those whose strategy is made as we make it, by the names of their arguments."""
        ours = [backend for backend in self.backends if type(backend) is SessionBackend]
        return {name_to_strategy_variable_name(backend.name): backend for backend in ours}


_CONNECTION = "http_connection"
