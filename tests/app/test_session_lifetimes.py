"""How long a session lives: used, unused and at all; and how long it counts as fresh."""

import uuid
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

import httpx2
import pytest
import time_machine
from sqlalchemy import Table, select
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine, async_sessionmaker
from sqlmodel import Session
from sqlmodel.ext.asyncio.session import AsyncSession

from app.models import User
from app.services import purge
from fastapi_users_sqlmodel.testing import count_statements
from tests.app.audit import AUDIT_EVENTS, TOKENS
from tests.app.conftest import PASSWORD, AsUser, Connect, CreateGroup, CreateUser, form
from tests.app.databases import connected, migrated
from tests.app.shapes import UNAUTHORIZED, rfc_3339, said, user_read
from tests.programs import Programs, Ran

SESSIONS: Table = User.metadata.tables["user_session"]
SECOND, MINUTE, HOUR, DAY = timedelta(seconds=1), timedelta(minutes=1), timedelta(hours=1), timedelta(days=1)
IDLE, AT_ALL, FRESH = 14 * DAY, 30 * DAY, 15 * MINUTE
RECORDED_EVERY = 5 * MINUTE
OVER = (401, UNAUTHORIZED)
REFRESH_BAD = (401, {"detail": "REFRESH_BAD_TOKEN"})
FRESH_LOGIN_REQUIRED = (403, {"detail": "FRESH_LOGIN_REQUIRED"})
WRONG = (400, {"detail": "CURRENT_PASSWORD_BAD"})


@pytest.fixture
def clock() -> Iterator[time_machine.Traveller]:
    """A clock that stands still until it is told to go on, and at a whole second: a token's time has no smaller."""
    with time_machine.travel(datetime.now(UTC).replace(microsecond=0), tick=False) as clock:
        yield clock


@dataclass
class Bearer:
    """An app that keeps two tokens."""

    connect: Connect
    access_token: str
    refresh_token: str

    async def get(self, path: str = "/users/me") -> httpx2.Response:
        return await self.connect(Authorization=f"Bearer {self.access_token}").get(path)

    async def refresh(self) -> httpx2.Response:
        """Ask for a new pair, and keep it if there is one."""
        response = await self.connect().post("/auth/jwt/refresh", json={"refresh_token": self.refresh_token})
        if response.status_code == 200:
            self.access_token = response.json()["access_token"]
            self.refresh_token = response.json()["refresh_token"]
        return response


@dataclass
class Browser:
    """Keeps a cookie, also when the cookie's own time is over."""

    connect: Connect
    cookie: str

    async def get(self, path: str = "/users/me") -> httpx2.Response:
        return await self.connect(Cookie=f"session={self.cookie}").get(path)


class People:
    """Signs in, in one line."""

    def __init__(self, connect: Connect) -> None:
        self.connect = connect

    async def bearer(self, name: str = "owner") -> Bearer:
        response = await self.connect().post("/auth/jwt/login", data=form(name))
        assert response.status_code == 200
        return Bearer(self.connect, response.json()["access_token"], response.json()["refresh_token"])

    async def browser(self, name: str = "owner") -> Browser:
        headers = {"Sec-Fetch-Site": "same-origin"}
        response = await self.connect().post("/auth/cookie/login", data=form(name), headers=headers)
        assert said(response) == (204, None)
        return Browser(self.connect, response.cookies["session"])


@pytest.fixture
def people(connect: Connect) -> People:
    return People(connect)


