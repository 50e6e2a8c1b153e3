"""Access tokens as somebody would make them who is not us."""

import base64
import hmac
import json
import uuid
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from functools import cache
from typing import Any

import jwt
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import rsa

from app.core import settings as app_settings
from app.users import sessions
from fastapi_users_sqlmodel.sessions._tokens import (
    encode_opaque,
)

ALPHABET = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_"
ISSUER = "http://localhost:8000"


def b64(raw: bytes) -> str:
    return base64.urlsafe_b64encode(raw).decode().rstrip("=")


def segment(value: object) -> str:
    return b64(json.dumps(value).encode())


def signed(key: bytes, header: str, payload: str, digest: str = "sha256") -> str:
    """Sign two segments, whatever is in them."""
    return f"{header}.{payload}.{b64(hmac.digest(key, f'{header}.{payload}'.encode(), digest))}"


@dataclass(frozen=True)
class Forger:
    """Has an honest token apart, and puts it together again as it likes; with the real key, where nobody else could."""

    header: Mapping[str, Any]
    claims: Mapping[str, Any]
    key: bytes = field(repr=False)
    # Of the session of somebody else, who lives too.
    others: Mapping[str, Any]
    refresh_token: str
    honest: str

    def token(
        self,
        claims: Mapping[str, Any] | None = None,
        *,
        header: Mapping[str, Any] | None = None,
        without: str = "",
        key: bytes | None = None,
        digest: str = "sha256",
    ) -> str:
        """Make a token that is honest but for these differences."""
        changed = {name: value for name, value in {**self.claims, **(claims or {})}.items() if name != without}
        head = {name: value for name, value in {**self.header, **(header or {})}.items() if name != without}
        return signed(key if key is not None else self.key, segment(head), segment(changed), digest)

    @property
    def segments(self) -> list[str]:
        """Those of the honest token."""
        return self.token().split(".")

    def with_signature(self, signature: str) -> str:
        return ".".join([*self.segments[:2], signature])

    def of_purpose(self, purpose: str) -> str:
        """Sign with the key of another kind of token."""
        header, payload, _ = self.segments
        return f"{header}.{payload}.{b64(sessions.keys.digests(purpose, f'{header}.{payload}'.encode())[0])}"


@cache
def rsa_key() -> rsa.RSAPrivateKey:
    return rsa.generate_private_key(public_exponent=65537, key_size=2048)


def public_pem() -> bytes:
    return (
        rsa_key().public_key().public_bytes(serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo)
    )


def now(**shift: float) -> int:
    return int((datetime.now(UTC) + timedelta(**shift)).timestamp())


def own_key(forger: Forger) -> str:
    """Bring the key along, in the header."""
    jwk = {"kty": "oct", "alg": "HS256", "k": b64(b"x" * 32), "kid": "x"}
    return forger.token(header={"jwk": jwk}, key=b"x" * 32)


def respelled(text: str) -> str:
    """Change the bits of the last character that mean nothing."""
    return text[:-1] + ALPHABET[ALPHABET.index(text[-1]) ^ 1]


def duplicated_claim(forger: Forger) -> str:
    """Say one's own id first and another one last."""
    raw = json.dumps(dict(forger.claims))[:-1] + f', "sub": "{forger.others["sub"]}"}}'
    return signed(forger.key, forger.segments[0], b64(raw.encode()))


def duplicated_header(forger: Forger) -> str:
    raw = '{"alg": "none", ' + json.dumps(dict(forger.header))[1:]
    return f"{b64(raw.encode())}.{forger.segments[1]}."


type Forgery = Callable[[Forger], str]


def header(**more: Any) -> Forgery:
    return lambda forger: forger.token(header=more)


def claims(**more: Any) -> Forgery:
    return lambda forger: forger.token(more)


def without(name: str) -> Forgery:
    return lambda forger: forger.token(without=name)


def of_key(key: bytes) -> Forgery:
    return lambda forger: forger.token(key=key)


def algorithm(name: Any, digest: str = "sha256") -> Forgery:
    """Name another algorithm, and sign as it says."""
    return lambda forger: forger.token(header={"alg": name}, digest=digest)


def unsigned(name: str) -> Forgery:
    return lambda forger: ".".join([segment({**forger.header, "alg": name}), forger.segments[1], ""])


def kid(value: Any) -> Forgery:
    """Name another key, and sign with one that everybody knows."""
    return lambda forger: forger.token(header={"kid": value}, key=b"")


