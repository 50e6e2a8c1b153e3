"""The user store keeps FastAPI Users' protocol, whatever the tables, the ids, the session and the database."""

import pytest
from fastapi_users.exceptions import UserAlreadyExists, UserNotExists
from sqlalchemy import inspect
from sqlalchemy.orm import Session

from fastapi_users_sqlmodel.exceptions import UsernameAlreadyExists, ValueRefused
from tests.library.models import FORMS
from tests.library.stores import Stores, delete_users, new_account, new_user
from tests.spellings import SPELLINGS, TYPED

# SQLAlchemy's own AsyncSession needs no word of its own from the stores, so two forms are enough for it.
SETTINGS = [(form, kind) for form in FORMS for kind in ("async", "sync")]
SETTINGS += [("sqlalchemy-uuid", "async-sqlalchemy"), ("sqlmodel-int", "async-sqlalchemy")]
pytestmark = pytest.mark.parametrize(("form", "kind"), SETTINGS, indirect=True)

OTHERS = ["jorg@bücher.example.com", "jörg@bucher.example.com", "jörg@example.com", "jörg", "@", ""]
GARBAGE = ["\0", "a\0b@example.com", "\ud800", "\ud800@example.com", "x" * 1_000_000, "x" * 1_000_000 + "@example.com"]


class TestGet:
    async def test_a_user(self, stores: Stores) -> None:
        user = await stores.users.create(new_user("anna@example.com"))
        await stores.run(Session.expunge_all)
        found = await stores.users.get(user.id)
        assert found is not None
        assert found is not user
        assert (found.id, found.email) == (user.id, "anna@example.com")

    async def test_nobody(self, stores: Stores) -> None:
        """Integers that no column can hold are nobody's, too."""
        for unknown_id in stores.models.unknown_ids:
            assert await stores.users.get(unknown_id) is None


class TestGetByEmail:
    async def test_in_every_spelling(self, stores: Stores) -> None:
        user = await stores.users.create(new_user(TYPED))
        assert [await stores.users.get_by_email(spelling) for spelling in SPELLINGS] == [user] * len(SPELLINGS)

    async def test_of_somebody_else(self, stores: Stores) -> None:
        await stores.users.create(new_user(TYPED))
        assert [await stores.users.get_by_email(other) for other in OTHERS] == [None] * len(OTHERS)

    async def test_garbage(self, stores: Stores) -> None:
        assert [await stores.users.get_by_email(garbage) for garbage in GARBAGE] == [None] * len(GARBAGE)


class TestCreate:
    async def test_a_user(self, stores: Stores) -> None:
        user = await stores.users.create(new_user("  Anna@Example.com "))
        assert (user.email, user.email_canonical) == ("Anna@Example.com", "anna@example.com")
        assert (user.is_active, user.is_superuser, user.is_verified) == (True, False, False)
        assert stores.emails() == ["Anna@Example.com"]

    async def test_a_taken_address(self, stores: Stores) -> None:
        user = await stores.users.create(new_user(TYPED))
        for taken in SPELLINGS:
            with pytest.raises(UserAlreadyExists):
                await stores.users.create(new_user(taken))
        assert user.email == TYPED
        assert await stores.users.create(new_user("anna@example.com"))
        assert stores.emails() == [TYPED, "anna@example.com"]

    async def test_without_an_address(self, stores: Stores) -> None:
        with pytest.raises(ValueRefused, match="email"):
            await stores.users.create({"hashed_password": "hash"})
        assert stores.emails() == []

    async def test_a_taken_username(self, stores: Stores) -> None:
        await stores.users.create(new_user("anna@example.com", username="anna"))
        with pytest.raises(UsernameAlreadyExists):
            await stores.users.create(new_user("other@example.com", username="anna"))
        assert stores.emails() == ["anna@example.com"]


