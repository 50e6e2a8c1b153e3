"""What is secret is said to nobody: not to the log, not in an answer that refuses, not in a letter to somebody else."""

import asyncio
import itertools
import json
import re
from collections.abc import AsyncIterator, Iterator
from contextlib import contextmanager
from typing import Any

import httpx2
import pytest
from sqlalchemy import text
from sqlmodel import Session

from app.core.settings import settings
from app.models import User
from app.users import password_helper
from tests.app.databases import connected, migrated, signed_in
from tests.app.mail_server import SENDER, Inbox, mail_server, text_of, until
from tests.programs import Programs
from tests.server import Server, start_server

# In every password and every address here; nobody else says such a thing.
MARK = "zq7xcanary"
PASSWORD, NEW_PASSWORD, OTHER_PASSWORD = (f"{MARK} {words}" for words in ("tall oak", "wet moss", "old stone"))
EMAIL, NEW_EMAIL, OTHER_EMAIL = (f"{name}-{MARK}@example.com" for name in ("anna", "berta", "clara"))
HASH = "$argon2"

# The fields of all bodies, and more: whoever takes one of them has it from here.
FIELDS = [
    "email", "new_email", "password", "current_password", "new_password", "token", "username", "name", "title",
    "content", "description", "price", "is_public", "is_active", "is_superuser", "is_verified", "group_id", "id",
    "hashed_password", "grant_type", "scope", "client_id", "client_secret", "refresh_token",
]  # fmt: skip
# Afterwards nobody would be signed in.
ENDS_WHO_SENDS = {"/auth/delete-account", "/auth/jwt/logout", "/auth/jwt/refresh"}
TOKEN = re.compile(r"\?token=([A-Za-z0-9_-]{43})\b")


class House:
    """A running service, which tells its log everything, with the answers and the letters that it has sent."""

    def __init__(self, server: Server, database_url: str, inbox: Inbox) -> None:
        self.server, self.database_url, self.inbox = server, database_url, inbox
        self.refusals: list[httpx2.Response] = []
        self.session_tokens: list[str] = []
        self.client = server.client()
        self.client.event_hooks = {"response": [self._keep]}

    async def _keep(self, response: httpx2.Response) -> None:
        await response.aread()
        if response.is_error:
            self.refusals.append(response)

    def add_superuser(self) -> User:
        hashed_password = password_helper.hash(PASSWORD)
        user = User(email="root@example.com", hashed_password=hashed_password, is_superuser=True, is_verified=True)
        with connected(self.database_url) as connection, Session(connection, expire_on_commit=False) as session:
            session.add(user)
            session.commit()
        return user

    async def ask(self, status: int, method: str, path: str, headers: dict[str, str], body: Any) -> httpx2.Response:
        response = await self.client.request(method, path, json=body, headers=headers)
        assert response.status_code == status, (path, response.text)
        return response

    async def post(self, status: int, path: str, headers: dict[str, str] | None = None, **body: Any) -> httpx2.Response:
        return await self.ask(status, "POST", path, headers or {}, body)

    async def login(self, status: int, username: str, password: str) -> dict[str, str]:
        """Return the headers of whoever has signed in."""
        response = await self.client.post("/auth/jwt/login", data={"username": username, "password": password})
        assert response.status_code == status
        if status == httpx2.codes.OK:
            self.session_tokens += [response.json()[name] for name in ("access_token", "refresh_token")]
        return {"Authorization": f"Bearer {response.json().get('access_token')}"}

    async def token_to(self, address: str, path: str) -> str:
        """Wait for a letter with a link to a path, and return its token."""

        def find() -> list[str]:
            letters = zip(self.inbox.recipients, self.inbox.messages, strict=True)
            texts = [text_of(message) for to, message in letters if to == address]
            return [token for letter in texts if f"/{path}?token=" in letter for token in TOKEN.findall(letter)]

        await until(lambda: bool(find()))
        return find()[-1]

    def tokens(self) -> list[str]:
        """Return every token that has been mailed."""
        return [token for message in self.inbox.messages for token in TOKEN.findall(text_of(message))]


