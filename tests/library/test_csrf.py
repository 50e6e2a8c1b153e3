"""Whose pages may use a cookie: what is refused, what is not, and that nothing raises."""

from collections.abc import Mapping, Sequence

import httpx2
import pytest
from starlette.applications import Starlette
from starlette.datastructures import Headers
from starlette.requests import Request
from starlette.responses import PlainTextResponse
from starlette.routing import Mount, Route
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from fastapi_users_sqlmodel.csrf import CSRFMiddleware, allowed_origins, has_bearer_token, is_same_site, origin_of

OWN = "http://localhost:8000"
FRIEND = "https://app.example.com"
EVIL = "https://evil.example.com"
COOKIE = ("Cookie", "session=x")
OWN_PAGE = ("Sec-Fetch-Site", "same-origin")
REFUSED = (403, {"detail": "Forbidden"})
UNSAFE = ["POST", "PUT", "PATCH", "DELETE", "QUERY", "post"]
SAFE = ["GET", "HEAD", "OPTIONS", "TRACE"]

type Sent = Sequence[tuple[str, str]]

# What comes from our own page or from nobody's, and what does not.
OURS: list[Sent] = [
    [OWN_PAGE],
    [("Sec-Fetch-Site", "none")],
    [OWN_PAGE, ("Origin", EVIL)],
    [OWN_PAGE, ("Origin", "null")],
    [("Origin", OWN)],
    [("Origin", FRIEND)],
    [("Sec-Fetch-Site", "same-site"), ("Origin", OWN)],
    [("Sec-Fetch-Site", "cross-site"), ("Origin", FRIEND)],
    [("Sec-Fetch-Site", "new-word"), ("Origin", FRIEND)],
]
THEIRS: list[Sent] = [
    [],
    [("Sec-Fetch-Site", "same-site")],
    [("Sec-Fetch-Site", "cross-site")],
    [("Sec-Fetch-Site", "")],
    [("Sec-Fetch-Site", "Same-Origin")],
    [("Sec-Fetch-Site", "same-origin;x")],
    [("Sec-Fetch-Site", "same-origin, cross-site")],
    [OWN_PAGE, ("Sec-Fetch-Site", "cross-site")],
    [("Sec-Fetch-Site", "cross-site"), OWN_PAGE],
    [("Sec-Fetch-Site", "cross-site"), ("Origin", EVIL)],
    [("Sec-Fetch-Site", "cross-site"), ("Origin", "null")],
    [("Sec-Fetch-Site", "same-site"), ("Origin", "http://localhost:8001")],
    [("Sec-Fetch-Mode", "same-origin"), ("X-Sec-Fetch-Site", "same-origin")],
    [("Host", "localhost:8000"), ("Referer", f"{OWN}/")],
    *(
        [("Origin", origin)]
        for origin in (
            "",
            "null",
            EVIL,
            "http://localhost",
            "http://localhost:8001",
            "https://localhost:8000",
            "http://127.0.0.1:8000",
            "http://[::1]:8000",
            "http://sub.localhost:8000",
            "http://localhost.:8000",
            "localhost:8000",
            "//localhost:8000",
            "ws://localhost:8000",
            "http://app.example.com",
            "https://app.example.com.evil.example.com",
            "https://app.example.com@evil.example.com",
            "https://evil.example.com@app.example.com",
            "https://evil.example.com#https://app.example.com",
            "https://app.example.com https://evil.example.com",
            "https://app.example.com/ https://evil.example.com",
            "https://app.example.com, https://evil.example.com",
            "https://app.example.com/path",
            "https://app.example.com?query",
            "https://app.example.com\\",
            "https://app.example.com:x",
            "https://app.example.com:99999",
            "https://app.exa\tmple.com",
            "*",
        )
    ),
    [("Origin", OWN), ("Origin", EVIL)],
    [("Origin", EVIL), ("Origin", OWN)],
    [("Origin", OWN), ("Origin", OWN)],
]
JUNK = [
    "http://[",
    "http://[x]",
    "http://]",
    "http://[::1",
    "http://[fe80::1%25]",
    "http://:",
    "http://@",
    "http://:@:",
    "http://%",
    "http://%00",
    f"http://a:{'9' * 10_000}",
    "http://a:-1",
    "http://a:+1",
    "http://a:\u0661",
    "http://\u2100.example.com",
    "http://\xff",
    "http://xn--\xff",
    f"http://\xe4{'a' * 100}",
    "http://\u200d",
    "http://\ud800",
    "\x00",
    "\x80\xff",
    ":",
    "://",
    "a" * 100_000,
    f"http://{'.' * 10_000}",
    f"http://{'[' * 10_000}",
]


