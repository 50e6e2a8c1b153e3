"""A router that looks at a path's beginning first."""

from fastapi import APIRouter
from starlette.routing import Match
from starlette.types import Scope


class PrefixedRouter(APIRouter):
    """A router that says at once what is none of its paths.

    FastAPI's own tries its routes one after the other, 2 µs each: for the last of fifty that is as long as the database
    takes for a signed-in read.
    """

    def matches(self, scope: Scope) -> tuple[Match, Scope]:
        """Tell whether one of the routes is meant."""
        if self.prefix not in scope["path"]:
            return Match.NONE, {}
        return super().matches(scope)
