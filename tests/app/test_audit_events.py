"""What has happened to accounts: one row for each thing, for whom it concerns and for superusers, and not for ever."""

import re
import uuid
from collections.abc import Callable, Sequence
from datetime import UTC, datetime, timedelta
from typing import Any

import httpx2
import pytest
import time_machine
from sqlalchemy import Table, select
from sqlalchemy.ext.asyncio import AsyncConnection, async_sessionmaker
from sqlmodel.ext.asyncio.session import AsyncSession

from app.app import app
from app.core.settings import settings
from app.models import User
from app.services import purge
from fastapi_users_sqlmodel import AuditEventKind
from tests.app.conftest import BASE_URL, PASSWORD, AsUser, Connect, CreateUser, Letters, form
from tests.app.shapes import FORBIDDEN, UNAUTHORIZED, UNKNOWN_USER, problems, said

NEW_PASSWORD = "wrong horse, other battery"
AUDIT_EVENTS: Table = User.metadata.tables["user_audit_event"]
TOKENS: Table = User.metadata.tables["user_token"]
# What the tests come from, unless they say otherwise.
HERE = "127.0.0.1"

type From = Callable[..., httpx2.AsyncClient]


@pytest.fixture
def from_network(connect: Connect) -> From:
    """Return a function that makes a client in a network, with headers."""

    def make(address: str, **headers: str) -> httpx2.AsyncClient:
        transport = httpx2.ASGITransport(app, client=(address, 4711))
        return httpx2.AsyncClient(transport=transport, base_url=BASE_URL, headers=headers)

    return make


def event(kind: str, user: User | None = None, **more: Any) -> dict[str, Any]:
    """Return what a list says of an event, but for its number, time and request."""
    nothing = {"user_id": str(user.id) if user is not None else None, "actor_id": None, "email": None}
    return {"kind": kind, **nothing, "network": HERE, "details": None, **more}


def seen(response: httpx2.Response) -> list[dict[str, Any]]:
    """Return the events of a list as `event` says them; the rest is as it has to be."""
    assert response.status_code == 200
    for row in response.json():
        assert row.keys() == {
            "id", "kind", "user_id", "actor_id", "email", "network", "request_id", "details", "created_at"
        }  # fmt: skip
        assert row["created_at"].endswith("Z")
        assert abs(datetime.now(UTC) - datetime.fromisoformat(row["created_at"])) < timedelta(minutes=1)
    return [
        {name: value for name, value in row.items() if name not in {"id", "request_id", "created_at"}}
        for row in response.json()
    ]


async def write(connection: AsyncConnection, count: int, **columns: Any) -> None:
    """Write events of another time behind the service's back."""
    row = {"kind": "login", "created_at": datetime.now(UTC), **columns}
    await connection.execute(AUDIT_EVENTS.insert(), [row] * count)


async def kinds_of(client: httpx2.AsyncClient, path: str) -> list[str]:
    return [row["kind"] for row in seen(await client.get(path))]


