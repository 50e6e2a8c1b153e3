"""What a page can do with the cookie of its reader: Chromium, the real service, and pages of somebody else.

Every attempt is made from a page of our own as well, by the same code, and succeeds there: so it would elsewhere.
"""

import asyncio
import uuid
from collections.abc import AsyncIterator, Iterator
from contextlib import suppress
from typing import Any

import pytest
from playwright.async_api import Browser
from sqlmodel import Session

from app.models import User
from tests.app.conftest import PASSWORD, form
from tests.app.databases import connected, migrated
from tests.app.pages import (
    BLANK,
    FETCHES,
    FORMS,
    HOSTS,
    JSON,
    JSON_FETCHES,
    PLACES,
    PLAIN_FORMS,
    TIMEOUT,
    Fetch,
    Form,
    Place,
    Reader,
    refused,
)
from tests.chromium import Chromium, find_chromium, open_chromium
from tests.programs import open_programs
from tests.server import Server, free_port, status_of

# A browser starts.
pytestmark = pytest.mark.thorough


@pytest.fixture(scope="module")
def database_url(tmp_path_factory: pytest.TempPathFactory) -> str:
    return migrated(f"sqlite:///{tmp_path_factory.mktemp('browser')}/test.db")


@pytest.fixture(scope="module")
def host(request: pytest.FixtureRequest) -> str:
    name: str = getattr(request, "param", "localhost")
    return name


@pytest.fixture(scope="module")
def server(
    interpreter: Any, tmp_path_factory: pytest.TempPathFactory, database_url: str, host: str
) -> Iterator[Server]:
    port = free_port()
    env = {
        "PORT": str(port),
        "PUBLIC_URL": f"http://{host}:{port}",
        "DATABASE_URL": database_url,
        "THROTTLING": "off",
        "LOG_FORMAT": "console",
    }
    with open_programs(interpreter, tmp_path_factory.mktemp("programs")) as programs:
        program = programs.start("main.py", env=env)
        program.until(lambda: status_of(port, "/health/ready") == 200 or None)
        server = Server(f"http://{host}:{port}", program)
        yield server
        assert "Traceback" not in server.stop().err


@pytest.fixture(scope="module")
def program() -> Chromium:
    return find_chromium()


@pytest.fixture(scope="module")
async def chromium(program: Chromium) -> AsyncIterator[Browser]:
    async with open_chromium(program, names=["*.test"]) as browser:
        yield browser


@pytest.fixture(scope="module")
async def origins(server: Server, host: str) -> AsyncIterator[dict[Place, str]]:
    """Serve pages that are not ours, and return where which pages are."""

    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        head = (
            f"HTTP/1.1 200 OK\r\nContent-Type: text/html\r\nContent-Length: {len(BLANK)}\r\nConnection: close\r\n\r\n"
        )
        with suppress(ConnectionError, asyncio.IncompleteReadError):
            await reader.readuntil(b"\r\n\r\n")
            writer.write(head.encode() + BLANK)
            await writer.drain()
        writer.close()

    hostile = await asyncio.start_server(answer, "127.0.0.1")
    port = hostile.sockets[0].getsockname()[1]
    same_site, cross_site = HOSTS[host]
    yield {"own": server.url, "same-site": f"http://{same_site}:{port}", "cross-site": f"http://{cross_site}:{port}"}
    hostile.close()
    hostile.close_clients()
    await hostile.wait_closed()


@pytest.fixture(scope="module")
def attacker(database_url: str, hashed_password: str) -> User:
    return added(database_url, User(email="attacker@example.com", hashed_password=hashed_password))


@pytest.fixture
async def reader(chromium: Browser, server: Server, origins: dict[Place, str]) -> AsyncIterator[Reader]:
    """Return somebody who has not signed in."""
    async with await chromium.new_context() as context:
        context.set_default_timeout(TIMEOUT)
        yield Reader(context, server, origins)