class TestUpdate:
    async def test_columns(self, stores: Stores) -> None:
        user = await stores.users.create(new_user("anna@example.com"))
        changed = await stores.users.update(user, {"email": "Berta@Example.com", "is_verified": True})
        assert changed is user
        assert (user.email, user.email_canonical, user.is_verified) == ("Berta@Example.com", "berta@example.com", True)
        assert stores.emails() == ["Berta@Example.com"]
        assert await stores.users.get_by_email("anna@example.com") is None

    async def test_what_the_database_computes_is_loaded(self, stores: Stores) -> None:
        user = await stores.users.create(new_user("anna@example.com"))
        assert user.changed_at is None
        await stores.users.update(user, {"is_verified": True})
        assert user.changed_at is not None
        assert not await stores.run(Session.in_transaction)

    async def test_nothing(self, stores: Stores) -> None:
        user = await stores.users.create(new_user("anna@example.com"))
        assert await stores.users.update(user, {}) is user

    async def test_ones_own_address_in_another_spelling(self, stores: Stores) -> None:
        user = await stores.users.create(new_user("anna@example.com"))
        await stores.users.update(user, {"email": "ANNA@example.com"})
        assert stores.emails() == ["ANNA@example.com"]

    async def test_a_taken_address(self, stores: Stores) -> None:
        """The session and the user stay usable, and what was refused is forgotten."""
        await stores.users.create(new_user(TYPED))
        user = await stores.users.create(new_user("anna@example.com"))
        with pytest.raises(UserAlreadyExists):
            await stores.users.update(user, {"email": SPELLINGS[-1], "is_verified": True})
        assert (user.email, user.email_canonical, user.is_verified) == ("anna@example.com", "anna@example.com", False)
        await stores.users.update(user, {"is_superuser": True})
        assert stores.emails() == [TYPED, "anna@example.com"]

    async def test_a_taken_address_keeps_what_was_loaded(self, stores: Stores) -> None:
        await stores.users.create(new_user(TYPED))
        user = await stores.users.create(new_user("anna@example.com"))
        await stores.run(lambda session: session.refresh(user, ["oauth_accounts"]))
        with pytest.raises(UserAlreadyExists):
            await stores.users.update(user, {"email": TYPED})
        assert inspect(user).unloaded == set()

    async def test_a_taken_username(self, stores: Stores) -> None:
        await stores.users.create(new_user("anna@example.com", username="anna"))
        user = await stores.users.create(new_user("berta@example.com", username="berta"))
        with pytest.raises(UsernameAlreadyExists):
            await stores.users.update(user, {"username": "anna"})
        assert user.username == "berta"

    async def test_somebody_whom_another_session_deleted(self, stores: Stores) -> None:
        user = await stores.users.create(new_user("anna@example.com"))
        delete_users(stores)
        with pytest.raises(UserNotExists):
            await stores.users.update(user, {"is_verified": True})
        assert await stores.users.create(new_user("anna@example.com"))

    async def test_somebody_whom_this_session_deleted(self, stores: Stores) -> None:
        user = await stores.users.create(new_user("anna@example.com"))
        await stores.users.delete(user)
        with pytest.raises(UserNotExists):
            await stores.users.update(user, {"is_verified": True})

    async def test_somebody_deleted_in_the_same_transaction(self, stores: Stores) -> None:
        user = await stores.users.create(new_user("anna@example.com"))
        await stores.run(Session.begin)
        await stores.users.delete(user)
        with pytest.raises(UserNotExists):
            await stores.users.update(user, {"is_verified": True})
        await stores.run(Session.commit)


class TestDelete:
    async def test_a_user(self, stores: Stores) -> None:
        user = await stores.users.create(new_user("anna@example.com"))
        await stores.users.delete(user)
        assert await stores.users.get(user.id) is None
        assert stores.emails() == []

    async def test_twice(self, stores: Stores) -> None:
        user = await stores.users.create(new_user("anna@example.com"))
        await stores.users.delete(user)
        await stores.users.delete(user)
        assert stores.emails() == []

    async def test_twice_in_one_transaction(self, stores: Stores) -> None:
        user = await stores.users.create(new_user("anna@example.com"))
        await stores.run(Session.begin)
        await stores.users.delete(user)
        await stores.users.delete(user)
        await stores.run(Session.commit)
        assert stores.emails() == []

    async def test_somebody_whom_another_session_deleted(self, stores: Stores) -> None:
        user = await stores.users.create(new_user("anna@example.com"))
        delete_users(stores)
        await stores.users.delete(user)
        assert await stores.users.create(new_user("anna@example.com"))

    async def test_somebody_from_a_session_that_has_ended(self, stores: Stores) -> None:
        user = await stores.users.create(new_user("anna@example.com"))
        await stores.run(Session.expunge_all)
        await stores.users.delete(user)
        assert stores.emails() == []
        await stores.users.delete(user)

    async def test_what_hangs_on_the_user_goes_with_it(self, stores: Stores) -> None:
        user = await stores.users.create(new_user("anna@example.com"))
        await stores.users.add_oauth_account(user, new_account("google"))
        await stores.tokens.create({"token": "token", "user_id": user.id})
        await stores.users.delete(user)
        assert stores.count(stores.models.oauth_account) == 0
        assert stores.count(stores.models.access_token) == 0
