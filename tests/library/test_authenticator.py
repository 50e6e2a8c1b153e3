"""Several backends in one app, as FastAPI Users documents them: the first that knows the token decides."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Annotated, Any

import httpx2
import pytest
from fastapi import Depends, FastAPI, Response
from fastapi.security import APIKeyHeader

from fastapi_users_sqlmodel.authentication import AuthenticationBackend, Authenticator
from fastapi_users_sqlmodel.authentication.authenticator import DuplicateBackendNamesError


@dataclass(frozen=True)
class User:
    id: int = 1
    email: str = "anna@example.com"
    hashed_password: str = "x"
    is_active: bool = True
    is_superuser: bool = False
    is_verified: bool = False


class Transport:
    """A header of its own."""

    def __init__(self, name: str) -> None:
        self.scheme = APIKeyHeader(name=name, auto_error=False)

    async def get_login_response(self, token: str) -> Response:
        raise AssertionError

    async def get_logout_response(self) -> Response:
        raise AssertionError

    @staticmethod
    def get_openapi_login_responses_success() -> dict[int | str, dict[str, Any]]:
        return {}

    get_openapi_logout_responses_success = get_openapi_login_responses_success


class Strategy:
    """Knows users by their tokens."""

    def __init__(self, **users: User) -> None:
        self.users, self.asked = users, list[str]()

    async def read_token(self, token: str | None, user_manager: Any) -> User | None:
        self.asked.append(str(token))
        return self.users.get(str(token))

    async def write_token(self, user: User) -> str:
        raise AssertionError

    async def destroy_token(self, token: str, user: User) -> None:
        raise AssertionError


class Manager:
    current_token: Any = None


async def get_user_manager() -> Manager:
    return Manager()


def backend(name: str, strategy: Strategy) -> AuthenticationBackend[Any, Any]:
    return AuthenticationBackend[Any, Any](name, Transport(f"x-{name}"), lambda: strategy)  # type: ignore[arg-type]  # By their shape


async def ask(dependency: Callable[..., Any], **headers: str) -> tuple[int, Any]:
    """Say what a route answers whose user comes from this dependency: the status and the id."""
    app = FastAPI()

    @app.get("/")
    async def read(user: Annotated[Any, Depends(dependency)]) -> int | None:
        return user[0].id if isinstance(user, tuple) and user[0] else getattr(user, "id", None)

    sent = {name.replace("_", "-"): value for name, value in headers.items()}
    async with httpx2.AsyncClient(transport=httpx2.ASGITransport(app), base_url="http://test") as client:
        response = await client.get("/", headers=sent)
    return response.status_code, response.json() if response.status_code == 200 else None


class TestSeveralBackends:
    @pytest.fixture
    def strategies(self) -> tuple[Strategy, Strategy]:
        return Strategy(one=User(1), both=User(1)), Strategy(two=User(2), both=User(2))

    @pytest.fixture
    def authenticator(self, strategies: tuple[Strategy, Strategy]) -> Authenticator[Any, Any]:
        return Authenticator([backend("a", strategies[0]), backend("b", strategies[1])], get_user_manager)  # type: ignore[arg-type]  # By its shape

    @pytest.mark.parametrize(
        ("headers", "expected"),
        [
            ({}, (401, None)),
            ({"x_a": "one"}, (200, 1)),
            ({"x_b": "two"}, (200, 2)),
            ({"x_a": "one", "x_b": "two"}, (200, 1)),
            ({"x_a": "unknown", "x_b": "two"}, (200, 2)),
            ({"x_a": "two", "x_b": "one"}, (401, None)),
        ],
        ids=str,
    )
    async def test_the_first_that_knows_the_token(
        self, authenticator: Authenticator[Any, Any], headers: dict[str, str], expected: tuple[int, Any]
    ) -> None:
        assert await ask(authenticator.current_user(), **headers) == expected
        assert await ask(authenticator.current_user_token(), **headers) == expected

    async def test_who_has_decided_is_the_last_to_be_asked(
        self, authenticator: Authenticator[Any, Any], strategies: tuple[Strategy, Strategy]
    ) -> None:
        assert await ask(authenticator.current_user(), x_a="both", x_b="both") == (200, 1)
        assert [strategy.asked for strategy in strategies] == [["both"], []]

    async def test_some_enabled(self, authenticator: Authenticator[Any, Any]) -> None:
        async def none() -> list[Any]:
            return []

        async def second() -> list[Any]:
            return [authenticator.backends[1]]

        for enabled, expected in ((none, (401, None)), (second, (200, 2))):
            dependency = authenticator.current_user(get_enabled_backends=enabled)
            assert await ask(dependency, x_a="one", x_b="two") == expected

    def test_two_of_one_name(self, strategies: tuple[Strategy, Strategy]) -> None:
        same = [backend("a", strategy) for strategy in strategies]
        with pytest.raises(DuplicateBackendNamesError):
            Authenticator[Any, Any](same, get_user_manager).current_user()  # type: ignore[arg-type]  # By its shape


NOBODY, FORBIDDEN, ADMITTED = (401, None), (403, None), (200, 1)


@pytest.mark.parametrize(
    ("user", "options", "expected"),
    [
        (User(), {}, ADMITTED),
        (User(is_active=False), {}, NOBODY),
        (User(is_active=False), {"active": True}, NOBODY),
        (User(is_active=False), {"active": False}, ADMITTED),
        (User(is_active=False, is_superuser=True), {"superuser": True}, NOBODY),
        (User(), {"verified": True}, FORBIDDEN),
        (User(is_verified=True), {"verified": True}, ADMITTED),
        (User(), {"superuser": True}, FORBIDDEN),
        (User(is_superuser=True), {"superuser": True}, ADMITTED),
        (User(is_superuser=True), {"verified": True, "superuser": True}, FORBIDDEN),
        (User(is_verified=True), {"verified": True, "superuser": True}, FORBIDDEN),
        (User(is_verified=True, is_superuser=True), {"verified": True, "superuser": True}, ADMITTED),
    ],
)
async def test_what_a_user_has_to_be(user: User, options: dict[str, Any], expected: tuple[int, Any]) -> None:
    authenticator = Authenticator[Any, Any]([backend("a", Strategy(token=user))], get_user_manager)  # type: ignore[arg-type]  # By its shape
    assert await ask(authenticator.current_user(**options), x_a="token") == expected
    # Who is not admitted is nobody where nobody is needed.
    optional = (200, 1) if expected == ADMITTED else (200, None)
    assert await ask(authenticator.current_user(optional=True, **options), x_a="token") == optional
    assert await ask(authenticator.current_user(optional=True, **options)) == (200, None)
    assert await ask(authenticator.current_user(optional=True, **options), x_a="unknown") == (200, None)
    assert await ask(authenticator.current_user(**options), x_a="unknown") == NOBODY
