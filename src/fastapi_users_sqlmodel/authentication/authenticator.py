"""FastAPI Users' authenticator: by default the user has to be active."""

from functools import cached_property
from inspect import Parameter, Signature
from typing import Any, Generic, override

from fastapi.requests import HTTPConnection
from fastapi_users.authentication import authenticator
from fastapi_users.authentication.authenticator import (
    INVALID_CHARS_PATTERN,
    INVALID_LEADING_CHARS_PATTERN,
    DuplicateBackendNamesError,
    EnabledBackendsDependency,
    name_to_strategy_variable_name,
    name_to_variable_name,
)
from fastapi_users.models import ID, UP

from fastapi_users_sqlmodel.authentication.backend import SessionBackend
from fastapi_users_sqlmodel.manager._sessions import CurrentToken

__all__ = [
    "INVALID_CHARS_PATTERN",
    "INVALID_LEADING_CHARS_PATTERN",
    "Authenticator",
    "DuplicateBackendNamesError",
    "EnabledBackendsDependency",
    "name_to_strategy_variable_name",
    "name_to_variable_name",
]

_CONNECTION = "http_connection"


class Authenticator(authenticator.Authenticator[UP, ID], Generic[UP, ID]):
    """FastAPI Users' authenticator, which refuses deactivated users by default.

    FastAPI visits a dependency each time that another depends on it, cached or not. Here the manager is visited once,
    and not again for the strategy of each backend; the gain is measured in docs/performance.md. An overridden
    `get_strategy` of a `SessionBackend` is used by the routes, and not by this.
    """

    @override
    def current_user_token(
        self,
        optional: bool = False,
        active: bool = True,
        verified: bool = False,
        superuser: bool = False,
        get_enabled_backends: EnabledBackendsDependency[UP, ID] | None = None,
    ) -> Any:
        """Return a dependency that returns the user who is signed in, and the token.

        As FastAPI Users', but for `active`: a deactivated user is not signed in, unless you pass `active=False`.
        """
        return super().current_user_token(optional, active, verified, superuser, get_enabled_backends)

    @override
    def current_user(
        self,
        optional: bool = False,
        active: bool = True,
        verified: bool = False,
        superuser: bool = False,
        get_enabled_backends: EnabledBackendsDependency[UP, ID] | None = None,
    ) -> Any:
        """Return a dependency that returns the user who is signed in.

        As FastAPI Users', but for `active`: a deactivated user is not signed in, unless you pass `active=False`.
        """
        return super().current_user(optional, active, verified, superuser, get_enabled_backends)

    def _get_dependency_signature(self, get_enabled_backends: Any = None) -> Signature:
        signature = super()._get_dependency_signature(get_enabled_backends)
        connection = Parameter(_CONNECTION, Parameter.POSITIONAL_OR_KEYWORD, annotation=HTTPConnection)
        others = [parameter for name, parameter in signature.parameters.items() if name not in self._session_backends]
        return signature.replace(parameters=[connection, *others])

    async def _authenticate(self, *args: Any, **kwargs: Any) -> tuple[UP | None, str | None]:
        connection = kwargs.pop(_CONNECTION)
        for name, backend in self._session_backends.items():
            kwargs[name] = backend.strategy(kwargs["user_manager"], connection)
        user, token = await super()._authenticate(*args, **kwargs)
        if user is not None and token is not None:
            # If this request ends the user's other tokens, its own one stays.
            kwargs["user_manager"].current_token = CurrentToken(user.id, token)
        return user, token

    @cached_property
    def _session_backends(self) -> dict[str, SessionBackend[UP, ID]]:
        """The backends whose strategy this class makes, by the names of their arguments."""
        ours = [backend for backend in self.backends if type(backend) is SessionBackend]
        return {name_to_strategy_variable_name(backend.name): backend for backend in ours}
