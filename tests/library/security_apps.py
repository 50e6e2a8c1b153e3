"""Apps with backends of every kind, and what `check_security` says of them."""

import warnings
from collections.abc import AsyncIterator, Callable
from typing import Any, ClassVar

import fastapi_users
import pytest
from fastapi import FastAPI

from fastapi_users_sqlmodel import (
    BaseUserManager,
    CSRFMiddleware,
    FastAPIUsers,
    SecurityWarning,
    SessionBackend,
    SessionCookieTransport,
    Sessions,
    Throttle,
    check_security,
    schemas,
)
from fastapi_users_sqlmodel.authentication import (
    AuthenticationBackend,
    BearerRefreshTransport,
    BearerTransport,
    CookieTransport,
)
from fastapi_users_sqlmodel.authentication.strategy.db import DatabaseStrategy

SECRET = "seven grey herons sleep above an old canal"
URL = "https://example.com"


class Manager(BaseUserManager[Any, Any]):
    throttle: ClassVar[Throttle | None] = Throttle()
    conceal_accounts = True


class Revealing(Manager):
    conceal_accounts = False


class Unlimited(Manager):
    throttle = None


class Shared(Manager):
    throttle = Throttle("redis://localhost")


async def get_user_manager() -> AsyncIterator[Manager]:
    raise AssertionError
    yield


sessions = Sessions(SECRET)
bearer = SessionBackend[Any, Any]("jwt", BearerRefreshTransport("login"), sessions, get_user_manager)
cookie = SessionBackend[Any, Any]("cookie", SessionCookieTransport(URL), sessions, get_user_manager)
stock_cookie = AuthenticationBackend[Any, Any](
    "cookie",
    CookieTransport("auth"),
    lambda: DatabaseStrategy[Any, Any, Any](None, 3600),  # type: ignore[arg-type]  # Not asked
)


def make(
    *backends: AuthenticationBackend[Any, Any], manager: Any = get_user_manager, verified: dict[str, bool] | None = None
) -> tuple[FastAPI, FastAPIUsers[Any, Any]]:
    """Make an app as the documentation does."""
    app, users = FastAPI(), FastAPIUsers[Any, Any](manager, backends or [bearer])
    for backend in users.authenticator.backends:
        gate = (verified or {}).get(backend.name, False)
        app.include_router(users.get_auth_router(backend, gate), prefix=f"/auth/{backend.name}")
    app.include_router(users.get_register_router(schemas.BaseUser[Any], schemas.BaseUserCreate), prefix="/auth")
    app.include_router(users.get_users_router(schemas.BaseUser[Any], schemas.BaseUserUpdate), prefix="/users")
    return app, users


def protect(app: FastAPI, name: str, *paths: str) -> None:
    app.add_middleware(CSRFMiddleware, cookie_name=name, origins=[URL], login_paths=paths)


def codes(app: Any, users: fastapi_users.FastAPIUsers[Any, Any], **options: Any) -> list[str]:
    """Say what is found, and require that exactly that was warned of."""
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        found = check_security(app, users, **options)
    assert [str(warning.message) for warning in caught] == [f"{one.message} [{one.code}]" for one in found]
    assert {warning.category for warning in caught} <= {SecurityWarning}
    assert all(warning.filename == __file__ for warning in caught)
    return [one.code for one in found]


def bearer_with(get_strategy: Callable[..., Any], name: str = "stock") -> AuthenticationBackend[Any, Any]:
    return AuthenticationBackend[Any, Any](name, BearerTransport("login"), get_strategy)


@pytest.fixture(autouse=True)
def one_process(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("WEB_CONCURRENCY", raising=False)
    monkeypatch.setattr("sys.argv", ["uvicorn", "app:app"])
