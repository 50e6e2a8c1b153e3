"""Encode, decode and verify the tokens of sessions; no database is used."""

import base64
import binascii
import hashlib
import hmac
import secrets
import uuid
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import lru_cache
from typing import Any

import jwt

from fastapi_users_sqlmodel.identity import parse_uuid
from fastapi_users_sqlmodel.secret_keys import secret_key_problem

_ALGORITHM = "HS256"
_TYPE = "at+jwt"  # RFC 9068, 2.1.
_LONGEST_JWT = 2048
_SECONDS_BETWEEN_CLOCKS = 10
# The year 10000, in seconds.
_END_OF_TIME = 253_402_300_800
_SECRET_BYTES = 32
_TAG_BYTES = 16
_CLAIMS = ["sub", "sid", "jti", "iss", "aud", "iat", "exp"]
_PURPOSES = ("access", "refresh", "refresh-tag", "refresh-child", "cookie")


@dataclass(frozen=True, slots=True)
class AccessToken:
    """The session and the user that an access token names."""

    session_id: uuid.UUID
    user_id: str


@dataclass(frozen=True, slots=True)
class _Verified:
    """The verified content of an access token; its times are in seconds since 1970."""

    token: AccessToken
    issued_at: int
    expires_at: int


@dataclass(frozen=True, slots=True)
class RefreshToken:
    """One of a session's refresh tokens: they count up, and each is the child of the one before it."""

    session_id: uuid.UUID
    generation: int
    secret: bytes


class Keys:
    """Keys for each purpose, derived from the secret and from previous secrets, whose tokens stay good."""

    def __init__(self, secret: str, previous: Sequence[str] = ()) -> None:
        """Derive the keys.

        Raises:
            ValueError: A secret is weak, as `secret_key_problem` says.
        """
        for name, one in [("secret", secret), *(("previous", one) for one in previous)]:
            if (problem := secret_key_problem(one)) is not None:
                raise ValueError(f"Sessions({name}=…) is {problem}; make one with `openssl rand -base64 32`")
        secrets_ = [one.encode() for one in (secret, *previous)]
        self._by_purpose = {purpose: [_derive(one, purpose) for one in secrets_] for purpose in _PURPOSES}
        self._by_kid = {hashlib.sha256(key).hexdigest()[:16]: key for key in self._by_purpose["access"]}

    @property
    def signing(self) -> tuple[str, bytes]:
        """The id of the present key of access tokens, and the key."""
        return next(iter(self._by_kid.items()))

    def verifying(self, kid: object) -> bytes | None:
        """Return the key of access tokens with this id."""
        return self._by_kid.get(kid) if isinstance(kid, str) else None

    def digests(self, purpose: str, *parts: bytes) -> list[bytes]:
        """Make a keyed hash of parts of fixed lengths with each key, the present one first."""
        return [hmac.digest(key, b"".join(parts), "sha256") for key in self._by_purpose[purpose]]

    def knows(self, stored: str | None, purpose: str, *parts: bytes) -> bool:
        """Return whether a stored hash is the hash of these parts, with any of the keys."""
        known = bytes.fromhex(stored or "")
        return _is_one_of(known, self.digests(purpose, *parts))


def _derive(secret: bytes, purpose: str) -> bytes:
    return hmac.digest(secret, f"fastapi-users-sqlmodel/session/{purpose}".encode(), "sha256")


def _is_one_of(given: bytes, known: list[bytes]) -> bool:
    # All of them, in constant time.
    return any([hmac.compare_digest(given, one) for one in known])  # noqa: C419


def encode_access(keys: Keys, session_id: uuid.UUID, user_id: str, *, issuer: str, expires_at: datetime) -> str:
    """Sign an access token (RFC 9068), which is good until then, if its session is."""
    kid, key = keys.signing
    claims = {
        "sub": user_id,
        "sid": str(session_id),
        "jti": secrets.token_urlsafe(16),
        "iss": issuer,
        "aud": issuer,
        "iat": datetime.now(UTC),
        "exp": expires_at,
    }
    return jwt.encode(claims, key, algorithm=_ALGORITHM, headers={"typ": _TYPE, "kid": kid})