class TestListMine:
    async def test_nobody(self, client: httpx2.AsyncClient) -> None:
        assert said(await client.get("/users/me/audit-events?limit=x")) == (401, UNAUTHORIZED)

    @pytest.mark.parametrize("path", ["/users/me/audit-events", "/users/me/audit-events/"])
    async def test_nothing_has_happened(self, as_user: AsUser, owner: User, path: str) -> None:
        assert said(await (await as_user(owner)).get(path)) == (200, [])

    async def test_ones_own_alone(
        self, client: httpx2.AsyncClient, as_user: AsUser, owner: User, stranger: User, superuser: User
    ) -> None:
        """Not those of others, nor of nobody, a superuser neither."""
        for name in ("owner", "stranger", "nobody", "nobody@example.com"):
            await client.post("/auth/jwt/login", data=form(name))
        path = "/users/me/audit-events"
        assert seen(await (await as_user(owner)).get(path)) == [event("login", owner)]
        assert seen(await (await as_user(stranger)).get(path)) == [event("login", stranger)]
        assert seen(await (await as_user(superuser)).get(path)) == []

    async def test_newest_first(self, client: httpx2.AsyncClient, as_user: AsUser, owner: User) -> None:
        for password in (PASSWORD, "x", PASSWORD):
            await client.post("/auth/jwt/login", data=form("owner", password))
        response = await (await as_user(owner)).get("/users/me/audit-events")
        assert seen(response) == [event("login", owner), event("login_failed", owner), event("login", owner)]
        ids = [row["id"] for row in response.json()]
        assert ids == sorted(ids, reverse=True)
        assert "link" not in response.headers

    async def test_the_network_of_a_superuser_is_theirs(
        self, as_user: AsUser, superuser: User, owner: User, from_network: From
    ) -> None:
        """Nor is their request shown to whom they changed; that they did it is."""
        headers = dict((await as_user(superuser)).headers) | {"X-Request-ID": "theirs"}
        response = await from_network("198.51.100.7", **headers).patch(f"/users/{owner.id}", json={"name": "New"})
        assert response.status_code == 200
        said_to = {"actor_id": str(superuser.id), "details": {"fields": ["name"]}}
        response = await (await as_user(owner)).get("/users/me/audit-events")
        assert seen(response) == [event("update", owner, **said_to, network=None)]
        assert response.json()[0]["request_id"] is None
        response = await (await as_user(superuser)).get("/audit-events")
        assert seen(response) == [event("update", owner, **said_to, network="198.51.100.7")]
        assert response.json()[0]["request_id"] == "theirs"

    async def test_what_a_superuser_does_to_themselves(self, as_user: AsUser, superuser: User) -> None:
        client = await as_user(superuser)
        assert (await client.patch(f"/users/{superuser.id}", json={"name": "New"})).status_code == 200
        for path in ("/users/me/audit-events", "/audit-events"):
            assert seen(await client.get(path)) == [event("update", superuser, details={"fields": ["name"]})]


class TestListAll:
    async def test_nobody(self, client: httpx2.AsyncClient) -> None:
        for path in ("/audit-events", "/audit-events?kind=x"):
            assert said(await client.get(path)) == (401, UNAUTHORIZED)

    async def test_somebody(self, as_user: AsUser, owner: User) -> None:
        client = await as_user(owner)
        for path in ("/audit-events", f"/audit-events?user_id={owner.id}"):
            assert said(await client.get(path)) == (403, FORBIDDEN)

    @pytest.mark.parametrize(
        ("query", "place"),
        [
            ("user_id=x", ["query", "user_id"]),
            ("user_id=1", ["query", "user_id"]),
            ("user_id=", ["query", "user_id"]),
            (f"user_id={UNKNOWN_USER}0", ["query", "user_id"]),
            ("user_id=%00", ["query", "user_id"]),
            ("kind=x", ["query", "kind"]),
            ("kind=", ["query", "kind"]),
            ("kind=LOGIN", ["query", "kind"]),
            ("kind=login,logout", ["query", "kind"]),
            ("kind=%F0%9F%98%80", ["query", "kind"]),
            ("limit=0", ["query", "limit"]),
            ("limit=101", ["query", "limit"]),
            ("skip=-1", ["query", "skip"]),
            ("after=x", ["query", "after"]),
            ("after=%00", ["query", "after"]),
            ("after=LTE", ["query", "after"]),
            ("after=OTk5OTk5OTk5OTk5OTk5OTk5OTk5", ["query", "after"]),
            ("after=MQ&skip=1", ["query", "after"]),
        ],
    )
    async def test_malformed(self, as_user: AsUser, superuser: User, query: str, place: Sequence[str | int]) -> None:
        status, [(_, location)] = problems(await (await as_user(superuser)).get(f"/audit-events?{query}"))
        assert (status, location) == (422, place)

    @pytest.mark.parametrize("path", ["/audit-events", "/audit-events/"])
    async def test_everybodys(
        self, client: httpx2.AsyncClient, as_user: AsUser, superuser: User, owner: User, path: str
    ) -> None:
        """Also of a name that is nobody's, which is not kept: it may be a password."""
        for name in ("owner", "nobody@example.com", "nobody"):
            await client.post("/auth/jwt/login", data=form(name))
        response = await (await as_user(superuser)).get(path)
        assert seen(response) == [event("login_failed"), event("login_failed"), event("login", owner)]

    async def test_of_a_user_and_of_a_kind(
        self, client: httpx2.AsyncClient, as_user: AsUser, superuser: User, owner: User, stranger: User
    ) -> None:
        for name, password in (("owner", "x"), ("stranger", "x"), ("owner", PASSWORD), ("stranger", PASSWORD)):
            await client.post("/auth/jwt/login", data=form(name, password))
        all_of_it = await as_user(superuser)
        by_query = {
            "": 4,
            f"?user_id={owner.id}": 2,
            f"?user_id={str(owner.id).upper()}": 2,
            "?kind=login": 2,
            "?kind=login_failed": 2,
            "?kind=logout": 0,
            f"?user_id={owner.id}&kind=login": 1,
            f"?user_id={UNKNOWN_USER}": 0,
        }
        found = {query: len(seen(await all_of_it.get(f"/audit-events{query}"))) for query in by_query}
        assert found == by_query
        response = await all_of_it.get(f"/audit-events?user_id={owner.id}&kind=login")
        assert seen(response) == [event("login", owner)]

    async def test_every_kind_can_be_asked_for(self, as_user: AsUser, superuser: User) -> None:
        client = await as_user(superuser)
        for kind in AuditEventKind:
            assert said(await client.get(f"/audit-events?kind={kind}")) == (200, [])


