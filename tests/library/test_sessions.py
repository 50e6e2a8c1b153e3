"""The session that a store is given: its kind, its thread, and what a cancelled call leaves behind."""

import asyncio
import threading
from collections.abc import AsyncIterator
from typing import Any

import anyio
import pytest
import sqlmodel
from sqlalchemy import Connection, event
from sqlalchemy.ext.asyncio import AsyncSession, async_sessionmaker
from sqlalchemy.orm import Session, sessionmaker

from fastapi_users_sqlmodel import (
    SQLAlchemyAccessTokenDatabase,
    SQLAlchemyUserDatabase,
    SQLModelAccessTokenDatabase,
    SQLModelUserDatabase,
)
from tests.library.models import Models
from tests.library.stores import Stores, new_account, new_user, open_stores

ASYNC_STORES: list[Any] = [SQLAlchemyUserDatabase, SQLAlchemyAccessTokenDatabase]
SYNC_STORES: list[Any] = [SQLModelUserDatabase, SQLModelAccessTokenDatabase]


class TestTheWrongKindIsRefusedByName:
    @pytest.mark.parametrize("store", ASYNC_STORES)
    def test_where_an_async_session_is_wanted(self, store: Any) -> None:
        wrong: dict[Any, str] = {
            Session(): "sqlalchemy.orm.session.Session",
            sqlmodel.Session(): "sqlmodel.orm.session.Session",
            async_sessionmaker(): "sqlalchemy.ext.asyncio.session.async_sessionmaker",
            None: "builtins.NoneType",
        }
        for session, name in wrong.items():
            with pytest.raises(TypeError) as refused:
                store(session, object)
            works_on = f"{store.__name__} works on a sqlalchemy or sqlmodel AsyncSession"
            assert str(refused.value) == f"{works_on}, and was given a {name}"

    @pytest.mark.parametrize("store", SYNC_STORES)
    def test_where_a_session_is_wanted(self, store: Any) -> None:
        wrong: dict[Any, str] = {
            AsyncSession(): "sqlalchemy.ext.asyncio.session.AsyncSession",
            sessionmaker(): "sqlalchemy.orm.session.sessionmaker",
            None: "builtins.NoneType",
        }
        for session, name in wrong.items():
            with pytest.raises(TypeError) as refused:
                store(session, object)
            works_on = f"{store.__name__} works on a sqlalchemy or sqlmodel Session"
            assert str(refused.value) == f"{works_on}, and was given a {name}"


class Gate:
    """Stops every INSERT of a user before the database sees it, until it is opened."""

    def __init__(self) -> None:
        self.arrived = threading.Event()
        self.opened = threading.Event()

    def __call__(self, _connection: Connection, _cursor: Any, statement: str, *_rest: Any) -> None:
        if statement.startswith("INSERT"):
            self.arrived.set()
            assert self.opened.wait(30)


