"""The session in a cookie: its attributes, and requests from other sites."""

from datetime import timedelta

import httpx2
import pytest
from sqlmodel.ext.asyncio.session import AsyncSession

from app.models import User
from fastapi_users_sqlmodel.authentication import SessionCookieTransport
from tests.app.conftest import form
from tests.app.fixture_types import AsUser, Connect
from tests.app.sessions.listing import OVER, SAME_ORIGIN, log_in
from tests.app.shapes import FORBIDDEN, said, user_read

REFUSED = (403, FORBIDDEN)


class TestCookie:
    async def test_of_a_service_over_http(self, client: httpx2.AsyncClient, owner: User) -> None:
        response = await client.post("/auth/cookie/login", data=form("owner"), headers=SAME_ORIGIN)
        [cookie] = response.headers.get_list("set-cookie")
        pair, *attributes = cookie.split("; ")
        name, _, value = pair.partition("=")
        assert (name, len(value)) == ("session", 64)
        assert sorted(attributes) == ["HttpOnly", "Max-Age=2592000", "Path=/", "SameSite=lax"]
        assert response.headers["cache-control"] == "no-store"

    @pytest.mark.parametrize("public_url", ["https://example.com", "HTTPS://example.com/app"])
    async def test_of_a_service_over_https(self, public_url: str) -> None:
        """No other host, and no plain connection, can set such a one."""
        transport = SessionCookieTransport(public_url, max_age=timedelta(hours=1))
        login, logout = await transport.get_login_response("token"), await transport.get_logout_response()
        pair, *attributes = login.headers["set-cookie"].split("; ")
        assert pair == "__Host-session=token"
        assert sorted(attributes) == ["HttpOnly", "Max-Age=3600", "Path=/", "SameSite=lax", "Secure"]
        pair, *attributes = logout.headers["set-cookie"].split("; ")
        assert pair == '__Host-session=""'
        assert {"Max-Age=0", "Path=/", "Secure", "HttpOnly"} <= set(attributes)

    async def test_until_the_browser_is_closed(self) -> None:
        transport = SessionCookieTransport("https://example.com", name="id")
        cookie = (await transport.get_login_response("token")).headers["set-cookie"]
        assert cookie.startswith("__Host-id=token; ")
        assert "Max-Age" not in cookie

    async def test_signs_in(self, connect: Connect, owner: User) -> None:
        cookie = await log_in(connect())
        assert said(await connect(Cookie=f"session={cookie}").get("/users/me")) == (200, user_read(owner))

    @pytest.mark.parametrize("name", ["__Host-session", "Session", "session2", "fastapiusersauth"])
    async def test_under_another_name(self, connect: Connect, owner: User, name: str) -> None:
        cookie = await log_in(connect())
        assert said(await connect(Cookie=f"{name}={cookie}").get("/users/me")) == OVER

    async def test_is_no_bearer_token(
        self, client: httpx2.AsyncClient, connect: Connect, session: AsyncSession, owner: User
    ) -> None:
        """And no bearer token is a cookie."""
        cookie = await log_in(connect())
        tokens = (await client.post("/auth/jwt/login", data=form("owner"))).json()
        assert said(await connect(Authorization=f"Bearer {cookie}").get("/users/me")) == OVER
        for name in ("access_token", "refresh_token"):
            assert said(await connect(Cookie=f"session={tokens[name]}").get("/users/me")) == OVER
        response = await client.post("/auth/jwt/refresh", json={"refresh_token": cookie})
        assert said(response) == (401, {"detail": "REFRESH_BAD_TOKEN"})

    @pytest.mark.parametrize("value", ["", '""', "x", "A" * 64, "x" * 8192, "é", "a%00b", "null"])
    async def test_that_is_junk(self, connect: Connect, value: str) -> None:
        client = connect()
        headers = {b"Cookie": f"session={value}".encode("latin-1")}
        assert said(await client.get("/users/me", headers=headers)) == OVER

    async def test_with_the_secret_of_another_session(self, connect: Connect, owner: User, stranger: User) -> None:
        mine, theirs = await log_in(connect()), await log_in(connect(), "stranger")
        # 16 bytes are 21 characters and a bit: the one between belongs to both.
        for at in (21, 22):
            mixed = theirs[:at] + mine[at:]
            assert said(await connect(Cookie=f"session={mixed}").get("/users/me")) == OVER

    async def test_of_somebody_deactivated(self, connect: Connect, session: AsyncSession, owner: User) -> None:
        client = connect(Cookie=f"session={await log_in(connect())}")
        owner.is_active = False
        await session.commit()
        assert said(await client.get("/users/me")) == OVER

    async def test_logout(self, connect: Connect, as_user: AsUser, owner: User) -> None:
        client = connect(Cookie=f"session={await log_in(connect())}", **SAME_ORIGIN)
        other = await as_user(owner)
        response = await client.post("/auth/cookie/logout")
        assert said(response) == (204, None)
        assert response.headers["set-cookie"].startswith('session=""; ')
        assert "Max-Age=0" in response.headers["set-cookie"]
        assert said(await client.get("/users/me")) == OVER
        assert said(await client.post("/auth/cookie/logout")) == OVER
        assert said(await other.get("/users/me")) == (200, user_read(owner))

    async def test_logout_of_another_transport(self, connect: Connect, as_user: AsUser, owner: User) -> None:
        """A cookie does not sign out where a bearer token would, and the other way round."""
        cookie = await log_in(connect())
        browser, bearer = connect(Cookie=f"session={cookie}", **SAME_ORIGIN), await as_user(owner)
        assert said(await browser.post("/auth/jwt/logout")) == OVER
        assert said(await bearer.post("/auth/cookie/logout")) == OVER
        for client in (browser, bearer):
            assert said(await client.get("/users/me")) == (200, user_read(owner))


