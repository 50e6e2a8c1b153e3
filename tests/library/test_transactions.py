"""Whose transaction it is: a store commits on a plain session, and in an explicitly opened transaction it does not."""

from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Any

import pytest
from fastapi_users.exceptions import UserAlreadyExists, UserNotExists
from sqlalchemy import NullPool, create_engine
from sqlalchemy.orm import Session

from fastapi_users_sqlmodel.engines import sync_url
from fastapi_users_sqlmodel.exceptions import ValueRefused
from tests.library.models import Models
from tests.library.stores import Stores, new_account, new_user, open_stores

AS_IT_COMES = "sqlite as it comes"  # Without prepare_sqlite.
pytestmark = pytest.mark.parametrize(
    ("form", "kind", "engine"),
    [
        ("sqlalchemy-uuid", "async", "sqlite"),
        ("sqlalchemy-uuid", "async", AS_IT_COMES),
        ("sqlmodel-int", "sync", AS_IT_COMES),
        ("sqlmodel-uuid", "async", "postgresql"),
        ("sqlalchemy-int", "sync", "postgresql"),
    ],
    indirect=["form", "kind"],
)


@pytest.fixture
def backend(engine: str) -> str:
    return engine.partition(" ")[0]


@pytest.fixture
async def stores(models: Models, url: str, kind: str, engine: str) -> AsyncIterator[Stores]:
    prepared = engine != AS_IT_COMES
    async with open_stores(models, url, kind, prepared=prepared) as stores:
        yield stores


async def create(stores: Stores, user: Any) -> None:
    await stores.users.create(new_user("new@example.com"))


async def change(stores: Stores, user: Any) -> None:
    await stores.users.update(user, {"email": "changed@example.com"})


async def delete(stores: Stores, user: Any) -> None:
    await stores.users.delete(user)


async def add_account(stores: Stores, user: Any) -> None:
    await stores.users.add_oauth_account(user, new_account("github"))


async def change_account(stores: Stores, user: Any) -> None:
    await stores.users.update_oauth_account(user, user.oauth_accounts[0], {"account_id": "8"})


async def create_token(stores: Stores, user: Any) -> None:
    await stores.tokens.create({"token": "new", "user_id": user.id})


async def change_token(stores: Stores, user: Any) -> None:
    token = await stores.tokens.get_by_token("token")
    await stores.tokens.update(token, {"token": "changed"})


async def delete_token(stores: Stores, user: Any) -> None:
    token = await stores.tokens.get_by_token("token")
    await stores.tokens.delete(token)


WRITES = [create, change, delete, add_account, change_account, create_token, change_token, delete_token]
type Write = Callable[[Stores, Any], Awaitable[None]]


async def a_user(stores: Stores) -> Any:
    """Create a user with an account and a token."""
    user = await stores.users.create(new_user("anna@example.com"))
    await stores.tokens.create({"token": "token", "user_id": user.id})
    return await stores.users.add_oauth_account(user, new_account("google"))


def rows(stores: Stores) -> dict[str, list[Any]]:
    """Say what another connection sees in every table."""
    with stores.outside.connect() as connection:
        return {
            name: sorted(map(str, connection.execute(table.select())))
            for name, table in stores.models.metadata.tables.items()
        }


@pytest.mark.parametrize("write", WRITES)
class TestOnAPlainSession:
    async def test_it_is_committed_and_no_transaction_is_left(self, stores: Stores, write: Write) -> None:
        user = await a_user(stores)
        before = rows(stores)
        await write(stores, user)
        assert rows(stores) != before
        assert not await stores.run(Session.in_transaction)


@pytest.mark.parametrize("write", WRITES)
class TestInAnExplicitTransaction:
    async def test_the_caller_commits(self, stores: Stores, write: Write) -> None:
        user = await a_user(stores)
        before = rows(stores)
        await stores.run(Session.begin)
        await write(stores, user)
        assert rows(stores) == before
        await stores.run(Session.commit)
        assert rows(stores) != before

    async def test_the_caller_rolls_back(self, stores: Stores, write: Write) -> None:
        user = await a_user(stores)
        before = rows(stores)
        await stores.run(Session.begin)
        await write(stores, user)
        await stores.run(Session.rollback)
        assert rows(stores) == before

    async def test_the_caller_rolls_back_a_savepoint(self, stores: Stores, write: Write) -> None:
        user = await a_user(stores)
        before = rows(stores)
        await stores.run(Session.begin)
        savepoint = await stores.run(Session.begin_nested)
        await write(stores, user)
        await stores.run(lambda _: savepoint.rollback())
        await stores.run(Session.commit)
        assert rows(stores) == before

    async def test_the_caller_opened_a_savepoint_on_a_plain_session(self, stores: Stores, write: Write) -> None:
        user = await a_user(stores)
        before = rows(stores)
        savepoint = await stores.run(Session.begin_nested)
        await write(stores, user)
        assert rows(stores) == before
        await stores.run(lambda _: savepoint.commit())
        await stores.run(Session.commit)
        assert rows(stores) != before