@pytest.fixture(params=["console", pytest.param("json", marks=pytest.mark.thorough)])
async def house(request: pytest.FixtureRequest, programs: Programs, database_url: str) -> AsyncIterator[House]:
    inbox = Inbox()
    async with mail_server(inbox) as port:
        env = {
            "SECRET_KEY": settings.secret_key.get_secret_value(),
            "LOG_LEVEL": "DEBUG",
            "LOG_FORMAT": request.param,
            "SMTP_URL": f"smtp://127.0.0.1:{port}",
            "MAIL_FROM": SENDER,
        }
        server = await asyncio.to_thread(start_server, programs, database_url=migrated(database_url), env=env)
        house = House(server, database_url, inbox)
        async with house.client:
            yield house


async def assert_silent(house: House, *, expects: set[int]) -> None:
    """Stop the service, and look through everything that it has said."""
    # On a thread, because it sends its last letters to the mail server on this event loop.
    ran = await asyncio.to_thread(house.server.stop)
    assert ran.out == ""
    assert "/auth/jwt/login" in ran.err
    mailed = house.tokens()
    tokens = [*mailed, *house.session_tokens]
    for line in ran.err.splitlines():
        assert MARK not in line.lower(), line
        assert HASH not in line, line
        assert not [token for token in tokens if token in line], line
    assert {response.status_code for response in house.refusals} == expects
    for response in house.refusals:
        said = f"{response.headers} {response.text}"
        assert MARK not in said.lower(), (response.url, said)
        assert HASH not in said
        assert not [token for token in tokens if token in said], (response.url, said)
    assert len(set(mailed)) == len(mailed)
    for to, message in zip(house.inbox.recipients, house.inbox.messages, strict=True):
        whole = f"{message['Subject']} {text_of(message)} {text_of(message, 'html')}"
        assert MARK not in whole.replace(to, "").lower(), (to, whole)
        assert HASH not in whole
        assert len(TOKEN.findall(text_of(message))) <= 1


