"""Whoever comes second is told so by the database, in FastAPI Users' words: real sessions, all at once."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack
from typing import Any

import pytest
from fastapi_users.exceptions import UserAlreadyExists

from tests.library.models import Models
from tests.library.stores import Stores, new_account, new_user, open_stores

pytestmark = [
    pytest.mark.parametrize("form", ["sqlalchemy-uuid", "sqlmodel-int"], indirect=True),
    pytest.mark.parametrize("kind", ["async", "sync"], indirect=True),
]

SPELLINGS = [
    "jörg@bücher.example.com",
    "Jörg@bücher.example.com",
    "JÖRG@BÜCHER.EXAMPLE.COM",
    "Jo\u0308rg@bu\u0308cher.example.com",
    " jörg@bücher.example.com ",
    "jörg@xn--bcher-kva.example.com",
    "jörg@XN--BCHER-KVA.example.com",
    "jörg@bücher.example.COM",
]


@pytest.fixture
async def eight(models: Models, url: str, kind: str) -> AsyncIterator[list[Stores]]:
    """Stores on eight connections to one database."""
    async with AsyncExitStack() as stack:
        yield [await stack.enter_async_context(open_stores(models, url, kind)) for _ in SPELLINGS]


async def test_one_address_is_one_account(eight: list[Stores]) -> None:
    answers = await asyncio.gather(
        *(stores.users.create(new_user(email)) for stores, email in zip(eight, SPELLINGS, strict=True)),
        return_exceptions=True,
    )
    assert sorted(type(answer).__name__ for answer in answers) == ["User"] + ["UserAlreadyExists"] * 7
    [winner] = [answer for answer in answers if not isinstance(answer, BaseException)]
    assert eight[0].emails() == [winner.email]


async def test_one_address_is_changed_to_once(eight: list[Stores]) -> None:
    users = [await stores.users.create(new_user(f"{n}@example.com")) for n, stores in enumerate(eight)]
    answers = await asyncio.gather(
        *(
            stores.users.update(user, {"email": email})
            for stores, user, email in zip(eight, users, SPELLINGS, strict=True)
        ),
        return_exceptions=True,
    )
    assert [type(answer) for answer in answers].count(UserAlreadyExists) == 7
    for n, (user, answer) in enumerate(zip(users, answers, strict=True)):
        assert answer is user or user.email == f"{n}@example.com"


async def test_one_account_at_a_provider_is_one_user_s(eight: list[Stores]) -> None:
    users = [await stores.users.create(new_user(f"{n}@example.com")) for n, stores in enumerate(eight)]
    answers = await asyncio.gather(
        *(stores.users.add_oauth_account(user, new_account()) for stores, user in zip(eight, users, strict=True)),
        return_exceptions=True,
    )
    assert sorted(type(answer).__name__ for answer in answers) == ["User"] + ["UserAlreadyExists"] * 7
    assert eight[0].count(eight[0].models.oauth_account) == 1


async def test_a_user_is_deleted_by_everybody(eight: list[Stores]) -> None:
    user_id = (await eight[0].users.create(new_user("anna@example.com"))).id
    seen: list[Any] = []
    for stores in eight:
        seen.append(await stores.users.get(user_id))
        await stores.run(lambda session: session.commit())
    await asyncio.gather(*(stores.users.delete(user) for stores, user in zip(eight, seen, strict=True)))
    assert eight[0].emails() == []


async def test_a_token_is_deleted_by_everybody(eight: list[Stores]) -> None:
    """Signing out twice at once is no error."""
    user = await eight[0].users.create(new_user("anna@example.com"))
    await eight[0].tokens.create({"token": "token", "user_id": user.id})
    seen: list[Any] = []
    for stores in eight:
        seen.append(await stores.tokens.get_by_token("token"))
        await stores.run(lambda session: session.commit())
    await asyncio.gather(*(stores.tokens.delete(token) for stores, token in zip(eight, seen, strict=True)))
    assert eight[0].count(eight[0].models.access_token) == 0
