"""What needs a password that was proved lately, and how it is proved again."""

from datetime import UTC, datetime

import httpx2
import pytest
import time_machine
from sqlalchemy import select
from sqlalchemy.ext.asyncio import AsyncConnection
from sqlmodel.ext.asyncio.session import AsyncSession

from app.models import User
from tests.app.conftest import PASSWORD
from tests.app.fixture_types import AsUser, CreateGroup, CreateUser
from tests.app.session_lifetimes.conftest import FRESH, MINUTE, OVER, SECOND, SESSIONS, People
from tests.app.shapes import said, user_read

FRESH_LOGIN_REQUIRED = (403, {"detail": "FRESH_LOGIN_REQUIRED"})
WRONG = (400, {"detail": "CURRENT_PASSWORD_BAD"})


class TestFreshLogin:
    @pytest.fixture
    async def other(self, create_user: CreateUser) -> User:
        """Another superuser, so that nobody is the last one."""
        return await create_user("other", is_superuser=True, is_verified=True)

    @pytest.fixture
    async def signed_in(
        self, clock: time_machine.Traveller, as_user: AsUser, superuser: User, other: User
    ) -> httpx2.AsyncClient:
        return await as_user(superuser)

    async def test_until_the_last_second(
        self,
        clock: time_machine.Traveller,
        signed_in: httpx2.AsyncClient,
        create_group: CreateGroup,
        owner: User,
    ) -> None:
        group = await create_group("group")
        clock.shift(FRESH - SECOND)
        for name in ("PATCH", "PUT"):
            response = await signed_in.request(name, f"/users/{owner.id}", json={"name": name})
            assert (response.status_code, response.json()["name"]) == (200, name)
        for method in ("PUT", "DELETE"):
            response = await signed_in.request(method, f"/user-groups/{group.id}/users/{owner.id}")
            assert said(response) == (204, None)
        assert said(await signed_in.delete(f"/users/{owner.id}")) == (204, None)

    async def test_then_nobody_else_is_changed(
        self,
        clock: time_machine.Traveller,
        signed_in: httpx2.AsyncClient,
        session: AsyncSession,
        create_group: CreateGroup,
        owner: User,
        stranger: User,
    ) -> None:
        group = await create_group("group", stranger)
        before = {user.id: user_read(user) for user in (owner, stranger)}
        clock.shift(FRESH)
        for method in ("PATCH", "PUT"):
            for body in ({"name": "x"}, {"is_active": False}, {"is_superuser": True}, {"email": "x@example.com"}, {}):
                response = await signed_in.request(method, f"/users/{owner.id}", json=body)
                assert said(response) == FRESH_LOGIN_REQUIRED
        assert said(await signed_in.delete(f"/users/{owner.id}")) == FRESH_LOGIN_REQUIRED
        for method, user in (("PUT", owner), ("DELETE", stranger)):
            response = await signed_in.request(method, f"/user-groups/{group.id}/users/{user.id}")
            assert said(response) == FRESH_LOGIN_REQUIRED
        for user in (owner, stranger):
            await session.refresh(user)
            assert user_read(user) == before[user.id]

    async def test_reading_goes_on(
        self, clock: time_machine.Traveller, signed_in: httpx2.AsyncClient, owner: User
    ) -> None:
        clock.shift(FRESH)
        assert said(await signed_in.get(f"/users/{owner.id}")) == (200, user_read(owner))
        assert (await signed_in.get("/users")).status_code == 200

    async def test_one_changes_oneself(
        self,
        clock: time_machine.Traveller,
        signed_in: httpx2.AsyncClient,
        create_group: CreateGroup,
        superuser: User,
    ) -> None:
        group = await create_group("group")
        clock.shift(FRESH)
        for method, path in (("PATCH", "me"), ("PATCH", superuser.id), ("PUT", superuser.id)):
            response = await signed_in.request(method, f"/users/{path}", json={"name": f"{method} {path}"})
            assert (response.status_code, response.json()["name"]) == (200, f"{method} {path}")
        for method in ("PUT", "DELETE"):
            response = await signed_in.request(method, f"/user-groups/{group.id}/users/{superuser.id}")
            assert said(response) == (204, None)
        # Leaving for ever needs the password, by whatever route.
        response = await signed_in.delete(f"/users/{superuser.id}")
        assert said(response) == (403, {"detail": "FRESH_LOGIN_REQUIRED"})

    async def test_who_is_no_superuser(
        self, clock: time_machine.Traveller, as_user: AsUser, owner: User, stranger: User
    ) -> None:
        client = await as_user(owner)
        clock.shift(FRESH)
        response = await client.patch("/users/me", json={"name": "Another"})
        assert (response.status_code, response.json()["name"]) == (200, "Another")
        response = await client.patch(f"/users/{stranger.id}", json={"name": "Another"})
        assert said(response) == (403, {"detail": "Forbidden"})

    async def test_who_reauthenticates(
        self,
        clock: time_machine.Traveller,
        signed_in: httpx2.AsyncClient,
        as_user: AsUser,
        superuser: User,
        owner: User,
    ) -> None:
        """In this session, and for as long again."""
        elsewhere = await as_user(superuser)
        clock.shift(FRESH)
        response = await signed_in.post("/auth/reauthenticate", json={"current_password": PASSWORD})
        assert said(response) == (204, None)
        clock.shift(FRESH - SECOND)
        assert (await signed_in.patch(f"/users/{owner.id}", json={"name": "Another"})).status_code == 200
        response = await elsewhere.patch(f"/users/{owner.id}", json={"name": "x"})
        assert said(response) == FRESH_LOGIN_REQUIRED
        clock.shift(SECOND)
        response = await signed_in.delete(f"/users/{owner.id}")
        assert said(response) == FRESH_LOGIN_REQUIRED

    async def test_refreshing_proves_nothing(
        self, clock: time_machine.Traveller, people: People, superuser: User, owner: User
    ) -> None:
        bearer = await people.bearer("superuser")
        clock.shift(FRESH)
        assert (await bearer.refresh()).status_code == 200
        client = people.connect(Authorization=f"Bearer {bearer.access_token}")
        assert said(await client.delete(f"/users/{owner.id}")) == FRESH_LOGIN_REQUIRED

    async def test_in_a_browser(
        self, clock: time_machine.Traveller, people: People, superuser: User, owner: User
    ) -> None:
        cookie = (await people.browser("superuser")).cookie
        client = people.connect(**{"Cookie": f"session={cookie}", "Sec-Fetch-Site": "same-origin"})
        clock.shift(FRESH)
        assert said(await client.delete(f"/users/{owner.id}")) == FRESH_LOGIN_REQUIRED
        body = {"current_password": PASSWORD}
        assert said(await client.post("/auth/reauthenticate", json=body)) == (204, None)
        assert said(await client.delete(f"/users/{owner.id}")) == (204, None)


