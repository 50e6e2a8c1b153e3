"""The situations of FastAPI Users' own tests of its routers: names, malformed bodies, and who is admitted."""

from collections.abc import AsyncIterator
from typing import Any, NamedTuple

import httpx2
import pytest
from fastapi import FastAPI

from tests.library.account_app import Service, open_service
from tests.library.accounts import PASSWORD
from tests.library.models import Models

pytestmark = pytest.mark.parametrize("form", ["sqlmodel-uuid", "sqlalchemy-int"], indirect=True)
ANNA, BERTA = "anna@example.com", "berta@example.com"


@pytest.fixture
def requires_verification() -> bool:
    return False


@pytest.fixture
async def service(models: Models, url: str, requires_verification: bool) -> AsyncIterator[Service]:  # noqa: FBT001  # A fixture
    async with open_service(models, url, requires_verification=requires_verification) as service:
        yield service


# With the status of success that the documentation names.
ROUTES = [
    ("register:register", "post", "/auth/register", 201),
    ("verify:request-token", "post", "/auth/request-verify-token", 202),
    ("verify:verify", "post", "/auth/verify", 200),
    ("reset:forgot_password", "post", "/auth/forgot-password", 202),
    ("reset:reset_password", "post", "/auth/reset-password", 200),
    ("auth:jwt.login", "post", "/auth/jwt/login", 200),
    ("auth:jwt.logout", "post", "/auth/jwt/logout", 204),
    ("auth:cookie.login", "post", "/auth/cookie/login", 204),
    ("auth:cookie.logout", "post", "/auth/cookie/logout", 204),
    ("users:current_user", "get", "/users/me", 200),
    ("users:patch_current_user", "patch", "/users/me", 200),
    ("users:user", "get", "/users/{id}", 200),
    ("users:patch_user", "patch", "/users/{id}", 200),
    ("users:delete_user", "delete", "/users/{id}", 204),
]


class TestARoute:
    @pytest.mark.parametrize(("name", "method", "path", "status"), ROUTES)
    async def test_has_its_name_and_is_documented(
        self, service: Service, name: str, method: str, path: str, status: int
    ) -> None:
        parameters = {"id": "7"} if "{id}" in path else {}
        assert service.app.url_path_for(name, **parameters) == path.format(**parameters)
        assert str(status) in service.app.openapi()["paths"][path][method]["responses"]
        response = await service.client.request(method, path.format(**parameters))
        assert response.status_code in {401, 422}

    async def test_that_hands_out_a_bearer_token_says_so(self, service: Service) -> None:
        login = service.app.openapi()["paths"]["/auth/jwt/login"]["post"]["responses"]["200"]
        assert login["content"]["application/json"]["schema"] == {"$ref": "#/components/schemas/BearerResponse"}

    async def test_of_the_app_stands_before_one_with_an_id(self, service: Service) -> None:
        app = FastAPI()

        @app.delete("/users/me")
        async def leave() -> str:
            return "gone"

        app.include_router(service.app.router)
        async with httpx2.AsyncClient(transport=httpx2.ASGITransport(app), base_url="https://test") as client:
            answer = await client.delete("/users/me")
        assert (answer.status_code, answer.json()) == (200, "gone")


@pytest.mark.parametrize(
    ("path", "body", "fields"),
    [
        ("register", {}, {"email", "password"}),
        ("register", {"password": PASSWORD}, {"email"}),
        ("register", {"email": ANNA}, {"password"}),
        ("register", {"email": "anna", "password": PASSWORD}, {"email"}),
        ("request-verify-token", {}, {"email"}),
        ("request-verify-token", {"email": "anna"}, {"email"}),
        ("verify", {}, {"token"}),
        ("forgot-password", {}, {"email"}),
        ("reset-password", {}, {"token", "password"}),
        ("reset-password", {"password": PASSWORD}, {"token"}),
        ("reset-password", {"token": "x"}, {"password"}),
    ],
)
async def test_a_body_that_lacks_a_field(service: Service, path: str, body: dict[str, str], fields: set[str]) -> None:
    answer = await service.client.post(f"/auth/{path}", json=body)
    assert (answer.status_code, {problem["loc"][-1] for problem in answer.json()["detail"]}) == (422, fields)
    assert service.managers == [] or [manager.heard for manager in service.managers] == [[]]


@pytest.mark.parametrize("email", [ANNA, "Anna@Example.com"])
async def test_registering_with_an_address_in_any_case(service: Service, email: str) -> None:
    answer = await service.client.post("/auth/register", json={"email": email, "password": PASSWORD})
    created = answer.json()
    assert (answer.status_code, created["email"]) == (201, email)
    assert created.keys().isdisjoint({"password", "hashed_password"})
    for taken in (ANNA, "ANNA@example.com"):
        answer = await service.client.post("/auth/register", json={"email": taken, "password": PASSWORD})
        assert (answer.status_code, answer.json()) == (400, {"detail": "REGISTER_USER_ALREADY_EXISTS"})


