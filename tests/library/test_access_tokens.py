"""The access token store keeps the protocol of FastAPI Users' `DatabaseStrategy`."""

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from fastapi_users.exceptions import UserNotExists
from sqlalchemy.exc import IntegrityError
from sqlalchemy.orm import Session

from tests.library.stores import Stores, delete_users, new_user

pytestmark = pytest.mark.parametrize(
    ("form", "kind"),
    [("sqlalchemy-uuid", "async"), ("sqlalchemy-int", "sync"), ("sqlmodel-uuid", "sync"), ("sqlmodel-int", "async")],
    indirect=True,
)

TOKEN = "x" * 43
HOUR = timedelta(hours=1)


@pytest.fixture
async def user(stores: Stores) -> Any:
    return await stores.users.create(new_user("anna@example.com"))


class TestGetByToken:
    async def test_nobody(self, stores: Stores) -> None:
        for nothing in ("", TOKEN, "\0", "\ud800", "x" * 1_000_000):
            assert await stores.tokens.get_by_token(nothing) is None

    async def test_a_token(self, stores: Stores, user: Any) -> None:
        token = await stores.tokens.create({"token": TOKEN, "user_id": user.id})
        assert await stores.tokens.get_by_token(TOKEN) is token

    async def test_its_age(self, stores: Stores, user: Any) -> None:
        """`max_age` is the earliest creation time that still counts."""
        now = datetime.now(UTC)
        await stores.tokens.create({"token": TOKEN, "user_id": user.id, "created_at": now - HOUR})
        await stores.run(Session.expunge_all)
        assert await stores.tokens.get_by_token(TOKEN, now - HOUR / 2) is None
        assert await stores.tokens.get_by_token(TOKEN, now - HOUR + timedelta(milliseconds=1)) is None
        token = await stores.tokens.get_by_token(TOKEN, now - HOUR)
        assert token is not None
        assert token.created_at == now - HOUR


class TestCreate:
    async def test_a_token(self, stores: Stores, user: Any) -> None:
        before = datetime.now(UTC)
        token = await stores.tokens.create({"token": TOKEN, "user_id": user.id})
        assert (token.token, token.user_id) == (TOKEN, user.id)
        assert before <= token.created_at <= datetime.now(UTC)
        assert stores.count(stores.models.access_token) == 1

    async def test_for_a_user_who_was_deleted(self, stores: Stores, user: Any) -> None:
        user_id = user.id
        delete_users(stores)
        with pytest.raises(UserNotExists):
            await stores.tokens.create({"token": TOKEN, "user_id": user_id})

    async def test_twice(self, stores: Stores, user: Any) -> None:
        await stores.tokens.create({"token": TOKEN, "user_id": user.id})
        await stores.run(Session.expunge_all)
        with pytest.raises(IntegrityError):
            await stores.tokens.create({"token": TOKEN, "user_id": user.id})
        assert await stores.tokens.create({"token": "another", "user_id": user.id})


class TestUpdate:
    async def test_columns(self, stores: Stores, user: Any) -> None:
        token = await stores.tokens.create({"token": TOKEN, "user_id": user.id})
        later = datetime.now(UTC) + HOUR
        assert await stores.tokens.update(token, {"created_at": later}) is token
        assert token.created_at == later
        assert await stores.tokens.get_by_token(TOKEN, later) is token

    async def test_to_a_user_who_is_not_there(self, stores: Stores, user: Any) -> None:
        token = await stores.tokens.create({"token": TOKEN, "user_id": user.id})
        with pytest.raises(UserNotExists):
            await stores.tokens.update(token, {"user_id": stores.models.unknown_ids[0]})
        assert token.user_id == user.id


class TestDelete:
    async def test_a_token(self, stores: Stores, user: Any) -> None:
        token = await stores.tokens.create({"token": TOKEN, "user_id": user.id})
        await stores.tokens.delete(token)
        assert await stores.tokens.get_by_token(TOKEN) is None
        assert stores.count(stores.models.access_token) == 0

    async def test_twice(self, stores: Stores, user: Any) -> None:
        token = await stores.tokens.create({"token": TOKEN, "user_id": user.id})
        await stores.tokens.delete(token)
        await stores.tokens.delete(token)
        await stores.run(Session.expunge_all)
        await stores.tokens.delete(token)

    async def test_of_a_user_who_was_deleted(self, stores: Stores, user: Any) -> None:
        token = await stores.tokens.create({"token": TOKEN, "user_id": user.id})
        delete_users(stores)
        await stores.tokens.delete(token)
        assert await stores.tokens.get_by_token(TOKEN) is None