class TestReauthenticate:
    async def test_nobody(self, client: httpx2.AsyncClient) -> None:
        for body in ({}, {"current_password": PASSWORD}):
            assert said(await client.post("/auth/reauthenticate", json=body)) == OVER

    @pytest.mark.parametrize("password", ["", "x", PASSWORD.upper(), f"{PASSWORD} ", "x" * 500_000])
    async def test_a_wrong_password(
        self,
        clock: time_machine.Traveller,
        as_user: AsUser,
        connection: AsyncConnection,
        superuser: User,
        owner: User,
        password: str,
    ) -> None:
        client = await as_user(superuser)
        # Within the time in which a use is not recorded.
        clock.shift(MINUTE)
        before = (await connection.execute(select(SESSIONS))).all()
        response = await client.post("/auth/reauthenticate", json={"current_password": password})
        assert said(response) == WRONG
        assert (await connection.execute(select(SESSIONS))).all() == before
        clock.shift(FRESH - MINUTE)
        response = await client.post("/auth/reauthenticate", json={"current_password": password})
        assert said(response) == WRONG
        assert said(await client.delete(f"/users/{owner.id}")) == FRESH_LOGIN_REQUIRED

    async def test_more_than_a_password(self, as_user: AsUser, owner: User) -> None:
        body = {"current_password": PASSWORD, "more": 1}
        response = await (await as_user(owner)).post("/auth/reauthenticate", json=body)
        assert response.status_code == 422

    async def test_the_right_one(
        self, clock: time_machine.Traveller, as_user: AsUser, connection: AsyncConnection, owner: User
    ) -> None:
        client = await as_user(owner)
        clock.shift(MINUTE)
        for path in ("/auth/reauthenticate", "/auth/reauthenticate/"):
            assert said(await client.post(path, json={"current_password": PASSWORD})) == (204, None)
        assert (await connection.scalars(select(SESSIONS.c.proved_at))).all() == [datetime.now(UTC)]
