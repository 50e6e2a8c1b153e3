"""Who asks, by a session's id: the same person in every kind of session of SQLAlchemy's, with one statement."""

import uuid
from collections.abc import AsyncIterator
from datetime import UTC, datetime
from typing import Any

import pytest
from sqlalchemy import event
from sqlalchemy.ext.asyncio import AsyncEngine, create_async_engine
from sqlalchemy.orm import with_loader_criteria
from sqlalchemy.pool import AsyncAdaptedQueuePool
from sqlmodel.ext.asyncio.session import AsyncSession

from fastapi_users_sqlmodel import SQLAlchemyUserDatabase
from fastapi_users_sqlmodel._statements import DirectSession, has_begun
from fastapi_users_sqlmodel.engines import async_url, prepare_sqlite
from fastapi_users_sqlmodel.sessions import SessionLifetimes, _rows
from fastapi_users_sqlmodel.testing import count_statements
from tests.library.models import Models

SESSION_ID = uuid.uuid4()


@pytest.fixture
async def engine(url: str) -> AsyncIterator[AsyncEngine]:
    engine = create_async_engine(async_url(url))
    prepare_sqlite(engine)
    yield engine
    await engine.dispose()


@pytest.fixture
async def user(engine: AsyncEngine, models: Models) -> Any:
    """Somebody who is signed in."""
    async with DirectSession(engine, expire_on_commit=False) as session:
        user = models.user(email="Anna@Example.com", hashed_password="x", username="anna")
        session.add(user)
        await session.flush()
        await SQLAlchemyUserDatabase[Any, Any](session, models.user).ask(
            _rows.begin,
            user.id,
            session_id=SESSION_ID,
            transport=_rows.SessionTransport.BEARER,
            secret_hash="x",
            lifetimes=SessionLifetimes(),
            client=_rows.Client(),
        )
        await session.commit()
        return user


def open_session(kind: type[AsyncSession], engine: AsyncEngine) -> AsyncSession:
    return kind(engine, expire_on_commit=False)


async def who(session: AsyncSession, models: Models) -> tuple[Any, _rows.LiveSession] | None:
    store = SQLAlchemyUserDatabase[Any, Any](session, models.user)
    return await store.get_by_session(SESSION_ID, datetime.now(UTC))


@pytest.mark.parametrize("kind", [AsyncSession, DirectSession])
async def test_is_the_same(engine: AsyncEngine, models: Models, user: Any, kind: type[AsyncSession]) -> None:
    for _ in range(3):
        async with open_session(kind, engine) as session:
            found = await who(session, models)
            assert found is not None
            assert found[0] in session
            assert (found[0].email, found[0].id, found[1].id) == (user.email, user.id, SESSION_ID)
            with count_statements(engine) as statements:
                assert await who(session, models) == found
            assert len(statements) == 1


@pytest.mark.parametrize("kind", [DirectSession])
async def test_nothing_stays_open(engine: AsyncEngine, models: Models, user: Any, kind: type[AsyncSession]) -> None:
    assert isinstance(engine.pool, AsyncAdaptedQueuePool)
    async with open_session(kind, engine) as session:
        for _ in range(3):
            found = await who(session, models)
            assert found is not None
            assert found[0].id == user.id
            assert not has_begun(session.sync_session)
            assert engine.pool.checkedout() == 0


@pytest.mark.parametrize("kind", [AsyncSession, DirectSession])
async def test_who_listens_to_the_orm_has_a_say(
    engine: AsyncEngine, models: Models, user: Any, kind: type[AsyncSession]
) -> None:
    """A project that shows only some users signs in nobody else."""
    async with open_session(kind, engine) as session:
        assert await who(session, models) is not None
        session.expunge_all()

        @event.listens_for(session.sync_session, "do_orm_execute")
        def only_others(execution: Any) -> None:
            others = with_loader_criteria(models.user, lambda table: table.email != "Anna@Example.com")
            execution.statement = execution.statement.options(others)

        assert await who(session, models) is None
