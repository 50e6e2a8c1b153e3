"""What ends sessions, and people who have several."""

import asyncio
import itertools
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from typing import Any, NamedTuple

import httpx2
from sqlmodel import Session as DatabaseSession

from app.models import User
from tests.app.conftest import PASSWORD, form
from tests.app.databases import connected
from tests.app.shapes import UNAUTHORIZED, said
from tests.server import Server

NEW_PASSWORD = "wrong horse, other battery"
BEARER, COOKIE = "bearer", "cookie"
PATHS = {BEARER: "/auth/jwt", COOKIE: "/auth/cookie"}
BAD_CREDENTIALS = (400, {"detail": "LOGIN_BAD_CREDENTIALS"})
REFRESH_BAD_TOKEN = (401, {"detail": "REFRESH_BAD_TOKEN"})
READING, WRITING = ("GET", "/authenticated-route"), ("PATCH", "/users/me")
# As the browser of somebody on our own pages sends it.
FROM_OUR_PAGE = {"Sec-Fetch-Site": "same-origin"}

_people = itertools.count()


@dataclass
class Session:
    """What somebody has who has signed in: the tokens of one session that are good at the same time."""

    transport: str
    # The first access token and the last one, or the cookie.
    tokens: list[str]
    refresh_token: str | None = None

    @property
    def credentials(self) -> list[dict[str, str]]:
        """The headers that each of the tokens comes with."""
        if self.transport == BEARER:
            return [{"Authorization": f"Bearer {token}"} for token in self.tokens]
        return [{"Cookie": f"session={token}", **FROM_OUR_PAGE} for token in self.tokens]


@dataclass
class Person:
    """Somebody with an account, as they know it."""

    id: str
    email: str
    password: str = PASSWORD


@dataclass(frozen=True)
class House:
    """Two processes of the service, and their database."""

    servers: list[Server]
    clients: list[httpx2.AsyncClient]
    database_url: str
    hashed_password: str

    def add_person(self, **columns: Any) -> Person:
        email = f"person{next(_people)}@example.com"
        user = User(email=email, hashed_password=self.hashed_password, **columns)
        with connected(self.database_url) as connection, DatabaseSession(connection) as session:
            session.add(user)
            session.commit()
            return Person(str(user.id), email)

    async def login(self, person: Person, transport: str, *, at: int = 0) -> httpx2.Response:
        path = f"{PATHS[transport]}/login"
        body = form(person.email, person.password)
        return await self.clients[at].post(path, data=body, headers=FROM_OUR_PAGE)

    async def sign_in(self, person: Person, transport: str, *, at: int = 0) -> Session:
        answer = await self.login(person, transport, at=at)
        assert answer.is_success, answer.text
        if transport == BEARER:
            return Session(BEARER, [answer.json()["access_token"]], answer.json()["refresh_token"])
        return Session(COOKIE, [answer.cookies["session"]])

    async def request(
        self, method: str, path: str, session: Session | None = None, *, at: int = 0, **body: Any
    ) -> httpx2.Response:
        headers = session.credentials[-1] if session is not None else {}
        return await self.clients[at].request(method, path, headers=headers, json=body or None)

    async def logout(self, session: Session, *, at: int = 0) -> httpx2.Response:
        return await self.request("POST", f"{PATHS[session.transport]}/logout", session, at=at)

    async def session_id(self, session: Session) -> str:
        listed = (await self.request("GET", "/auth/sessions", session)).json()
        (current,) = [one["id"] for one in listed if one["current"]]
        return str(current)

    async def answers(self, session: Session, *requests: tuple[str, str]) -> list[tuple[int, Any]]:
        """Make requests with each of the tokens, at both processes."""
        trials = itertools.product(self.clients, session.credentials, requests)
        answers = await asyncio.gather(
            *(client.request(*request, headers=headers, json={}) for client, headers, request in trials)
        )
        return [said(answer) for answer in answers]

    async def assert_lives(self, session: Session) -> None:
        """Its tokens are good at both processes, also the new ones that it gets there."""
        for client in self.clients if session.refresh_token is not None else []:
            answer = await client.post("/auth/jwt/refresh", json={"refresh_token": session.refresh_token})
            assert answer.status_code == 200, answer.text
            session.tokens[1:] = [answer.json()["access_token"]]
            session.refresh_token = answer.json()["refresh_token"]
        assert {status for status, _ in await self.answers(session, READING)} == {200}

    async def assert_dead(self, session: Session) -> None:
        """None of its tokens is good at either process; that is found with the first try, and not waited for."""
        answers = await self.answers(session, READING, WRITING)
        assert answers == [(401, UNAUTHORIZED)] * 4 * len(session.tokens)
        for client in self.clients if session.refresh_token is not None else []:
            answer = await client.post("/auth/jwt/refresh", json={"refresh_token": session.refresh_token})
            assert said(answer) == REFRESH_BAD_TOKEN

    async def token_to(self, address: str) -> str:
        """Wait for a letter with a token, whichever process sends it, and return the token of the last one."""
        for _ in range(1000):
            for server in self.servers:
                _, found, letter = server.program.out.rpartition(f"\nTo: {address}\n")
                token = letter.partition("?token=")[2].partition("\n")[0]
                if found and token and f"\n{token}\n" in letter:
                    return token
            await asyncio.sleep(0.03)
        raise AssertionError(f"no letter to {address} has a token")


