"""How the service says that something went wrong; nothing that a client sends is a 500."""

from collections.abc import AsyncIterator, Iterator
from itertools import product

import httpx2
import pytest
from sqlmodel.ext.asyncio.session import AsyncSession

from app import db
from app.app import app
from app.models import User
from tests.app.fixture_types import AsUser, Connect
from tests.app.shapes import UNAUTHORIZED, invalid, problems, said

# What is refused, and in which words, does not depend on the database.
JSON = {"content-type": "application/json"}
FORM = {"content-type": "application/x-www-form-urlencoded"}
MULTIPART = {"content-type": "multipart/form-data; boundary=x"}
UNREADABLE = invalid("body_invalid", ["body"], "The body cannot be read")

# Every operation with a body, and the fields that it takes as a text.
WITH_BODY = [
    ("POST", "/auth/register", ["email", "password", "username", "name"]),
    ("POST", "/auth/request-verify-token", ["email"]),
    ("POST", "/auth/verify", ["token"]),
    ("POST", "/auth/forgot-password", ["email"]),
    ("POST", "/auth/reset-password", ["token", "password"]),
    ("POST", "/auth/change-password", ["current_password", "new_password"]),
    ("POST", "/auth/change-email", ["current_password", "new_email"]),
    ("POST", "/auth/confirm-email", ["token"]),
    ("POST", "/auth/undo-change-email", ["token"]),
    ("POST", "/auth/delete-account", ["current_password"]),
    ("PATCH", "/users/me", ["email", "password", "current_password", "username", "name"]),
    ("PATCH", "/users/{id}", ["email", "username", "name"]),
    ("PUT", "/users/{id}", ["email", "username", "name", "password", "current_password"]),
    ("POST", "/user-groups", ["name"]),
    ("PATCH", "/user-groups/1", ["name"]),
    ("POST", "/items", ["title", "description"]),
    ("PATCH", "/items/1", ["title", "description"]),
    ("POST", "/posts", ["title", "content"]),
    ("PATCH", "/posts/1", ["title", "content"]),
]

# Every operation that wants to know who is asking.
PROTECTED = [
    ("GET", "/authenticated-route"),
    ("GET", "/users"),
    ("GET", "/users/me"),
    ("GET", "/users/me/audit-events"),
    ("PATCH", "/users/me"),
    ("GET", "/users/x"),
    ("PATCH", "/users/x"),
    ("PUT", "/users/x"),
    ("DELETE", "/users/x"),
    ("POST", "/auth/jwt/logout"),
    ("POST", "/auth/cookie/logout"),
    ("POST", "/auth/reauthenticate"),
    ("GET", "/auth/sessions"),
    ("DELETE", "/auth/sessions"),
    ("POST", "/auth/websocket-ticket"),
    ("DELETE", "/auth/sessions/x"),
    ("POST", "/auth/change-password"),
    ("POST", "/auth/change-email"),
    ("POST", "/auth/delete-account"),
    ("GET", "/audit-events"),
    ("POST", "/user-groups"),
    ("PATCH", "/user-groups/x"),
    ("DELETE", "/user-groups/x"),
    ("PUT", "/user-groups/x/users/x"),
    ("DELETE", "/user-groups/x/users/x"),
    ("GET", "/items"),
    ("POST", "/items"),
    ("GET", "/items/x"),
    ("PATCH", "/items/x"),
    ("DELETE", "/items/x"),
    ("POST", "/posts"),
    ("PATCH", "/posts/x"),
    ("DELETE", "/posts/x"),
]

NOT_AN_OBJECT = {
    b"": "missing",
    b"{": "json_invalid",
    b"{}}": "json_invalid",
    b"'x'": "json_invalid",
    b'{"a": 1,}': "json_invalid",
    b"nul": "json_invalid",
    b"null": "model_attributes_type",
    b"[]": "model_attributes_type",
    b"[[]]": "model_attributes_type",
    b"1": "model_attributes_type",
    b"NaN": "model_attributes_type",
    b"-Infinity": "model_attributes_type",
    b"1e999": "model_attributes_type",
    b'"x"': "model_attributes_type",
    b'"\\ud800"': "model_attributes_type",
    b"true": "model_attributes_type",
}
# No UTF-8, and integers that Python refuses to read.
NOT_READABLE = [b'{"a": "\xff"}', b"\x80", b"9" * 5000, b'{"id": ' + b"1" * 100_000 + b"}"]
NOT_JSON = ["text/plain", "application/x-www-form-urlencoded", "multipart/form-data; boundary=x", "json", "", "é"]


