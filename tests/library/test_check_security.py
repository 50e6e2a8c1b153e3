"""What an app leaves open, on apps of several shapes; each finding has an app that has it and one that has not."""

import functools
from collections.abc import Callable
from typing import Annotated, Any

import pytest
from fastapi import Depends, FastAPI
from fastapi_users import FastAPIUsers as UpstreamFastAPIUsers
from fastapi_users import schemas
from fastapi_users.authentication import JWTStrategy as UpstreamJWTStrategy
from fastapi_users.authentication.strategy.db import DatabaseStrategy as UpstreamDatabaseStrategy

from fastapi_users_sqlmodel import (
    BaseUserManager,
    FastAPIUsers,
    Finding,
    SecurityWarning,
    SessionBackend,
    SessionCookieTransport,
    check_security,
)
from fastapi_users_sqlmodel.authentication import (
    AuthenticationBackend,
    CookieTransport,
    JWTStrategy,
    RedisStrategy,
)
from fastapi_users_sqlmodel.authentication.strategy.db import DatabaseStrategy
from tests.library.security_apps import (
    SECRET,
    Manager,
    Revealing,
    Shared,
    Unlimited,
    bearer,
    bearer_with,
    codes,
    cookie,
    get_user_manager,
    make,
    one_process,
    protect,
    sessions,
    stock_cookie,
)

__all__ = ["one_process"]


class TestOutcome:
    def test_nothing_is_open(self) -> None:
        app, users = make(bearer, cookie)
        protect(app, "__Host-session", "/auth/cookie/login")
        assert codes(app, users) == []
        assert check_security(app, users, strict=True) == []

    def test_allowed(self) -> None:
        app, users = make(bearer_with(lambda: JWTStrategy[Any, Any]("SECRET", 3600)))
        assert codes(app, users) == ["token-outlives-logout", "weak-secret"]
        assert codes(app, users, allow={"weak-secret"}) == ["token-outlives-logout"]
        assert codes(app, users, allow=["weak-secret", "token-outlives-logout"]) == []
        assert check_security(app, users, allow={"weak-secret", "token-outlives-logout"}, strict=True) == []

    def test_strict(self) -> None:
        app, users = make(bearer_with(lambda: JWTStrategy[Any, Any]("SECRET", 3600)))
        with pytest.raises(SecurityWarning, match=r"(?s)- backend 'stock': .*token-outlives-logout.*weak-secret"):
            check_security(app, users, strict=True)

    def test_a_finding(self) -> None:
        app, users = make(manager=lambda: Revealing(None))
        with pytest.warns(SecurityWarning, match="accounts-revealed"):
            [found] = check_security(app, users)
        assert (found.code, found.message.startswith("Revealing.conceal_accounts is False")) == (
            "accounts-revealed",
            True,
        )
        assert isinstance(found, Finding)


class TestCookies:
    def test_without_csrf(self) -> None:
        for backend in (cookie, stock_cookie):
            assert codes(*make(backend)) == ["cookie-without-csrf", "cookie-login-without-csrf"]

    def test_with_csrf(self) -> None:
        for backend, name in ((cookie, "__Host-session"), (stock_cookie, "auth")):
            app, users = make(backend)
            protect(app, name, "/auth/cookie/login/")
            assert codes(app, users) == []

    @pytest.mark.parametrize(
        ("name", "paths", "expected"),
        [
            ("other", ["/auth/cookie/login"], ["cookie-without-csrf", "cookie-login-without-csrf"]),
            ("auth", [], ["cookie-login-without-csrf"]),
            ("auth", ["/cookie/login"], ["cookie-login-without-csrf"]),
        ],
    )
    def test_with_csrf_for_something_else(self, name: str, paths: list[str], expected: list[str]) -> None:
        app, users = make(stock_cookie)
        protect(app, name, *paths)
        assert codes(app, users) == expected

    def test_attributes(self) -> None:
        transport = CookieTransport("auth", cookie_secure=False, cookie_httponly=False, cookie_samesite="none")
        app, users = make(AuthenticationBackend[Any, Any]("cookie", transport, stock_cookie.get_strategy))
        protect(app, "auth", "/auth/cookie/login")
        assert codes(app, users) == ["cookie-not-secure", "cookie-readable-by-scripts", "cookie-samesite-none"]

    def test_a_session_over_http(self) -> None:
        transport = SessionCookieTransport("http://localhost:8000")
        app, users = make(SessionBackend("cookie", transport, sessions, get_user_manager))
        protect(app, "session", "/auth/cookie/login")
        assert codes(app, users) == ["cookie-not-secure"]


async def get_store() -> Any:
    raise AssertionError


def get_database_strategy(store: Annotated[Any, Depends(get_store)]) -> DatabaseStrategy[Any, Any, Any]:
    return DatabaseStrategy(store, lifetime_seconds=3600)


def as_documented(access_token_db: Any = Depends(get_store)) -> Any:  # As it is documented
    return UpstreamDatabaseStrategy(access_token_db, lifetime_seconds=3600)


async def get_async() -> JWTStrategy[Any, Any]:
    return JWTStrategy(SECRET, 3600)


def get_rsa() -> JWTStrategy[Any, Any]:
    return JWTStrategy("-----BEGIN PRIVATE KEY-----", 3600, algorithm="RS256", public_key="-----BEGIN")


def get_redis(store: Annotated[Any, Depends(get_store)]) -> RedisStrategy[Any, Any]:
    return RedisStrategy(store, lifetime_seconds=3600)


def get_unknown(store: Annotated[Any, Depends(get_store)]) -> Any:
    return store()


