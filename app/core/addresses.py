"""Where other servers are: read the URLs, and the address of whom mail is from, without repeating a password."""

import re
from collections.abc import Iterable
from dataclasses import dataclass
from email.utils import parseaddr
from ipaddress import IPv4Network, IPv6Network, collapse_addresses
from typing import Literal
from urllib.parse import SplitResult, unquote, urlsplit

from email_validator import EmailNotValidError, validate_email
from pydantic import SecretStr
from sqlalchemy.exc import ArgumentError

from fastapi_users_sqlmodel.csrf import origin_of
from fastapi_users_sqlmodel.engines import async_url


@dataclass(frozen=True, slots=True)
class Smtp:
    """The server that takes our mail; `tls` is from the first byte, `starttls` after a word in the clear."""

    host: str
    port: int
    username: str | None
    password: SecretStr | None
    tls: Literal["none", "starttls", "tls"]


_NO_WEB_URL = "not an http or https URL"
_NO_SMTP_URL = "not an SMTP URL; for example smtp://user:password@host:587?starttls=true"
_TLS: dict[tuple[str, str], Literal["none", "starttls", "tls"]] = {
    ("smtp", ""): "none",
    ("smtp", "starttls=false"): "none",
    ("smtp", "starttls=true"): "starttls",
    ("smtps", ""): "tls",
    ("smtps", "starttls=false"): "tls",
}


# The widest private networks are 10.0.0.0/8 (RFC 1918) and fc00::/7 (RFC 4193).
_WIDEST_IPV4, _WIDEST_IPV6 = 8, 7


def database_url(url: str) -> str:
    """Return the URL of a SQLite or PostgreSQL database, with the name of the driver that the service uses.

    Raises:
        ValueError: It is none; the message repeats no part of it but the name of another kind of database.
    """
    try:
        parsed = async_url(url)
    except (ArgumentError, ValueError):
        # SQLAlchemy's message repeats the text, and with it a password.
        raise ValueError("not a database URL; for example postgresql://user:password@host/name") from None
    if parsed.drivername not in {"sqlite+aiosqlite", "postgresql+asyncpg"}:
        raise ValueError(f"{parsed.get_backend_name()} is not supported; use sqlite or postgresql")
    if parsed.port is not None and not 0 < parsed.port < 2**16:
        raise ValueError("the port is not one; it is a number from 1 to 65535")
    return parsed.render_as_string(hide_password=False)


def web_url(url: str) -> str:
    """Return an http or https URL with scheme and host in lower case (RFC 3986, 6.2.2.1), without a slash at its end.

    Raises:
        ValueError: It is none, or has a password, a query or a fragment; the message repeats no part of it.
    """
    try:
        parts = urlsplit(url)
    except ValueError:
        raise ValueError(_NO_WEB_URL) from None
    if parts.scheme in {"http", "https"} and "@" in parts.netloc:
        raise ValueError("has a name and a password, which every letter would show")
    if origin_of(url) is None or parts.query or parts.fragment:
        raise ValueError(_NO_WEB_URL)
    return parts._replace(netloc=parts.netloc.lower()).geturl().rstrip("/")


def is_origin(text: str) -> bool:
    """Tell whether it is the origin of a web page: scheme, host and port alone (RFC 6454, 4)."""
    return origin_of(text) is not None and re.fullmatch(r"[^/]+//[^/?#]+", text) is not None


def is_private_on_the_way(origin: str) -> bool:
    """Tell whether nobody between can change the pages of an origin: https, or from the reader's own device."""
    parts = urlsplit(origin)
    return parts.scheme == "https" or parts.hostname in {"localhost", "127.0.0.1", "::1"}


def are_wider_than_private(networks: Iterable[IPv4Network | IPv6Network]) -> bool:
    """Tell whether one of these networks, or several neighbours together, are wider than any private network."""
    networks = tuple(networks)
    # 0.0.0.0/1 and 128.0.0.0/1 are 0.0.0.0/0 together.
    fours = collapse_addresses(network for network in networks if isinstance(network, IPv4Network))
    sixes = collapse_addresses(network for network in networks if isinstance(network, IPv6Network))
    is_wide = [four.prefixlen < _WIDEST_IPV4 for four in fours]
    return any([*is_wide, *(six.prefixlen < _WIDEST_IPV6 for six in sixes)])


def smtp_server(url: str) -> Smtp:
    """Read the URL of a mail server.

    Raises:
        ValueError: It is none; the message repeats no part of it.
    """
    try:
        parts = _split(url)
        tls = _TLS[parts.scheme, parts.query]
        # Whose bytes are no text has been cut in the wrong place.
        username, password = (unquote(part or "", errors="strict") for part in (parts.username, parts.password))
    except (KeyError, ValueError):
        raise ValueError(_NO_SMTP_URL) from None
    if not parts.hostname or parts.path not in {"", "/"} or bool(username) != bool(password):
        raise ValueError(_NO_SMTP_URL)
    port = parts.port or (465 if tls == "tls" else 587)
    return Smtp(parts.hostname, port, username or None, SecretStr(password) if password else None, tls)


def is_redis_url(url: str) -> bool:
    """Tell whether it is the URL of a Redis or Valkey server, as redis-py reads it."""
    try:
        parts = _split(url)
    except ValueError:
        return False
    if parts.scheme == "unix":
        return bool(parts.path.strip("/"))
    # Any other path would mean database 0.
    is_known = parts.scheme in {"redis", "rediss", "valkey"}
    return is_known and bool(parts.hostname) and re.fullmatch(r"/?[0-9]*", parts.path) is not None


def _split(url: str) -> SplitResult:
    """Split a URL that may have a password.

    Raises:
        ValueError: It is none.
    """
    parts = urlsplit(url)
    # A sign that has not been encoded, in a password for example, would cut off what comes after it.
    if parts.port == 0 or "#" in url or re.search(r"[\s\x00-\x1f\x7f]", url):
        raise ValueError
    return parts


def is_address(text: str) -> bool:
    """Tell whether it is one e-mail address, with or without a name, and on one line."""
    _, address = parseaddr(text)
    try:
        validate_email(address, check_deliverability=False, globally_deliverable=False)
    except EmailNotValidError:
        return False
    return text.isprintable() and (text == address or text.endswith(f"<{address}>"))
