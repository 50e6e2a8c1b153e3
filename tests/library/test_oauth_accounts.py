"""Accounts at providers, however the relationship to them is loaded by itself."""

from collections.abc import AsyncIterator, Awaitable, Callable

import pytest
from fastapi_users.exceptions import UserAlreadyExists, UserNotExists
from sqlalchemy.exc import IntegrityError
from sqlalchemy.orm import Session

from tests.library.models import Lazy, make_models
from tests.library.stores import Stores, delete_users, new_account, new_user, open_stores

pytestmark = pytest.mark.parametrize(
    ("form", "kind", "lazy"),
    [
        ("sqlalchemy-uuid", "async", "raise"),
        ("sqlalchemy-uuid", "sync", "joined"),
        ("sqlalchemy-int", "async", "joined"),
        ("sqlmodel-uuid", "async", "select"),
        ("sqlmodel-int", "sync", "raise"),
        ("sqlmodel-int", "async", "joined"),
    ],
    indirect=["form", "kind"],
)


@pytest.fixture
async def stores(form: str, lazy: Lazy, url: str, kind: str) -> AsyncIterator[Stores]:
    async with open_stores(make_models(form, lazy), url, kind) as stores:
        yield stores


class TestGetByOAuthAccount:
    async def test_nobody(self, stores: Stores) -> None:
        await stores.users.create(new_user("anna@example.com"))
        assert await stores.users.get_by_oauth_account("google", "7") is None

    async def test_garbage(self, stores: Stores) -> None:
        assert await stores.users.get_by_oauth_account("\0", "7") is None
        assert await stores.users.get_by_oauth_account("google", "\ud800") is None

    async def test_the_user_comes_with_its_accounts(self, stores: Stores) -> None:
        user = await stores.users.create(new_user("anna@example.com"))
        other = await stores.users.create(new_user("berta@example.com"))
        await stores.users.add_oauth_account(user, new_account("google", "7"))
        await stores.users.add_oauth_account(user, new_account("github", "7"))
        await stores.users.add_oauth_account(other, new_account("google", "8"))
        await stores.run(Session.expunge_all)
        found = await stores.users.get_by_oauth_account("google", "7")
        assert found is not None
        assert found.email == "anna@example.com"
        assert {account.oauth_name for account in found.oauth_accounts} == {"google", "github"}
        assert await stores.users.get_by_oauth_account("github", "8") is None


class TestGet:
    async def test_the_user_is_one_row(self, stores: Stores) -> None:
        """With lazy="joined" the database answers with a row for each account."""
        user = await stores.users.create(new_user("anna@example.com"))
        await stores.users.add_oauth_account(user, new_account("google"))
        await stores.users.add_oauth_account(user, new_account("github"))
        await stores.run(Session.expunge_all)
        found = await stores.users.get(user.id)
        assert found is not None
        assert await stores.users.get_by_email("anna@example.com") is found


