"""Delete expired sessions and tokens, and audit events older than `AUDIT_RETENTION_DAYS`."""

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
    """Delete expired rows, in batches of one short transaction each; return the number of rows."""
    deleted = 0
    older_than = timedelta(days=settings.audit_retention_days)
    async with session_maker() as session:
        store = SQLAlchemyUserDatabase[User, uuid.UUID](session, User)
        for what in (sessions.purge, tokens.purge, partial(audit.purge, older_than=older_than)):
            found = BATCH
            while found == BATCH:
                # Each batch locks one table only: changes of an account lock several, in another order.
                async with store.transaction():
                    found = await store.ask(what, limit=BATCH)
                deleted += found
    return deleted


@asynccontextmanager
async def purging(session_maker: async_sessionmaker[Any]) -> AsyncIterator[None]:
    """Purge once an hour inside the block, the first time after one to ten minutes."""
    task = asyncio.create_task(_purge_for_ever(session_maker))
    try:
        yield
    finally:
        task.cancel()
        await asyncio.wait([task])


async def _purge_for_ever(session_maker: async_sessionmaker[Any]) -> None:
    # Not during the start, and not in several processes at the same time.
    seconds = random.uniform(60, 600)  # noqa: S311  # It is no secret
    while True:
        await asyncio.sleep(seconds)
        try:
            if deleted := await purge(session_maker):
                log.info("purged %s rows", deleted)
        except DATABASE_AWAY as error:
            log.warning("could not purge: the database is away: %s", type(error).__name__)
        seconds = SECONDS_BETWEEN
