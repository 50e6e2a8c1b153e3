"""List and end the own sessions."""

import uuid
from datetime import UTC, datetime, timedelta
from typing import Any

import httpx2
import pytest
from sqlalchemy import Table, select
from sqlalchemy.ext.asyncio import AsyncConnection
from sqlmodel.ext.asyncio.session import AsyncSession

from app.models import User
from app.users import UserManager, auth_backend
from fastapi_users_sqlmodel import SQLAlchemyUserDatabase
from tests.app.conftest import form
from tests.app.fixture_types import AsUser, Connect, From
from tests.app.sessions.listing import OVER, SAME_ORIGIN, current, listed, log_in
from tests.app.shapes import UNKNOWN_USER, said, user_read

SESSIONS: Table = User.metadata.tables["user_session"]
NOT_FOUND = (404, {"detail": "SESSION_NOT_FOUND"})
# No id of a session, whoever asks.
MALFORMED = ["x", "1", "None", "%00", "%FF", "%F0%9F%98%80", f"{UNKNOWN_USER}0", UNKNOWN_USER[:-1], "x" * 5000]


class TestListSessions:
    async def test_nobody(self, client: httpx2.AsyncClient) -> None:
        for path in ("/auth/sessions", "/auth/sessions/"):
            assert said(await client.get(path)) == OVER

    async def test_one(self, from_network: From, owner: User) -> None:
        client = from_network("192.0.2.7", **{"User-Agent": "A browser/1.0"})
        response = await client.post("/auth/jwt/login", data=form("owner"))
        client.headers["Authorization"] = f"Bearer {response.json()['access_token']}"
        [session] = await listed(client)
        assert session == {
            "id": session["id"],
            "created_at": session["created_at"],
            "last_seen_at": session["created_at"],
            "ip_address": "192.0.2.7",
            "user_agent": "A browser/1.0",
            "current": True,
        }
        assert said(await client.get("/auth/sessions/")) == (200, [session])

    async def test_ones_own_only(self, connect: Connect, as_user: AsUser, owner: User, stranger: User) -> None:
        """Of both transports; and each knows which one it is."""
        clients = [await as_user(owner), await as_user(owner), connect(Cookie=f"session={await log_in(connect())}")]
        strangers = await as_user(stranger)
        ids = [(await current(client))["id"] for client in clients]
        for client in clients:
            assert {row["id"] for row in await listed(client)} == set(ids)
        assert len(set(ids)) == 3
        [theirs] = await listed(strangers)
        assert theirs["id"] not in ids

    async def test_who_was_seen_last_is_first(self, as_user: AsUser, connection: AsyncConnection, owner: User) -> None:
        clients = [await as_user(owner) for _ in range(3)]
        ids = [(await current(client))["id"] for client in clients]
        for seconds, session_id in zip((3, 1, 2), ids, strict=True):
            seen_at = datetime.now(UTC) - timedelta(seconds=seconds)
            await connection.execute(
                SESSIONS.update().where(SESSIONS.c.id == uuid.UUID(session_id)).values(last_seen_at=seen_at)
            )
        assert [row["id"] for row in await listed(clients[0])] == [ids[1], ids[2], ids[0]]

    async def test_at_most_a_hundred(self, session: AsyncSession, as_user: AsUser, owner: User) -> None:
        strategy = auth_backend.strategy(UserManager(SQLAlchemyUserDatabase(session, User), session))
        for _ in range(101):
            await strategy.write_token(owner)
        assert len(await listed(await as_user(owner))) == 100

    async def test_no_secret_is_shown(self, as_user: AsUser, connection: AsyncConnection, owner: User) -> None:
        client = await as_user(owner)
        row = (await connection.execute(select(SESSIONS))).one()
        text = (await client.get("/auth/sessions")).text
        assert row.secret_hash not in text


class TestEndSession:
    async def test_nobody(self, client: httpx2.AsyncClient) -> None:
        for session_id in (UNKNOWN_USER, "x"):
            assert said(await client.delete(f"/auth/sessions/{session_id}")) == OVER

    async def test_somebody_elses(self, as_user: AsUser, owner: User, stranger: User, superuser: User) -> None:
        """Superusers are no exception; and it lives on."""
        victim = await as_user(owner)
        session_id = (await current(victim))["id"]
        for user in (stranger, superuser):
            assert said(await (await as_user(user)).delete(f"/auth/sessions/{session_id}")) == NOT_FOUND
        assert said(await victim.get("/users/me")) == (200, user_read(owner))

    @pytest.mark.parametrize("session_id", [UNKNOWN_USER, *MALFORMED])
    async def test_what_there_is_not(self, as_user: AsUser, owner: User, session_id: str) -> None:
        client = await as_user(owner)
        assert said(await client.delete(f"/auth/sessions/{session_id}")) == NOT_FOUND
        assert len(await listed(client)) == 1

    async def test_in_another_spelling(self, as_user: AsUser, owner: User) -> None:
        client = await as_user(owner)
        session_id = uuid.UUID((await current(client))["id"])
        for spelling in (session_id.hex, f"{{{session_id}}}", session_id.urn, f"{session_id} ", f" {session_id}"):
            assert said(await client.delete(f"/auth/sessions/{spelling}")) == NOT_FOUND
        assert said(await client.delete(f"/auth/sessions/{str(session_id).upper()}")) == (204, None)
        assert said(await client.get("/users/me")) == OVER

    @pytest.mark.parametrize("slash", ["", "/"])
    async def test_another_of_ones_own(self, as_user: AsUser, owner: User, slash: str) -> None:
        client, other = await as_user(owner), await as_user(owner)
        session_id = (await current(other))["id"]
        assert said(await client.delete(f"/auth/sessions/{session_id}{slash}")) == (204, None)
        assert said(await other.get("/users/me")) == OVER
        assert [row["current"] for row in await listed(client)] == [True]
        assert said(await client.delete(f"/auth/sessions/{session_id}{slash}")) == NOT_FOUND

    async def test_the_current_one(self, as_user: AsUser, owner: User) -> None:
        client, other = await as_user(owner), await as_user(owner)
        session_id = (await current(client))["id"]
        assert said(await client.delete(f"/auth/sessions/{session_id}")) == (204, None)
        for path in ("/users/me", "/auth/sessions"):
            assert said(await client.get(path)) == OVER
        assert said(await client.delete(f"/auth/sessions/{session_id}")) == OVER
        assert said(await other.get("/users/me")) == (200, user_read(owner))

    async def test_its_refresh_token_too(self, client: httpx2.AsyncClient, connect: Connect, owner: User) -> None:
        tokens = (await client.post("/auth/jwt/login", data=form("owner"))).json()
        signed_in = connect(Authorization=f"Bearer {tokens['access_token']}")
        await signed_in.delete(f"/auth/sessions/{(await current(signed_in))['id']}")
        response = await client.post("/auth/jwt/refresh", json={"refresh_token": tokens["refresh_token"]})
        assert said(response) == (401, {"detail": "REFRESH_BAD_TOKEN"})