@pytest.mark.parametrize("form", ["sqlalchemy-uuid", "sqlmodel-int"], indirect=True)
@pytest.mark.parametrize("kind", ["sync"], indirect=True)
class TestTheSyncStore:
    @pytest.fixture
    def gate(self, stores: Stores) -> Gate:
        gate = Gate()
        event.listen(stores.session.get_bind(), "before_cursor_execute", gate)
        return gate

    async def test_never_works_in_the_event_loop_s_thread(self, stores: Stores) -> None:
        threads: set[int] = set()

        def note(*_arguments: Any) -> None:
            threads.add(threading.get_ident())

        for name in ("before_cursor_execute", "begin", "commit", "rollback", "savepoint", "release_savepoint"):
            event.listen(stores.session.get_bind(), name, note)
        user = await stores.users.create(new_user("anna@example.com"))
        await stores.users.get(user.id)
        await stores.users.get_by_email("anna@example.com")
        await stores.users.add_oauth_account(user, new_account())
        await stores.users.get_by_oauth_account("google", "7")
        await stores.users.update_oauth_account(user, user.oauth_accounts[0], {"access_token": "new"})
        await stores.users.update(user, {"is_verified": True})
        token = await stores.tokens.create({"token": "token", "user_id": user.id})
        await stores.tokens.get_by_token("token")
        await stores.tokens.delete(token)
        await stores.users.delete(user)
        assert threads
        assert threading.get_ident() not in threads

    async def test_lets_the_event_loop_go_on(self, stores: Stores, gate: Gate) -> None:
        creating = asyncio.create_task(stores.users.create(new_user("anna@example.com")))
        await asyncio.to_thread(gate.arrived.wait)
        # The statement waits, and here we are.
        gate.opened.set()
        assert (await creating).email == "anna@example.com"

    async def test_finishes_its_work_when_cancelled(self, stores: Stores, gate: Gate) -> None:
        """Or two threads would be in one session. asyncio cancels once."""
        creating = asyncio.create_task(stores.users.create(new_user("anna@example.com")))
        await asyncio.to_thread(gate.arrived.wait)
        for _ in range(3):
            creating.cancel()
            await asyncio.sleep(0)
            assert not creating.done()
        gate.opened.set()
        with pytest.raises(asyncio.CancelledError):
            await creating
        assert stores.emails() == ["anna@example.com"]
        assert await stores.users.create(new_user("berta@example.com"))

    async def test_finishes_its_work_in_a_cancelled_scope(self, stores: Stores, gate: Gate) -> None:
        """anyio cancels again and again, and Starlette and FastAPI stand on it."""
        ended = asyncio.Event()

        async def create(scope: anyio.CancelScope) -> None:
            with scope:
                try:
                    await stores.users.create(new_user("anna@example.com"))
                finally:
                    ended.set()

        scope = anyio.CancelScope()
        creating = asyncio.create_task(create(scope))
        await asyncio.to_thread(gate.arrived.wait)
        scope.cancel()
        for _ in range(5):
            await asyncio.sleep(0)
        assert not ended.is_set()
        gate.opened.set()
        await creating
        assert scope.cancelled_caught
        assert stores.emails() == ["anna@example.com"]

    async def test_a_refusal_while_cancelled_is_forgotten(self, stores: Stores, gate: Gate) -> None:
        gate.opened.set()
        await stores.users.create(new_user("anna@example.com"))
        gate.opened.clear()
        gate.arrived.clear()
        creating = asyncio.create_task(stores.users.create(new_user("anna@example.com")))
        await asyncio.to_thread(gate.arrived.wait)
        creating.cancel()
        await asyncio.sleep(0)
        gate.opened.set()
        with pytest.raises(asyncio.CancelledError):
            await creating
        assert await stores.users.create(new_user("berta@example.com"))


@pytest.mark.parametrize("form", ["sqlalchemy-uuid", "sqlmodel-int"], indirect=True)
@pytest.mark.parametrize("kind", ["async"], indirect=True)
class TestTheAsyncStore:
    @pytest.fixture
    async def locked(self, models: Models, url: str, kind: str) -> AsyncIterator[Stores]:
        """Let everybody who creates the same user wait."""
        async with open_stores(models, url, kind) as locked:
            await locked.run(Session.begin)
            await locked.users.create(new_user("anna@example.com"))
            yield locked

    @pytest.fixture
    async def waits(self, stores: Stores) -> asyncio.Event:
        """Be told when the store waits for the database, on a connection that is there already."""
        waits = asyncio.Event()

        def note(_connection: Connection, _cursor: Any, statement: str, *_rest: Any) -> None:
            if statement.startswith(("INSERT", "BEGIN IMMEDIATE")):
                waits.set()

        await stores.run(lambda session: session.connection(execution_options={"isolation_level": "AUTOCOMMIT"}))
        await stores.run(Session.rollback)
        event.listen(stores.session.get_bind(), "before_cursor_execute", note)
        return waits

    async def test_undoes_its_work_when_cancelled(self, stores: Stores, locked: Stores, waits: asyncio.Event) -> None:
        creating = asyncio.create_task(stores.users.create(new_user("anna@example.com")))
        await waits.wait()
        await asyncio.sleep(0.01)
        creating.cancel()
        await locked.run(Session.rollback)
        with pytest.raises(asyncio.CancelledError):
            await creating
        assert stores.emails() == []
        assert await stores.users.create(new_user("berta@example.com"))

    # Cancelled twice while it closes a connection, aiosqlite waits for ever; no store has a part in that.
    @pytest.mark.parametrize("backend", ["postgresql"], indirect=True)
    async def test_undoes_its_work_in_a_cancelled_scope(
        self, stores: Stores, locked: Stores, waits: asyncio.Event
    ) -> None:
        async def create(scope: anyio.CancelScope) -> None:
            with scope:
                await stores.users.create(new_user("anna@example.com"))

        scope = anyio.CancelScope()
        creating = asyncio.create_task(create(scope))
        await waits.wait()
        await asyncio.sleep(0.01)
        scope.cancel()
        await creating
        assert scope.cancelled_caught
        await locked.run(Session.rollback)
        await stores.run(Session.rollback)
        assert stores.emails() == []
        assert await stores.users.create(new_user("berta@example.com"))
