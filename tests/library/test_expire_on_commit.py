"""A session that forgets on every commit, as SQLAlchemy's do by default: what a store returns stays usable."""

from collections.abc import AsyncIterator

import pytest
from fastapi_users.exceptions import UserAlreadyExists, UserNotExists

from tests.library.models import Models
from tests.library.stores import Stores, delete_users, new_account, new_user, open_stores

pytestmark = pytest.mark.parametrize(
    ("form", "kind"), [("sqlalchemy-uuid", "async"), ("sqlmodel-int", "sync")], indirect=True
)
TAKEN = "taken@example.com"


@pytest.fixture
async def stores(models: Models, url: str, kind: str) -> AsyncIterator[Stores]:
    async with open_stores(models, url, kind, expire_on_commit=True) as stores:
        yield stores


async def test_create(stores: Stores) -> None:
    user = await stores.users.create(new_user("anna@example.com"))
    assert (user.email, user.is_active) == ("anna@example.com", True)


async def test_update(stores: Stores) -> None:
    user = await stores.users.create(new_user("anna@example.com"))
    await stores.users.update(user, {"is_verified": True})
    assert (user.email, user.is_verified) == ("anna@example.com", True)


async def test_delete_twice(stores: Stores) -> None:
    user = await stores.users.create(new_user("anna@example.com"))
    await stores.users.delete(user)
    await stores.users.delete(user)


async def test_a_refused_update(stores: Stores) -> None:
    await stores.users.create(new_user(TAKEN))
    user = await stores.users.create(new_user("anna@example.com"))
    with pytest.raises(UserAlreadyExists):
        await stores.users.update(user, {"email": TAKEN})
    assert user.email == "anna@example.com"


async def test_somebody_deleted_meanwhile(stores: Stores) -> None:
    user = await stores.users.create(new_user("anna@example.com"))
    await stores.users.create(new_user("berta@example.com"))
    delete_users(stores)
    for change in ({"is_verified": True}, {"is_active": True}):
        with pytest.raises(UserNotExists):
            await stores.users.update(user, change)
    with pytest.raises(UserNotExists):
        await stores.users.add_oauth_account(user, new_account("google"))
    await stores.users.delete(user)


async def test_oauth_accounts(stores: Stores) -> None:
    user = await stores.users.create(new_user("anna@example.com"))
    user = await stores.users.add_oauth_account(user, new_account("google"))
    user = await stores.users.update_oauth_account(user, user.oauth_accounts[0], {"account_email": "new@x.com"})
    assert (user.email, user.oauth_accounts[0].account_email) == ("anna@example.com", "new@x.com")


async def test_access_tokens(stores: Stores) -> None:
    user = await stores.users.create(new_user("anna@example.com"))
    token = await stores.tokens.create({"token": "token", "user_id": user.id})
    assert token.token == "token"
