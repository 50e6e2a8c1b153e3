"""Methods of FastAPI Users' manager that projects override: the routes of this library call them."""

from collections.abc import AsyncIterator
from typing import Any

import pytest
from fastapi import Request, Response
from fastapi.security import OAuth2PasswordRequestForm

from fastapi_users_sqlmodel import LetterKind
from fastapi_users_sqlmodel.exceptions import InvalidPasswordException
from tests.library.account_app import Service, open_service
from tests.library.accounts import NEW_PASSWORD, PASSWORD, Manager
from tests.library.models import Models

pytestmark = pytest.mark.parametrize("form", ["sqlmodel-uuid", "sqlalchemy-int"], indirect=True)
ANNA, NEW, SUSPENDED = "anna@example.com", "new@example.com", "suspended@example.com"
REFUSED = "no horses today"
ROOT, KEPT = "root@example.com", "kept@example.com"


class Own(Manager):
    async def authenticate(self, credentials: OAuth2PasswordRequestForm) -> Any:
        if credentials.username == SUSPENDED:
            return None
        if credentials.username == "staff-7":
            credentials.username = ANNA
        return await super().authenticate(credentials)

    async def validate_password(self, password: str, user: Any) -> None:
        if password == REFUSED:
            raise InvalidPasswordException(f"refused for {user.email}")
        await super().validate_password(password, user)

    async def create(self, user_create: Any, safe: bool = False, request: Request | None = None) -> Any:  # noqa: FBT001, FBT002  # FastAPI Users' signature
        self.heard.append(f"create {safe} {request is not None}")
        return await super().create(user_create, safe, request)

    async def update(self, user_update: Any, user: Any, safe: bool = False, request: Request | None = None) -> Any:  # noqa: FBT001, FBT002  # FastAPI Users' signature
        self.heard.append(f"update {safe} {request is not None}")
        return await super().update(user_update, user, safe, request)

    async def delete(self, user: Any, request: Request | None = None) -> None:
        self.heard.append(f"delete {user.email} {request is not None}")
        if user.email == KEPT:
            await self.user_db.update(user, {"is_active": False})
            return
        await super().delete(user, request)

    async def on_after_login(self, user: Any, request: Request | None = None, response: Response | None = None) -> None:
        assert request is not None
        assert response is not None
        response.headers["X-Signed-In"] = user.email


@pytest.fixture
async def service(models: Models, url: str) -> AsyncIterator[Service]:
    async with open_service(models, url, Own) as service:
        yield service


@pytest.mark.parametrize("backend_name", ["jwt", "cookie"])
@pytest.mark.parametrize(
    ("username", "password", "signed_in"),
    [
        (ANNA, PASSWORD, ANNA),
        ("staff-7", PASSWORD, ANNA),
        ("staff-7", "wrong", None),
        (SUSPENDED, PASSWORD, None),
        ("nobody@example.com", PASSWORD, None),
    ],
)
async def test_authenticate_and_on_after_login(
    service: Service, backend_name: str, username: str, password: str, signed_in: str | None
) -> None:
    await service.accounts.user()
    await service.accounts.user(SUSPENDED)
    form = {"username": username, "password": password}
    answer = await service.client.post(f"/auth/{backend_name}/login", data=form)
    assert answer.headers.get("X-Signed-In") == signed_in
    if signed_in is None:
        assert (answer.status_code, answer.json()) == (400, {"detail": "LOGIN_BAD_CREDENTIALS"})
    else:
        assert answer.is_success


@pytest.mark.parametrize(
    ("method", "path", "body", "code"),
    [
        ("POST", "/auth/register", {"email": NEW, "password": REFUSED}, "REGISTER_INVALID_PASSWORD"),
        ("POST", "/auth/reset-password", {"password": REFUSED}, "RESET_PASSWORD_INVALID_PASSWORD"),
        (
            "POST",
            "/auth/change-password",
            {"current_password": PASSWORD, "new_password": REFUSED},
            "UPDATE_USER_INVALID_PASSWORD",
        ),
        (
            "PATCH",
            "/users/me",
            {"current_password": PASSWORD, "password": REFUSED},
            "UPDATE_USER_INVALID_PASSWORD",
        ),
    ],
)
async def test_validate_password(service: Service, method: str, path: str, body: dict[str, str], code: str) -> None:
    await service.accounts.user()
    headers = await service.sign_in(ANNA, PASSWORD)
    if path == "/auth/reset-password":
        await service.client.post("/auth/forgot-password", json={"email": ANNA})
        body = {**body, "token": service.token(LetterKind.RESET_PASSWORD)}
    answer = await service.client.request(method, path, json=body, headers=headers)
    detail = {"code": code, "reason": f"refused for {body.get('email', ANNA)}"}
    assert (answer.status_code, answer.json()) == (400, {"detail": detail})


async def test_create(service: Service) -> None:
    answer = await service.client.post("/auth/register", json={"email": NEW, "password": PASSWORD})
    assert (answer.status_code, answer.json()["email"]) == (201, NEW)
    assert service.managers[-1].heard == ["create True True", "on_register", "on_after_register"]


async def test_update(service: Service) -> None:
    await service.accounts.user()
    headers = await service.sign_in(ANNA, PASSWORD)
    for body in ({"username": "anna"}, {"password": NEW_PASSWORD, "current_password": PASSWORD}):
        assert (await service.client.patch("/users/me", json=body, headers=headers)).status_code == 200
        assert service.managers[-1].heard[0] == "update True True"
        assert service.managers[-1].heard[-1] == "on_after_update"


class TestDelete:
    @pytest.mark.parametrize("email", [ANNA, KEPT])
    async def test_by_a_superuser(self, service: Service, email: str) -> None:
        user = await service.accounts.user(email)
        await service.accounts.user(ROOT, is_superuser=True)
        headers = await service.sign_in(ROOT, PASSWORD)
        assert (await service.client.delete(f"/users/{user.id}", headers=headers)).status_code == 204
        assert service.managers[-1].heard[0] == f"delete {email} True"
        assert service.accounts.stores.emails() == ([ROOT] if email == ANNA else [KEPT, ROOT])
        assert service.accounts.column("is_active", email) is (None if email == ANNA else False)

    @pytest.mark.parametrize("email", [ANNA, KEPT])
    async def test_of_oneself(self, service: Service, email: str) -> None:
        await service.accounts.user(email)
        headers = await service.sign_in(email, PASSWORD)
        for password, status in (("wrong", 400), (PASSWORD, 204)):
            body = {"current_password": password}
            answer = await service.client.post("/auth/delete-account", json=body, headers=headers)
            assert answer.status_code == status
        assert service.accounts.stores.emails() == ([] if email == ANNA else [KEPT])
        assert (await service.client.get("/users/me", headers=headers)).status_code == 401

    async def test_the_last_superuser_stays(self, service: Service) -> None:
        root = await service.accounts.user(ROOT, is_superuser=True)
        headers = await service.sign_in(ROOT, PASSWORD)
        assert (await service.client.delete(f"/users/{root.id}", headers=headers)).status_code == 409
        assert f"delete {ROOT} True" not in service.managers[-1].heard
