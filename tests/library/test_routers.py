"""The routers in an app: every route, every code that it documents, and nothing that makes it fail."""

from collections.abc import AsyncIterator
from http import HTTPStatus
from typing import Any

import pytest

from fastapi_users_sqlmodel import LetterKind, Throttle, ThrottleLimits
from fastapi_users_sqlmodel.passwords import HashingQueueFullError, PasswordHasher
from fastapi_users_sqlmodel.throttling import Limit
from tests.library.account_app import Service, open_service
from tests.library.accounts import NEW_PASSWORD, PASSWORD, Manager
from tests.library.models import Models

pytestmark = pytest.mark.parametrize("form", ["sqlmodel-uuid", "sqlalchemy-int"], indirect=True)
ANNA, NEW, ROOT = "anna@example.com", "new@example.com", "root@example.com"
JSON = {"Content-Type": "application/json"}


@pytest.fixture
def attributes() -> dict[str, Any]:
    return {}


@pytest.fixture
async def service(models: Models, url: str, attributes: dict[str, Any]) -> AsyncIterator[Service]:
    async with open_service(models, url, type("Custom", (Manager,), attributes)) as service:
        yield service


async def test_a_life(service: Service) -> None:
    client = service.client
    answer = await client.post("/auth/register", json={"email": ANNA, "password": PASSWORD})
    assert (answer.status_code, answer.json()["email"]) == (201, ANNA)
    assert (await client.post("/auth/request-verify-token", json={"email": ANNA})).status_code == 202
    verify = {"token": service.token(LetterKind.VERIFY)}
    assert (await client.post("/auth/verify", json=verify)).json()["is_verified"] is True
    answer = await client.post("/auth/verify", json=verify)
    assert (answer.status_code, answer.json()) == (400, {"detail": "VERIFY_USER_BAD_TOKEN"})
    assert (await client.post("/auth/forgot-password", json={"email": ANNA})).status_code == 202
    reset = {"token": service.token(LetterKind.RESET_PASSWORD), "password": NEW_PASSWORD}
    answer = await client.post("/auth/reset-password", json={**reset, "password": "short"})
    assert (answer.status_code, answer.json()["detail"]["code"]) == (400, "RESET_PASSWORD_INVALID_PASSWORD")
    assert (await client.post("/auth/reset-password", json=reset)).status_code == 200
    answer = await client.post("/auth/reset-password", json=reset)
    assert (answer.status_code, answer.json()) == (400, {"detail": "RESET_PASSWORD_BAD_TOKEN"})
    me = await service.sign_in(ANNA, NEW_PASSWORD)
    body = {"current_password": NEW_PASSWORD, "new_password": PASSWORD}
    assert (await client.post("/auth/change-password", json=body, headers=me)).status_code == 204
    answer = await client.post("/auth/change-password", json=body, headers=me)
    assert (answer.status_code, answer.json()) == (400, {"detail": "CURRENT_PASSWORD_BAD"})
    body = {"current_password": PASSWORD, "new_email": NEW}
    assert (await client.post("/auth/change-email", json=body, headers=me)).status_code == 202
    confirm, undo = service.token(LetterKind.CONFIRM_EMAIL), service.token(LetterKind.EMAIL_CHANGE_REQUESTED)
    assert (await client.post("/auth/confirm-email", json={"token": confirm})).json()["email"] == NEW
    answer = await client.post("/auth/confirm-email", json={"token": confirm})
    assert (answer.status_code, answer.json()) == (400, {"detail": "CONFIRM_EMAIL_BAD_TOKEN"})
    answer = await client.post("/auth/undo-change-email", json={"token": undo})
    undone = answer.json()
    assert undone == {
        **(await client.get("/users/me", headers=me)).json(),
        "reset_password_token": service.token(LetterKind.EMAIL_CHANGE_UNDONE),
    }
    assert (undone["email"], answer.headers["cache-control"]) == (ANNA, "no-store")
    answer = await client.post("/auth/undo-change-email", json={"token": undo})
    assert (answer.status_code, answer.json()) == (400, {"detail": "UNDO_CHANGE_EMAIL_BAD_TOKEN"})
    reset = {"token": undone["reset_password_token"], "password": PASSWORD}
    assert (await client.post("/auth/reset-password", json=reset)).status_code == 200
    me = await service.sign_in(ANNA, PASSWORD)
    assert (await client.get("/users/me", headers=me)).json()["email"] == ANNA
    assert (await client.post("/auth/jwt/logout", headers=me)).status_code == 204
    assert service.accounts.events()[-1] == "logout"
    assert (await client.post("/auth/delete-account", json=body, headers=me)).status_code == 422
    body = {"current_password": PASSWORD}
    assert (await client.post("/auth/delete-account", json=body, headers=me)).status_code == 204
    assert (await client.get("/users/me", headers=me)).status_code == 401
    assert service.accounts.stores.emails() == []


