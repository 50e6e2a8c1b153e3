"""What happens to every request before and after its endpoint."""

import re
from collections.abc import AsyncIterator
from typing import Any

import httpx2
import pytest

from app.api.middleware import BodyLimits
from app.models import User
from tests.app.conftest import PASSWORD
from tests.app.fixture_types import AsUser
from tests.app.shapes import invalid, problems, said

# No database is asked.
JSON = {"content-type": "application/json"}
TOO_LARGE = (413, {"detail": "Content Too Large"})
TOO_DEEP = invalid("json_invalid", ["body"], "JSON deeper than 64 levels")
MEBIBYTE = 1024 * 1024


class TestRequestID:
    @pytest.mark.parametrize("given", [None, "", " ", "a" * 65, "a b", "a/b", "ä", "x\ty", "<script>"])
    async def test_a_new_one(self, client: httpx2.AsyncClient, given: str | None) -> None:
        headers = {} if given is None else {b"X-Request-ID": given.encode("latin-1")}
        made = {(await client.get("/health/live", headers=headers)).headers["x-request-id"] for _ in range(2)}
        assert len(made) == 2
        assert all(re.fullmatch("[0-9a-f]{32}", request_id) for request_id in made)

    @pytest.mark.parametrize("given", ["a", "a" * 64, "A-z_0.9", "..."])
    async def test_the_clients(self, client: httpx2.AsyncClient, given: str) -> None:
        response = await client.get("/health/live", headers={"X-Request-ID": given})
        assert response.headers.get_list("x-request-id") == [given]

    @pytest.mark.parametrize(
        ("method", "path", "content", "status"),
        [
            ("GET", "/posts", b"", 200),
            ("GET", "/users", b"", 401),
            ("GET", "/nothing", b"", 404),
            ("PUT", "/posts", b"", 405),
            ("POST", "/users", b"x" * (MEBIBYTE + 1), 413),
            ("POST", "/users", b"{", 422),
            ("POST", "/users", b"[" * 65, 422),
        ],
    )
    async def test_in_every_answer(
        self, client: httpx2.AsyncClient, method: str, path: str, content: bytes, status: int
    ) -> None:
        response = await client.request(method, path, content=content, headers={**JSON, "X-Request-ID": "mine"})
        assert (response.status_code, response.headers["x-request-id"]) == (status, "mine")


class TestTrailingSlash:
    @pytest.mark.parametrize("path", ["/", "/nothing", "/nothing/", "//", "/posts//", "//posts"])
    async def test_not_there(self, client: httpx2.AsyncClient, path: str) -> None:
        assert said(await client.get(httpx2.URL("http://localhost:8000").copy_with(raw_path=path.encode()))) == (
            404,
            {"detail": "Not Found"},
        )

    @pytest.mark.parametrize("path", ["/posts/", "/user-groups/", "/health/live/", "/posts/?limit=1"])
    async def test_the_same_without_a_redirect(self, client: httpx2.AsyncClient, path: str) -> None:
        response = await client.get(path)
        assert response.history == []
        assert said(response) == said(await client.get(path.replace("/?", "?").rstrip("/")))
        assert response.status_code == 200


class TestBodyTooLarge:
    async def test_declared(self, client: httpx2.AsyncClient) -> None:
        """It is refused before it is read, and whoever sends it."""
        for path in ("/users", "/items", "/nothing"):
            response = await client.post(path, content=b"x" * (MEBIBYTE + 1), headers=JSON)
            assert said(response) == TOO_LARGE
            assert response.headers["connection"] == "close"

    @pytest.mark.parametrize("declared", ["1048577", "9" * 1000, "-1", "x", ""])
    async def test_declared_only(self, client: httpx2.AsyncClient, declared: str) -> None:
        response = await client.post("/users", content=b"{}", headers={**JSON, "content-length": declared})
        assert said(response) == TOO_LARGE

    async def test_in_parts(self, client: httpx2.AsyncClient) -> None:
        """No more of it is read than it takes to know."""
        read = 0

        async def endless() -> AsyncIterator[bytes]:
            nonlocal read
            while True:
                read += 65536
                yield b"x" * 65536

        assert said(await client.post("/users", content=endless(), headers=JSON)) == TOO_LARGE
        assert read == MEBIBYTE + 65536

    async def test_no_larger_than_allowed(self, client: httpx2.AsyncClient, as_user: AsUser, owner: User) -> None:
        body = b'{"email": "' + b"x" * (MEBIBYTE - 13) + b'"}'
        assert len(body) == MEBIBYTE
        response = await client.post("/auth/forgot-password", content=body, headers=JSON)
        assert problems(response) == (422, [("string_too_long", ["body", "email"])])
        form = f"username=owner@example.com&password={PASSWORD}&scope=".replace(" ", "+").encode()
        response = await client.post(
            "/auth/jwt/login",
            content=form + b"x" * (MEBIBYTE - len(form)),
            headers={"content-type": "application/x-www-form-urlencoded"},
        )
        assert response.status_code == 200

    async def test_where_nobody_reads_it(self, client: httpx2.AsyncClient) -> None:
        response = await client.request("GET", "/posts", content=b"x" * (MEBIBYTE + 1), headers=JSON)
        assert said(response) == (200, [])

    async def test_the_client_goes_away(self) -> None:
        """There is nobody left to answer."""
        reached = False

        async def application(*_: Any) -> None:
            nonlocal reached
            reached = True

        async def receive() -> dict[str, Any]:
            return {"type": "http.disconnect"}

        async def send(_: Any) -> None:
            nonlocal reached
            reached = True

        await BodyLimits(application)({"type": "http", "method": "POST", "headers": []}, receive, send)
        assert not reached