async def live(house: House, root: dict[str, str]) -> dict[str, str]:  # noqa: PLR0915  # A life is long
    """Live the life of an account, rightly and wrongly; return the headers of whoever lives it."""
    await house.post(201, "/auth/register", email=EMAIL, password=PASSWORD, username="anna", name="Anna")
    await house.post(201, "/users", email=OTHER_EMAIL, password=OTHER_PASSWORD, username="clara")
    await house.post(400, "/auth/register", email=EMAIL.upper(), password=OTHER_PASSWORD)
    await house.post(400, "/users", email=NEW_EMAIL, password=OTHER_PASSWORD, username="Anna")
    await house.post(400, "/users", email=NEW_EMAIL, password=NEW_EMAIL)
    await house.post(422, "/users", email=f"{MARK} ", password=OTHER_PASSWORD)
    for name, password in itertools.product((EMAIL, "anna", NEW_EMAIL, MARK), (NEW_PASSWORD, f"{PASSWORD}\0")):
        await house.login(400, name, password)
    anna = await house.login(200, EMAIL, PASSWORD)
    me = (await house.client.get("/users/me", headers=anna)).json()["id"]

    verify = await house.token_to(EMAIL, "verify")
    for path in ("confirm-email", "undo-change-email"):
        await house.post(400, f"/auth/{path}", token=verify)
    await house.post(400, "/auth/verify", token=f"{verify[:-1]}{'A' if verify[-1] != 'A' else 'B'}")
    await house.post(200, "/auth/verify", token=verify)
    await house.post(400, "/auth/verify", token=verify)
    await house.ask(401, "PATCH", "/users/me", {"Authorization": f"Bearer {verify}"}, {"name": PASSWORD})

    for email in (EMAIL, NEW_EMAIL):
        await house.post(202, "/auth/forgot-password", email=email)
        await house.post(202, "/auth/request-verify-token", email=email)
    reset = await house.token_to(EMAIL, "reset-password")
    await house.post(400, "/auth/reset-password", token=reset, password=EMAIL)
    await house.post(400, "/auth/reset-password", token=verify, password=NEW_PASSWORD)
    await house.post(200, "/auth/reset-password", token=reset, password=NEW_PASSWORD)
    await house.post(400, "/auth/reset-password", token=reset, password=PASSWORD)
    await house.ask(401, "GET", "/users/me", anna, None)

    anna = await house.login(200, EMAIL, NEW_PASSWORD)
    await house.post(400, "/auth/change-password", anna, current_password=PASSWORD, new_password=OTHER_PASSWORD)
    await house.post(400, "/auth/change-password", anna, current_password=NEW_PASSWORD, new_password=EMAIL)
    await house.post(204, "/auth/change-password", anna, current_password=NEW_PASSWORD, new_password=PASSWORD)
    for path in ("/users/me", f"/users/{me}"):
        method = "PATCH" if path == "/users/me" else "PUT"
        await house.ask(400, method, path, anna, {"password": OTHER_PASSWORD, "current_password": NEW_PASSWORD})
        await house.ask(422, method, path, anna, {"email": NEW_EMAIL})
        await house.ask(200, method, path, anna, {"password": PASSWORD, "current_password": PASSWORD})

    await house.post(400, "/auth/change-email", anna, new_email=NEW_EMAIL, current_password=NEW_PASSWORD)
    for email in (OTHER_EMAIL, NEW_EMAIL):
        await house.post(202, "/auth/change-email", anna, new_email=email, current_password=PASSWORD)
    confirm = await house.token_to(NEW_EMAIL, "confirm-email")
    await house.post(400, "/auth/undo-change-email", token=confirm)
    await house.post(200, "/auth/confirm-email", token=confirm)
    await house.post(400, "/auth/confirm-email", token=confirm)
    undo = await house.token_to(EMAIL, "undo-change-email")
    undone = await house.post(200, "/auth/undo-change-email", token=undo)
    await house.post(400, "/auth/undo-change-email", token=undo)
    reset = undone.json()["reset_password_token"]
    await house.post(200, "/auth/reset-password", token=reset, password=PASSWORD)
    await house.ask(401, "GET", "/users/me", anna, None)

    for method in ("PATCH", "PUT"):
        await house.ask(400, method, f"/users/{me}", root, {"email": OTHER_EMAIL})
        await house.ask(400, method, f"/users/{me}", root, {"username": "clara"})
        await house.ask(422, method, f"/users/{me}", root, {"password": OTHER_PASSWORD})
        await house.ask(403, method, f"/users/{me}", await clara(house), {"email": NEW_EMAIL})
    await house.ask(200, "PATCH", f"/users/{me}", root, {"email": NEW_EMAIL})
    await house.ask(409, "POST", "/auth/delete-account", root, {"current_password": PASSWORD})
    anna = await house.login(200, NEW_EMAIL, PASSWORD)
    await house.post(400, "/auth/delete-account", anna, current_password=NEW_PASSWORD)
    await house.post(204, "/auth/delete-account", anna, current_password=PASSWORD)
    await house.post(401, "/auth/delete-account", anna, current_password=PASSWORD)
    return await clara(house)


async def clara(house: House) -> dict[str, str]:
    return await house.login(200, OTHER_EMAIL, OTHER_PASSWORD)