async def test_the_cookie_of_a_database_strategy(service: Service) -> None:
    await service.accounts.user()
    client = service.client
    form = {"username": ANNA, "password": PASSWORD}
    answer = await client.post("/auth/cookie/login", data=form)
    assert (answer.status_code, answer.headers["cache-control"]) == (204, "no-store")
    assert (await client.get("/users/me")).status_code == 200
    assert (await client.post("/auth/cookie/logout")).status_code == 204
    assert (await client.get("/users/me")).status_code == 401


async def test_a_user_who_is_deleted_while_signing_in(service: Service, monkeypatch: pytest.MonkeyPatch) -> None:
    await service.accounts.user()
    authenticate = Manager.authenticate

    async def authenticate_and_go(manager: Manager, *args: Any) -> Any:
        user = await authenticate(manager, *args)
        with service.accounts.stores.outside.begin() as connection:
            connection.execute(service.accounts.tables.users.delete())
        return user

    monkeypatch.setattr(Manager, "authenticate", authenticate_and_go)
    answer = await service.client.post("/auth/cookie/login", data={"username": ANNA, "password": PASSWORD})
    assert (answer.status_code, answer.json()) == (400, {"detail": "LOGIN_BAD_CREDENTIALS"})


CODES = {
    ("post", "/auth/register"): {
        "REGISTER_USER_ALREADY_EXISTS",
        "REGISTER_USERNAME_ALREADY_EXISTS",
        "REGISTER_VALUE_ALREADY_EXISTS",
        "REGISTER_INVALID_PASSWORD",
        "429",
        "503",
    },
    ("post", "/auth/jwt/login"): {"LOGIN_BAD_CREDENTIALS", "429", "503"},
    ("post", "/auth/jwt/logout"): {"401"},
    ("post", "/auth/request-verify-token"): {"429"},
    ("post", "/auth/verify"): {"VERIFY_USER_BAD_TOKEN", "VERIFY_USER_ALREADY_VERIFIED"},
    ("post", "/auth/forgot-password"): {"429"},
    ("post", "/auth/reset-password"): {"RESET_PASSWORD_BAD_TOKEN", "RESET_PASSWORD_INVALID_PASSWORD", "429", "503"},
    ("post", "/auth/change-password"): {
        "CURRENT_PASSWORD_BAD",
        "UPDATE_USER_INVALID_PASSWORD",
        "401",
        "429",
        "503",
    },
    ("post", "/auth/change-email"): {"CURRENT_PASSWORD_BAD", "401", "429", "503"},
    ("post", "/auth/confirm-email"): {"CONFIRM_EMAIL_BAD_TOKEN"},
    ("post", "/auth/undo-change-email"): {"UNDO_CHANGE_EMAIL_BAD_TOKEN"},
    ("post", "/auth/delete-account"): {"CURRENT_PASSWORD_BAD", "LAST_SUPERUSER", "USER_IN_USE", "401", "429", "503"},
    ("get", "/users/me"): {"401"},
    ("patch", "/users/me"): {
        "CURRENT_PASSWORD_BAD",
        "UPDATE_USER_INVALID_PASSWORD",
        "UPDATE_USER_EMAIL_ALREADY_EXISTS",
        "UPDATE_USER_USERNAME_ALREADY_EXISTS",
        "UPDATE_USER_VALUE_ALREADY_EXISTS",
        "401",
        "429",
        "503",
    },
    ("get", "/users/{id}"): {"401", "403", "404"},
    ("patch", "/users/{id}"): {
        "UPDATE_USER_EMAIL_ALREADY_EXISTS",
        "UPDATE_USER_INVALID_PASSWORD",
        "UPDATE_USER_USERNAME_ALREADY_EXISTS",
        "UPDATE_USER_VALUE_ALREADY_EXISTS",
        "LAST_SUPERUSER",
        "FRESH_LOGIN_REQUIRED",
        "401",
        "403",
        "404",
    },
    ("delete", "/users/{id}"): {"LAST_SUPERUSER", "USER_IN_USE", "FRESH_LOGIN_REQUIRED", "401", "403", "404"},
}


