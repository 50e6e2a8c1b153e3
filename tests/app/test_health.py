"""/health: for the machines that watch over the service."""

import httpx2
from sqlalchemy import text
from sqlmodel.ext.asyncio.session import AsyncSession

from tests.app.shapes import said


class TestLive:
    async def test_always(self, client: httpx2.AsyncClient) -> None:
        for path in ("/health/live", "/health/live/"):
            assert said(await client.get(path)) == (200, {"status": "ok"})


class TestReady:
    async def test_the_schema_is_behind(self, client: httpx2.AsyncClient, session: AsyncSession) -> None:
        connection = await session.connection()
        await connection.execute(text("UPDATE alembic_version SET version_num = '0000'"))
        await session.commit()
        response = await client.get("/health/ready")
        assert said(response) == (503, {"detail": "Service Unavailable"})
        assert response.headers["retry-after"] == "1"

    async def test_there_is_no_schema(self, client: httpx2.AsyncClient, session: AsyncSession) -> None:
        connection = await session.connection()
        await connection.execute(text("DROP TABLE alembic_version"))
        await session.commit()
        assert said(await client.get("/health/ready")) == (503, {"detail": "Service Unavailable"})

    async def test_all_is_well(self, client: httpx2.AsyncClient) -> None:
        for path in ("/health/ready", "/health/ready/"):
            assert said(await client.get(path)) == (200, {"status": "ok"})