@pytest.fixture
async def victim(reader: Reader, database_url: str, hashed_password: str) -> Reader:
    """Return somebody who has signed in on a page of ours, and elsewhere too."""
    user = added(database_url, User(email=f"{uuid.uuid4()}@example.com", hashed_password=hashed_password))
    async with reader.server.client() as elsewhere:
        assert (await elsewhere.post("/auth/jwt/login", data=form(user.email))).status_code == 200
    page = await reader.opens("own")
    said = await Fetch("cors").send(page, "POST", f"{reader.origins['own']}/auth/cookie/login", form(user.email))
    assert said == "basic 204"
    await page.close()
    state = await reader.state()
    assert (state.user["email"], state.user["name"], state.items, len(state.sessions)) == (user.email, None, [], 2)
    return reader


def added(database_url: str, user: User) -> User:
    with connected(database_url) as connection, Session(connection, expire_on_commit=False) as session:
        session.add(user)
        session.commit()
        return user


@pytest.mark.parametrize("place", PLACES)
class TestLogin:
    PATH = "/auth/cookie/login"

    @pytest.mark.parametrize("way", [*FORMS, *FETCHES], ids=str)
    async def test_nobody_becomes_the_attacker(
        self, reader: Reader, attacker: User, place: Place, way: Form | Fetch
    ) -> None:
        before = await reader.state()
        assert before == (None, 401, 401, 401)
        answered = await reader.attempt(place, way, "POST", self.PATH, form(attacker.email))
        after = await reader.state()
        if place == "own":
            assert (answered, after.user["email"]) == ([("POST", 204)], attacker.email)
        else:
            assert (answered, after) == (refused(place, way, "POST", login=True), before)

    @pytest.mark.parametrize("way", [*FORMS, *FETCHES], ids=str)
    async def test_the_victim_stays_the_victim(
        self, victim: Reader, attacker: User, place: Place, way: Form | Fetch
    ) -> None:
        before = await victim.state()
        answered = await victim.attempt(place, way, "POST", self.PATH, form(attacker.email))
        after = await victim.state()
        if place == "own":
            assert (answered, after.user["email"]) == ([("POST", 204)], attacker.email)
        else:
            assert (answered, after) == (refused(place, way, "POST", login=True), before)

    async def test_a_path_that_the_route_takes_as_well(self, reader: Reader, attacker: User, place: Place) -> None:
        """A pattern's `$` overlooks a newline."""
        answered = await reader.attempt(place, Form(), "POST", f"{self.PATH}%0A", form(attacker.email))
        assert answered == [("POST", 204 if place == "own" else 403)]
        assert ((await reader.state()).cookie is not None) is (place == "own")

    async def test_a_frame_in_a_sandbox_is_nobodys(self, reader: Reader, attacker: User, place: Place) -> None:
        """Even in a page of ours: what is in it may be somebody else's."""
        way = Form(framed=True, sandbox="allow-forms allow-scripts")
        assert await reader.attempt(place, way, "POST", self.PATH, form(attacker.email)) == [("POST", 403)]
        assert (await reader.state()).cookie is None