@pytest.fixture(params=WITH_BODY, ids=lambda operation: f"{operation[0]} {operation[1]}")
def operation(request: pytest.FixtureRequest, superuser: User) -> tuple[str, str, list[str]]:
    """An operation that takes a body: its method, its path, and the names of its texts."""
    method, path, texts = request.param
    return method, path.format(id=superuser.id), texts


class TestBody:
    async def test_not_an_object(self, as_user: AsUser, superuser: User, operation: tuple[str, str, list[str]]) -> None:
        method, path, _ = operation
        client = await as_user(superuser)
        for content, kind in NOT_AN_OBJECT.items():
            response = await client.request(method, path, content=content, headers=JSON)
            status, [(found, location)] = problems(response)
            assert (status, found, location[0]) == (422, kind, "body")

    async def test_not_readable(self, as_user: AsUser, superuser: User, operation: tuple[str, str, list[str]]) -> None:
        method, path, _ = operation
        client = await as_user(superuser)
        for content in NOT_READABLE:
            assert said(await client.request(method, path, content=content, headers=JSON)) == UNREADABLE

    async def test_of_another_type(
        self, as_user: AsUser, superuser: User, operation: tuple[str, str, list[str]]
    ) -> None:
        """What does not say that it is JSON is not read as JSON."""
        method, path, _ = operation
        client = await as_user(superuser)
        for content_type in NOT_JSON:
            headers = {b"Content-Type": content_type.encode("latin-1")}
            response = await client.request(method, path, content=b"{}", headers=headers)
            assert problems(response) == (422, [("model_attributes_type", ["body"])])

    async def test_without_a_type(
        self, as_user: AsUser, superuser: User, operation: tuple[str, str, list[str]]
    ) -> None:
        method, path, _ = operation
        response = await (await as_user(superuser)).request(method, path, content=b"[" * 100_000)
        assert "content-type" not in response.request.headers
        assert problems(response) == (422, [("model_attributes_type", ["body"])])

    async def test_a_text_that_no_database_holds(
        self, as_user: AsUser, superuser: User, operation: tuple[str, str, list[str]]
    ) -> None:
        method, path, texts = operation
        client = await as_user(superuser)
        for field, text in product(texts, ("\\u0000", "a\\u0000b", "\\ud800", "a\\udfffb", "\\udc00\\ud800")):
            content = f'{{"{field}": "{text}"}}'
            response = await client.request(method, path, content=content, headers=JSON)
            status, found = problems(response)
            assert (status, ["body", field] in [location for _, location in found]) == (422, True)

    async def test_any_name(self, as_user: AsUser, superuser: User, operation: tuple[str, str, list[str]]) -> None:
        method, path, _ = operation
        for name, said_as in (("\\u0000", "\0"), ("\\n\\r", "\n\r"), ("", ""), ("é", "é"), ("x" * 1000, "x" * 1000)):
            response = await (await as_user(superuser)).request(
                method, path, content=f'{{"{name}": 1}}'.encode(), headers=JSON
            )
            status, found = problems(response)
            assert (status, ("extra_forbidden", ["body", said_as]) in found) == (422, True)

    async def test_a_name_that_is_no_text(
        self, as_user: AsUser, superuser: User, operation: tuple[str, str, list[str]]
    ) -> None:
        method, path, _ = operation
        response = await (await as_user(superuser)).request(method, path, content=b'{"\\ud800": 1}', headers=JSON)
        assert problems(response) == (422, [("string_unicode", ["body"])])

    async def test_a_value_is_never_repeated(
        self, as_user: AsUser, superuser: User, operation: tuple[str, str, list[str]]
    ) -> None:
        method, path, texts = operation
        client = await as_user(superuser)
        for value in (["s3cret"], {"s3cret": "s3cret"}, {"a": ["s3cret"]}):
            response = await client.request(method, path, json=dict.fromkeys([*texts, "x"], value))
            status, found = problems(response)
            assert status == 422
            assert {location[1] for _, location in found} >= {*texts, "x"}
            assert "s3cret" not in response.text

    async def test_a_value_that_is_nearly_right_is_never_repeated(self, client: httpx2.AsyncClient) -> None:
        for email in ("s3cret", "s3cret@", "a@s3cret", "a@s3cret..com", "s3cret s3cret@example.com", "a@ex_s3cret.com"):
            response = await client.post("/auth/register", json={"email": email, "password": "s3cret" * 10})
            assert response.status_code == 422
            assert "s3cret" not in response.text

    @pytest.mark.parametrize(
        ("content", "headers"),
        [
            (b"--y\r\n", MULTIPART),
            (b"", {"content-type": "multipart/form-data"}),
            (b"x", {"content-type": "multipart/form-data"}),
            (b"--x\r\nContent-Disposition: form-data\r\n\r\na\r\n--x--", MULTIPART),
            (b'--x\r\nContent-Disposition: form-data; name="username"\r\n\r\na', MULTIPART),
            (b'--x\r\nContent-Disposition: form-data; name="a"\r\n\r\na\r\n' * 1001 + b"--x--", MULTIPART),
            (
                b'--x\r\nContent-Disposition: form-data; name="a"; filename="a"\r\n\r\na\r\n' * 1001 + b"--x--",
                MULTIPART,
            ),
            (b"\xff", MULTIPART),
            (b"a&" * 1001, FORM),
            (b"username", FORM),
            (b"username=a&password", FORM),
            (b"%", FORM),
            (b"username=a&password=b&grant_type=%00", FORM),
            (b"\xff\xff", FORM),
            (b"x", {"content-type": "application/x-www-form-urlencoded; charset=x"}),
        ],
    )
    async def test_not_a_form(self, client: httpx2.AsyncClient, content: bytes, headers: dict[str, str]) -> None:
        response = await client.post("/auth/jwt/login", content=content, headers=headers)
        assert problems(response)[0] == 422

    async def test_a_file_instead_of_a_text(self, client: httpx2.AsyncClient) -> None:
        response = await client.post("/auth/jwt/login", files={"username": ("a", b"b"), "password": ("c", b"d")})
        status, found = problems(response)
        assert (status, [location for _, location in found]) == (422, [["body", "username"], ["body", "password"]])