async def send_nonsense(house: House, headers: dict[str, str]) -> None:
    """Send what is secret to every operation, in every field and in every shape."""
    described = (await house.client.get("/openapi.json")).json()
    whole: dict[str, Any] = dict.fromkeys(FIELDS, PASSWORD)
    shapes: list[Any] = [whole, [whole], PASSWORD, {"email": EMAIL, "password": PASSWORD, "title": PASSWORD}]
    shapes += [dict.fromkeys(FIELDS, value) for value in (EMAIL, [EMAIL], {"x": PASSWORD}, f"{EMAIL}\0")]
    shapes += [dict.fromkeys(FIELDS, token) for token in (*house.tokens()[-1:], *house.session_tokens[-1:])]
    bodies: list[dict[str, Any]] = [{"json": shape} for shape in shapes]
    bodies += [{"data": dict.fromkeys(FIELDS, value)} for value in (PASSWORD, EMAIL)]
    bodies += [{"content": PASSWORD, "headers": {"Content-Type": kind}} for kind in ("application/json", "x/y")]
    bodies += [{"content": json.dumps(whole)[:-1]}, {"files": dict.fromkeys(FIELDS, (PASSWORD, EMAIL))}]
    # A secret in the place of what signs in, too.
    credentials = [{}, headers, *({"Authorization": f"{kind} {PASSWORD}"} for kind in ("Bearer", "Basic"))]
    operations = [
        (method.upper(), re.sub(r"\{\w+\}", "1", path))
        for path, operations in described["paths"].items()
        for method in operations
        if path not in ENDS_WHO_SENDS
    ]
    assert len(operations) > 30
    limit = asyncio.Semaphore(8)

    async def send(method: str, path: str, signed: dict[str, str], body: dict[str, Any]) -> None:
        async with limit:
            own = {**signed, **body.get("headers", {}), "Cookie": f"session={PASSWORD.replace(' ', '-')}"}
            await house.client.request(method, path, **{**body, "headers": own})

    for method, path in operations:
        with_body = bodies if method not in {"GET", "DELETE"} else bodies[:1]
        for signed in credentials:
            # Whoever is nobody is refused before the body is looked at, or sends what anybody may.
            chosen = with_body if signed in ({}, headers) else with_body[:1]
            await asyncio.gather(*(send(method, path, signed, body) for body in chosen))


@contextmanager
def locked(database_url: str) -> Iterator[None]:
    """Hold the table of users, so that nobody gets what they wait for."""
    with connected(database_url) as connection:
        if connection.dialect.name == "postgresql":
            connection.execute(text('LOCK TABLE "user" IN ACCESS EXCLUSIVE MODE'))
        # On SQLite every transaction holds the whole file.
        yield


async def fail(house: House, headers: dict[str, str]) -> None:
    """Send what is secret while the database is busy for longer than anybody waits."""
    with locked(house.database_url):
        answers = await asyncio.gather(
            house.client.post("/auth/register", json={"email": NEW_EMAIL, "password": PASSWORD}),
            house.client.post("/auth/forgot-password", json={"email": OTHER_EMAIL}),
            house.client.post("/auth/jwt/login", data={"username": OTHER_EMAIL, "password": OTHER_PASSWORD}),
            house.client.post(
                "/auth/change-password",
                json={"current_password": OTHER_PASSWORD, "new_password": PASSWORD},
                headers=headers,
            ),
            house.client.post(
                "/auth/change-email",
                json={"current_password": OTHER_PASSWORD, "new_email": NEW_EMAIL},
                headers=headers,
            ),
            house.client.patch("/users/me", json={"name": PASSWORD}, headers=headers),
        )
    assert [answer.status_code for answer in answers] == [503] * len(answers)


def break_it(database_url: str) -> None:
    """Make the database refuse a name for a reason that no code of ours knows."""
    with connected(database_url) as connection:
        if connection.dialect.name == "postgresql":
            connection.execute(text("ALTER TABLE \"user\" ADD CONSTRAINT nobody CHECK (name <> 'Nobody')"))
        else:
            connection.execute(
                text(
                    "CREATE TRIGGER nobody BEFORE INSERT ON \"user\" WHEN NEW.name = 'Nobody' "
                    "BEGIN SELECT RAISE(ABORT, 'nobody'); END"
                )
            )


async def test_nothing_secret_is_said(house: House) -> None:
    root = await signed_in(house.database_url, house.add_superuser())
    headers = await live(house, root)
    await send_nonsense(house, headers)
    await fail(house, headers)
    break_it(house.database_url)
    await house.post(500, "/auth/register", email=NEW_EMAIL, password=PASSWORD, name="Nobody")
    await assert_silent(house, expects={400, 401, 403, 404, 409, 422, 500, 503})