class TestPages:
    @pytest.mark.parametrize("path", ["/users/me/audit-events", "/audit-events"])
    async def test_the_whole_list(
        self, as_user: AsUser, connection: AsyncConnection, superuser: User, path: str
    ) -> None:
        await write(connection, 25, user_id=superuser.id)
        client = await as_user(superuser)
        whole = [row["id"] for row in (await client.get(path)).json()]
        assert whole == sorted(whole, reverse=True)
        assert len(whole) == 25
        found: list[int] = []
        following: str | None = f"{path}?limit=10"
        while following is not None:
            response = await client.get(following)
            found += [row["id"] for row in response.json()]
            link = re.fullmatch(r'<(/[^<>]*[?&]after=[^<>]*)>; rel="next"', response.headers.get("link", ""))
            following = link and link[1]
            # What is new does not move what has been read.
            await write(connection, 1, user_id=superuser.id)
        assert found == whole

    async def test_a_filter_is_kept(
        self, as_user: AsUser, connection: AsyncConnection, superuser: User, owner: User
    ) -> None:
        for kind in ("login", "logout"):
            await write(connection, 3, user_id=owner.id, kind=kind)
            await write(connection, 3, user_id=superuser.id, kind=kind)
        client = await as_user(superuser)
        response = await client.get(f"/audit-events?user_id={owner.id}&kind=login&limit=2")
        assert len(response.json()) == 2
        link = response.headers["link"]
        assert link.startswith(f"</audit-events?user_id={owner.id}&kind=login&limit=2&after=")
        response = await client.get(link[1:].partition(">")[0])
        assert seen(response) == [event("login", owner, network=None)]
        assert "link" not in response.headers

    async def test_by_default_fifty(self, as_user: AsUser, connection: AsyncConnection, superuser: User) -> None:
        await write(connection, 51)
        client = await as_user(superuser)
        assert len((await client.get("/audit-events")).json()) == 50
        assert len((await client.get("/audit-events?skip=50")).json()) == 1