class TestDeepJSON:
    @pytest.mark.parametrize(
        "body",
        [
            "[" * 65,
            "[" * 65 + "]" * 65,
            "[" * 1_000_000,
            '{"a":' * 65 + "1" + "}" * 65,
            '{"a":' * 200_000,
            "[{" * 100_000,
            '["\\"", ' * 65,
            '"' + "[" * 64 + '"' + "[" * 65,
        ],
        ids=lambda body: f"{body[:8]} {len(body)}",
    )
    async def test_too_deep(self, client: httpx2.AsyncClient, body: str) -> None:
        for content_type in ("application/json", "Application/JSON; charset=utf-8", "application/vnd.api+json"):
            response = await client.post("/users", content=body, headers={"content-type": content_type})
            assert said(response) == TOO_DEEP

    @pytest.mark.parametrize("encoding", ["utf-16", "utf-16-le", "utf-32", "utf-32-be"])
    async def test_in_another_encoding(self, client: httpx2.AsyncClient, encoding: str) -> None:
        """JSON is in UTF-8 (RFC 8259, section 8.1); in another encoding brackets would go uncounted."""
        for body in ("{}", "[" * 65 + "]" * 65):
            response = await client.post("/users", content=body.encode(encoding), headers=JSON)
            assert said(response) == invalid("json_invalid", ["body"], "JSON not in UTF-8")

    async def test_deep(self, client: httpx2.AsyncClient) -> None:
        response = await client.post("/users", content="[" * 64 + "]" * 64, headers=JSON)
        assert problems(response) == (422, [("model_attributes_type", ["body"])])

    async def test_brackets_in_a_text(self, client: httpx2.AsyncClient, as_user: AsUser, owner: User) -> None:
        for text in ("[" * 1000, '"[' * 1000, "\\[{" * 1000, '\\"' * 100 + "[" * 100, "\\"):
            response = await (await as_user(owner)).post("/posts", json={"title": "x", "content": text})
            assert (response.status_code, response.json()["content"]) == (201, text)

    async def test_many_side_by_side(self, client: httpx2.AsyncClient) -> None:
        response = await client.post("/users", content="[" + "[], " * 1000 + "{}]", headers=JSON)
        assert problems(response) == (422, [("model_attributes_type", ["body"])])


class TestCORS:
    async def test_another_origin(self, client: httpx2.AsyncClient) -> None:
        headers = {"Origin": "https://evil.example.com", "Access-Control-Request-Method": "GET"}
        assert "access-control-allow-origin" not in (await client.get("/posts", headers=headers)).headers
        response = await client.options("/posts", headers=headers)
        assert response.status_code == 400
        assert "access-control-allow-origin" not in response.headers

    async def test_an_allowed_origin(self, client: httpx2.AsyncClient) -> None:
        headers = {
            "Origin": "https://app.example.com",
            "Access-Control-Request-Method": "PATCH",
            "Access-Control-Request-Headers": "Authorization",
        }
        response = await client.options("/users/me", headers=headers)
        assert response.status_code == 200
        assert response.headers["access-control-allow-origin"] == "https://app.example.com"
        assert "PATCH" in response.headers["access-control-allow-methods"]
        # A page there may send the cookie.
        assert response.headers["access-control-allow-credentials"] == "true"
        assert re.fullmatch("[0-9a-f]{32}", response.headers["x-request-id"])
        for path in ("/posts", "/users/me", "/nothing"):
            response = await client.get(path, headers=headers)
            assert response.headers["access-control-allow-origin"] == "https://app.example.com"
            exposed = response.headers["access-control-expose-headers"].split(", ")
            assert set(exposed) == {"Link", "Retry-After", "X-Request-ID"}
            assert response.headers["vary"] == "Origin"
