"""Nothing is kept for ever."""

from datetime import UTC, datetime, timedelta

import httpx2
import pytest
import time_machine
from sqlalchemy import select
from sqlalchemy.ext.asyncio import AsyncConnection, async_sessionmaker
from sqlmodel.ext.asyncio.session import AsyncSession

from app.core.settings import settings
from app.models import User
from app.services import purge
from tests.app.audit import AUDIT_EVENTS, NEW_PASSWORD, TOKENS, write
from tests.app.fixture_types import Letters
from tests.app.shapes import said


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
