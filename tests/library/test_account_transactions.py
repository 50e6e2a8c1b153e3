"""Several operations in one transaction: committed exactly when promised, and the hooks follow the commit."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Coroutine
from contextlib import suppress
from typing import Any

import pytest
from sqlalchemy.exc import IntegrityError
from sqlalchemy.orm import Session

from tests.library.account_transactions import ANNA, AS_IT_COMES, BERTA, CASES, Boom, Hooks, add_user
from tests.library.models import Models
from tests.library.stores import Stores, new_user, open_stores
from tests.library.test_transactions import insert_at_once

pytestmark = [
    pytest.mark.parametrize(("form", "kind", "engine"), CASES, indirect=["form", "kind"]),
    pytest.mark.parametrize("expire_on_commit", [False, True], ids=["keeps", "expires"]),
]


@pytest.fixture
def backend(engine: str) -> str:
    return engine.partition(" ")[0]


@pytest.fixture
async def stores(
    models: Models,
    url: str,
    kind: str,
    engine: str,
    expire_on_commit: bool,  # noqa: FBT001  # A parameter
) -> AsyncIterator[Stores]:
    prepared = engine != AS_IT_COMES
    async with open_stores(models, url, kind, prepared=prepared, expire_on_commit=expire_on_commit) as stores:
        yield stores


@pytest.fixture
def hooks(stores: Stores) -> Hooks:
    return Hooks(stores)


class TestOnAPlainSession:
    async def test_it_is_committed_at_the_end_and_the_hook_follows(self, stores: Stores, hooks: Hooks) -> None:
        async with stores.users.transaction():
            hooks.add()
            await add_user(stores)
            await add_user(stores, BERTA)
            assert stores.emails() == []
        assert hooks.saw == [[ANNA, BERTA]]
        assert not await stores.run(Session.in_transaction)
        insert_at_once(stores)

    async def test_what_fails_leaves_nothing_and_no_lock(self, stores: Stores, hooks: Hooks) -> None:
        async def fail() -> None:
            async with stores.users.transaction():
                hooks.add()
                await add_user(stores)
                raise Boom

        with pytest.raises(Boom):
            await fail()
        assert (stores.emails(), hooks.saw) == ([], [])
        assert not await stores.run(Session.in_transaction)
        insert_at_once(stores)

    async def test_a_hook_of_what_failed_does_not_follow_the_next_commit(self, stores: Stores, hooks: Hooks) -> None:
        for _ in range(2):
            with suppress(Boom):
                async with stores.users.transaction():
                    hooks.add()
                    raise Boom
        async with stores.users.transaction():
            await add_user(stores)
        assert hooks.saw == []

    async def test_a_commit_that_fails_undoes_it_all(self, stores: Stores, hooks: Hooks) -> None:
        """What is flushed only by the commit is refused by the database."""

        async def add_twice() -> None:
            async with stores.users.transaction():
                hooks.add()
                await add_user(stores)
                await stores.run(lambda session: session.add(stores.models.user(**new_user(BERTA))))

        await add_user(stores, BERTA)
        with pytest.raises(IntegrityError):
            await add_twice()
        assert (stores.emails(), hooks.saw) == ([BERTA], [])
        insert_at_once(stores)

    async def test_a_part_that_fails_is_undone_alone(self, stores: Stores, hooks: Hooks) -> None:
        async with stores.users.transaction():
            hooks.add()
            await add_user(stores)
            with suppress(Boom):
                async with stores.users.transaction():
                    hooks.add()
                    await add_user(stores, BERTA)
                    raise Boom
        assert hooks.saw == [[ANNA]]

    async def test_hooks_of_a_part_wait_for_the_whole(self, stores: Stores, hooks: Hooks) -> None:
        async with stores.users.transaction():
            async with stores.users.transaction():
                hooks.add()
                await add_user(stores)
            assert hooks.saw == []
            await add_user(stores, BERTA)
        assert hooks.saw == [[ANNA, BERTA]]

    async def test_hooks_of_a_part_fall_with_the_whole(self, stores: Stores, hooks: Hooks) -> None:
        with suppress(Boom):
            async with stores.users.transaction():
                async with stores.users.transaction():
                    hooks.add()
                    await add_user(stores)
                raise Boom
        assert (stores.emails(), hooks.saw) == ([], [])

    async def test_a_refused_flush_in_a_part_leaves_the_whole_usable(self, stores: Stores, hooks: Hooks) -> None:
        async with stores.users.transaction():
            await add_user(stores)
            with suppress(IntegrityError):
                async with stores.users.transaction():
                    hooks.add()
                    await stores.run(lambda session: session.add(stores.models.user(**new_user(ANNA))))
                    await stores.run(Session.flush)
            await add_user(stores, BERTA)
        assert (stores.emails(), hooks.saw) == ([ANNA, BERTA], [])

    async def test_a_hook_uses_the_session(self, stores: Stores) -> None:
        async def hook() -> None:
            await add_user(stores, BERTA)

        async with stores.users.transaction():
            stores.users.after_commit(hook)
            await add_user(stores)
        assert stores.emails() == [ANNA, BERTA]

    async def test_a_hook_that_fails_undoes_nothing(self, stores: Stores, hooks: Hooks) -> None:
        async def hook() -> None:
            raise Boom

        async def work() -> None:
            async with stores.users.transaction():
                stores.users.after_commit(hook)
                await add_user(stores)

        with pytest.raises(Boom):
            await work()
        async with stores.users.transaction():
            hooks.add()
        assert hooks.saw == [[ANNA]]
        insert_at_once(stores)

    async def test_what_was_loaded_stays_readable(self, stores: Stores) -> None:
        async with stores.users.transaction():
            user = await add_user(stores)
            await stores.users.update(user, {"is_verified": True})
        assert (user.email, user.is_verified) == (ANNA, True)

    async def test_what_was_loaded_stays_readable_when_it_fails(self, stores: Stores) -> None:
        user = await add_user(stores)
        with suppress(Boom):
            async with stores.users.transaction():
                await stores.users.lock(user.id)
                await stores.users.update(user, {"is_verified": True})
                raise Boom
        assert (user.email, user.is_verified) == (ANNA, False)
        assert not await stores.run(Session.in_transaction)
        await stores.users.update(user, {"is_superuser": True})
        await stores.run(lambda session: session.refresh(user))
        assert (user.is_verified, user.is_superuser) == (False, True)

    async def test_release_commits_and_holds_nothing(self, stores: Stores) -> None:
        user = await add_user(stores)
        await stores.users.get_by_email(ANNA)
        user.username = "anna"
        await stores.users.release()
        assert not await stores.run(Session.in_transaction)
        assert user.username == "anna"
        insert_at_once(stores)
        await stores.run(lambda session: session.refresh(user))
        assert user.username == "anna"

    async def test_an_operation_after_a_look_begins_anew(self, stores: Stores) -> None:
        """What others have done since the look is seen."""
        user = await add_user(stores)
        await stores.users.get_by_email(ANNA)
        await stores.users.release()
        with stores.outside.begin() as connection:
            connection.execute(stores.models.user.__table__.update().values(hashed_password="newer"))
        async with stores.users.transaction():
            assert await stores.users.lock(user.id) is user
            assert vars(user)["hashed_password"] == "newer"


class TestCancelled:
    async def test_in_the_middle(self, stores: Stores, hooks: Hooks) -> None:
        user_id = (await add_user(stores)).id
        is_locked = asyncio.Event()

        async def work() -> None:
            async with stores.users.transaction():
                hooks.add()
                user = await stores.users.lock(user_id)
                await stores.users.update(user, {"is_verified": True})
                is_locked.set()
                await asyncio.Event().wait()

        await cancel(work(), when=is_locked.wait())
        assert not await stores.run(Session.in_transaction)
        insert_at_once(stores)
        assert hooks.saw == []

    async def test_while_it_waits_for_a_lock(self, stores: Stores) -> None:
        user_id = (await add_user(stores)).id

        async def work() -> None:
            async with stores.users.transaction():
                await stores.users.lock(user_id)

        # Connected before: what a driver does whose connecting is cancelled is not our business.
        await work()
        with stores.outside.connect() as connection:
            if connection.dialect.name == "sqlite":
                connection.exec_driver_sql("BEGIN IMMEDIATE")
            else:
                connection.execute(stores.models.user.__table__.select().with_for_update())
            task = asyncio.create_task(work())
            await asyncio.sleep(0.1)
            task.cancel()
            await asyncio.sleep(0)
        with pytest.raises(asyncio.CancelledError):
            await task
        assert not await stores.run(Session.in_transaction)
        insert_at_once(stores)
        await add_user(stores, BERTA)
        assert BERTA in stores.emails()


async def cancel(work: Coroutine[Any, Any, None], *, when: Awaitable[Any]) -> None:
    task = asyncio.create_task(work)
    await when
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
