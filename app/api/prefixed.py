"""The router of an endpoints file: matched by its prefix first, with errors translated on each route."""

from typing import Any

from fastapi import APIRouter
from starlette.routing import Match
from starlette.types import Scope

from fastapi_users_sqlmodel.routers.errors import ErrorRoute


class PrefixedRouter(APIRouter):
    """A router that matches the prefix before its routes, which are `ErrorRoute`s.

    FastAPI's router tries its routes one after the other, and once more when one of them was found;
    docs/performance.md has what the comparison of the prefix saves.
    """

    def __init__(self, **options: Any) -> None:
        super().__init__(route_class=ErrorRoute, **options)

    def matches(self, scope: Scope) -> tuple[Match, Scope]:
        """Return whether one of the routes matches."""
        if self.prefix not in scope["path"]:
            return Match.NONE, {}
        return super().matches(scope)
