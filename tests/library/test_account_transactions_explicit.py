"""Operations in a transaction that somebody else has opened: who commits, and when the hooks follow."""

from collections.abc import AsyncIterator
from contextlib import suppress

import pytest
from sqlalchemy.exc import IntegrityError
from sqlalchemy.ext.asyncio import AsyncSession
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


class TestInAnExplicitTransaction:
    async def test_the_caller_commits_and_the_hook_follows(self, stores: Stores, hooks: Hooks, kind: str) -> None:
        await stores.run(Session.begin)
        async with stores.users.transaction():
            hooks.add()
            await add_user(stores)
        assert stores.emails() == []
        await stores.run(Session.commit)
        assert stores.emails() == [ANNA]
        # A sync session cannot wait for a hook while it commits.
        assert hooks.saw == ([[]] if kind == "sync" else [[ANNA]])

    async def test_the_caller_rolls_back(self, stores: Stores, hooks: Hooks, kind: str) -> None:
        await stores.run(Session.begin)
        async with stores.users.transaction():
            hooks.add()
            await add_user(stores)
        await stores.run(Session.rollback)
        async with stores.users.transaction():
            pass
        assert stores.emails() == []
        assert hooks.saw == ([[]] if kind == "sync" else [])
        insert_at_once(stores)

    async def test_the_caller_closes_the_session(self, stores: Stores, hooks: Hooks, kind: str) -> None:
        await stores.run(Session.begin)
        async with stores.users.transaction():
            hooks.add()
            await add_user(stores)
        await stores.run(Session.close)
        async with stores.users.transaction():
            pass
        assert stores.emails() == []
        assert hooks.saw == ([[]] if kind == "sync" else [])

    async def test_the_caller_rolls_back_a_savepoint(self, stores: Stores, hooks: Hooks, kind: str) -> None:
        if kind == "sync":
            pytest.skip("its hooks run at the end of our part")
        await stores.run(Session.begin)
        savepoint = await stores.run(Session.begin_nested)
        async with stores.users.transaction():
            hooks.add()
            await add_user(stores)
        await stores.run(lambda _: savepoint.rollback())
        await stores.run(Session.commit)
        assert (stores.emails(), hooks.saw) == ([], [])

    async def test_what_fails_is_undone_alone(self, stores: Stores, hooks: Hooks) -> None:
        await stores.run(Session.begin)
        await add_user(stores)
        with suppress(Boom):
            async with stores.users.transaction():
                hooks.add()
                await add_user(stores, BERTA)
                raise Boom
        await stores.run(Session.commit)
        assert (stores.emails(), hooks.saw) == ([ANNA], [])

    async def test_what_was_loaded_stays_readable_when_it_fails(self, stores: Stores) -> None:
        user = await add_user(stores)
        await stores.run(Session.begin)
        await stores.users.update(user, {"is_superuser": True})
        with suppress(Boom):
            async with stores.users.transaction():
                await stores.users.lock(user.id)
                await stores.users.update(user, {"is_verified": True})
                raise Boom
        assert (user.email, user.is_verified, user.is_superuser) == (ANNA, False, True)

    async def test_a_refused_flush_leaves_it_usable(self, stores: Stores, hooks: Hooks) -> None:
        await stores.run(Session.begin)
        await add_user(stores)
        with suppress(IntegrityError):
            async with stores.users.transaction():
                hooks.add()
                await stores.run(lambda session: session.add(stores.models.user(**new_user(ANNA))))
                await stores.run(Session.flush)
        await add_user(stores, BERTA)
        await stores.run(Session.commit)
        assert (stores.emails(), hooks.saw) == ([ANNA, BERTA], [])

    async def test_hooks_of_an_earlier_part_stay(self, stores: Stores, hooks: Hooks, kind: str) -> None:
        await stores.run(Session.begin)
        async with stores.users.transaction():
            hooks.add()
            await add_user(stores)
        with suppress(Boom):
            async with stores.users.transaction():
                hooks.add()
                raise Boom
        await stores.run(Session.commit)
        assert hooks.saw == ([[]] if kind == "sync" else [[ANNA]])

    async def test_a_hook_uses_the_session(self, stores: Stores) -> None:
        async def hook() -> None:
            async with stores.users.transaction():
                await add_user(stores, BERTA)

        await stores.run(Session.begin)
        async with stores.users.transaction():
            stores.users.after_commit(hook)
            await add_user(stores)
        await stores.run(Session.commit)
        assert stores.emails() == [ANNA, BERTA]

    async def test_a_hook_that_fails_undoes_nothing(self, stores: Stores, kind: str) -> None:
        if kind == "sync":
            pytest.skip("its hooks run at the end of our part")

        async def hook() -> None:
            raise Boom

        await stores.run(Session.begin)
        async with stores.users.transaction():
            stores.users.after_commit(hook)
            await add_user(stores)
        with pytest.raises(Boom):
            await stores.run(Session.commit)
        assert stores.emails() == [ANNA]
        await add_user(stores, BERTA)
        assert stores.emails() == [ANNA, BERTA]

    async def test_release_leaves_it(self, stores: Stores) -> None:
        await stores.run(Session.begin)
        await add_user(stores)
        await stores.users.release()
        assert stores.emails() == []
        await stores.run(Session.rollback)
        assert stores.emails() == []


class TestInTheContextOfSQLAlchemy:
    """`async with session.begin()`, as SQLAlchemy's documentation and `async_sessionmaker.begin()` have it."""

    async def test_the_hook_follows_its_end(self, stores: Stores, hooks: Hooks) -> None:
        if not isinstance(stores.session, AsyncSession):
            pytest.skip("it is for async sessions")
        async with stores.session.begin():
            async with stores.users.transaction():
                hooks.add()
                await add_user(stores)
            assert (stores.emails(), hooks.saw) == ([], [])
        assert hooks.saw == [[ANNA]]

    async def test_a_hook_uses_the_session(self, stores: Stores) -> None:
        """As `on_after_register` does, when it asks the user to verify the address."""
        if not isinstance(stores.session, AsyncSession):
            pytest.skip("it is for async sessions")

        async def hook() -> None:
            async with stores.users.transaction():
                await add_user(stores, BERTA)

        async with stores.session.begin(), stores.users.transaction():
            stores.users.after_commit(hook)
            await add_user(stores)
        assert stores.emails() == [ANNA, BERTA]
        assert not stores.session.in_transaction()

    async def test_what_raises_takes_the_hook_along(self, stores: Stores, hooks: Hooks) -> None:
        if not isinstance(stores.session, AsyncSession):
            pytest.skip("it is for async sessions")
        with suppress(Boom):
            async with stores.session.begin():
                async with stores.users.transaction():
                    hooks.add()
                    await add_user(stores)
                raise Boom
        async with stores.session.begin():
            await add_user(stores, BERTA)
        assert (stores.emails(), hooks.saw) == ([BERTA], [])
