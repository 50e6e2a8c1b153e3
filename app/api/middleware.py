"""What happens to every request before and after its endpoint: an id, a limit, one spelling of its path."""

import re
import secrets
from collections.abc import Sequence
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network

import structlog
from starlette.datastructures import Headers, MutableHeaders
from starlette.responses import JSONResponse
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from fastapi_users_sqlmodel.csrf import SAFE_METHODS
from fastapi_users_sqlmodel.throttling import read_address

type Address = IPv4Address | IPv6Address
REQUEST_ID = re.compile(r"[A-Za-z0-9._-]{1,64}")
MAXIMUM_BODY_BYTES = 1024 * 1024
MAXIMUM_JSON_DEPTH = 64


class TrustedProxies:
    """Believe what our own proxies say about a client, in X-Forwarded-For and X-Forwarded-Proto, and nobody else.

    uvicorn's own middleware takes any text for the client's address.
    """

    def __init__(self, app: ASGIApp, networks: Sequence[IPv4Network | IPv6Network]) -> None:
        self.app = app
        self.networks = networks

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Put the client in the place of the proxy."""
        peer = _address(scope["client"][0]) if scope["type"] == "http" and scope.get("client") else None
        if peer is not None and self._trusts(peer):
            headers = Headers(scope=scope)
            client = self._client(peer, ",".join(headers.getlist("x-forwarded-for")))
            if client != peer:
                # Changed in place, because the server's log of accesses shows it too.
                scope["client"] = (str(client), 0)
            # The last word is that of the nearest proxy.
            scheme = ",".join(headers.getlist("x-forwarded-proto")).rpartition(",")[2].strip().lower()
            if scheme in {"http", "https"}:
                scope["scheme"] = scheme
        await self.app(scope, receive, send)

    def _trusts(self, address: Address) -> bool:
        return any(address in network for network in self.networks)

    def _client(self, peer: Address, forwarded: str) -> Address:
        """Return the nearest address that is not of a proxy. Each has added at the end whom it was asked by."""
        client = peer
        for entry in reversed(forwarded.split(",")):
            if (address := _address(entry.strip())) is None:
                # Whoever stands behind a word that is no address is not known: the proxy that said it is.
                break
            client = address
            if not self._trusts(client):
                break
        return client


def _address(text: str) -> Address | None:
    """Read an IP address, with or without a port."""
    if match := re.fullmatch(r"\[([^\]]*)\](?::[0-9]*)?|([0-9.]+):[0-9]+", text):
        text = match[1] or match[2]
    return read_address(text)


class RequestID:
    """Give every request an id, in its answer and in every line of the log."""

    def __init__(self, app: ASGIApp) -> None:
        self.app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Keep the client's id if it is harmless, else make one."""
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return
        given = Headers(scope=scope).get("x-request-id", "")
        request_id = given if REQUEST_ID.fullmatch(given) else secrets.token_hex(16)
        scope.setdefault("state", {})["request_id"] = request_id

        async def send_with_id(message: Message) -> None:
            if message["type"] == "http.response.start":
                MutableHeaders(scope=message)["X-Request-ID"] = request_id
            await send(message)

        # Bound for as long as the request's task lives: what fails unexpectedly is logged outside of every middleware.
        structlog.contextvars.bind_contextvars(request_id=request_id)
        await self.app(scope, receive, send_with_id)


class TrailingSlash:
    """Let a path with a slash at its end mean the same as without, and not a redirect."""

    def __init__(self, app: ASGIApp) -> None:
        self.app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Drop the slash."""
        if scope["type"] == "http" and len(path := scope["path"]) > 1 and path.endswith("/"):
            scope = {**scope, "path": path[:-1]}
        await self.app(scope, receive, send)


class RootPath:
    """Serve under a prefix, which a proxy may have cut off: ASGI has it in both `path` and `root_path`."""

    def __init__(self, app: ASGIApp, root_path: str) -> None:
        self.app = app
        self.root_path = root_path

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Complete the path."""
        if scope["type"] in {"http", "websocket"}:
            path = scope["path"]
            has_prefix = f"{path}/".startswith(f"{self.root_path}/")
            scope = {**scope, "root_path": self.root_path, "path": path if has_prefix else self.root_path + path}
        await self.app(scope, receive, send)


class HeadAsGet:
    """Answer HEAD as GET, without the body (RFC 9110, 9.3.2)."""

    def __init__(self, app: ASGIApp) -> None:
        self.app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Ask for what a GET would answer, and send its status and headers alone."""
        if scope["type"] != "http" or scope["method"] != "HEAD":
            await self.app(scope, receive, send)
            return

        async def send_without_body(message: Message) -> None:
            if message["type"] == "http.response.body":
                message = {**message, "body": b""}
            await send(message)

        await self.app({**scope, "method": "GET"}, receive, send_without_body)


class BodyLimits:
    """Read the body before anybody trusts it: not too large, and JSON not too deep."""

    def __init__(self, app: ASGIApp) -> None:
        self.app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Refuse the body, or hand it on whole."""
        if scope["type"] != "http" or scope["method"] in SAFE_METHODS:
            await self.app(scope, receive, send)
            return
        headers = Headers(scope=scope)
        declared = headers.get("content-length", "0")
        body = bytearray()
        more = declared.isdecimal() and int(declared[:19]) <= MAXIMUM_BODY_BYTES
        too_large = not more
        while more:
            part = await receive()
            if part["type"] == "http.disconnect":
                return
            body += part.get("body", b"")
            too_large = len(body) > MAXIMUM_BODY_BYTES
            more = part.get("more_body", False) and not too_large
        if too_large:
            response = JSONResponse({"detail": "Content Too Large"}, status_code=413, headers={"Connection": "close"})
            await response(scope, receive, send)
            return
        if "json" in headers.get("content-type", "").lower() and (message := _json_problem(body)) is not None:
            problem = {"type": "json_invalid", "loc": ["body"], "msg": message}
            await JSONResponse({"detail": [problem]}, status_code=422)(scope, receive, send)
            return
        read = False

        async def receive_again() -> Message:
            nonlocal read
            if read:
                return await receive()
            read = True
            return {"type": "http.request", "body": bytes(body), "more_body": False}

        await self.app(scope, receive_again, send)


def _json_problem(body: bytes | bytearray) -> str | None:
    """Say why JSON is refused before it is parsed, if it is."""
    if b"\0" in body:
        # UTF-16 and UTF-32, which Python's parser reads as well and in which brackets cannot be counted like this.
        return "JSON not in UTF-8"
    return f"JSON deeper than {MAXIMUM_JSON_DEPTH} levels" if _too_deep(body) else None


def _too_deep(body: bytes | bytearray) -> bool:
    """Tell whether brackets outside of strings nest too deeply, without recursion."""
    if body.count(b"[") + body.count(b"{") <= MAXIMUM_JSON_DEPTH:
        return False
    depth = 0
    for bracket in re.finditer(rb'"(?:[^"\\]|\\.)*"?|[\[\]{}]', body, re.DOTALL):
        token = bracket.group()
        if token in (b"[", b"{"):
            depth += 1
            if depth > MAXIMUM_JSON_DEPTH:
                return True
        elif token in (b"]", b"}"):
            depth -= 1
    return False