class TestWhatIsRecorded:
    """One event for each thing, in the transaction in which it happens."""

    @pytest.fixture
    async def log(self, as_user: AsUser, create_user: CreateUser) -> httpx2.AsyncClient:
        """Return whoever reads."""
        return await as_user(await create_user("reader", is_superuser=True))

    async def test_the_network_and_the_request(self, log: httpx2.AsyncClient, owner: User, from_network: From) -> None:
        """Of IPv6 the /64."""
        for address, network in (("198.51.100.7", "198.51.100.7"), ("2001:db8:1:2:3:4:5:6", "2001:db8:1:2::/64")):
            client = from_network(address, **{"X-Request-ID": f"from-{address[:4]}"})
            await client.post("/auth/jwt/login", data=form("owner"))
            response = await log.get("/audit-events?limit=1")
            assert seen(response) == [event("login", owner, network=network)]
            assert response.json()[0]["request_id"] == f"from-{address[:4]}"

    async def test_the_request_that_the_answer_names(
        self, client: httpx2.AsyncClient, log: httpx2.AsyncClient, owner: User
    ) -> None:
        answer = await client.post("/auth/jwt/login", data=form("owner"))
        (row,) = (await log.get("/audit-events")).json()
        assert row["request_id"] == answer.headers["X-Request-ID"]

    async def test_sign_in(
        self, client: httpx2.AsyncClient, log: httpx2.AsyncClient, session: AsyncSession, owner: User
    ) -> None:
        for name, password in (("owner", PASSWORD), ("owner@example.com", "x"), ("nobody", PASSWORD)):
            await client.post("/auth/jwt/login", data=form(name, password))
        owner.is_active = False
        await session.commit()
        await client.post("/auth/jwt/login", data=form("owner"))
        assert seen(await log.get("/audit-events")) == [
            event("login_failed", owner),
            event("login_failed"),
            event("login_failed", owner),
            event("login", owner),
        ]

    @pytest.mark.parametrize("path", ["/auth/register", "/users"])
    async def test_register_and_verify(
        self, client: httpx2.AsyncClient, log: httpx2.AsyncClient, session: AsyncSession, letters: Letters, path: str
    ) -> None:
        body = {"email": "Anna@example.com", "password": PASSWORD}
        anna = uuid.UUID((await client.post(path, json=body)).json()["id"])
        user = await session.get_one(User, anna)
        assert (await client.post(path, json=body)).status_code == 400
        (letter,) = await letters()
        await client.post("/auth/verify", json={"token": "x"})
        await client.post("/auth/verify", json={"token": letter.token})
        assert seen(await log.get("/audit-events")) == [
            event("verify", user, email="Anna@example.com"),
            event("request_verify", user),
            event("register", user, email="Anna@example.com"),
        ]

    async def test_forgot_and_reset(
        self, client: httpx2.AsyncClient, log: httpx2.AsyncClient, owner: User, letters: Letters
    ) -> None:
        """Also that somebody asked for an address that has no account, which is not kept."""
        for email in (owner.email, "nobody@example.com"):
            await client.post("/auth/forgot-password", json={"email": email})
            await client.post("/auth/request-verify-token", json={"email": email})
        reset, _ = await letters()
        for password in ("x", NEW_PASSWORD, PASSWORD):
            await client.post("/auth/reset-password", json={"token": reset.token, "password": password})
        assert seen(await log.get("/audit-events")) == [
            event("reset_password", owner),
            event("request_verify"),
            event("forgot_password"),
            event("request_verify", owner),
            event("forgot_password", owner),
        ]

    async def test_change_password(self, as_user: AsUser, log: httpx2.AsyncClient, owner: User) -> None:
        client = await as_user(owner)
        for current, new in (("x", NEW_PASSWORD), (PASSWORD, "x"), (PASSWORD, NEW_PASSWORD)):
            await client.post("/auth/change-password", json={"current_password": current, "new_password": new})
        await client.patch("/users/me", json={"current_password": NEW_PASSWORD, "password": PASSWORD, "name": "New"})
        assert seen(await log.get("/audit-events")) == [
            event("change_password", owner),
            event("update", owner, details={"fields": ["name"]}),
            event("change_password", owner),
            event("login_failed", owner),
        ]

    async def test_change_email_and_undo(
        self, client: httpx2.AsyncClient, as_user: AsUser, log: httpx2.AsyncClient, owner: User, letters: Letters
    ) -> None:
        signed_in = await as_user(owner)
        for password in ("x", PASSWORD):
            body = {"new_email": "New@example.com", "current_password": password}
            await signed_in.post("/auth/change-email", json=body)
        told, asked = await letters()
        for _ in range(2):
            await client.post("/auth/confirm-email", json={"token": asked.token})
        for _ in range(2):
            await client.post("/auth/undo-change-email", json={"token": told.token})
        assert seen(await log.get("/audit-events")) == [
            event("undo_change_email", owner, email="owner@example.com"),
            event("change_email", owner, email="New@example.com"),
            event("request_change_email", owner, email="New@example.com"),
            event("login_failed", owner),
        ]

    async def test_what_one_changes_about_oneself(
        self, as_user: AsUser, log: httpx2.AsyncClient, owner: User, stranger: User
    ) -> None:
        client = await as_user(owner)
        for body in ({}, {"username": "stranger"}, {"name": "New", "username": "new"}):
            await client.patch("/users/me", json=body)
        assert seen(await log.get("/audit-events")) == [
            event("update", owner, details={"fields": ["name", "username"]})
        ]

    async def test_what_a_superuser_changes(
        self, as_user: AsUser, log: httpx2.AsyncClient, superuser: User, owner: User
    ) -> None:
        client = await as_user(superuser)
        # The second time nothing changes, and nothing has happened.
        for _ in range(2):
            assert (await client.patch(f"/users/{owner.id}", json={"is_superuser": True})).status_code == 200
        await client.put(f"/users/{owner.id}", json={"is_active": False, "is_superuser": False})
        await client.put(f"/users/{owner.id}", json={"email": "New@example.com"})
        by = {"actor_id": str(superuser.id)}
        assert seen(await log.get("/audit-events")) == [
            event("change_email", owner, email="New@example.com", **by),
            event("change_role", owner, details={"is_active": False, "is_superuser": False}, **by),
            event("change_role", owner, details={"is_superuser": True}, **by),
        ]

    async def test_what_is_refused(self, as_user: AsUser, log: httpx2.AsyncClient, owner: User, stranger: User) -> None:
        """It has not happened."""
        client = await as_user(owner)
        for path in (f"/users/{stranger.id}", f"/users/{UNKNOWN_USER}"):
            await client.patch(path, json={"is_superuser": True})
            await client.delete(path)
        assert seen(await log.get("/audit-events")) == []


