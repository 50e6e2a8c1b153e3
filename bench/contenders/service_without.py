"""The service without one of its tricks, which is named behind: what it buys.

Only the bench runs this.
"""

import sys
from typing import Any

from fastapi import APIRouter
from fastapi_users import authentication

from app.api.prefixed import PrefixedRouter
from fastapi_users_sqlmodel import _statements
from fastapi_users_sqlmodel.authentication import Authenticator
from fastapi_users_sqlmodel.database import _lookups
from fastapi_users_sqlmodel.sessions import _tokens


def without_kept_tokens() -> None:
    """Verify every access token anew."""
    verify: Any = _tokens.verify_access
    _tokens.verify_access = verify.__wrapped__


def without_shortcuts() -> None:
    """Let SQLAlchemy execute every statement."""
    statements: Any = _statements
    statements.DRIVERS = ()


def without_idle_connections() -> None:
    """Take every connection in a greenlet."""
    known: Any = _statements._Known  # noqa: SLF001  # The bench is about what is inside.
    known._idle_connection = lambda *_: None  # noqa: SLF001


def without_plain_objects() -> None:
    """Let the ORM load the user."""
    accounts: Any = _lookups
    accounts.plain_columns = lambda _mapped: None


def without_prefixes() -> None:
    """Try every route of every router."""
    PrefixedRouter.matches = APIRouter.matches  # type: ignore[method-assign]  # That is the trick


def without_authenticator() -> None:
    """Ask for the manager again with each backend's strategy, as FastAPI Users does."""
    theirs: Any = authentication.Authenticator
    ours: Any = Authenticator
    ours._get_dependency_signature = theirs._get_dependency_signature  # noqa: SLF001  # Likewise
    ours._authenticate = theirs._authenticate  # noqa: SLF001  # Likewise


if __name__ == "__main__":
    {
        "kept tokens": without_kept_tokens,
        "shortcuts": without_shortcuts,
        "idle connections": without_idle_connections,
        "plain objects": without_plain_objects,
        "prefixes": without_prefixes,
        "authenticator": without_authenticator,
    }[sys.argv.pop()]()

    # The routes are made when this is imported.
    from app.cli import run, serve

    run(serve)
