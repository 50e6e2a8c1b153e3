"""Every kind of store behind one face, so that one test speaks for all of them."""

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any

import sqlalchemy.ext.asyncio
import sqlmodel.ext.asyncio.session
from sqlalchemy import Engine, NullPool, create_engine, delete, select
from sqlalchemy.ext.asyncio import AsyncSession, create_async_engine
from sqlalchemy.orm import Session

from fastapi_users_sqlmodel import (
    SQLAlchemyAccessTokenDatabase,
    SQLAlchemyUserDatabase,
    SQLModelAccessTokenDatabase,
    SQLModelUserDatabase,
)
from fastapi_users_sqlmodel.engines import async_url, prepare_sqlite, sync_url
from tests.library.models import Models

ASYNC_SESSIONS: dict[str, type[AsyncSession]] = {
    "async": sqlmodel.ext.asyncio.session.AsyncSession,
    "async-sqlalchemy": sqlalchemy.ext.asyncio.AsyncSession,
}
KINDS = [*ASYNC_SESSIONS, "sync"]


@dataclass(frozen=True)
class Stores:
    """The stores on one session, and an engine beside it for whoever looks from outside."""

    models: Models
    session: AsyncSession | Session
    users: SQLAlchemyUserDatabase[Any, Any] | SQLModelUserDatabase[Any, Any]
    tokens: SQLAlchemyAccessTokenDatabase[Any] | SQLModelAccessTokenDatabase[Any]
    outside: Engine

    async def run[T](self, work: Callable[[Session], T]) -> T:
        """Do something with the sync session that works under every store."""
        if isinstance(self.session, AsyncSession):
            return await self.session.run_sync(work)
        return await asyncio.to_thread(work, self.session)

    def emails(self) -> list[str]:
        """Say which users another connection sees."""
        with self.outside.connect() as connection:
            return sorted(connection.scalars(select(self.models.user.email)))

    def count(self, table: Any) -> int:
        """Say how many rows another connection sees."""
        with self.outside.connect() as connection:
            return len(connection.execute(select(table)).all())


@asynccontextmanager
async def open_stores(
    models: Models, url: str, kind: str, *, prepared: bool = True, expire_on_commit: bool = False
) -> AsyncIterator[Stores]:
    """Open stores of a kind on a database that has the tables."""
    user, oauth_account, access_token = models.user, models.oauth_account, models.access_token
    outside = create_engine(sync_url(url), poolclass=NullPool)
    if kind == "sync":
        engine = create_engine(sync_url(url))
        if prepared:
            prepare_sqlite(engine)
        session = sqlmodel.Session(engine, expire_on_commit=expire_on_commit)
        try:
            users = SQLModelUserDatabase[Any, Any](session, user, oauth_account)
            yield Stores(models, session, users, SQLModelAccessTokenDatabase(session, access_token), outside)
        finally:
            await asyncio.to_thread(session.close)
            engine.dispose()
        return
    async_engine = create_async_engine(async_url(url))
    if prepared:
        prepare_sqlite(async_engine)
    try:
        async with ASYNC_SESSIONS[kind](async_engine, expire_on_commit=expire_on_commit) as async_session:
            async_users = SQLAlchemyUserDatabase[Any, Any](async_session, user, oauth_account)
            async_tokens = SQLAlchemyAccessTokenDatabase(async_session, access_token)
            yield Stores(models, async_session, async_users, async_tokens, outside)
    finally:
        await async_engine.dispose()


def new_user(email: str, **columns: Any) -> dict[str, Any]:
    return {"email": email, "hashed_password": "hash", **columns}


def new_account(oauth_name: str = "google", account_id: str = "7", **columns: Any) -> dict[str, Any]:
    return {
        "oauth_name": oauth_name,
        "access_token": "secret",
        "account_id": account_id,
        "account_email": "anna@example.com",
        "expires_at": 1_900_000_000,
        "refresh_token": None,
        **columns,
    }


def delete_users(stores: Stores) -> None:
    """Delete them from outside, without the session's knowing."""
    with stores.outside.begin() as connection:
        connection.execute(delete(stores.models.user))
