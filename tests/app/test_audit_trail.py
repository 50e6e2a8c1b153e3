"""What has happened to accounts: one event for each thing, and what is left of them when a user is deleted."""

import uuid

import httpx2
import pytest
from sqlmodel.ext.asyncio.session import AsyncSession

from app.models import User
from tests.app.audit import NEW_PASSWORD, event, seen
from tests.app.conftest import PASSWORD, form
from tests.app.fixture_types import AsUser, CreateUser, From, Letters
from tests.app.shapes import UNKNOWN_USER


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
        self,
        client: httpx2.AsyncClient,
        as_user: AsUser,
        log: httpx2.AsyncClient,
        session: AsyncSession,
        owner: User,
        letters: Letters,
    ) -> None:
        owner.is_verified = True
        await session.commit()
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