class TestDeletion:
    @pytest.fixture
    async def log(self, as_user: AsUser, create_user: CreateUser) -> httpx2.AsyncClient:
        return await as_user(await create_user("reader", is_superuser=True))

    async def test_by_oneself(
        self, client: httpx2.AsyncClient, as_user: AsUser, log: httpx2.AsyncClient, owner: User, stranger: User
    ) -> None:
        """The rows stay, with the id and the kind; others' are left alone."""
        signed_in = await as_user(owner)
        for name in ("owner", "stranger"):
            await client.post("/auth/jwt/login", data=form(name))
        body = {"new_email": "new@example.com", "current_password": PASSWORD}
        await signed_in.post("/auth/change-email", json=body)
        await signed_in.patch("/users/me", json={"name": "New"})
        assert (await signed_in.post("/auth/delete-account", json={"current_password": PASSWORD})).status_code == 204
        assert seen(await log.get("/audit-events")) == [
            event("delete", owner, network=None),
            event("update", owner, network=None),
            event("request_change_email", owner, network=None),
            event("login", stranger),
            event("login", owner, network=None),
        ]

    async def test_by_a_superuser(
        self, client: httpx2.AsyncClient, as_user: AsUser, log: httpx2.AsyncClient, superuser: User, owner: User
    ) -> None:
        await client.post("/auth/jwt/login", data=form("owner"))
        await (await as_user(superuser)).delete(f"/users/{owner.id}")
        by = {"actor_id": str(superuser.id)}
        assert seen(await log.get("/audit-events")) == [
            event("delete", owner, network=None, **by),
            event("login", owner, network=None),
        ]

    async def test_of_who_has_changed_others(
        self, as_user: AsUser, log: httpx2.AsyncClient, superuser: User, owner: User
    ) -> None:
        """Where they were is forgotten there too; what happened to the other one is not."""
        client = await as_user(superuser)
        await client.patch(f"/users/{owner.id}", json={"email": "new@example.com"})
        assert (await client.post("/auth/delete-account", json={"current_password": PASSWORD})).status_code == 204
        changed = event("change_email", owner, email="new@example.com", actor_id=str(superuser.id), network=None)
        assert seen(await log.get(f"/audit-events?user_id={owner.id}")) == [changed]