class TestAccessToken:
    async def test_dies_at_its_second(self, clock: time_machine.Traveller, people: People, owner: User) -> None:
        bearer = await people.bearer()
        clock.shift(HOUR - SECOND)
        assert said(await bearer.get()) == (200, user_read(owner))
        clock.shift(SECOND)
        assert said(await bearer.get()) == OVER

    async def test_is_replaced_then(self, clock: time_machine.Traveller, people: People, owner: User) -> None:
        bearer = await people.bearer()
        clock.shift(HOUR)
        response = await bearer.refresh()
        assert said(response) == (
            200,
            {
                "access_token": bearer.access_token,
                "token_type": "bearer",
                "refresh_token": bearer.refresh_token,
                "expires_in": 3600,
            },
        )
        assert response.headers["cache-control"] == "no-store"
        assert said(await bearer.get()) == (200, user_read(owner))
        clock.shift(HOUR)
        assert said(await bearer.get()) == OVER

    async def test_lives_no_longer_than_its_session(
        self, clock: time_machine.Traveller, people: People, owner: User
    ) -> None:
        bearer = await people.bearer()
        for _ in range(2):
            clock.shift(10 * DAY)
            await bearer.refresh()
        clock.shift(10 * DAY - MINUTE)
        assert (await bearer.refresh()).json()["expires_in"] == 60
        clock.shift(MINUTE - SECOND)
        assert said(await bearer.get()) == (200, user_read(owner))
        clock.shift(SECOND)
        assert said(await bearer.get()) == OVER


class TestAbsoluteLifetime:
    async def test_of_who_refreshes(self, clock: time_machine.Traveller, people: People, owner: User) -> None:
        """However much it is used."""
        bearer = await people.bearer()
        for _ in range(29):
            clock.shift(DAY)
            assert (await bearer.refresh()).status_code == 200
            assert (await bearer.get()).status_code == 200
        clock.shift(DAY - SECOND)
        assert (await bearer.refresh()).json()["expires_in"] == 1
        assert said(await bearer.get()) == (200, user_read(owner))
        clock.shift(SECOND)
        assert said(await bearer.get()) == OVER
        assert said(await bearer.refresh()) == REFRESH_BAD

    async def test_of_who_has_a_cookie(self, clock: time_machine.Traveller, people: People, owner: User) -> None:
        browser = await people.browser()
        for _ in range(29):
            clock.shift(DAY)
            assert (await browser.get()).status_code == 200
        clock.shift(DAY - SECOND)
        assert said(await browser.get()) == (200, user_read(owner))
        clock.shift(SECOND)
        assert said(await browser.get()) == OVER

    async def test_is_what_the_cookie_says(self, connect: Connect, owner: User) -> None:
        headers = {"Sec-Fetch-Site": "same-origin"}
        response = await connect().post("/auth/cookie/login", data=form("owner"), headers=headers)
        assert f"Max-Age={int(AT_ALL.total_seconds())};" in response.headers["set-cookie"]


class TestIdleLifetime:
    async def test_of_a_cookie_that_is_not_used(
        self, clock: time_machine.Traveller, people: People, owner: User
    ) -> None:
        browser = await people.browser()
        clock.shift(IDLE)
        assert said(await browser.get()) == OVER

    async def test_of_a_cookie_that_is_used_at_the_last_second(
        self, clock: time_machine.Traveller, people: People, owner: User
    ) -> None:
        browser = await people.browser()
        for _ in range(2):
            clock.shift(IDLE - SECOND)
            assert said(await browser.get()) == (200, user_read(owner))
        # Its absolute lifetime comes first now.
        clock.shift(2 * DAY + SECOND)
        assert said(await browser.get()) == (200, user_read(owner))
        clock.shift(SECOND)
        assert said(await browser.get()) == OVER

    async def test_counts_from_the_last_recorded_use(
        self, clock: time_machine.Traveller, people: People, owner: User
    ) -> None:
        one, other = await people.browser(), await people.browser()
        clock.shift(RECORDED_EVERY - SECOND)
        await one.get()
        clock.shift(SECOND)
        await other.get()
        clock.shift(IDLE - RECORDED_EVERY)
        assert said(await one.get()) == OVER
        clock.shift(RECORDED_EVERY - SECOND)
        assert said(await other.get()) == (200, user_read(owner))

    async def test_of_a_cookie_from_its_recorded_use_on(
        self, clock: time_machine.Traveller, people: People, owner: User
    ) -> None:
        browser = await people.browser()
        clock.shift(DAY)
        await browser.get()
        clock.shift(IDLE)
        assert said(await browser.get()) == OVER

    async def test_of_a_refresh_token(self, clock: time_machine.Traveller, people: People, owner: User) -> None:
        """Refreshing is a use, and records it."""
        used, unused = await people.bearer(), await people.bearer()
        clock.shift(IDLE - SECOND)
        assert (await used.refresh()).status_code == 200
        clock.shift(SECOND)
        assert said(await unused.refresh()) == REFRESH_BAD
        clock.shift(IDLE - 2 * SECOND)
        assert (await used.refresh()).status_code == 200
        clock.shift(IDLE)
        assert said(await used.refresh()) == REFRESH_BAD

    async def test_is_over_in_the_list_as_well(
        self, clock: time_machine.Traveller, people: People, connection: AsyncConnection, owner: User
    ) -> None:
        """And it cannot be ended any more, though its row is there."""
        await people.browser()
        [old] = (await connection.execute(select(SESSIONS.c.id))).scalars().all()
        clock.shift(IDLE)
        bearer = await people.bearer()
        [listed] = (await bearer.get("/auth/sessions")).json()
        assert (listed["current"], listed["id"] != str(old)) == (True, True)
        client = people.connect(Authorization=f"Bearer {bearer.access_token}")
        assert said(await client.delete(f"/auth/sessions/{old}")) == (404, {"detail": "SESSION_NOT_FOUND"})
        assert said(await client.delete(f"/auth/sessions/{listed['id']}")) == (204, None)