class TestFixation:
    @pytest.mark.parametrize("planted", ["x", "A" * 64, "x" * 8192, ""])
    async def test_a_planted_cookie_is_not_adopted(self, connect: Connect, owner: User, planted: str) -> None:
        cookie = await log_in(connect(), Cookie=f"session={planted}")
        assert cookie != planted
        assert said(await connect(Cookie=f"session={planted}").get("/users/me")) == OVER
        assert said(await connect(Cookie=f"session={cookie}").get("/users/me")) == (200, user_read(owner))

    async def test_each_login_has_a_fresh_one(self, connect: Connect, owner: User) -> None:
        assert len({await log_in(connect()) for _ in range(5)}) == 5

    async def test_who_signs_in_again_leaves_the_session_before(self, connect: Connect, owner: User) -> None:
        """ASVS 7.2.4."""
        first, elsewhere = await log_in(connect()), await log_in(connect())
        second = await log_in(connect(), Cookie=f"session={first}")
        assert second != first
        assert said(await connect(Cookie=f"session={first}").get("/users/me")) == OVER
        for cookie in (second, elsewhere):
            assert said(await connect(Cookie=f"session={cookie}").get("/users/me")) == (200, user_read(owner))

    async def test_who_signs_in_as_somebody_else(self, connect: Connect, owner: User, stranger: User) -> None:
        """The cookie of an attacker, planted in the browser of a victim: neither knows of the other."""
        attackers = await log_in(connect(), "stranger")
        victims = await log_in(connect(), Cookie=f"session={attackers}")
        assert said(await connect(Cookie=f"session={attackers}").get("/users/me")) == OVER
        assert said(await connect(Cookie=f"session={victims}").get("/users/me")) == (200, user_read(owner))

    async def test_who_fails_to_sign_in_stays(self, connect: Connect, owner: User) -> None:
        cookie = await log_in(connect())
        client = connect(Cookie=f"session={cookie}", **SAME_ORIGIN)
        response = await client.post("/auth/cookie/login", data=form("owner", "x"))
        assert said(response) == (400, {"detail": "LOGIN_BAD_CREDENTIALS"})
        assert "set-cookie" not in response.headers
        assert said(await client.get("/users/me")) == (200, user_read(owner))

    async def test_a_guessed_id_ends_nothing(self, connect: Connect, owner: User, stranger: User) -> None:
        """Whoever has a session's id, and not its secret, cannot end it by signing in beside it."""
        cookie = await log_in(connect())
        await log_in(connect(), "stranger", Cookie=f"session={cookie[:22]}{'A' * 42}")
        assert said(await connect(Cookie=f"session={cookie}").get("/users/me")) == (200, user_read(owner))


class TestBesideABearerToken:
    @pytest.mark.parametrize("value", ["Bearer x", "bearer x", "BEARER x", "Bearer", "Bearer "])
    async def test_the_cookie_says_nothing(self, connect: Connect, owner: User, value: str) -> None:
        cookie = await log_in(connect())
        client = connect(Cookie=f"session={cookie}", Authorization=value)
        assert said(await client.get("/users/me")) == OVER
        assert said(await client.patch("/users/me", json={"name": "x"})) == OVER

    async def test_the_bearer_token_says_who_it_is(
        self, connect: Connect, as_user: AsUser, owner: User, stranger: User
    ) -> None:
        cookie = await log_in(connect())
        client = await as_user(stranger)
        client.headers["Cookie"] = f"session={cookie}"
        assert said(await client.get("/users/me")) == (200, user_read(stranger))

    @pytest.mark.parametrize("value", ["Basic eDp4", "x", "Bearerx y"])
    async def test_what_is_no_bearer_token(self, connect: Connect, owner: User, value: str) -> None:
        """It says nothing, and the cookie has to prove where it comes from."""
        client = connect(Cookie=f"session={await log_in(connect())}", Authorization=value)
        assert said(await client.get("/users/me")) == (200, user_read(owner))
        assert said(await client.patch("/users/me", json={"name": "x"})) == REFUSED