class TestOpenAPI:
    @pytest.mark.parametrize("route", CODES)
    async def test_every_code_is_documented(self, service: Service, route: tuple[str, str]) -> None:
        method, path = route
        documented: set[str] = set()
        for status, response in service.app.openapi()["paths"][path][method]["responses"].items():
            examples = response.get("content", {}).get("application/json", {}).get("examples", {})
            documented |= {status if name == HTTPStatus(int(status)).phrase else name for name in examples}
            if status in {"429", "503"}:
                assert response["headers"]["Retry-After"]["required"] is True
        assert documented == CODES[route]


class TestTooMany:
    @pytest.fixture
    def attributes(self) -> dict[str, Any]:
        one = Limit(1, 60)
        return {"throttle": Throttle(limits=ThrottleLimits(failed_logins=one, mails_from_network=one))}

    async def test_logins(self, service: Service) -> None:
        form = {"username": ANNA, "password": "wrong"}
        assert (await service.client.post("/auth/jwt/login", data=form)).status_code == 400
        answer = await service.client.post("/auth/jwt/login", data=form)
        assert (answer.status_code, answer.json()) == (429, {"detail": "Too Many Requests"})
        assert 1 <= int(answer.headers["Retry-After"]) <= 60

    @pytest.mark.parametrize("path", ["/auth/forgot-password", "/auth/request-verify-token"])
    async def test_mails(self, service: Service, path: str) -> None:
        assert (await service.client.post(path, json={"email": ANNA})).status_code == 202
        answer = await service.client.post(path, json={"email": NEW})
        assert (answer.status_code, answer.json()) == (429, {"detail": "Too Many Requests"})
        assert 1 <= int(answer.headers["Retry-After"]) <= 60


async def test_a_full_queue(service: Service, monkeypatch: pytest.MonkeyPatch) -> None:
    await service.accounts.user()
    me = await service.sign_in(ANNA, PASSWORD)

    async def refuse(*_: Any) -> Any:
        raise HashingQueueFullError

    monkeypatch.setattr(PasswordHasher, "_run", refuse)
    body = {"current_password": PASSWORD, "new_password": NEW_PASSWORD}
    for answer in (
        await service.client.post("/auth/jwt/login", data={"username": ANNA, "password": PASSWORD}),
        await service.client.post("/auth/register", json={"email": NEW, "password": PASSWORD}),
        await service.client.post("/auth/change-password", json=body, headers=me),
    ):
        assert (answer.status_code, answer.json()) == (503, {"detail": "Service Unavailable"})
        assert answer.headers["Retry-After"] == "1"