class TestRecordedUse:
    """A read stays a read: what the savepoints of the test's own connection say is not counted."""

    async def _statements(self, engine: AsyncEngine, who: Bearer | Browser) -> list[str]:
        with count_statements(engine) as statements:
            assert (await who.get()).status_code == 200
        own = ("SAVEPOINT", "RELEASE", "ROLLBACK TO")
        return [statement.split()[0] for statement in statements if not statement.startswith(own)]

    @pytest.mark.parametrize("kind", ["bearer", "browser"])
    async def test_within_five_minutes(
        self, clock: time_machine.Traveller, people: People, engine: AsyncEngine, owner: User, kind: str
    ) -> None:
        who: Bearer | Browser = await getattr(people, kind)()
        for _ in range(5):
            assert await self._statements(engine, who) == ["SELECT"]
            clock.shift(MINUTE - SECOND)

    @pytest.mark.parametrize("kind", ["bearer", "browser"])
    async def test_after_five_minutes(
        self, clock: time_machine.Traveller, people: People, engine: AsyncEngine, owner: User, kind: str
    ) -> None:
        who: Bearer | Browser = await getattr(people, kind)()
        clock.shift(RECORDED_EVERY)
        assert (await self._statements(engine, who)).count("UPDATE") == 1
        assert await self._statements(engine, who) == ["SELECT"]

    async def test_once_in_five_minutes(
        self, clock: time_machine.Traveller, people: People, engine: AsyncEngine, owner: User
    ) -> None:
        browser = await people.browser()
        updates = 0
        for _ in range(60):
            clock.shift(MINUTE)
            updates += (await self._statements(engine, browser)).count("UPDATE")
        assert updates == 12

    async def test_is_what_the_list_says(
        self, clock: time_machine.Traveller, people: People, connection: AsyncConnection, owner: User
    ) -> None:
        signed_in = datetime.now(UTC)
        bearer, browser = await people.bearer(), await people.browser()

        async def last_seen() -> list[tuple[str, bool]]:
            response = await bearer.get("/auth/sessions")
            assert {row["created_at"] for row in response.json()} == {rfc_3339(signed_in)}
            return [(row["last_seen_at"], row["current"]) for row in response.json()]

        clock.shift(RECORDED_EVERY - SECOND)
        await browser.get()
        assert sorted(await last_seen()) == [(rfc_3339(signed_in), False), (rfc_3339(signed_in), True)]
        clock.shift(SECOND)
        await browser.get()
        clock.shift(SECOND)
        seen = (rfc_3339(signed_in + RECORDED_EVERY + SECOND), rfc_3339(signed_in + RECORDED_EVERY))
        assert await last_seen() == [(seen[0], True), (seen[1], False)]

    async def test_of_who_refreshes(self, clock: time_machine.Traveller, people: People, owner: User) -> None:
        bearer = await people.bearer()
        clock.shift(MINUTE)
        await bearer.refresh()
        [row] = (await bearer.get("/auth/sessions")).json()
        assert row["last_seen_at"] == rfc_3339(datetime.now(UTC))


