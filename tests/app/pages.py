"""Pages of the service and of somebody else, and what they try with the cookie of their reader."""

import asyncio
import json
import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal, NamedTuple
from urllib.parse import urlencode

from playwright.async_api import BrowserContext, Frame, Page, Response

from tests.server import Server

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