async def reached(request: Request) -> PlainTextResponse:
    return PlainTextResponse("reached")


def protected(app: ASGIApp, origins: Sequence[str] = (OWN, FRIEND)) -> CSRFMiddleware:
    return CSRFMiddleware(app, cookie_name="session", origins=origins, login_paths=["/login"])


async def answer(
    method: str, path: str, *headers: tuple[str, str], app: ASGIApp | None = None, root_path: str = ""
) -> tuple[int, object]:
    """Return the status and the body of the answer."""
    methods = [*UNSAFE, *SAFE]
    tiny = Starlette(routes=[Route("/", reached, methods=methods), Route("/login", reached, methods=methods)])
    tiny.router.redirect_slashes = False
    transport = httpx2.ASGITransport(app or protected(tiny), root_path=root_path)
    sent = [(name.encode(), value.encode("utf-8", "surrogatepass")) for name, value in headers]
    async with httpx2.AsyncClient(transport=transport, base_url=OWN) as client:
        response = await client.request(method, path, headers=sent)
    is_json = response.headers["content-type"] == "application/json"
    return response.status_code, response.json() if is_json else response.text


class TestCookie:
    @pytest.mark.parametrize("sent", OURS, ids=str)
    @pytest.mark.parametrize("method", UNSAFE)
    async def test_from_our_own_page(self, method: str, sent: Sent) -> None:
        assert (await answer(method, "/", COOKIE, *sent))[0] == 200

    @pytest.mark.parametrize("sent", THEIRS, ids=str)
    async def test_from_elsewhere(self, sent: Sent) -> None:
        for method in UNSAFE:
            assert await answer(method, "/", COOKIE, *sent) == REFUSED

    @pytest.mark.parametrize("method", SAFE)
    async def test_safe_methods(self, method: str) -> None:
        for path in ("/", "/login"):
            for sent in THEIRS:
                assert (await answer(method, path, COOKIE, *sent))[0] == 200

    @pytest.mark.parametrize(
        "sent",
        [
            [("Cookie", "session=")],
            [("Cookie", "session")],
            [("Cookie", "a=b; session=x; c=d")],
            [("Cookie", "a=b"), ("Cookie", "session=x")],
            [("Cookie", "session=x; session=y")],
            [("Cookie", 'a="b; session=x"')],
            [("Cookie", ";;= ;session=\xff")],
        ],
        ids=str,
    )
    async def test_as_the_endpoint_would_read_it(self, sent: Sent) -> None:
        """What is asked for proof and what is authenticated are the same requests."""

        async def read(request: Request) -> PlainTextResponse:
            return PlainTextResponse(str("session" in request.cookies))

        app = Starlette(routes=[Route("/", read, methods=["POST"])])
        is_read = await answer("POST", "/", *sent, app=app) == (200, "True")
        assert (await answer("POST", "/", *sent, app=protected(app)) == REFUSED) is is_read

    @pytest.mark.parametrize("cookie", ["", "a=b", "sessions=x", "Session=x", "__Host-session=x", "=session"])
    async def test_another_one(self, cookie: str) -> None:
        for sent in THEIRS:
            assert await answer("POST", "/", ("Cookie", cookie), *sent) == (200, "reached")

    async def test_none(self) -> None:
        for sent in THEIRS:
            assert await answer("POST", "/", *sent) == (200, "reached")


