"""Whoever reads the database and Valkey has nothing to sign in with: all that stands there is tried."""

import asyncio
import base64
import hashlib
import itertools
import json
import re
import uuid
from collections.abc import AsyncIterator, Callable, Iterable, Iterator
from contextlib import ExitStack, suppress
from dataclasses import dataclass
from datetime import datetime
from http.cookiejar import DefaultCookiePolicy
from typing import Any

import httpx2
import pytest
import redis
from sqlalchemy import inspect, text
from sqlmodel import Session, col, select, update

from app.core.settings import settings
from app.models import OutgoingMail, User
from app.models.mail import Letter
from tests.app.conftest import PASSWORD, form
from tests.app.databases import connected, migrated
from tests.programs import Programs
from tests.server import free_port, start_server
from tests.valkey import valkey_server

EMAIL, NEW_EMAIL = "anna@example.com", "new@example.com"
NEW_PASSWORD = "wrong horse, other battery"
FROM_OUR_PAGE = {"Sec-Fetch-Site": "same-origin"}
MAIL_ROUTES = {
    "reset_password": "/auth/reset-password",
    "verify": "/auth/verify",
    "confirm_email": "/auth/confirm-email",
    "email_change_requested": "/auth/undo-change-email",
}
REFUSED = {400, 401, 422}


@dataclass(frozen=True)
class Secrets:
    """What the user has, and nobody else."""

    access: list[str]
    refresh: list[str]
    cookie: str
    mailed: dict[str, str]

    def __iter__(self) -> Iterator[str]:
        return iter([*self.access, *self.refresh, self.cookie, *self.mailed.values()])

    @property
    def parts(self) -> list[bytes]:
        """What is random or signed in them: not the ids of sessions, which are no secret."""
        signatures = [unpadded(token.rpartition(".")[2]) for token in self.access]
        claims = [json.loads(unpadded(token.split(".")[1])) for token in self.access]
        refresh = [unpadded(token) for token in self.refresh]
        return [
            *signatures,
            *(claim["jti"].encode() for claim in claims),
            # Session, generation, secret, tag.
            *(raw[20:52] for raw in refresh),
            *(raw[52:] for raw in refresh),
            unpadded(self.cookie)[16:],
            *(unpadded(token) for token in self.mailed.values()),
        ]


@dataclass(frozen=True)
class House:
    """The service, all that it keeps, and what it has given away."""

    client: httpx2.AsyncClient
    secrets: Secrets
    database: dict[str, list[Any]]
    valkey: list[bytes]

    async def accepted(self, candidate: str, ways: Iterable[str]) -> set[str]:
        """Use a text in each of these ways, and return those in which it is good."""
        answers = {way: await self._use(candidate, way) for way in ways}
        statuses = {way: answer.status_code for way, answer in answers.items() if answer is not None}
        assert all(status in REFUSED or 200 <= status < 300 for status in statuses.values()), (candidate, statuses)
        return {way for way, status in statuses.items() if status not in REFUSED}

    async def _use(self, candidate: str, way: str) -> httpx2.Response | None:
        if way in {"bearer", "cookie"}:
            header = {"bearer": ("Authorization", "Bearer "), "cookie": ("Cookie", "session=")}[way]
            if not candidate.isprintable():
                # No client can send that.
                return None
            headers = {header[0].encode(): header[1].encode() + candidate.strip().encode()}
            return await self.client.get("/authenticated-route", headers=headers)
        if way == "refresh":
            return await self.client.post("/auth/jwt/refresh", json={"refresh_token": candidate})
        body = {"token": candidate, **({"password": NEW_PASSWORD} if way == "reset_password" else {})}
        return await self.client.post(MAIL_ROUTES[way], json=body)

    async def assert_refused(self, candidates: Iterable[str], ways: Iterable[str]) -> None:
        waiting = iter(list(candidates))

        async def work() -> None:
            for candidate in waiting:
                assert await self.accepted(candidate, ways) == set(), candidate

        await asyncio.gather(*(work() for _ in range(8)))


WAYS = ("bearer", "cookie", "refresh", *MAIL_ROUTES)