FOREIGN: list[dict[str, str]] = [
    {},
    {"Sec-Fetch-Site": "cross-site"},
    {"Sec-Fetch-Site": "same-site"},
    {"Sec-Fetch-Site": "SAME-ORIGIN"},
    {"Sec-Fetch-Site": ""},
    {"Sec-Fetch-Site": "same-origin, cross-site"},
    {"Origin": "https://evil.example.com"},
    {"Origin": "null"},
    {"Origin": ""},
    {"Origin": "http://localhost"},
    {"Origin": "http://localhost:8001"},
    {"Origin": "https://localhost:8000"},
    {"Origin": "http://localhost:8000.evil.example.com"},
    {"Origin": "http://localhost:8000@evil.example.com"},
    {"Origin": "https://app.example.com.evil.example.com"},
    {"Origin": "http://app.example.com"},
    {"Origin": "https://app.example.com https://evil.example.com"},
    {"Origin": "https://evil.example.com", "Sec-Fetch-Site": "cross-site"},
    {"Referer": "http://localhost:8000/"},
    {"Host": "evil.example.com", "Origin": "http://evil.example.com"},
]
OURS: list[dict[str, str]] = [
    {"Sec-Fetch-Site": "same-origin"},
    # Whoever typed the address.
    {"Sec-Fetch-Site": "none"},
    {"Origin": "http://localhost:8000"},
    {"Origin": "https://app.example.com"},
    {"Origin": "https://app.example.com", "Sec-Fetch-Site": "cross-site"},
]


class TestCrossSiteRequests:
    @pytest.mark.parametrize("headers", FOREIGN, ids=str)
    async def test_of_a_foreign_page(
        self, connect: Connect, session: AsyncSession, owner: User, headers: dict[str, str]
    ) -> None:
        cookie = await log_in(connect())
        client = connect(Cookie=f"session={cookie}", **headers)
        before = user_read(owner)
        assert said(await client.patch("/users/me", json={"name": "x"})) == REFUSED
        assert said(await client.delete("/auth/sessions")) == REFUSED
        for path in ("/auth/cookie/logout", "/auth/cookie/logout/", "/auth/register", "/nowhere"):
            assert said(await client.post(path)) == REFUSED
        for path in ("/auth/cookie/login", "/auth/cookie/login/"):
            # Also to sign the reader in as the writer of the page, without a cookie.
            for who in (client, connect(**headers)):
                response = await who.post(path, data=form("owner"))
                assert said(response) == REFUSED
                assert "set-cookie" not in response.headers
        await session.refresh(owner)
        assert user_read(owner) == before
        assert said(await client.get("/users/me")) == (200, before)

    @pytest.mark.parametrize("headers", OURS, ids=str)
    async def test_of_our_page(self, connect: Connect, owner: User, headers: dict[str, str]) -> None:
        response = await connect(**headers).post("/auth/cookie/login", data=form("owner"))
        assert said(response) == (204, None)
        client = connect(Cookie=f"session={response.cookies['session']}", **headers)
        response = await client.patch("/users/me", json={"name": "Another"})
        assert (response.status_code, response.json()["name"]) == (200, "Another")
        assert said(await client.post("/auth/cookie/logout")) == (204, None)

    async def test_two_origins(self, connect: Connect, owner: User) -> None:
        headers = [(b"origin", b"http://localhost:8000"), (b"origin", b"https://evil.example.com")]
        for sent in (headers, [*reversed(headers)]):
            response = await connect().post("/auth/cookie/login", data=form("owner"), headers=sent)
            assert said(response) == REFUSED

    async def test_with_a_bearer_token_nobody_asks(self, as_user: AsUser, owner: User) -> None:
        """No page can send one that it does not know."""
        client = await as_user(owner)
        client.headers["Sec-Fetch-Site"] = "cross-site"
        assert (await client.patch("/users/me", json={"name": "Another"})).status_code == 200

    async def test_a_bearer_token_is_no_way_to_log_in(self, connect: Connect, owner: User) -> None:
        client = connect(Authorization="Bearer x", **{"Sec-Fetch-Site": "cross-site"})
        assert said(await client.post("/auth/cookie/login", data=form("owner"))) == REFUSED

    async def test_without_a_cookie_nobody_asks(self, client: httpx2.AsyncClient, owner: User) -> None:
        response = await client.post(
            "/auth/jwt/login", data=form("owner"), headers={"Origin": "https://evil.example.com"}
        )
        assert response.status_code == 200

    @pytest.mark.parametrize(
        "path", ["//auth/cookie/login", "/auth//cookie/login", "/auth/cookie/login//", "/AUTH/cookie/login"]
    )
    async def test_no_spelling_of_the_login_is_forgotten(self, connect: Connect, owner: User, path: str) -> None:
        response = await connect().post(f"http://localhost:8000{path}", data=form("owner"))
        assert response.status_code in {403, 404, 405}
        assert "set-cookie" not in response.headers
