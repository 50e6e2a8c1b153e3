"""What an app leaves open, wherever its routers and its middleware are."""

from typing import Any

import pytest
from fastapi import APIRouter, FastAPI, routing
from starlette.applications import Starlette
from starlette.middleware import Middleware
from starlette.middleware.cors import CORSMiddleware
from starlette.routing import Mount

from fastapi_users_sqlmodel import (
    CSRFMiddleware,
    FastAPIUsers,
    SecurityWarning,
    SessionBackend,
    check_security,
)
from fastapi_users_sqlmodel.authentication import (
    BearerRefreshTransport,
)
from tests.library.security_apps import (
    URL,
    bearer,
    codes,
    get_user_manager,
    make,
    one_process,
    protect,
    sessions,
    stock_cookie,
)

__all__ = ["one_process"]


class TestLogins:
    def test_a_gate_that_one_backend_has_not(self) -> None:
        other = SessionBackend[Any, Any]("other", BearerRefreshTransport("login"), sessions, get_user_manager)
        assert codes(*make(bearer, other, verified={"jwt": True, "other": True})) == []
        assert codes(*make(bearer, other)) == []
        app, users = make(bearer, other, verified={"jwt": True})
        with pytest.warns(SecurityWarning, match="/auth/other/login lets in .*, and /auth/jwt/login does not"):
            check_security(app, users)
        assert codes(app, users) == ["unverified-login"]

    def test_oauth(self) -> None:
        app, users = make()
        router = APIRouter()

        @router.get("/callback", name="oauth:google.jwt.callback")
        async def callback() -> None: ...

        app.include_router(router, prefix="/auth/google")
        assert codes(app, users) == ["oauth-open"]


class TestShapes:
    """Wherever the routers and the middleware are."""

    def test_mounted(self) -> None:
        inner, users = make(stock_cookie)
        outer = FastAPI()
        outer.mount("/api", inner)
        expected = ["cookie-without-csrf", "cookie-login-without-csrf"]
        assert codes(outer, users) == expected
        # In front of another app it protects nothing.
        aside = FastAPI()
        protect(aside, "auth", "/api/auth/cookie/login")
        outer.mount("/aside", aside)
        assert codes(outer, users) == expected
        protect(outer, "auth", "/api/auth/cookie/login")
        assert codes(outer, users) == []

    def test_mounted_with_its_own_middleware(self) -> None:
        inner, users = make(stock_cookie)
        protect(inner, "auth", "/auth/cookie/login")
        outer = Starlette(routes=[Mount("/api", app=inner)])
        assert codes(outer, users) == []

    def test_middleware_of_a_mount(self) -> None:
        inner, users = make(stock_cookie)
        guard = Middleware(CSRFMiddleware, cookie_name="auth", origins=[URL], login_paths=["/api/auth/cookie/login"])
        wrapped = Starlette(routes=[Mount("/api", app=inner)], middleware=[guard])
        assert codes(wrapped, users) == []

    def test_middleware_by_hand(self) -> None:
        inner, users = make(stock_cookie)
        guarded = CSRFMiddleware(inner, cookie_name="auth", origins=[URL], login_paths=["/auth/cookie/login"])
        assert codes(CORSMiddleware(guarded, allow_origins=[URL]), users) == []
        assert codes(CORSMiddleware(inner, allow_origins=[URL]), users) != []

    @pytest.mark.skipif(
        not hasattr(routing, "iter_route_contexts"),
        reason="before 0.137 FastAPI does not serve what a router gets after it was included",
    )
    def test_routers_in_routers_and_late_ones(self) -> None:
        app, users = FastAPI(), FastAPIUsers[Any, Any](get_user_manager, [stock_cookie])
        outer, inner = APIRouter(prefix="/v1"), APIRouter()
        outer.include_router(inner, prefix="/in")
        app.include_router(outer, prefix="/api")
        inner.include_router(users.get_auth_router(stock_cookie), prefix="/auth")
        with pytest.warns(SecurityWarning) as caught:
            found = check_security(app, users)
        assert [one.code for one in found] == ["cookie-without-csrf", "cookie-login-without-csrf"]
        assert "/api/v1/in/auth/login" in str(caught[1].message)
        protect(app, "auth", "/api/v1/in/auth/login")
        assert codes(app, users) == []

    def test_mounted_in_itself(self) -> None:
        app, users = make()
        app.mount("/again", app)
        assert codes(app, users) == []

    @pytest.mark.parametrize(
        "app", [FastAPI(), Starlette(), APIRouter(), object(), None], ids=lambda app: type(app).__name__
    )
    def test_without_routes(self, app: Any) -> None:
        assert codes(app, FastAPIUsers[Any, Any](get_user_manager, [bearer])) == []
