"""What FastAPI Users' routers catch, these answer alike."""

import uuid
from typing import Any, NamedTuple

import pytest
from fastapi_users.exceptions import (
    FastAPIUsersException,
    InvalidID,
    InvalidPasswordException,
    InvalidResetPasswordToken,
    InvalidVerifyToken,
    UserAlreadyExists,
    UserAlreadyVerified,
    UserInactive,
    UserNotExists,
)

from tests.library.account_app import open_service
from tests.library.accounts import PASSWORD, Manager
from tests.library.models import Models

ANNA, ROOT = "anna@example.com", "root@example.com"
NEW = {"email": "new@example.com", "password": PASSWORD}
TOKEN = {"token": "x" * 43}
NOTHING: dict[str, Any] = {}
WEAK = InvalidPasswordException("too short")


class Case(NamedTuple):
    """A method of the manager that a project overrides, what it raises, and FastAPI Users' answer."""

    method: str
    path: str
    body: dict[str, Any]
    overridden: str
    error: FastAPIUsersException
    status: int = 400
    detail: Any = None


def weak(code: str) -> dict[str, str]:
    return {"code": code, "reason": "too short"}


BAD_RESET, BAD_VERIFY = "RESET_PASSWORD_BAD_TOKEN", "VERIFY_USER_BAD_TOKEN"
RESET = ("POST", "/auth/reset-password", {**TOKEN, "password": PASSWORD}, "reset_password")
FORGOT = ("POST", "/auth/forgot-password", {"email": ANNA}, "request_reset_password")
REQUEST = ("POST", "/auth/request-verify-token", {"email": ANNA}, "request_verification")
VERIFY = ("POST", "/auth/verify", TOKEN, "verify")
REGISTER = ("POST", "/auth/register", NEW, "create")
ME = ("PATCH", "/users/me", NOTHING, "update")
PATCH = ("PATCH", "/users/{id}", NOTHING, "update_by_superuser")
DELETE = ("DELETE", "/users/{id}", NOTHING, "delete_by_superuser")
CASES = [
    Case(*REGISTER, UserAlreadyExists(), detail="REGISTER_USER_ALREADY_EXISTS"),
    Case(*REGISTER, WEAK, detail=weak("REGISTER_INVALID_PASSWORD")),
    Case(*FORGOT, UserNotExists(), 202),
    Case(*FORGOT, UserInactive(), 202),
    Case(*RESET, InvalidResetPasswordToken(), detail=BAD_RESET),
    Case(*RESET, UserNotExists(), detail=BAD_RESET),
    Case(*RESET, UserInactive(), detail=BAD_RESET),
    Case(*RESET, WEAK, detail=weak("RESET_PASSWORD_INVALID_PASSWORD")),
    Case(*REQUEST, UserNotExists(), 202),
    Case(*REQUEST, UserInactive(), 202),
    Case(*REQUEST, UserAlreadyVerified(), 202),
    Case(*VERIFY, InvalidVerifyToken(), detail=BAD_VERIFY),
    Case(*VERIFY, UserNotExists(), detail=BAD_VERIFY),
    Case(*VERIFY, UserAlreadyVerified(), detail="VERIFY_USER_ALREADY_VERIFIED"),
    Case(*ME, UserAlreadyExists(), detail="UPDATE_USER_EMAIL_ALREADY_EXISTS"),
    Case(*ME, WEAK, detail=weak("UPDATE_USER_INVALID_PASSWORD")),
    Case(*PATCH, UserAlreadyExists(), detail="UPDATE_USER_EMAIL_ALREADY_EXISTS"),
    Case(*PATCH, WEAK, detail=weak("UPDATE_USER_INVALID_PASSWORD")),
    Case(*PATCH, UserNotExists(), 404, "Not Found"),
    Case(*PATCH, InvalidID(), 404, "Not Found"),
    Case(*DELETE, UserNotExists(), 404, "Not Found"),
    Case(*DELETE, InvalidID(), 404, "Not Found"),
]


@pytest.mark.parametrize(("form", "backend"), [("sqlmodel-uuid", "sqlite")], indirect=True)
@pytest.mark.parametrize("case", CASES, ids=lambda case: f"{case.overridden} {type(case.error).__name__}")
async def test_what_an_overridden_method_raises(models: Models, url: str, case: Case) -> None:
    async def refuse(*_: Any, **__: Any) -> None:
        raise case.error

    async with open_service(models, url, type("Overridden", (Manager,), {case.overridden: refuse})) as service:
        root = await service.accounts.user(ROOT, is_superuser=True)
        me = await service.sign_in(ROOT, PASSWORD)
        answer = await service.client.request(case.method, case.path.format(id=root.id), json=case.body, headers=me)
        assert answer.status_code == case.status
        assert answer.json() == (None if case.detail is None else {"detail": case.detail})


@pytest.mark.parametrize(("form", "backend"), [("sqlmodel-uuid", "sqlite")], indirect=True)
@pytest.mark.parametrize("method", ["GET", "PATCH", "DELETE"])
async def test_an_id_that_is_none_or_nobody_s(models: Models, url: str, method: str) -> None:
    async with open_service(models, url) as service:
        await service.accounts.user(ROOT, is_superuser=True)
        me = await service.sign_in(ROOT, PASSWORD)
        for user_id in ("x", uuid.uuid4()):
            answer = await service.client.request(method, f"/users/{user_id}", json={}, headers=me)
            assert (answer.status_code, answer.json()) == (404, {"detail": "Not Found"})