@pytest.fixture
async def house(programs: Programs, database_url: str, hashed_password: str) -> AsyncIterator[House]:
    """Somebody signs in in both ways, refreshes, fails once, and asks for all kinds of mail, which cannot leave."""
    migrated(database_url)
    with connected(database_url) as connection, Session(connection) as session:
        session.add(User(email=EMAIL, username="anna", name="Anna", hashed_password=hashed_password))
        session.commit()
    with ExitStack() as opened:
        valkey_url = opened.enter_context(valkey_server())
        env = {
            "SECRET_KEY": settings.secret_key.get_secret_value(),
            "THROTTLING": "on",
            "REDIS_URL": valkey_url,
            "SMTP_URL": f"smtp://127.0.0.1:{free_port()}",
            "MAIL_FROM": "house@example.com",
        }
        server = start_server(programs, database_url=database_url, env=env)
        async with server.client() as client:
            # Each request says itself who is asking.
            client.cookies.jar.set_policy(DefaultCookiePolicy(allowed_domains=[]))
            pairs, cookie = await sign_in(client)
            await ask_for_mail(client, pairs[-1]["access_token"], database_url)
            letters = letters_in(database_url)
            secrets = Secrets(
                [pair["access_token"] for pair in pairs],
                [pair["refresh_token"] for pair in pairs],
                cookie,
                {letter.kind: letter.token for letter in letters if letter.token is not None},
            )
            yield House(client, secrets, dump_of_database(database_url), dump_of_valkey(valkey_url))
        ran = server.stop()
        assert "Traceback" not in ran.err, ran.err


async def sign_in(client: httpx2.AsyncClient) -> tuple[list[dict[str, str]], str]:
    assert (await client.post("/auth/jwt/login", data=form(EMAIL, "x"))).status_code == 400
    first = (await client.post("/auth/jwt/login", data=form(EMAIL, PASSWORD))).json()
    second = (await client.post("/auth/jwt/refresh", json={"refresh_token": first["refresh_token"]})).json()
    by_cookie = await client.post("/auth/cookie/login", data=form(EMAIL, PASSWORD), headers=FROM_OUR_PAGE)
    return [first, second], by_cookie.cookies["session"]


async def ask_for_mail(client: httpx2.AsyncClient, access: str, database_url: str) -> None:
    for path in ("/auth/forgot-password", "/auth/request-verify-token"):
        assert (await client.post(path, json={"email": EMAIL})).status_code == 202
    # There is something to verify, and something to undo, which an address that was never verified has not.
    set_verified(database_url, is_verified=True)
    body = {"new_email": NEW_EMAIL, "current_password": PASSWORD}
    answer = await client.post("/auth/change-email", json=body, headers={"Authorization": f"Bearer {access}"})
    assert answer.status_code == 202
    set_verified(database_url, is_verified=False)


def set_verified(database_url: str, *, is_verified: bool) -> None:
    with connected(database_url) as connection:
        connection.execute(update(User).where(col(User.email) == EMAIL).values(is_verified=is_verified))


def letters_in(url: str) -> list[Letter]:
    """Open the outbox, with the key that the thief does not have."""
    with connected(url) as connection, Session(connection) as session:
        return [letter for mail in session.exec(select(OutgoingMail)) if (letter := mail.open()) is not None]


def dump_of_database(url: str) -> dict[str, list[Any]]:
    """Return every value that is not null, by table, as the database has it."""
    with connected(url) as connection:
        return {
            table: [
                value
                for row in connection.execute(text(f'SELECT * FROM "{table}"'))
                for value in row
                if value is not None
            ]
            for table in inspect(connection).get_table_names()
        }


def dump_of_valkey(url: str) -> list[bytes]:
    """Return every key, and every value of each."""
    read: dict[bytes, Callable[[Any, bytes], Any]] = {
        b"string": lambda client, key: [client.execute_command("GET", key)],
        b"hash": lambda client, key: client.execute_command("HGETALL", key),
        b"list": lambda client, key: client.execute_command("LRANGE", key, 0, -1),
        b"set": lambda client, key: client.execute_command("SMEMBERS", key),
        b"zset": lambda client, key: client.execute_command("ZRANGE", key, 0, -1),
    }
    found = []
    with redis.Redis.from_url(url) as client:
        for key in client.scan_iter():
            values = read[client.type(key)](client, key)
            found += [key, *values, *(values.values() if isinstance(values, dict) else [])]
    return found


def scalars(values: Iterable[Any]) -> Iterator[Any]:
    """Take JSON apart."""
    for value in values:
        if isinstance(value, dict):
            yield json.dumps(value)
            yield from scalars([*value, *value.values()])
        elif isinstance(value, list):
            yield json.dumps(value)
            yield from scalars(value)
        else:
            yield value


def as_bytes(value: Any) -> list[bytes]:
    """Return what a value may be the text of."""
    if isinstance(value, uuid.UUID):
        return [value.bytes]
    if isinstance(value, bytes):
        return [value]
    found = []
    if isinstance(value, str):
        with suppress(ValueError):
            found.append(bytes.fromhex(value.replace("-", "")))
        with suppress(ValueError):
            found.append(unpadded(value))
    return found