class TestAddOAuthAccount:
    async def test_an_account(self, stores: Stores) -> None:
        user = await stores.users.create(new_user("anna@example.com"))
        same = await stores.users.add_oauth_account(user, new_account("google", expires_at=None))
        assert same is user
        [account] = user.oauth_accounts
        assert (account.oauth_name, account.account_id, account.expires_at) == ("google", "7", None)
        assert account.user_id == user.id
        assert stores.count(stores.models.oauth_account) == 1

    async def test_tokens_of_100_kilobytes(self, stores: Stores) -> None:
        user = await stores.users.create(new_user("anna@example.com"))
        long = "x" * 100_000
        await stores.users.add_oauth_account(user, new_account(access_token=long, refresh_token=long))
        await stores.run(Session.expunge_all)
        found = await stores.users.get_by_oauth_account("google", "7")
        assert found is not None
        assert (found.oauth_accounts[0].access_token, found.oauth_accounts[0].refresh_token) == (long, long)

    @pytest.mark.parametrize("owner", ["anna@example.com", "berta@example.com"])
    async def test_one_that_belongs_to_a_user(self, stores: Stores, owner: str) -> None:
        anna = await stores.users.create(new_user("anna@example.com"))
        berta = await stores.users.create(new_user("berta@example.com"))
        await stores.users.add_oauth_account(anna if owner == anna.email else berta, new_account())
        with pytest.raises(UserAlreadyExists):
            await stores.users.add_oauth_account(anna, new_account())
        assert anna.email == "anna@example.com"
        await stores.users.add_oauth_account(anna, new_account("github"))
        assert stores.count(stores.models.oauth_account) == 2

    async def test_of_a_user_who_was_deleted(self, stores: Stores) -> None:
        user = await stores.users.create(new_user("anna@example.com"))
        delete_users(stores)
        with pytest.raises(UserNotExists):
            await stores.users.add_oauth_account(user, new_account())
        assert stores.count(stores.models.oauth_account) == 0

    async def test_another_constraint_is_passed_on(self, stores: Stores) -> None:
        user = await stores.users.create(new_user("anna@example.com"))
        with pytest.raises(IntegrityError, match="account_email"):
            await stores.users.add_oauth_account(user, new_account(account_email=None))

    async def test_without_a_table(self, stores: Stores) -> None:
        """It is said first, whoever is asked for: nothing is looked up or written."""
        user = await stores.users.create(new_user("anna@example.com"))
        await stores.users.add_oauth_account(user, new_account())
        [account] = user.oauth_accounts
        stores.users.oauth_account_table = None
        calls: list[Callable[[], Awaitable[object]]] = [
            lambda: stores.users.get_by_oauth_account("google", "7"),
            lambda: stores.users.add_oauth_account(user, new_account("github")),
            lambda: stores.users.update_oauth_account(user, account, {"access_token": "new"}),
            lambda: stores.users.update_oauth_account(user, stores.models.oauth_account(), {}),
        ]
        for call in calls:
            with pytest.raises(NotImplementedError, match="was made without a table of OAuth accounts"):
                await call()
        assert account.access_token == "secret"
        delete_users(stores)
        with pytest.raises(NotImplementedError):
            await stores.users.add_oauth_account(user, {})


class TestUpdateOAuthAccount:
    async def test_columns(self, stores: Stores) -> None:
        user = await stores.users.create(new_user("anna@example.com"))
        await stores.users.add_oauth_account(user, new_account("github"))
        await stores.users.add_oauth_account(user, new_account("google"))
        [account] = [account for account in user.oauth_accounts if account.oauth_name == "google"]
        same = await stores.users.update_oauth_account(user, account, {"access_token": "new", "expires_at": None})
        assert same is user
        assert {(account.oauth_name, account.access_token) for account in user.oauth_accounts} == {
            ("github", "secret"),
            ("google", "new"),
        }

    async def test_to_one_that_belongs_to_a_user(self, stores: Stores) -> None:
        anna = await stores.users.create(new_user("anna@example.com"))
        berta = await stores.users.create(new_user("berta@example.com"))
        await stores.users.add_oauth_account(anna, new_account("google", "7"))
        await stores.users.add_oauth_account(berta, new_account("google", "8"))
        [account] = berta.oauth_accounts
        with pytest.raises(UserAlreadyExists):
            await stores.users.update_oauth_account(berta, account, {"account_id": "7"})
        assert account.account_id == "8"
        await stores.users.update_oauth_account(berta, account, {"account_id": "9"})
        assert [account.account_id for account in berta.oauth_accounts] == ["9"]

    async def test_of_a_user_who_was_deleted(self, stores: Stores) -> None:
        user = await stores.users.create(new_user("anna@example.com"))
        await stores.users.add_oauth_account(user, new_account())
        [account] = user.oauth_accounts
        await stores.users.delete(user)
        with pytest.raises(UserNotExists):
            await stores.users.update_oauth_account(user, account, {"access_token": "new"})


class TestDelete:
    async def test_the_accounts_go_with_the_user(self, stores: Stores) -> None:
        anna = await stores.users.create(new_user("anna@example.com"))
        berta = await stores.users.create(new_user("berta@example.com"))
        await stores.users.add_oauth_account(anna, new_account("google"))
        await stores.users.add_oauth_account(anna, new_account("github"))
        await stores.users.add_oauth_account(berta, new_account("google", "8"))
        await stores.users.delete(anna)
        assert stores.emails() == ["berta@example.com"]
        assert stores.count(stores.models.oauth_account) == 1