class TestPurge:
    @pytest.fixture
    def session_maker(self, connection: AsyncConnection) -> async_sessionmaker[AsyncSession]:
        return async_sessionmaker(
            connection, class_=AsyncSession, expire_on_commit=False, join_transaction_mode="create_savepoint"
        )

    async def test_nothing_is_over(
        self,
        client: httpx2.AsyncClient,
        connection: AsyncConnection,
        session_maker: async_sessionmaker[AsyncSession],
        owner: User,
    ) -> None:
        await client.post("/auth/forgot-password", json={"email": owner.email})
        assert await purge.purge(session_maker) == 0
        for table in (AUDIT_EVENTS, TOKENS):
            assert len((await connection.execute(select(table))).all()) == 1

    @pytest.mark.parametrize("batch", [1, 2, 3, 1000])
    async def test_events_older_than_the_setting(
        self,
        connection: AsyncConnection,
        session_maker: async_sessionmaker[AsyncSession],
        monkeypatch: pytest.MonkeyPatch,
        batch: int,
    ) -> None:
        """All of them, however small the batches."""
        monkeypatch.setattr(purge, "BATCH", batch)
        keeps = timedelta(days=settings.audit_retention_days)
        assert keeps == timedelta(days=400)
        for age in (keeps * 2, keeps + timedelta(minutes=1), keeps - timedelta(minutes=1)):
            await write(connection, 3, created_at=datetime.now(UTC) - age)
        assert await purge.purge(session_maker) == 6
        left = (await connection.execute(select(AUDIT_EVENTS.c.created_at))).scalars().all()
        assert [time > datetime.now(UTC) - keeps for time in left] == [True] * 3

    @pytest.mark.parametrize("batch", [1, 1000])
    async def test_tokens_whose_time_is_over(
        self,
        client: httpx2.AsyncClient,
        connection: AsyncConnection,
        session_maker: async_sessionmaker[AsyncSession],
        monkeypatch: pytest.MonkeyPatch,
        owner: User,
        stranger: User,
        letters: Letters,
        batch: int,
    ) -> None:
        monkeypatch.setattr(purge, "BATCH", batch)
        with time_machine.travel(datetime.now(UTC) - timedelta(minutes=61), tick=False):
            for path in ("forgot-password", "request-verify-token"):
                await client.post(f"/auth/{path}", json={"email": owner.email})
        await letters()
        await client.post("/auth/forgot-password", json={"email": stranger.email})
        (letter,) = await letters()
        assert await purge.purge(session_maker) == 2
        assert (await connection.execute(select(TOKENS.c.user_id))).scalars().all() == [stranger.id]
        body = {"token": letter.token, "password": NEW_PASSWORD}
        assert said(await client.post("/auth/reset-password", json=body)) == (200, None)
