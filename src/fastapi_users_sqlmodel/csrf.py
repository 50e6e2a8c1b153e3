"""Where an unsafe request comes from, when a cookie would vouch for it."""

import re
from collections.abc import Collection, Sequence
from urllib.parse import urlsplit

import idna
from starlette.datastructures import Headers
from starlette.requests import HTTPConnection
from starlette.responses import JSONResponse
from starlette.types import ASGIApp, Receive, Scope, Send

# RFC 9110, section 9.2.1.
SAFE_METHODS = frozenset({"GET", "HEAD", "OPTIONS", "TRACE"})
_DEFAULT_PORTS = {"http": 80, "https": 443}
# Signs that no URL has (RFC 3986, 2), and of which `urlsplit` drops some. Hosts have letters of any alphabet.
_NO_URL = re.compile(r"[\s\x00-\x1f\x7f]")
_ASCII_HOST = re.compile(r"[a-z0-9._-]+|[0-9a-f:.]+")
_SENT_ORIGIN = re.compile(r"https?://[^/?#\s\x80-\xff]+", re.IGNORECASE)


class CSRFMiddleware:
    """Refuse with 403 what a page of somebody else may have sent with the cookie, or to sign its reader in.

    An unsafe request that brings the cookie, and no bearer token, has to prove where it comes from: by `Sec-Fetch-Site`
    (Fetch Metadata), which no page can set, or by an `Origin` that is known. So does every login with a cookie.

    Args:
        app: What comes behind it.
        cookie_name: The cookie that signs in.
        origins: Whose pages may use it: URLs, of which the origin counts.
        login_paths: The routes that set the cookie.
    """

    def __init__(
        self, app: ASGIApp, *, cookie_name: str, origins: Sequence[str], login_paths: Sequence[str] = ()
    ) -> None:
        """Read the origins.

        Raises:
            ValueError: One is no http or https URL.
        """
        self.app = app
        self.cookie_name = cookie_name
        self.origins = allowed_origins(origins)
        self.login_paths = frozenset(path.rstrip("/") for path in login_paths)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Let the request through, or answer it."""
        is_refused = self._needs_proof(scope) and not is_same_site(Headers(scope=scope), self.origins)
        app = JSONResponse({"detail": "Forbidden"}, 403) if is_refused else self.app
        await app(scope, receive, send)

    def _needs_proof(self, scope: Scope) -> bool:
        if scope["type"] != "http" or scope["method"] in SAFE_METHODS:
            return False
        # Starlette's routes overlook one newline at the end (`$` does), and others a slash.
        path = scope["path"].removeprefix(scope.get("root_path", "").rstrip("/")).rstrip("/\n")
        if path in self.login_paths:
            return True
        connection = HTTPConnection(scope)
        # A page of another origin cannot send this header, unless CORS allows it; and then the cookie is not read.
        if has_bearer_token(connection.headers):
            return False
        return self.cookie_name in connection.cookies


def is_same_site(headers: Headers, origins: Collection[str]) -> bool:
    """Tell whether a browser says that a request comes from the same origin, its user, or one of these origins."""
    sites, sent = headers.getlist("sec-fetch-site"), headers.getlist("origin")
    if len(sites) > 1 or len(sent) > 1:
        # No browser says it twice.
        return False
    if sites in (["same-origin"], ["none"]):
        return True
    return is_from(headers, origins)


def is_from(headers: Headers, origins: Collection[str]) -> bool:
    """Tell whether a browser says, once, that a request comes from a page of one of these origins."""
    sent = headers.getlist("origin")
    return len(sent) == 1 and _SENT_ORIGIN.fullmatch(sent[0]) is not None and origin_of(sent[0]) in origins


def has_bearer_token(headers: Headers) -> bool:
    """Tell whether a bearer token authenticates the request, as FastAPI's scheme reads it."""
    return headers.get("authorization", "").partition(" ")[0].lower() == "bearer"


def allowed_origins(urls: Sequence[str]) -> frozenset[str]:
    """Return the origins of URLs.

    Raises:
        ValueError: One has none.
    """
    origins = {url: origin_of(url) for url in urls}
    if wrong := [url for url, origin in origins.items() if origin is None]:
        raise ValueError(f"not http or https URLs: {', '.join(wrong)}")
    return frozenset(origin for origin in origins.values() if origin is not None)


def origin_of(url: str) -> str | None:
    """Return the origin of a URL in its one spelling (RFC 6454, 6.2); None if it has none that we know."""
    if _NO_URL.search(url):
        return None
    try:
        parts = urlsplit(url)
        host, port = parts.hostname, parts.port
        if host and not host.isascii():
            # A browser sends the name as the network knows it (UTS 46).
            host = idna.encode(host, uts46=True).decode("ascii")
    except ValueError:
        return None
    if parts.scheme not in _DEFAULT_PORTS or not host or port == 0 or "@" in parts.netloc:
        return None
    if _ASCII_HOST.fullmatch(host) is None:
        return None
    written = f"[{host}]" if ":" in host else host
    return f"{parts.scheme}://{written}" + (f":{port}" if port not in {None, _DEFAULT_PORTS[parts.scheme]} else "")