def as_text(value: Any) -> set[str]:
    """Return every way to write a value."""
    if isinstance(value, bytes):
        written = {value.decode(errors="replace"), *value.decode(errors="replace").split("/")}
    elif isinstance(value, datetime):
        written = {value.isoformat(), str(value), str(int(value.timestamp()))}
    else:
        written = {str(value)}
    for raw in as_bytes(value):
        written |= encodings(raw)
        if len(raw) == 16:
            written.add(str(uuid.UUID(bytes=raw)))
    return written


def encodings(raw: bytes) -> set[str]:
    return {raw.hex(), joined(raw), base64.urlsafe_b64encode(raw).decode(), base64.b64encode(raw).decode()}


def unpadded(written: str) -> bytes:
    """Decode base64url that has lost its padding; what is none is an error."""
    if not re.fullmatch(r"[A-Za-z0-9_=-]*", written):
        raise ValueError
    return base64.urlsafe_b64decode(written.rstrip("=") + "=" * (-len(written.rstrip("=")) % 4))


def joined(*parts: bytes) -> str:
    """Write bytes as tokens are written: in base64url, without padding."""
    return base64.urlsafe_b64encode(b"".join(parts)).decode().rstrip("=")


class TestDump:
    """All that the database and Valkey keep while somebody is signed in."""

    async def test_nothing_is_a_credential(self, house: House) -> None:
        values = [*scalars(itertools.chain(*house.database.values())), *house.valkey]
        await house.assert_refused(sorted(set().union(*map(as_text, values))), WAYS)

        # Two at once: as they stand, and as the cookie and the refresh token have them inside.
        rows = [*house.database["user_session"], *house.database["user_token"]]
        long = sorted({str(value) for value in rows if re.fullmatch(r"[A-Za-z0-9_-]{16,}", str(value))})
        assert len(long) >= 12
        pairs = [".".join(pair) for pair in itertools.permutations(long, 2)]
        await house.assert_refused(pairs, ("bearer", "cookie", "refresh", "reset_password"))
        pieces = {raw for value in rows for raw in as_bytes(value)}
        ids = sorted(raw for raw in pieces if len(raw) == 16)
        hashes = sorted(raw for raw in pieces if len(raw) == 32)
        assert len(ids) >= 3
        assert len(hashes) >= 8
        await house.assert_refused(itertools.starmap(joined, itertools.product(ids, hashes)), ("cookie",))
        made = itertools.product(ids, [number.to_bytes(4) for number in range(3)], hashes, [raw[:16] for raw in hashes])
        await house.assert_refused(itertools.starmap(joined, made), ("refresh",))

        # And none of it has done any harm: what is right is accepted by the same function.
        secrets = house.secrets
        for access in secrets.access:
            assert await house.accepted(access, WAYS) == {"bearer"}
        assert await house.accepted(secrets.cookie, WAYS) == {"cookie"}
        for refresh in secrets.refresh:
            assert await house.accepted(refresh, ("bearer", "cookie", *MAIL_ROUTES)) == set()
        assert await house.accepted(secrets.refresh[-1], ("refresh",)) == {"refresh"}
        for kind in ("verify", "email_change_requested", "reset_password"):
            # Undoing ends the sessions and a reset the rest, so they come last.
            others = [way for way in WAYS if way != kind]
            assert await house.accepted(secrets.mailed[kind], others) == set()
        assert await house.accepted(secrets.mailed["verify"], ["verify"]) == {"verify"}
        assert await house.accepted(secrets.mailed["reset_password"], ["reset_password"]) == {"reset_password"}
        undo = secrets.mailed["email_change_requested"]
        assert await house.accepted(undo, ["email_change_requested"]) == {"email_change_requested"}

    async def test_no_secret_stands_there(self, house: House) -> None:
        values = [*scalars(itertools.chain(*house.database.values())), *house.valkey]
        assert len(house.valkey) >= 4
        assert house.secrets.mailed.keys() == MAIL_ROUTES.keys()
        texts = "\n".join(value.decode("latin-1") if isinstance(value, bytes) else str(value) for value in values)
        raw = b"\n".join(itertools.chain.from_iterable(map(as_bytes, values)))
        # What should be found, is: the ids of the sessions, and the hash of a token that was mailed.
        session_id = unpadded(house.secrets.cookie)[:16]
        assert session_id in raw
        token = house.secrets.mailed["verify"]
        assert hashlib.sha256(f"verify:{token}".encode()).hexdigest() in texts
        for secret in house.secrets:
            assert secret not in texts
        for part in house.secrets.parts:
            assert len(part) >= 16
            assert part not in raw
            for written in encodings(part):
                assert written not in texts
        for word in (PASSWORD, settings.secret_key.get_secret_value()):
            assert word not in texts
