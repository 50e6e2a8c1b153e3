"""Forget what is over: sessions and tokens that have expired, and audit events older than the settings say."""

import asyncio
import logging
import random
import uuid
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import timedelta
from functools import partial
from typing import Any

from sqlalchemy.ext.asyncio import async_sessionmaker

from app.core.settings import settings
from app.db import DATABASE_AWAY
from app.models import User
from fastapi_users_sqlmodel import SQLAlchemyUserDatabase, audit, sessions, tokens

log = logging.getLogger(__name__)

SECONDS_BETWEEN = 3600
BATCH = 1000


async def purge(session_maker: async_sessionmaker[Any]) -> int:
    """Delete what is over, in batches of a transaction each, so that nobody waits for long; return how many rows."""
    deleted = 0
    older_than = timedelta(days=settings.audit_retention_days)
    async with session_maker() as session:
        store = SQLAlchemyUserDatabase[User, uuid.UUID](session, User)
        for what in (sessions.purge, tokens.purge, partial(audit.purge, older_than=older_than)):
            found = BATCH
            while found == BATCH:
                # Of one table each: whoever changes an account locks several, in another order.
                async with store.transaction():
                    found = await store.ask(what, limit=BATCH)
                deleted += found
    return deleted


@asynccontextmanager
async def purging(session_maker: async_sessionmaker[Any]) -> AsyncIterator[None]:
    """Purge once an hour meanwhile, the first time soon."""
    task = asyncio.create_task(_purge_for_ever(session_maker))
    try:
        yield
    finally:
        task.cancel()
        await asyncio.wait([task])


async def _purge_for_ever(session_maker: async_sessionmaker[Any]) -> None:
    # Not at the very start, and several processes not at once.
    seconds = random.uniform(60, 600)  # noqa: S311  # Nothing secret
    while True:
        await asyncio.sleep(seconds)
        try:
            if deleted := await purge(session_maker):
                log.info("purged %s rows", deleted)
        except DATABASE_AWAY as error:
            log.warning("could not purge: the database is away: %s", type(error).__name__)
        seconds = SECONDS_BETWEEN