@dataclass
class Scene:
    """Somebody who is signed in three times, and a superuser who is, too; `asking` is who does something."""

    house: House
    person: Person
    asking: Session
    superuser: Session
    others: dict[str, Session] = field(default_factory=dict)

    async def ask(self, method: str, path: str, **body: Any) -> httpx2.Response:
        return await self.house.request(method, path, self.asking, **body)

    async def administer(self, method: str, **changes: Any) -> None:
        answer = await self.house.request(method, f"/users/{self.person.id}", self.superuser, **changes)
        assert answer.status_code == (200 if method == "PATCH" else 204), answer.text


async def log_out(scene: Scene) -> None:
    assert said(await scene.house.logout(scene.asking)) == (204, None)


async def change_password(scene: Scene) -> None:
    body = {"current_password": PASSWORD, "new_password": NEW_PASSWORD}
    assert said(await scene.ask("POST", "/auth/change-password", **body)) == (204, None)
    scene.person.password = NEW_PASSWORD


async def patch_password(scene: Scene) -> None:
    body = {"current_password": PASSWORD, "password": NEW_PASSWORD}
    assert (await scene.ask("PATCH", "/users/me", **body)).status_code == 200
    scene.person.password = NEW_PASSWORD


async def reset_password(scene: Scene) -> None:
    house, email = scene.house, scene.person.email
    assert said(await house.request("POST", "/auth/forgot-password", email=email)) == (202, None)
    token = await house.token_to(email)
    answer = await house.request("POST", "/auth/reset-password", token=token, password=NEW_PASSWORD)
    assert said(answer) == (200, None)
    scene.person.password = NEW_PASSWORD


async def ask_for_email(scene: Scene) -> str:
    new = f"new{next(_people)}@example.com"
    body = {"current_password": PASSWORD, "new_email": new}
    assert said(await scene.ask("POST", "/auth/change-email", **body)) == (202, None)
    return new


async def change_email(scene: Scene) -> None:
    """Whoever opens the letter is not signed in."""
    scene.person.email = await ask_for_email(scene)
    # Nothing happens before it is confirmed.
    await scene.house.assert_lives(scene.others["bearer"])
    token = await scene.house.token_to(scene.person.email)
    answer = await scene.house.request("POST", "/auth/confirm-email", token=token)
    assert answer.json()["email"] == scene.person.email