async def create_taken(stores: Stores, user: Any) -> None:
    with pytest.raises(UserAlreadyExists):
        await stores.users.create(new_user("ANNA@example.com"))


async def change_to_taken(stores: Stores, user: Any) -> None:
    other = await stores.users.get_by_email("other@example.com")
    await stores.run(Session.rollback)
    with pytest.raises(UserAlreadyExists):
        await stores.users.update(other, {"email": "ANNA@example.com"})


async def add_taken_account(stores: Stores, user: Any) -> None:
    with pytest.raises(UserAlreadyExists):
        await stores.users.add_oauth_account(user, new_account("google"))


async def create_with_another_constraint(stores: Stores, user: Any) -> None:
    with pytest.raises(ValueRefused):
        await stores.users.create(new_user("new@example.com", hashed_password=None))


async def change_somebody_deleted(stores: Stores, user: Any) -> None:
    with stores.outside.begin() as connection:
        connection.execute(stores.models.user.__table__.delete().where(stores.models.user.id == user.id))
    with pytest.raises(UserNotExists):
        await stores.users.update(user, {"is_verified": True})


REFUSED = [
    create_taken,
    change_to_taken,
    add_taken_account,
    create_with_another_constraint,
    change_somebody_deleted,
]


@pytest.mark.parametrize("refused", REFUSED)
class TestARefusedWrite:
    async def test_on_a_plain_session_ends_what_began_with_it(self, stores: Stores, refused: Write) -> None:
        """Another connection can write at once: SQLite's lock is free."""
        await stores.users.create(new_user("other@example.com"))
        user = await a_user(stores)
        await refused(stores, user)
        assert not await stores.run(Session.in_transaction)
        insert_at_once(stores)


@pytest.mark.parametrize("refused", [create_taken, add_taken_account, create_with_another_constraint])
class TestARefusedWriteInAnExplicitTransaction:
    async def test_leaves_it_usable(self, stores: Stores, refused: Write) -> None:
        user = await a_user(stores)
        await stores.run(Session.begin)
        await stores.users.create(new_user("before@example.com"))
        await refused(stores, user)
        await stores.users.create(new_user("after@example.com"))
        assert stores.emails() == ["anna@example.com"]
        await stores.run(Session.commit)
        assert stores.emails() == ["after@example.com", "anna@example.com", "before@example.com"]


class TestALookAndARefusedWrite:
    async def test_leaves_the_lock_free(self, stores: Stores, engine: str) -> None:
        """This is what FastAPI Users' manager does."""
        if engine == "sqlite":
            pytest.skip("on a prepared engine the look itself takes the lock")
        await stores.users.create(new_user("anna@example.com"))
        assert await stores.users.get_by_email("berta@example.com") is None
        await create_taken(stores, None)
        insert_at_once(stores)


class TestWhatTheCallerChanged:
    async def test_is_committed_along_on_a_plain_session(self, stores: Stores) -> None:
        user = await stores.users.create(new_user("anna@example.com"))
        user.username = "anna"
        await stores.users.create(new_user("berta@example.com"))
        await stores.run(Session.rollback)
        await stores.run(lambda session: session.refresh(user))
        assert user.username == "anna"

    async def test_survives_a_refused_write_uncommitted(self, stores: Stores) -> None:
        user = await stores.users.create(new_user("anna@example.com"))
        user.username = "anna"
        await create_taken(stores, user)
        assert user.username == "anna"
        await stores.run(Session.rollback)
        await stores.run(lambda session: session.refresh(user))
        assert user.username is None


def insert_at_once(stores: Stores) -> None:
    url = sync_url(stores.outside.url)
    options = {"timeout": 0} if url.get_backend_name() == "sqlite" else {}
    impatient = create_engine(url, connect_args=options, poolclass=NullPool)
    with impatient.begin() as connection:
        table = stores.models.user.__table__
        connection.execute(
            table.insert().values({"id": stores.models.unknown_ids[0], **new_user("impatient@example.com")})
        )