@pytest.mark.parametrize("backend_name", ["jwt", "cookie"])
class TestLogin:
    @pytest.mark.parametrize(
        ("form_body", "fields"),
        [
            ({}, {"username", "password"}),
            ({"password": PASSWORD}, {"username"}),
            ({"username": ANNA}, {"password"}),
        ],
    )
    async def test_a_form_that_lacks_a_field(
        self, service: Service, backend_name: str, form_body: dict[str, str], fields: set[str]
    ) -> None:
        answer = await service.client.post(f"/auth/{backend_name}/login", data=form_body)
        assert (answer.status_code, {problem["loc"][-1] for problem in answer.json()["detail"]}) == (422, fields)

    @pytest.mark.parametrize(
        ("requires_verification", "columns", "username", "password", "code"),
        [
            (False, {}, BERTA, PASSWORD, "LOGIN_BAD_CREDENTIALS"),
            (False, {}, ANNA, "wrong", "LOGIN_BAD_CREDENTIALS"),
            (False, {"is_active": False}, ANNA, PASSWORD, "LOGIN_BAD_CREDENTIALS"),
            (False, {}, ANNA, PASSWORD, None),
            (False, {}, "Anna@Example.com", PASSWORD, None),
            (True, {}, ANNA, "wrong", "LOGIN_BAD_CREDENTIALS"),
            (True, {"is_active": False}, ANNA, PASSWORD, "LOGIN_BAD_CREDENTIALS"),
            (True, {}, ANNA, PASSWORD, "LOGIN_USER_NOT_VERIFIED"),
            (True, {}, "Anna@Example.com", PASSWORD, "LOGIN_USER_NOT_VERIFIED"),
            (True, {"is_verified": True}, ANNA, PASSWORD, None),
            (True, {"is_verified": True}, "Anna@Example.com", PASSWORD, None),
        ],
    )
    async def test_is_answered_alike_by_each_backend(
        self,
        service: Service,
        backend_name: str,
        columns: dict[str, Any],
        username: str,
        password: str,
        code: str | None,
    ) -> None:
        await service.accounts.user(**columns)
        form = {"username": username, "password": password}
        answer = await service.client.post(f"/auth/{backend_name}/login", data=form)
        if code is not None:
            assert (answer.status_code, answer.json()) == (400, {"detail": code})
        elif backend_name == "jwt":
            assert (answer.status_code, answer.json().keys()) == (200, {"access_token", "token_type"})
        else:
            assert (answer.status_code, answer.content, [*answer.cookies]) == (204, b"", ["session"])


class Asks(NamedTuple):
    """A kind of user, and the statuses for oneself, for a user who exists, and for one who does not."""

    requires_verification: bool
    columns: dict[str, bool]
    me: int
    known: int
    unknown: int


DEACTIVATED = {"is_active": False, "is_verified": True, "is_superuser": True}
VERIFIED, SUPERUSER = {"is_verified": True}, {"is_superuser": True}
ASKS = [
    Asks(False, DEACTIVATED, 401, 401, 401),
    Asks(False, {}, 200, 403, 403),
    Asks(False, VERIFIED, 200, 403, 403),
    Asks(False, SUPERUSER, 200, 200, 404),
    Asks(False, VERIFIED | SUPERUSER, 200, 200, 404),
    Asks(True, DEACTIVATED, 401, 401, 401),
    Asks(True, {}, 403, 403, 403),
    Asks(True, VERIFIED, 200, 403, 403),
    Asks(True, SUPERUSER, 403, 403, 403),
    Asks(True, VERIFIED | SUPERUSER, 200, 200, 404),
]


class TestUsers:
    """With `get_users_router(requires_verification=…)`, for each kind of user."""

    async def test_nobody(self, service: Service) -> None:
        user = await service.accounts.user(BERTA)
        routes = [("GET", "me"), ("PATCH", "me"), *((method, str(user.id)) for method in ("GET", "PATCH", "DELETE"))]
        for method, path in routes:
            for headers in ({}, {"Authorization": "Bearer x"}):
                answer = await service.client.request(method, f"/users/{path}", headers=headers, json={})
                assert (answer.status_code, answer.json()) == (401, {"detail": "Unauthorized"})

    @pytest.mark.parametrize(("requires_verification", "asks"), [(asks.requires_verification, asks) for asks in ASKS])
    async def test_somebody(self, service: Service, asks: Asks) -> None:
        me, other = await service.accounts.user(is_verified=True), await service.accounts.user(BERTA)
        headers = await service.sign_in(ANNA, PASSWORD)
        await service.accounts.manager.user_db.update(me, {"is_verified": False, **asks.columns})
        unknown_id = service.accounts.stores.models.unknown_ids[0]
        for path, email, status in (
            ("me", ANNA, asks.me),
            (other.id, BERTA, asks.known),
            (unknown_id, "", asks.unknown),
        ):
            for method in ("GET", "PATCH"):
                answer = await service.client.request(method, f"/users/{path}", headers=headers, json={})
                assert answer.status_code == status
                if status == 200:
                    assert answer.json()["email"] == email
                    assert "hashed_password" not in answer.json()
        for user_id, status in ((unknown_id, asks.unknown), (other.id, asks.known)):
            answer = await service.client.delete(f"/users/{user_id}", headers=headers)
            assert answer.status_code == (204 if status == 200 else status)
        assert (BERTA in service.accounts.stores.emails()) is (asks.known != 200)
