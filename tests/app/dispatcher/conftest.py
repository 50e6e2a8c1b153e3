"""A dispatcher, and a recorder in place of a mail server."""

import asyncio
from collections.abc import AsyncIterator
from typing import NamedTuple

import pytest
from sqlalchemy import select
from sqlalchemy.ext.asyncio import AsyncEngine, async_sessionmaker
from sqlmodel.ext.asyncio.session import AsyncSession

from app import db
from app.core.settings import settings
from app.crud.outbox import Outbox
from app.mail.messages import Mail
from app.mail.smtp import SMTP
from app.models import OutgoingMail
from app.services.dispatcher import Dispatcher, Pace, SessionMaker
from fastapi_users_sqlmodel.engines import async_url, autocommit_options
from tests.app.databases import migrated


class Recorder:
    """Takes letters, or does not."""

    def __init__(self) -> None:
        self.sent: list[str] = []
        self.attempts = 0
        self.failure: Exception | None = None
        self.may_finish = asyncio.Event()
        self.may_finish.set()

    async def send(self, mail: Mail) -> None:
        self.attempts += 1
        await self.may_finish.wait()
        if self.failure is not None:
            raise self.failure
        self.sent.append(mail.to)


class World(NamedTuple):
    """A database that keeps what is committed, and sessions as the service makes them."""

    url: str
    engine: AsyncEngine
    writing: SessionMaker
    reading: SessionMaker

    async def put(self, *addresses: str, kind: str = "password_changed") -> None:
        async with self.writing() as session, session.begin():
            for address in addresses:
                await Outbox(session).put(kind, address)

    async def left(self) -> int:
        """Count the letters that have not left."""
        async with self.reading() as session:
            return len((await session.exec(select(OutgoingMail.id))).all())  # type: ignore[call-overload]  # SQLAlchemy's

    async def is_empty(self) -> None:
        """Wait until every letter has left."""
        async with asyncio.timeout(30):
            while await self.left():  # noqa: ASYNC110  # The letters are in a database, which tells nobody
                await asyncio.sleep(0.01)

    def dispatcher(self, transport: Recorder | SMTP, pace: Pace) -> Dispatcher:
        return Dispatcher(transport, writing=self.writing, reading=self.reading, pace=pace)


@pytest.fixture
async def world(database_url: str) -> AsyncIterator[World]:
    migrated(database_url)
    url = async_url(database_url).render_as_string(hide_password=False)
    engine = db.create_app_engine(settings.model_copy(update={"database_url": url}))
    readers = engine.execution_options(**autocommit_options(engine.sync_engine))
    yield World(
        database_url,
        engine,
        async_sessionmaker(engine, class_=AsyncSession, expire_on_commit=False),
        async_sessionmaker(readers, class_=AsyncSession, expire_on_commit=False),
    )
    await engine.dispose()