def get_without_end() -> UpstreamJWTStrategy[Any, Any]:
    return UpstreamJWTStrategy("x" * 40, 0)


def get_with_settings(store: Annotated[Any, Depends(get_store)]) -> Any:
    return JWTStrategy[Any, Any](store.secret, 3600)


class Settings:
    secret = "SECRET"


async def get_known_settings() -> Settings:
    return Settings()


def get_with_known_settings(settings: Annotated[Settings, Depends(get_known_settings)]) -> Any:
    return JWTStrategy[Any, Any](settings.secret, 3600)


def get_database_tokens_without_end(store: Any = Depends(get_store)) -> Any:  # As it is documented
    return UpstreamDatabaseStrategy(store)


def get_that_fails() -> JWTStrategy[Any, Any]:
    raise LookupError


LOGOUT = "token-outlives-logout"


class Callables:
    def __call__(self) -> JWTStrategy[Any, Any]:
        return JWTStrategy(SECRET, 3600)

    def method(self) -> JWTStrategy[Any, Any]:
        return self()


class TestStrategies:
    @pytest.mark.parametrize(
        ("get_strategy", "expected"),
        [
            (get_database_strategy, []),
            (as_documented, []),
            (get_async, [LOGOUT]),
            (get_rsa, [LOGOUT]),
            (get_redis, ["token-outlives-password"]),
            (get_with_settings, ["strategy-unknown", LOGOUT]),
            (get_with_known_settings, [LOGOUT, "weak-secret"]),
            (get_database_tokens_without_end, ["token-without-end"]),
            (get_unknown, ["strategy-unknown"]),
            (get_that_fails, ["strategy-unknown", LOGOUT]),
            (get_without_end, [LOGOUT, "token-without-end", "weak-secret"]),
            (lambda: UpstreamJWTStrategy[Any, Any]("SECRET", None), [LOGOUT, "token-without-end", "weak-secret"]),
            (functools.partial(JWTStrategy, SECRET, 3600), [LOGOUT]),
            (Callables(), [LOGOUT]),
            (Callables().method, [LOGOUT]),
        ],
    )
    def test_of_a_stock_backend(self, get_strategy: Callable[..., Any], expected: list[str]) -> None:
        assert codes(*make(bearer_with(get_strategy))) == expected


async def yields_documented(user_db: Any = Depends(get_store)) -> Any:  # The same
    yield Unlimited(user_db)


async def annotated(user_db: Annotated[Any, Depends(get_store)]) -> Unlimited:
    raise AssertionError


async def unknown(user_db: Annotated[Any, Depends(get_store)]) -> BaseUserManager[Any, Any]:
    raise AssertionError


def made_in_a_function(manager: type[Manager]) -> Any:
    async def get_user_manager(user_db: Annotated[Any, Depends(get_store)]) -> Any:
        return manager(user_db)

    return get_user_manager


class TestRouters:
    def test_of_fastapi_users_itself(self) -> None:
        app, users = make()
        app.include_router(UpstreamFastAPIUsers(users.get_user_manager, [bearer]).get_verify_router(schemas.BaseUser))
        assert codes(app, users) == ["stock-routers"]

    def test_of_its_object(self) -> None:
        _, users = make()
        assert codes(FastAPI(), UpstreamFastAPIUsers(users.get_user_manager, [bearer])) == ["stock-routers"]


class Privileging(Manager):
    own_fields = Manager.own_fields | {"is_verified"}
    registration_fields = Manager.registration_fields | {"is_superuser", "phone"}


class TestManager:
    def test_fields_that_give_rights(self) -> None:
        app, users = make(manager=made_in_a_function(Privileging))
        assert codes(app, users) == ["privileged-fields"]
        with pytest.warns(SecurityWarning, match="set is_superuser, is_verified of"):
            check_security(app, users)

    @pytest.mark.parametrize(
        "get_manager", [yields_documented, annotated, made_in_a_function(Unlimited), Unlimited], ids=range(4)
    )
    def test_is_found(self, get_manager: Any) -> None:
        app, users = FastAPI(), FastAPIUsers[Any, Any](get_manager, [bearer])
        assert codes(app, users) == ["limits-off"]

    def test_is_not_found(self) -> None:
        app, users = FastAPI(), FastAPIUsers[Any, Any](unknown, [bearer])
        assert codes(app, users) == ["manager-unknown"]

    def test_accounts_without_a_route_that_registers(self) -> None:
        users = FastAPIUsers[Any, Any](made_in_a_function(Revealing), [bearer])
        assert codes(FastAPI(), users) == []
        assert codes(*make(manager=made_in_a_function(Revealing))) == ["accounts-revealed"]

    @pytest.mark.parametrize("argv", [["--workers", "4"], ["--workers=4"], ["-w", "4"]], ids=" ".join)
    def test_several_processes_by_a_command(self, monkeypatch: pytest.MonkeyPatch, argv: list[str]) -> None:
        monkeypatch.setattr("sys.argv", ["uvicorn", "app:app", *argv])
        assert codes(*make()) == ["limits-in-memory"]
        assert codes(*make(manager=made_in_a_function(Shared))) == []

    @pytest.mark.parametrize(("value", "expected"), [("4", ["limits-in-memory"]), ("1", []), ("", []), ("x", [])])
    def test_several_processes_by_the_environment(
        self, monkeypatch: pytest.MonkeyPatch, value: str, expected: list[str]
    ) -> None:
        monkeypatch.setenv("WEB_CONCURRENCY", value)
        assert codes(*make()) == expected

    def test_one_process(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr("sys.argv", ["uvicorn", "--workers", "1", "--workers"])
        assert codes(*make()) == []