class TestPurge:
    @pytest.fixture
    def session_maker(self, connection: AsyncConnection) -> async_sessionmaker[AsyncSession]:
        return async_sessionmaker(
            connection, class_=AsyncSession, expire_on_commit=False, join_transaction_mode="create_savepoint"
        )

    @pytest.mark.parametrize("batch", [1, 2, 1000])
    async def test_sessions_whose_time_is_over(
        self,
        clock: time_machine.Traveller,
        people: People,
        connection: AsyncConnection,
        session_maker: async_sessionmaker[AsyncSession],
        monkeypatch: pytest.MonkeyPatch,
        owner: User,
        batch: int,
    ) -> None:
        """Those that nobody used, and those that were used until their end."""
        monkeypatch.setattr(purge, "BATCH", batch)
        for _ in range(3):
            # Signed in thirty days ago, and used until now.
            browser = await people.browser()
        for _ in range(2):
            clock.shift(10 * DAY)
            await browser.get()
        clock.shift(10 * DAY - IDLE)
        await people.browser()
        clock.shift(SECOND)
        browser, bearer = await people.browser(), await people.bearer()
        clock.shift(IDLE - SECOND)
        assert len((await connection.execute(select(SESSIONS))).all()) == 6
        assert await purge.purge(session_maker) == 4
        assert len((await connection.execute(select(SESSIONS))).all()) == 2
        assert await purge.purge(session_maker) == 0
        assert said(await browser.get()) == (200, user_read(owner))
        assert (await bearer.refresh()).status_code == 200

    def test_command(self, programs: Programs, database_url: str) -> None:
        now = datetime.now(UTC)
        user = User(email="ann@example.com", hashed_password="!")
        with connected(migrated(database_url)) as connection, Session(connection, expire_on_commit=False) as session:
            session.add(user)
            session.commit()
            for idle_expires_at in (now - DAY, now - SECOND, now + MINUTE):
                connection.execute(SESSIONS.insert().values(row_of(user, idle_expires_at)))
            for expires_at in (now - SECOND, now + MINUTE):
                token = {"hash": str(expires_at), "purpose": "verify", "user_id": user.id, "email": user.email}
                canonical = {"email_canonical": user.email, "expires_at": expires_at}
                connection.execute(TOKENS.insert().values({**token, **canonical}))
            for days in (401, 399):
                connection.execute(AUDIT_EVENTS.insert().values(kind="login", created_at=now - days * DAY))
        env = {"DATABASE_URL": database_url}
        for deleted in (4, 0):
            assert programs.run("-m", "app.cli", "purge", env=env) == Ran(0, f"Deleted rows: {deleted}.\n", "")
        with connected(database_url) as connection:
            left = [len(connection.execute(select(table)).all()) for table in (SESSIONS, TOKENS, AUDIT_EVENTS)]
        assert left == [1, 1, 1]

    def test_command_without_a_database_of_its_own(self, programs: Programs) -> None:
        ran = programs.run("-m", "app.cli", "purge", env={"DATABASE_URL": "sqlite://"})
        assert ran == Ran(1, "", "A database in memory is its server's alone, which purges it by itself.\n")


def row_of(user: User, idle_expires_at: datetime) -> dict[str, Any]:
    """Return a session that was written behind the service's back."""
    now = datetime.now(UTC)
    times = {"created_at": now - DAY, "last_seen_at": now - DAY, "proved_at": now - DAY, "expires_at": now + DAY}
    made = {"transport": "cookie", "method": "password", "secret_hash": "0" * 64, "generation": 0}
    return {
        "id": uuid.uuid4(),
        "user_id": user.id,
        "idle_expires_at": idle_expires_at,
        **times,
        **made,
    }


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
