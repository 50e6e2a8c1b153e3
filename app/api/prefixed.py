"""A router that looks at a path's beginning first."""

from fastapi import APIRouter
from starlette.routing import Match
from starlette.types import Scope


class PrefixedRouter(APIRouter):
    """A router that says at once what is none of its paths.

    FastAPI's own tries its routes one after the other, and once more where it goes in; what this buys is measured in
    docs/performance.md.
    """

    def matches(self, scope: Scope) -> tuple[Match, Scope]:
        """Tell whether one of the routes is meant."""
        if self.prefix not in scope["path"]:
            return Match.NONE, {}
        return super().matches(scope)
