"""Where other servers are: read the URLs, and the address of whom mail is from, without repeating a password."""

import re
from dataclasses import dataclass
from email.utils import parseaddr
from typing import Literal
from urllib.parse import SplitResult, unquote, urlsplit

from email_validator import EmailNotValidError, validate_email
from pydantic import SecretStr


@dataclass(frozen=True, slots=True)
class Smtp:
    """The server that takes our mail; `tls` is from the first byte, `starttls` after a word in the clear."""

    host: str
    port: int
    username: str | None
    password: SecretStr | None
    tls: Literal["none", "starttls", "tls"]


_NO_SMTP_URL = "not an SMTP URL; for example smtp://user:password@host:587?starttls=true"
_TLS: dict[tuple[str, str], Literal["none", "starttls", "tls"]] = {
    ("smtp", ""): "none",
    ("smtp", "starttls=false"): "none",
    ("smtp", "starttls=true"): "starttls",
    ("smtps", ""): "tls",
    ("smtps", "starttls=false"): "tls",
}


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
