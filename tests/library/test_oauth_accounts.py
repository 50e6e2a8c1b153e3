"""Accounts at providers, however the relationship to them is loaded by itself."""

from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Any

import pytest
from fastapi_users.exceptions import UserAlreadyExists, UserNotExists
from sqlalchemy.exc import IntegrityError
from sqlalchemy.orm import Session

from tests.library.accounts import Manager
from tests.library.models import Lazy, make_models
from tests.library.stores import Stores, delete_users, new_account, new_user, open_stores

ANNA = "anna@example.com"
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
            # FastAPI Users' base store raises this error as well.
            with pytest.raises(NotImplementedError, match="was made without a table of OAuth accounts"):
                await call()
        assert account.access_token == "secret"
        delete_users(stores)
        with pytest.raises(NotImplementedError, match="was made without a table of OAuth accounts"):
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


def from_provider(**values: Any) -> dict[str, Any]:
    return {"oauth_name": "google", "access_token": "new", "account_id": "7", "account_email": ANNA, **values}


class TestTheCallbacksOfTheManager:
    """The situations of FastAPI Users' own tests of `oauth_callback` and `oauth_associate_callback`."""

    @pytest.fixture
    def manager(self, stores: Stores) -> Manager:
        return Manager(stores.users)

    async def test_who_is_found_by_the_account(self, stores: Stores, manager: Manager) -> None:
        user = await stores.users.create(new_user(ANNA))
        await stores.users.add_oauth_account(user, new_account("github"))
        await stores.users.add_oauth_account(user, new_account("google"))
        await stores.run(Session.expunge_all)
        found = await manager.get_by_oauth_account("google", "7")
        assert found.email == ANNA
        with pytest.raises(UserNotExists):
            await manager.get_by_oauth_account("google", "8")

    async def test_an_account_that_is_known(self, stores: Stores, manager: Manager) -> None:
        user = await stores.users.create(new_user(ANNA))
        await stores.users.add_oauth_account(user, new_account("google"))
        await stores.users.add_oauth_account(user, new_account("github"))
        await stores.run(Session.expunge_all)
        found = await manager.oauth_callback(**from_provider(account_email="elsewhere@example.com"))
        assert (found.id, found.email) == (user.id, ANNA)
        assert [(account.oauth_name, account.access_token) for account in found.oauth_accounts] == [
            ("github", "secret"),
            ("google", "new"),
        ]
        assert manager.heard == []

    @pytest.mark.parametrize("email", [ANNA, "Anna@Example.com"])
    async def test_an_address_that_is_taken(self, stores: Stores, manager: Manager, email: str) -> None:
        await stores.users.create(new_user(ANNA))
        with pytest.raises(UserAlreadyExists):
            await manager.oauth_callback(**from_provider(account_email=email))
        assert (stores.emails(), stores.count(stores.models.oauth_account), manager.heard) == ([ANNA], 0, [])

    async def test_an_address_by_which_accounts_are_associated(self, stores: Stores, manager: Manager) -> None:
        user = await stores.users.create(new_user(ANNA))
        found = await manager.oauth_callback(**from_provider(), associate_by_email=True)
        assert found is user
        assert [account.account_id for account in found.oauth_accounts] == ["7"]
        assert (stores.emails(), manager.heard) == ([ANNA], [])

    @pytest.mark.parametrize("is_verified", [False, True])
    async def test_a_new_user(
        self,
        stores: Stores,
        manager: Manager,
        is_verified: bool,  # noqa: FBT001  # A parameter
    ) -> None:
        created = await manager.oauth_callback(**from_provider(), is_verified_by_default=is_verified)
        assert (created.email, created.is_verified) == (ANNA, is_verified)
        assert [account.account_id for account in created.oauth_accounts] == ["7"]
        assert (stores.emails(), manager.heard) == ([ANNA], ["on_after_register"])

    async def test_an_account_for_a_user_who_is_signed_in(self, stores: Stores, manager: Manager) -> None:
        user = await stores.users.create(new_user("berta@example.com"))
        found = await manager.oauth_associate_callback(user, **from_provider())
        assert found is user
        assert [(account.account_id, account.account_email) for account in found.oauth_accounts] == [("7", ANNA)]
        assert manager.heard == ["on_after_update"]