class TestUnauthorized:
    @pytest.mark.parametrize(("method", "path"), PROTECTED)
    async def test_comes_first(self, client: httpx2.AsyncClient, connect: Connect, method: str, path: str) -> None:
        """Before what is in the path, the query and the body."""
        for who in (client, connect(Authorization="Bearer x")):
            response = await who.request(method, f"{path}?limit=x&after=x&skip=1", json={"x": 1})
            assert said(response) == (401, UNAUTHORIZED)
            assert response.headers["www-authenticate"] == "Bearer"

    async def test_every_operation_is_known_here(self) -> None:
        """An operation that takes a token is in the list above, or open to anyone by decision."""
        documented = app.openapi()["paths"]
        secured = {
            (method.upper(), path)
            for path, operations in documented.items()
            for method, operation in operations.items()
            if "401" in operation["responses"] and "security" in operation
        }
        assert {(method, _generic(path)) for method, path in secured} == set(PROTECTED)


def _generic(path: str) -> str:
    return "/".join("x" if part.startswith("{") else part for part in path.split("/"))


class TestNotFound:
    @pytest.mark.parametrize("path", ["/nothing", "/users/me/posts/1", "/%00", "/%FF", "/..", "/posts/1/2"])
    async def test_no_such_path(self, client: httpx2.AsyncClient, path: str) -> None:
        response = await client.get(path)
        assert said(response) == (404, {"detail": "Not Found"})


class TestMethodNotAllowed:
    @pytest.mark.parametrize(
        ("method", "path", "allowed"),
        [
            ("POST", "/users/me", {"GET", "HEAD", "PATCH", "PUT", "DELETE"}),
            ("PUT", "/posts", {"GET", "HEAD", "POST"}),
            ("POST", "/posts/1", {"GET", "HEAD", "PATCH", "DELETE"}),
            ("GET", "/auth/register", {"POST"}),
            ("GET", "/auth/jwt/login", {"POST"}),
            ("POST", "/health/live", {"GET", "HEAD"}),
            ("TRACE", "/posts", {"GET", "HEAD", "POST"}),
            ("NONSENSE", "/posts", {"GET", "HEAD", "POST"}),
        ],
    )
    async def test_a_method(self, client: httpx2.AsyncClient, method: str, path: str, allowed: set[str]) -> None:
        response = await client.request(method, path)
        assert said(response) == (405, {"detail": "Method Not Allowed"})
        assert set(response.headers["allow"].split(", ")) == allowed


class TestUnexpected:
    @pytest.fixture
    def broken(self, client: httpx2.AsyncClient) -> Iterator[None]:
        async def get_session() -> AsyncIterator[AsyncSession]:
            raise RuntimeError("s3cret")
            yield

        before = app.dependency_overrides[db.get_async_session]
        app.dependency_overrides[db.get_async_session] = get_session
        yield
        app.dependency_overrides[db.get_async_session] = before

    async def test_a_failure_of_ours(self, client: httpx2.AsyncClient, broken: None) -> None:
        """It says no more than its request's id."""
        response = await client.get("/posts", headers={"X-Request-ID": "mine"})
        assert said(response) == (500, {"detail": "Internal Server Error"})
        assert response.headers["x-request-id"] == "mine"