class TestBearerToken:
    @pytest.mark.parametrize("value", ["Bearer x", "bearer x", "BEARER x", "Bearer ", "Bearer"])
    async def test_beside_a_cookie(self, value: str) -> None:
        for sent in THEIRS:
            assert await answer("POST", "/", COOKIE, ("Authorization", value), *sent) == (200, "reached")

    @pytest.mark.parametrize(
        "value", ["", "Basic Yg==", "Basic Bearer", "Bearer,x", "Bearer\tx", "Bearerx", "x Bearer"]
    )
    async def test_another_scheme(self, value: str) -> None:
        for sent in THEIRS:
            assert await answer("POST", "/", COOKIE, ("Authorization", value), *sent) == REFUSED

    async def test_after_another_scheme(self) -> None:
        """FastAPI reads the first."""
        schemes = [("Authorization", "Basic Yg=="), ("Authorization", "Bearer x")]
        assert await answer("POST", "/", COOKIE, *schemes) == REFUSED
        assert await answer("POST", "/", COOKIE, *reversed(schemes)) == (200, "reached")

    @pytest.mark.parametrize(
        ("headers", "has_one"),
        [({"authorization": "Bearer x"}, True), ({"authorization": "Basic x"}, False), ({"x": "Bearer x"}, False)],
        ids=str,
    )
    def test_told(self, headers: Mapping[str, str], *, has_one: bool) -> None:
        assert has_bearer_token(Headers(headers)) is has_one


class TestLogin:
    @pytest.mark.parametrize("sent", OURS, ids=str)
    async def test_from_our_own_page(self, sent: Sent) -> None:
        assert await answer("POST", "/login", *sent) == (200, "reached")
        assert await answer("POST", "/login", COOKIE, *sent) == (200, "reached")

    @pytest.mark.parametrize("sent", THEIRS, ids=str)
    async def test_from_elsewhere(self, sent: Sent) -> None:
        """Even where there is no cookie yet, and whatever else authenticates."""
        for more in ([], [COOKIE], [("Authorization", "Bearer x")]):
            assert await answer("POST", "/login", *more, *sent) == REFUSED

    @pytest.mark.parametrize(
        "path", ["/login", "/login/", "/login//", "/login?x=y", "/%6Cogin", "/login%0A", "/login%2F"]
    )
    async def test_however_it_is_written(self, path: str) -> None:
        """`/login%0A` is a path that Starlette's route of `/login` takes."""
        assert await answer("POST", path) == REFUSED
        assert (await answer("POST", path, OWN_PAGE))[0] in {200, 404}

    @pytest.mark.parametrize("path", ["/", "/log", "/login/x", "/logins", "/Login", "//login", "/x/login"])
    async def test_another_path(self, path: str) -> None:
        assert (await answer("POST", path))[0] in {200, 404}

    @pytest.mark.parametrize("root_path", ["/v1", "/v1/"])
    async def test_behind_a_prefix(self, root_path: str) -> None:
        """Whether the server has put it into the path or not."""
        for path in (f"{root_path.rstrip('/')}/login", "/login"):
            assert await answer("POST", path, root_path=root_path) == REFUSED
            assert (await answer("POST", path, OWN_PAGE, root_path=root_path))[0] in {200, 404}

    async def test_in_an_app_that_is_mounted(self) -> None:
        inner = protected(Starlette(routes=[Route("/login", reached, methods=["POST"])]))
        app = Starlette(routes=[Mount("/v1", inner)])
        assert await answer("POST", "/v1/login", app=app) == REFUSED
        assert await answer("POST", "/v1/login%0A", app=app) == REFUSED
        assert await answer("POST", "/v1/login", OWN_PAGE, app=app) == (200, "reached")