@pytest.mark.parametrize("place", PLACES)
class TestSignedIn:
    @pytest.mark.parametrize("way", [*FORMS, *FETCHES], ids=str)
    async def test_sign_out(self, victim: Reader, place: Place, way: Form | Fetch) -> None:
        before = await victim.state()
        answered = await victim.attempt(place, way, "POST", "/auth/cookie/logout", {})
        after = await victim.state()
        if place == "own":
            assert (answered, after) == ([("POST", 204)], (None, 401, 401, 401))
        else:
            assert (answered, after) == (refused(place, way, "POST"), before)

    async def test_create(self, victim: Reader, place: Place) -> None:
        before = await victim.state()
        answered = await victim.attempt(place, JSON, "POST", "/items", {"title": "Stolen", "price": 1})
        after = await victim.state()
        if place == "own":
            assert (answered, [item["title"] for item in after.items]) == ([("POST", 201)], ["Stolen"])
        else:
            assert (answered, after) == (refused(place, JSON, "POST"), before)

    @pytest.mark.parametrize("way", [*PLAIN_FORMS, *JSON_FETCHES], ids=str)
    async def test_create_without_saying_that_it_is_json(self, victim: Reader, place: Place, way: Form | Fetch) -> None:
        """What is sent across origins unasked is no JSON to the service; it is refused before that is looked at."""
        before = await victim.state()
        answered = await victim.attempt(place, way, "POST", "/items", {"title": "Stolen", "price": 1})
        assert answered == ([("POST", 422)] if place == "own" else refused(place, way, "POST"))
        assert await victim.state() == before

    async def test_change(self, victim: Reader, place: Place) -> None:
        before = await victim.state()
        answered = await victim.attempt(place, JSON, "PATCH", "/users/me", {"name": "Stolen"})
        after = await victim.state()
        if place == "own":
            assert (answered, after.user["name"]) == ([("PATCH", 200)], "Stolen")
        else:
            assert (answered, after) == (refused(place, JSON, "PATCH"), before)

    async def test_end_the_other_sessions(self, victim: Reader, place: Place) -> None:
        before = await victim.state()
        answered = await victim.attempt(place, JSON, "DELETE", "/auth/sessions", {})
        after = await victim.state()
        if place == "own":
            assert (answered, after.user, len(after.sessions)) == ([("DELETE", 204)], before.user, 1)
        else:
            assert (answered, after) == (refused(place, JSON, "DELETE"), before)

    async def test_leave(self, victim: Reader, place: Place) -> None:
        """Even a page that knows the password."""
        before = await victim.state()
        answered = await victim.attempt(place, JSON, "POST", "/auth/delete-account", {"current_password": PASSWORD})
        after = await victim.state()
        if place == "own":
            assert (answered, after[1:]) == ([("POST", 204)], (401, 401, 401))
        else:
            assert (answered, after) == (refused(place, JSON, "POST"), before)

    async def test_read(self, victim: Reader, place: Place) -> None:
        """The answer to a request that is safe is nobody else's to read."""
        page = await victim.opens(place)
        url = f"{victim.origins['own']}/users/me"
        read = """async (url) => {
            try {
                return await (await fetch(url, {credentials: "include"})).json();
            } catch (error) {
                return error.name;
            }
        }"""
        assert await page.evaluate(read, url) == ((await victim.state()).user if place == "own" else "TypeError")


@pytest.mark.parametrize("host", ["service.test"], indirect=True)
@pytest.mark.parametrize("place", PLACES)
class TestOriginAlone:
    """Where the browser sends no Sec-Fetch-Site."""

    WAYS = (Form(), Form(framed=True), Fetch("no-cors"))

    async def test_it_is_so(self, reader: Reader, place: Place) -> None:
        page = await reader.opens(place)
        url = f"{reader.origins['own']}/auth/cookie/logout"
        async with page.expect_request(lambda request: (request.url, request.method) == (url, "POST")) as requests:
            await Form().send(page, "POST", url, {})
        headers = await (await requests.value).all_headers()
        assert (headers["origin"], headers.get("sec-fetch-site")) == (reader.origins[place], None)

    @pytest.mark.parametrize("way", WAYS, ids=str)
    async def test_sign_in(self, reader: Reader, attacker: User, place: Place, way: Form | Fetch) -> None:
        answered = await reader.attempt(place, way, "POST", "/auth/cookie/login", form(attacker.email))
        cookies = await reader.browser.cookies()
        if place == "own":
            assert (answered, len(cookies)) == ([("POST", 204)], 1)
        else:
            assert (answered, cookies) == (refused(place, way, "POST", login=True), [])

    @pytest.mark.parametrize("way", WAYS, ids=str)
    async def test_sign_out(self, reader: Reader, attacker: User, place: Place, way: Form | Fetch) -> None:
        await reader.attempt("own", way, "POST", "/auth/cookie/login", form(attacker.email))
        before = await reader.browser.cookies()
        answered = await reader.attempt(place, way, "POST", "/auth/cookie/logout", {})
        after = await reader.browser.cookies()
        if place == "own":
            assert (answered, after) == ([("POST", 204)], [])
        else:
            assert (answered, after) == (refused(place, way, "POST"), before)


async def test_the_cookie_is_not_for_scripts(victim: Reader) -> None:
    page = await victim.opens("own")
    assert await page.evaluate("document.cookie") == ""
    (cookie,) = await victim.browser.cookies()
    assert (cookie["name"], cookie["path"], cookie["httpOnly"], cookie["sameSite"]) == ("session", "/", True, "Lax")
    assert PASSWORD not in victim.server.program.err