ALGORITHMS: dict[str, Forgery] = {
    "none": unsigned("none"),
    "None": unsigned("None"),
    "NONE": unsigned("NONE"),
    "none, signed": algorithm("none"),
    "no algorithm": without("alg"),
    "hs256": algorithm("hs256"),
    "HS384": algorithm("HS384", "sha384"),
    "HS512": algorithm("HS512", "sha512"),
    "a list of algorithms": algorithm(["HS256"]),
    "an algorithm that is null": algorithm(None),
    "a number for an algorithm": algorithm(256),
    "RS256": lambda forger: jwt.encode(
        dict(forger.claims), rsa_key(), algorithm="RS256", headers=dict(forger.header, alg="RS256")
    ),
    "RS256, its public key an HMAC secret": lambda forger: forger.token(header={"alg": "RS256"}, key=public_pem()),
    "HS256, a public key its secret": of_key(public_pem()),
}
HEADERS: dict[str, Forgery] = {
    "a foreign kid": header(kid="0" * 16),
    "a kid in upper case": lambda forger: forger.token(header={"kid": forger.header["kid"].upper() + " "}),
    "a kid that is a path": kid("../../../../dev/null"),
    "a kid that is SQL": kid("' UNION SELECT '' --"),
    "a kid that is a number": kid(0),
    "a kid that is a list": lambda forger: forger.token(header={"kid": [forger.header["kid"]]}),
    "a kid that is an object": kid({}),
    "a kid that is null": kid(None),
    "a kid that is empty": kid(""),
    "no kid": without("kid"),
    "jku": header(jku="https://evil.example.com/keys.json"),
    "jwk": own_key,
    "jwk of ours": lambda forger: forger.token(header={"jwk": {"kty": "oct", "k": b64(forger.key)}}),
    "x5u": header(x5u="https://evil.example.com/certificate.pem"),
    "x5c": header(x5c=["MIIB"]),
    "crit": header(crit=["exp"]),
    "b64": header(crit=["b64"], b64=False),
    "b64 without crit": header(b64=False),
    "b64 with an empty payload": lambda forger: signed(forger.key, segment({**forger.header, "b64": False}), ""),
    "cty": header(cty="JWT"),
    "zip": header(zip="DEF"),
    "typ JWT": header(typ="JWT"),
    "typ in upper case": header(typ="AT+JWT"),
    "typ as a media type": header(typ="application/at+jwt"),
    "typ of a refresh token": header(typ="refresh+jwt"),
    "typ null": header(typ=None),
    "no typ": without("typ"),
    "a header that is a list": lambda forger: signed(forger.key, segment([dict(forger.header)]), forger.segments[1]),
    "a header that is no JSON": lambda forger: signed(forger.key, b64(b"{"), forger.segments[1]),
    "a header that is no text": lambda forger: signed(forger.key, b64(b"\xff\xfe"), forger.segments[1]),
    "a deep header": lambda forger: signed(forger.key, b64(b"[" * 700), forger.segments[1]),
    "a header with a name twice": duplicated_header,
}
NO_VALUES: dict[str, Any] = {"null": None, "a list": [], "an object": {}}
CLAIMS: dict[str, Forgery] = {
    **{f"no {name}": without(name) for name in ("sub", "sid", "jti", "iss", "aud", "iat", "exp")},
    **{
        f"{name} that is {kind}": claims(**{name: value})
        for name in ("sub", "sid", "jti", "iss", "aud", "iat", "exp")
        for kind, value in NO_VALUES.items()
    },
    "sub that is empty": claims(sub=""),
    "sub that is false": claims(sub=False),
    "sid that is true": claims(sid=True),
    "iat that is true": claims(iat=True),
    "sub that is a number": claims(sub=1),
    "sub that is NUL": claims(sub="\0"),
    "sub that is no text": claims(sub="\ud800"),
    "sub of somebody else": lambda forger: forger.token({"sub": forger.others["sub"]}),
    "sub in a list": lambda forger: forger.token({"sub": [forger.claims["sub"]]}),
    "sub in upper case": lambda forger: forger.token({"sub": forger.claims["sub"].upper() + " "}),
    "sid of somebody else": lambda forger: forger.token({"sid": forger.others["sid"]}),
    "a sid that nobody has": claims(sid=str(uuid.UUID(int=7, version=4))),
    "a sid that is a number": claims(sid=7),
    "a sid that is no UUID": claims(sid="' OR 1=1 --"),
    "a sid that is no text": claims(sid="\ud800" * 32),
    "jti that is a number": claims(jti=1),
    "aud of somebody else": claims(aud="https://other.example.com"),
    "aud of a kind of mail": claims(aud="fastapi-users:auth"),
    "aud that begins like ours": claims(aud=f"{ISSUER}/"),
    "aud in a list": claims(aud=[ISSUER]),
    "aud in a list with others": claims(aud=["https://other.example.com", ISSUER]),
    "iss of somebody else": claims(iss="https://other.example.com"),
    "iss in a list": claims(iss=[ISSUER]),
    "exp in the past": lambda forger: forger.token({"exp": now(seconds=-1)}),
    "exp that is now": lambda forger: forger.token({"exp": now()}),
    "exp at the beginning of time": claims(exp=0),
    "exp before the beginning of time": claims(exp=-(10**12)),
    "exp that is false": claims(exp=False),
    "exp that is text": claims(exp="never"),
    "exp that is a number in a text": lambda forger: forger.token({"exp": str(now(hours=1))}),
    "exp after the end of time": claims(exp=10**30),
    "exp that is infinite": claims(exp=float("inf")),
    "exp that is no number": claims(exp=float("nan")),
    "nbf in the future": lambda forger: forger.token({"nbf": now(minutes=1)}),
    "nbf that is text": claims(nbf="now"),
    "nbf that is infinite": claims(nbf=float("inf")),
    "iat in the future": lambda forger: forger.token({"iat": now(minutes=1)}),
    "iat that is infinite": claims(iat=float("inf")),
    "iat that is text": claims(iat="yesterday"),
    "iat that is a number in a text": lambda forger: forger.token({"iat": str(now(minutes=-1))}),
    "a claim with a name twice": duplicated_claim,
    "no claims": lambda forger: signed(forger.key, forger.segments[0], segment({})),
    "claims that are a list": lambda forger: signed(forger.key, forger.segments[0], segment([dict(forger.claims)])),
    "claims that are null": lambda forger: signed(forger.key, forger.segments[0], segment(None)),
    "claims that are no text": lambda forger: signed(forger.key, forger.segments[0], b64(b"\xff\xfe")),
    "deep claims": lambda forger: signed(forger.key, forger.segments[0], b64(b"[" * 700)),
    "claims that are another token": lambda forger: signed(
        forger.key, segment({**forger.header, "cty": "JWT"}), b64(forger.honest.encode())
    ),
    "claims that are a token in JSON": lambda forger: signed(forger.key, forger.segments[0], segment(forger.honest)),
}
KEYS: dict[str, Forgery] = {
    "no key": of_key(b""),
    "another key": of_key(b"another key, and as long as ours is"),
    "the secret": of_key(b"for tests alone, and as long as a secret key has to be"),
    "the secret of all sessions": lambda forger: forger.token(key=app_settings.settings.key_for("sessions").encode()),
    "the key of mail": lambda forger: forger.token(key=app_settings.settings.key_for("reset-password").encode()),
    "the key of access tokens before there were sessions": lambda forger: forger.token(
        key=app_settings.settings.key_for("access-token").encode()
    ),
    "the key of refresh tokens": lambda forger: forger.of_purpose("refresh"),
    "the key of the tags of refresh tokens": lambda forger: forger.of_purpose("refresh-tag"),
    "the key of the children of refresh tokens": lambda forger: forger.of_purpose("refresh-child"),
    "the key of cookies": lambda forger: forger.of_purpose("cookie"),
}
SPELLINGS: dict[str, Forgery] = {
    "empty": lambda _: "",
    "8 KB": lambda _: "x" * 8192,
    "8 KB in the middle": lambda forger: forger.token({"more": "x" * 6000}),
    "8 KB of dots": lambda _: "." * 8192,
    "no signature": lambda forger: forger.with_signature(""),
    "the signature cut off": lambda forger: forger.token().rpartition(".")[0],
    "the signature truncated": lambda forger: forger.token()[:-1],
    "the signature of another token": lambda forger: forger.with_signature(
        forger.token({"sub": forger.others["sub"]}).rpartition(".")[2]
    ),
    "the signature longer": lambda forger: forger.token() + "AAAA",
    "the last character spelled otherwise": lambda forger: forger.with_signature(respelled(forger.segments[2])),
    "the signature padded": lambda forger: forger.token() + "=",
    "the signature padded twice": lambda forger: forger.token() + "==",
    "an exclamation mark in the signature": lambda forger: forger.with_signature(
        forger.segments[2][:5] + "!" + forger.segments[2][5:]
    ),
    "a space of another kind inside": lambda forger: forger.token().replace(".", "\N{NO-BREAK SPACE}.", 1),
    "a space inside": lambda forger: forger.token().replace(".", " .", 1),
    "a tab inside": lambda forger: forger.token().replace(".", ".\t", 1),
    "a comma behind": lambda forger: f"{forger.token()}, x",
    "the scheme twice": lambda forger: f"Bearer {forger.token()}",
    "in quotes": lambda forger: f'"{forger.token()}"',
    "a segment more": lambda forger: f"{forger.token()}.{forger.segments[2]}",
    "an empty segment more": lambda forger: f"{forger.token()}.",
    "an empty segment in front": lambda forger: f".{forger.token()}",
    "the claims twice": lambda forger: ".".join([*forger.segments[:2], *forger.segments[1:]]),
    "twice": lambda forger: f"{forger.token()}.{forger.token()}",
    "segments in another order": lambda forger: ".".join(reversed(forger.segments)),
    "no ASCII": lambda forger: forger.token() + "é",
    "an encrypted token": lambda forger: f"{forger.token()}.x.x",
    "a refresh token": lambda forger: forger.refresh_token,
    "a cookie": lambda forger: encode_opaque(uuid.UUID(forger.claims["sid"]), b"\0" * 32),
}
FORGERIES = {**ALGORITHMS, **HEADERS, **CLAIMS, **KEYS, **SPELLINGS}