def decode_access(keys: Keys, token: str, *, issuer: str) -> AccessToken | None:
    """Verify an access token; whatever the text, nothing is raised."""
    # PyJWT overlooks padding, which would be another spelling of the same token.
    if len(token) > _LONGEST_JWT or not token.isascii() or "=" in token:
        return None
    try:
        verified = verify_access(keys, token, issuer)
    except (jwt.PyJWTError, ValueError, TypeError, RecursionError, OverflowError):
        # PyJWT's own are for what it expects; nested or huge JSON is none of that.
        return None
    now = datetime.now(UTC).timestamp()
    if verified.issued_at > now + _SECONDS_BETWEEN_CLOCKS or verified.expires_at <= now:
        return None
    return verified.token


# A client sends the same token for an hour. Its signature is verified once; its times and its session are checked each
# time. Failures are not cached. The gain is measured in docs/performance.md, as "kept".
@lru_cache(maxsize=4096)
def verify_access(keys: Keys, token: str, issuer: str) -> _Verified:
    """Verify what is signed of an access token; raises what PyJWT raises."""
    header = jwt.get_unverified_header(token)
    if header.keys() != {"alg", "typ", "kid"} or header["alg"] != _ALGORITHM or header["typ"] != _TYPE:
        raise jwt.InvalidTokenError
    if (key := keys.verifying(header["kid"])) is None:
        raise jwt.InvalidTokenError
    claims: dict[str, Any] = jwt.decode(
        token,
        key,
        algorithms=[_ALGORITHM],
        issuer=issuer,
        audience=issuer,
        # PyJWT would refuse what another machine, whose clock is a second ahead, has just issued.
        options={"require": _CLAIMS, "strict_aud": True, "verify_iat": False},
    )
    session_id, issued_at, expires_at = _uuid(claims["sid"]), claims["iat"], claims["exp"]
    # PyJWT takes a text or a boolean for a time.
    has_times = type(issued_at) is int and type(expires_at) is int and expires_at < _END_OF_TIME
    if session_id is None or not isinstance(claims["sub"], str) or not has_times:
        raise jwt.InvalidTokenError
    return _Verified(AccessToken(session_id, claims["sub"]), issued_at, expires_at)


def encode_refresh(keys: Keys, token: RefreshToken) -> str:
    """Write a refresh token; its tag shows that it was issued here, also after its session has ended."""
    body = token.session_id.bytes + token.generation.to_bytes(4) + token.secret
    return _text(body + keys.digests("refresh-tag", body)[0][:_TAG_BYTES])


def decode_refresh(keys: Keys, text: str) -> RefreshToken | None:
    """Read a refresh token that was ours once; whatever the text, nothing is raised."""
    raw = _bytes(text, 16 + 4 + _SECRET_BYTES + _TAG_BYTES)
    if raw is None:
        return None
    body, tag = raw[:-_TAG_BYTES], raw[-_TAG_BYTES:]
    if not _is_one_of(tag, [one[:_TAG_BYTES] for one in keys.digests("refresh-tag", body)]):
        return None
    return RefreshToken(uuid.UUID(bytes=body[:16]), int.from_bytes(body[16:20]), body[20:])


def successors(keys: Keys, token: RefreshToken, nonce: bytes) -> list[RefreshToken]:
    """Return the child of a refresh token, with each key: it can be made again from the parent alone."""
    generation = token.generation + 1
    parts = (token.session_id.bytes, generation.to_bytes(4), nonce, token.secret)
    return [RefreshToken(token.session_id, generation, one) for one in keys.digests("refresh-child", *parts)]


def new_secret() -> bytes:
    """Make a secret of 256 bits."""
    return secrets.token_bytes(_SECRET_BYTES)


def encode_opaque(session_id: uuid.UUID, secret: bytes) -> str:
    """Write the token of a cookie."""
    return _text(session_id.bytes + secret)


def decode_opaque(text: str) -> tuple[uuid.UUID, bytes] | None:
    """Read the token of a cookie; whatever the text, nothing is raised."""
    raw = _bytes(text, 16 + _SECRET_BYTES)
    return (uuid.UUID(bytes=raw[:16]), raw[16:]) if raw is not None else None


def _text(raw: bytes) -> str:
    return base64.urlsafe_b64encode(raw).decode().rstrip("=")


def _bytes(text: str, length: int) -> bytes | None:
    if len(text) != -(-length * 4 // 3) or not text.isascii():
        return None
    try:
        raw = base64.b64decode(text + "=" * (-len(text) % 4), altchars=b"-_", validate=True)
    except binascii.Error:
        return None
    # One token has one spelling: the last character may have bits that mean nothing.
    return raw if _text(raw) == text else None


def _uuid(text: object) -> uuid.UUID | None:
    # A token has one spelling, in lower case.
    return parse_uuid(text) if isinstance(text, str) and text == text.lower() else None
