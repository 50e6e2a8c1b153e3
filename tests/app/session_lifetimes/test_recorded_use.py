"""When the use of a session is recorded, and when its row is deleted."""

import uuid
from datetime import UTC, datetime
from typing import Any

import pytest
import time_machine
from sqlalchemy import select
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine, async_sessionmaker
from sqlmodel import Session
from sqlmodel.ext.asyncio.session import AsyncSession

from app.models import User
from app.services import purge
from fastapi_users_sqlmodel.testing import count_statements
from tests.app.audit import AUDIT_EVENTS, TOKENS
from tests.app.databases import connected, migrated
from tests.app.session_lifetimes.conftest import (
    DAY,
    IDLE,
    MINUTE,
    RECORDED_EVERY,
    SECOND,
    SESSIONS,
    Bearer,
    Browser,
    People,
)
from tests.app.shapes import rfc_3339, said, user_read
from tests.programs import Programs, Ran


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