class TestRefused:
    async def test_before_the_body_is_read(self) -> None:
        sent: list[Message] = []

        async def never(*_: object) -> Message:
            raise AssertionError

        async def send(message: Message) -> None:
            sent.append(message)

        scope: Scope = {"type": "http", "method": "POST", "path": "/login", "headers": []}
        await protected(never)(scope, never, send)  # type: ignore[arg-type]  # It is not called
        assert [message["type"] for message in sent] == ["http.response.start", "http.response.body"]
        assert sent[0]["status"] == 403

    async def test_nothing_that_is_no_request(self) -> None:
        seen: list[Scope] = []

        async def app(scope: Scope, receive: Receive, send: Send) -> None:
            seen.append(scope)

        async def never(*_: object) -> Message:
            raise AssertionError

        scopes: list[Scope] = [
            {"type": "lifespan"},
            {"type": "websocket", "path": "/login", "headers": [(b"cookie", b"session=x"), (b"origin", b"x")]},
        ]
        for scope in scopes:
            await protected(app)(scope, never, never)  # type: ignore[arg-type]  # It is not called
        assert seen == scopes


class TestJunk:
    @pytest.mark.parametrize("junk", JUNK, ids=ascii)
    async def test_never_raises(self, junk: str) -> None:
        for header in ("Origin", "Sec-Fetch-Site"):
            assert await answer("POST", "/", COOKIE, (header, junk)) == REFUSED
        assert await answer("POST", "/", COOKIE, ("Authorization", junk)) == REFUSED
        assert await answer("POST", "/", ("Cookie", junk)) == (200, "reached")
        origin_of(junk)
        is_same_site(Headers(raw=[(b"origin", junk.encode("utf-8", "surrogatepass"))]), {OWN})


class TestOrigins:
    @pytest.mark.parametrize(
        ("url", "origin"),
        [
            ("http://localhost:8000", "http://localhost:8000"),
            ("http://localhost:8000/", "http://localhost:8000"),
            ("https://example.com/api/v1?x=y#z", "https://example.com"),
            ("HTTPS://Example.COM:443", "https://example.com"),
            ("http://example.com:80", "http://example.com"),
            ("http://example.com:443", "http://example.com:443"),
            ("https://example.com:80", "https://example.com:80"),
            ("http://example.com:", "http://example.com"),
            ("http://[::1]:8000", "http://[::1]:8000"),
            ("http://[2001:DB8::1]", "http://[2001:db8::1]"),
            ("https://bücher.example", "https://xn--bcher-kva.example"),
            ("https://BÜCHER.example/läden", "https://xn--bcher-kva.example"),
            ("https://example.com/bücher", "https://example.com"),
        ],
    )
    async def test_the_one_spelling(self, url: str, origin: str) -> None:
        """What a browser sends for a page at this URL is known."""
        assert origin_of(url) == origin
        assert allowed_origins([url]) == {origin}
        app = protected(Starlette(routes=[Route("/", reached, methods=["POST"])]), origins=[url])
        assert await answer("POST", "/", COOKIE, ("Origin", origin), app=app) == (200, "reached")
        assert await answer("POST", "/", COOKIE, ("Origin", EVIL), app=app) == REFUSED

    @pytest.mark.parametrize(
        "url",
        ["", "null", "*", "example.com", "//example.com", "ftp://example.com", "http://", "http://a@b", "http://["],
    )
    def test_none(self, url: str) -> None:
        assert origin_of(url) is None
        with pytest.raises(ValueError, match="not http or https URLs: "):
            allowed_origins([OWN, url])
        with pytest.raises(ValueError, match="not http or https URLs: "):
            protected(Starlette(), origins=[OWN, url])

    async def test_of_nobody(self) -> None:
        """A service without pages elsewhere."""
        app = protected(Starlette(routes=[Route("/", reached, methods=["POST"])]), origins=[])
        assert await answer("POST", "/", COOKIE, OWN_PAGE, app=app) == (200, "reached")
        for origin in ("", "null", "None", OWN):
            assert await answer("POST", "/", COOKIE, ("Origin", origin), app=app) == REFUSED