class TestConcealed:
    @pytest.fixture
    def attributes(self) -> dict[str, Any]:
        return {"conceal_accounts": True}

    async def test_free_and_taken_are_alike(self, service: Service) -> None:
        await service.accounts.user(username="anna")
        taken, free = [
            await service.client.post("/auth/register", json={"email": email, "password": PASSWORD})
            for email in (ANNA, NEW)
        ]
        assert (taken.status_code, taken.content, taken.headers) == (202, b"null", free.headers)
        assert (free.status_code, free.content) == (202, b"null")
        assert service.accounts.stores.emails() == [ANNA, NEW]
        letters = [(letter.kind, letter.to) for manager in service.managers for letter in manager.letters]
        assert letters == [(LetterKind.ALREADY_REGISTERED, ANNA)]

    async def test_a_taken_username_too(self, service: Service) -> None:
        await service.accounts.user(username="anna")
        taken, free = [
            await service.client.post("/auth/register", json={"email": email, "password": PASSWORD, "username": "anna"})
            for email in (ANNA, NEW)
        ]
        assert (taken.status_code, taken.content) == (400, b'{"detail":"REGISTER_USERNAME_ALREADY_EXISTS"}')
        assert (free.status_code, free.content) == (taken.status_code, taken.content)


HOSTILE: list[bytes] = [
    b"",
    b"null",
    b"[]",
    b"{}",
    b'"x"',
    b"{",
    b"\xff",
    b'{"email": null, "password": null, "token": null, "new_email": null, "current_password": null}',
    b'{"email": 1, "password": {}, "token": [], "new_email": true, "current_password": 1e999, "username": {}}',
    b'{"email": NaN, "password": NaN, "token": NaN, "new_email": Infinity, "current_password": NaN}',
    *(
        b'{"email": "%b@example.com", "password": "%b", "token": "%b", "new_email": "%b@example.com", '
        b'"current_password": "%b", "new_password": "%b"}' % ((text,) * 6)
        for text in (
            b"\\u0000",
            b"\\ud800",
            "ü".encode() * 250_000,
            b"x" * 500_000,
            b"\\u202e",
            b"%00",
            b"\\r\\nBcc: x",
        )
    ),
]
WRITES = [
    ("POST", f"/auth/{name}")
    for name in (
        "register",
        "request-verify-token",
        "verify",
        "forgot-password",
        "reset-password",
        "change-password",
        "change-email",
        "confirm-email",
        "undo-change-email",
        "delete-account",
        "jwt/login",
    )
] + [("PATCH", "/users/me"), ("PATCH", "/users/{id}")]


@pytest.mark.parametrize(("method", "path"), WRITES)
async def test_hostile_bodies(service: Service, method: str, path: str) -> None:
    root = await service.accounts.user(ROOT, is_superuser=True)
    await service.accounts.user("other@example.com", is_superuser=True)
    me = await service.sign_in(ROOT, PASSWORD)
    path = path.format(id=root.id)
    for body in HOSTILE:
        answer = await service.client.request(method, path, content=body, headers={**me, **JSON})
        assert answer.status_code in {200, 202, 204, 400, 422}, body[:200]
        assert len(answer.content) < 5000
    assert set(service.accounts.stores.emails()) >= {ROOT, "other@example.com"}


@pytest.mark.parametrize("value", [b"+2AA-", b"\0", b"x" * 500_000, "ü@ü".encode() * 100_000, b"%00", b"%ff"])
@pytest.mark.parametrize("name", ["username", "password"])
async def test_hostile_forms(service: Service, name: str, value: bytes) -> None:
    await service.accounts.user()
    fields = {"username": ANNA.encode(), "password": PASSWORD.encode(), name: value}
    # Python's UTF-7 says lone surrogates, and whoever sends a form chooses its encoding.
    parts = b"".join(
        b'--x\r\nContent-Disposition: form-data; name="%b"\r\n\r\n%b\r\n' % (field.encode(), content)
        for field, content in fields.items()
    )
    multipart = {"Content-Type": "multipart/form-data; boundary=x; charset=utf-7"}
    answer = await service.client.post("/auth/jwt/login", content=parts + b"--x--\r\n", headers=multipart)
    assert answer.status_code in {400, 422}
    encoded = b"&".join(field.encode() + b"=" + content for field, content in fields.items())
    plain = {"Content-Type": "application/x-www-form-urlencoded"}
    answer = await service.client.post("/auth/jwt/login", content=encoded, headers=plain)
    assert answer.status_code in {400, 422}
