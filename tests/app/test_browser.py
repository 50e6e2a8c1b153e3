"""What a page can do with the cookie of its reader: Chromium, the real service, and pages of somebody else.

Every attempt is made from a page of our own as well, by the same code, and succeeds there: so it would elsewhere.
"""

import asyncio
import json
import re
import uuid
from collections.abc import AsyncIterator, Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass
from typing import Any, Literal, NamedTuple
from urllib.parse import urlencode

import pytest
from playwright.async_api import Browser, BrowserContext, Frame, Page, Response
from sqlmodel import Session

from app.models import User
from tests.app.conftest import PASSWORD, form
from tests.app.databases import connected, migrated
from tests.chromium import Chromium, find_chromium, open_chromium
from tests.programs import open_programs
from tests.server import Server, free_port, status_of

TIMEOUT = 30_000
BLANK = b"<!doctype html><title>Hello</title>"

# A page of the service; one at another port, to which a browser sends SameSite cookies; one on another host.
type Place = Literal["own", "same-site", "cross-site"]
PLACES: tuple[Place, ...] = ("own", "same-site", "cross-site")
# Those two, by where the service is. What is not on this machine, and not https, hears from browsers the origin alone.
HOSTS = {"localhost": ("localhost", "127.0.0.1"), "service.test": ("other.service.test", "other.test")}

SUBMIT = """({url, enctype, fields}) => {
    const form = document.createElement("form");
    Object.assign(form, {method: "post", action: url, enctype});
    for (const [name, value] of Object.entries(fields))
        form.append(Object.assign(document.createElement("input"), {name, value}));
    document.body.append(form);
    // Later, because a page that is left answers no more.
    setTimeout(() => form.submit());
}"""
FETCH = """async ({url, method, mode, type, body}) => {
    const headers = {"Content-Type": type};
    const options = {method, mode, headers, body, credentials: "include", signal: AbortSignal.timeout(20000)};
    try {
        const response = await fetch(url, options);
        return response.type + " " + response.status;
    } catch (error) {
        return error.name;
    }
}"""
FRAME = """async (sandbox) => {
    const frame = document.createElement("iframe");
    if (sandbox) frame.sandbox = sandbox;
    const loaded = new Promise(resolve => frame.onload = resolve);
    frame.src = location.href;
    document.body.append(frame);
    await loaded;
    return frame;
}"""


@dataclass(frozen=True)
class Form:
    """A page that submits a form, itself or in a frame."""

    enctype: str = "application/x-www-form-urlencoded"
    framed: bool = False
    sandbox: str = ""

    def is_asked_first(self, method: str) -> bool:
        return False

    async def send(self, page: Page, method: str, url: str, values: Mapping[str, Any]) -> None:
        fields = dict(values)
        if self.enctype == "text/plain":
            # It is written as name=value; so that is JSON.
            name, _, value = json.dumps({**values, "description": "="}).partition("=")
            fields = {name: value}
        frame = await frame_in(page, self.sandbox) if self.framed else page.main_frame

        def is_answer(response: Response) -> bool:
            return (response.url, response.request.method) == (url, method)

        async with page.expect_response(is_answer) as answers:
            await frame.evaluate(SUBMIT, {"url": url, "enctype": self.enctype, "fields": fields})
        if (answer := await answers.value).status != 204:
            # A page that is on its way to another one is not always closed when it is told to.
            await answer.finished()


@dataclass(frozen=True)
class Fetch:
    """A script that sends a request with the cookies."""

    mode: Literal["cors", "no-cors"]
    type: str = "application/x-www-form-urlencoded"

    def is_asked_first(self, method: str) -> bool:
        """Tell whether the browser asks the service before it sends that across origins."""
        return self.mode == "cors" and (method != "POST" or self.type == "application/json")

    async def send(self, page: Page, method: str, url: str, values: Mapping[str, Any]) -> str:
        body = urlencode(values) if "form" in self.type else json.dumps(values)
        sent = {"url": url, "method": method, "mode": self.mode, "type": self.type, "body": body}
        said: str = await page.evaluate(FETCH, sent)
        return said


FORMS = [Form(), Form("multipart/form-data"), Form(framed=True)]
FETCHES = [Fetch("no-cors"), Fetch("cors")]
JSON_FETCHES = [Fetch("no-cors", "text/plain"), Fetch("cors", "text/plain"), Fetch("no-cors", "application/json")]
PLAIN_FORMS = [Form("text/plain"), Form("text/plain", framed=True)]
JSON = Fetch("cors", "application/json")


async def frame_in(page: Page, sandbox: str) -> Frame:
    """Put the page into a frame of itself."""
    element = (await page.evaluate_handle(FRAME, sandbox)).as_element()
    assert element is not None
    frame = await element.content_frame()
    assert frame is not None
    return frame


class State(NamedTuple):
    """What the service says to a browser."""

    cookie: str | None
    user: Any
    items: Any
    sessions: Any


@dataclass(frozen=True)
class Reader:
    """Somebody with a browser, who reads pages."""

    browser: BrowserContext
    server: Server
    origins: Mapping[Place, str]

    async def opens(self, place: Place) -> Page:
        page = await self.browser.new_page()
        await page.goto(f"{self.origins[place]}/health/live")
        return page

    async def state(self) -> State:
        own = self.origins["own"]
        cookies = {cookie["name"]: cookie["value"] for cookie in await self.browser.cookies(own)}
        answers = []
        for path in ("/users/me", "/items", "/auth/sessions"):
            response = await self.browser.request.get(f"{own}{path}")
            answers.append(await response.json() if response.ok else response.status)
        user, items, sessions = answers
        if isinstance(sessions, list):
            sessions = {session["id"] for session in sessions}
        return State(cookies.get("session"), user, items, sessions)

    async def attempt(
        self, place: Place, way: Form | Fetch, method: str, path: str, values: Mapping[str, Any]
    ) -> list[tuple[str, int]]:
        """Let a page send a request, and return what the service has answered."""
        async with asyncio.timeout(60):
            page = await self.opens(place)
            before = len(self._answered(path))
            await way.send(page, method, f"{self.origins['own']}{path}", values)
            await page.close()
        return self._answered(path)[before:]

    def _answered(self, path: str) -> list[tuple[str, int]]:
        lines = re.findall(rf'"(\w+) {path} HTTP/1\.1" (\d+)', self.server.program.err)
        return [(method, int(status)) for method, status in lines if method != "GET"]


def refused(place: Place, way: Form | Fetch, method: str, *, login: bool = False) -> list[tuple[str, int]]:
    """Return what the service answers a page that is not ours."""
    if way.is_asked_first(method):
        return [("OPTIONS", 400)]
    # The browser itself keeps the cookie from another site.
    return [(method, 403 if login or place == "same-site" else 401)]


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