class TestEndOtherSessions:
    @pytest.mark.parametrize("slash", ["", "/"])
    async def test_nobody(self, client: httpx2.AsyncClient, slash: str) -> None:
        assert said(await client.delete(f"/auth/sessions{slash}")) == OVER

    @pytest.mark.parametrize("slash", ["", "/"])
    async def test_all_but_this_one(
        self, connect: Connect, as_user: AsUser, owner: User, stranger: User, slash: str
    ) -> None:
        client, other = await as_user(owner), await as_user(owner)
        browser = connect(Cookie=f"session={await log_in(connect())}")
        strangers = await as_user(stranger)
        kept = await current(client)
        assert said(await client.delete(f"/auth/sessions{slash}")) == (204, None)
        assert await listed(client) == [kept]
        assert said(await other.get("/users/me")) == OVER
        assert said(await browser.get("/users/me")) == OVER
        assert said(await strangers.get("/users/me")) == (200, user_read(stranger))
        # There may be none.
        assert said(await client.delete(f"/auth/sessions{slash}")) == (204, None)

    async def test_all_but_the_browsers(self, connect: Connect, as_user: AsUser, owner: User) -> None:
        browser = connect(Cookie=f"session={await log_in(connect())}", **SAME_ORIGIN)
        other = await as_user(owner)
        assert said(await browser.delete("/auth/sessions")) == (204, None)
        assert said(await other.get("/users/me")) == OVER
        assert said(await browser.get("/users/me")) == (200, user_read(owner))


class TestWhoSignsIn:
    async def _recorded(self, client: httpx2.AsyncClient, headers: dict[bytes, bytes] | None = None) -> tuple[Any, Any]:
        response = await client.post("/auth/jwt/login", data=form("owner"), headers=headers)
        assert response.status_code == 200
        bearer = {"Authorization": f"Bearer {response.json()['access_token']}"}
        [session] = [row for row in (await client.get("/auth/sessions", headers=bearer)).json() if row["current"]]
        return session["ip_address"], session["user_agent"]

    @pytest.mark.parametrize(
        ("peer", "address"),
        [
            ("192.0.2.7", "192.0.2.7"),
            ("2001:db8::7", "2001:db8::7"),
            ("2001:0DB8:0:0::7", "2001:db8::7"),
            ("::ffff:192.0.2.7", "192.0.2.7"),
            ("::1", "::1"),
            ("a socket", None),
            ("", None),
        ],
    )
    async def test_the_address(self, from_network: From, owner: User, peer: str, address: str | None) -> None:
        assert (await self._recorded(from_network(peer)))[0] == address

    @pytest.mark.parametrize(
        ("agent", "kept"),
        [
            (b"A browser/1.0", "A browser/1.0"),
            (b"", None),
            (b"x" * 10_240, "x" * 256),
            (b"\xe9" * 300, "é" * 256),
            (b"caf\xe9 \xff", "café ÿ"),
            (b"\x80\x9f\x01\x7f", "\x80\x9f\x01\x7f"),
            (b"a\x00b", None),
            (b"x" * 256 + b"\x00", "x" * 256),
            (b"<script>' OR 1=1 --", "<script>' OR 1=1 --"),
        ],
    )
    async def test_the_user_agent(self, from_network: From, owner: User, agent: bytes, kept: str | None) -> None:
        recorded = await self._recorded(from_network("192.0.2.7"), {b"User-Agent": agent})
        assert recorded == ("192.0.2.7", kept)

    async def test_with_a_cookie(self, from_network: From, owner: User) -> None:
        client = from_network("2001:db8::7", **{"User-Agent": "A browser/1.0"}, **SAME_ORIGIN)
        cookie = await log_in(client)
        session = await current(from_network("192.0.2.1", Cookie=f"session={cookie}", **{"User-Agent": "Another"}))
        assert (session["ip_address"], session["user_agent"]) == ("2001:db8::7", "A browser/1.0")

    async def test_without_a_request(self, as_user: AsUser, owner: User) -> None:
        session = await current(await as_user(owner))
        assert (session["ip_address"], session["user_agent"]) == (None, None)