async def undo_change_email(scene: Scene) -> None:
    old = scene.person.email
    await change_email(scene)
    await scene.house.assert_lives(scene.asking)
    scene.others["after the change"] = await scene.house.sign_in(scene.person, BEARER)
    await undo(scene, old)


async def undo_before_it_is_confirmed(scene: Scene) -> None:
    await ask_for_email(scene)
    await undo(scene, scene.person.email)


async def undo(scene: Scene, old: str) -> None:
    answer = await scene.house.request("POST", "/auth/undo-change-email", token=await scene.house.token_to(old))
    assert answer.json()["email"] == old
    scene.person.email = old
    body = {"token": answer.json()["reset_password_token"], "password": scene.person.password}
    assert said(await scene.house.request("POST", "/auth/reset-password", **body)) == (200, None)


async def email_by_superuser(scene: Scene) -> None:
    scene.person.email = f"new{next(_people)}@example.com"
    await scene.administer("PATCH", email=scene.person.email)


async def deactivation(scene: Scene) -> None:
    await scene.administer("PATCH", is_active=False)


async def demotion(scene: Scene) -> None:
    await scene.administer("PATCH", is_superuser=False)


async def deletion(scene: Scene) -> None:
    await scene.administer("DELETE")


async def delete_account(scene: Scene) -> None:
    answer = await scene.ask("POST", "/auth/delete-account", current_password=PASSWORD)
    assert said(answer) == (204, None)


async def end_others(scene: Scene) -> None:
    assert said(await scene.ask("DELETE", "/auth/sessions")) == (204, None)


def end_one(name: str) -> Callable[[Scene], Awaitable[None]]:
    async def end(scene: Scene) -> None:
        session_id = await scene.house.session_id(scene.asking if name == "asking" else scene.others[name])
        assert said(await scene.ask("DELETE", f"/auth/sessions/{session_id}")) == (204, None)
        # Whoever has just ended the own one is nobody by now.
        gone = (401, UNAUTHORIZED) if name == "asking" else (404, {"detail": "SESSION_NOT_FOUND"})
        assert said(await scene.ask("DELETE", f"/auth/sessions/{session_id}")) == gone

    return end


class Cause(NamedTuple):
    """What ends sessions: those that live on, with what it is asked for, and whether their user can sign in again."""

    happens: Callable[[Scene], Awaitable[None]]
    lives: frozenset[str]
    asked_by: tuple[str, ...] = (BEARER, COOKIE)
    can_sign_in: bool = True
    is_superuser: bool = False


NONE, ASKING, OTHERS = frozenset[str](), frozenset({"asking"}), frozenset({"bearer", "cookie"})
CAUSES = {
    "logout": Cause(log_out, OTHERS),
    "change-password": Cause(change_password, ASKING),
    "PATCH /users/me with a password": Cause(patch_password, ASKING),
    "change-email": Cause(change_email, ASKING),
    "undo-change-email": Cause(undo_change_email, NONE),
    "undo-change-email, not confirmed": Cause(undo_before_it_is_confirmed, NONE),
    "delete-account": Cause(delete_account, NONE, can_sign_in=False),
    "DELETE /auth/sessions": Cause(end_others, ASKING),
    "DELETE /auth/sessions/{id}, bearer": Cause(end_one("bearer"), ASKING | {"cookie"}),
    "DELETE /auth/sessions/{id}, cookie": Cause(end_one("cookie"), ASKING | {"bearer"}),
    "DELETE /auth/sessions/{id}, one's own": Cause(end_one("asking"), OTHERS),
    # Here none of the sessions that end asks for it.
    "reset-password": Cause(reset_password, NONE, (BEARER,)),
    "another e-mail by a superuser": Cause(email_by_superuser, NONE, (BEARER,)),
    "deactivation": Cause(deactivation, NONE, (BEARER,), can_sign_in=False),
    "demotion": Cause(demotion, NONE, (BEARER,), is_superuser=True),
    "deletion": Cause(deletion, NONE, (BEARER,), can_sign_in=False),
}
