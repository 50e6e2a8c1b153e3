"""Many at once on one account: one token is used once, nobody waits in a ring, and the end is consistent."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AsyncExitStack
from typing import Any

import pytest
from fastapi_users.exceptions import FastAPIUsersException, InvalidResetPasswordToken
from sqlalchemy import func, select
from sqlalchemy.orm import Session

from fastapi_users_sqlmodel import LetterKind
from fastapi_users_sqlmodel.exceptions import LastSuperuser
from fastapi_users_sqlmodel.schemas import BaseUserCreate
from tests.library.accounts import NEW_PASSWORD, PASSWORD, Accounts, Manager, open_accounts, password_helper
from tests.library.models import Models

pytestmark = pytest.mark.parametrize(
    ("form", "kind"), [("sqlalchemy-uuid", "async"), ("sqlmodel-int", "sync")], indirect=True
)
ANNA = "anna@example.com"


@pytest.fixture
async def eight(models: Models, url: str, kind: str) -> AsyncIterator[list[Accounts]]:
    """Managers on eight connections to one database."""
    async with AsyncExitStack() as stack:
        yield [await stack.enter_async_context(open_accounts(models, url, kind)) for _ in range(8)]


async def test_one_reset_token_is_used_once(eight: list[Accounts]) -> None:
    user = await eight[0].user()
    for number in range(50):
        await eight[0].manager.forgot_password(user)
        token = eight[0].manager.token(LetterKind.RESET_PASSWORD)
        passwords = [f"{NEW_PASSWORD} {number} {n}" for n in range(8)]
        answers = await asyncio.gather(
            *(one.manager.reset_password(token, password) for one, password in zip(eight, passwords, strict=True)),
            return_exceptions=True,
        )
        assert [type(answer) for answer in answers].count(InvalidResetPasswordToken) == 7
        [winner] = [n for n, answer in enumerate(answers) if not isinstance(answer, BaseException)]
        stored = eight[0].column("hashed_password")
        assert password_helper.verify(passwords[winner], stored).is_right


async def test_the_newest_three_of_many_at_once_live(eight: list[Accounts]) -> None:
    user_id = (await eight[0].user()).id
    users = [await one.reload(user_id) for one in eight]
    await asyncio.gather(*(one.manager.forgot_password(user) for one, user in zip(eight, users, strict=True)))
    await asyncio.gather(*(one.manager.request_reset_password(ANNA) for one in eight))
    assert eight[0].tokens() == ["reset_password"] * 3


async def test_one_address_registers_once(eight: list[Accounts]) -> None:
    answers = await asyncio.gather(
        *(one.manager.register(BaseUserCreate(email=ANNA, password=PASSWORD)) for one in eight), return_exceptions=True
    )
    assert sorted(type(answer).__name__ for answer in answers) == ["User"] + ["UserAlreadyExists"] * 7
    assert eight[0].stores.emails() == [ANNA]
    assert eight[0].events() == ["register"]


async def test_one_superuser_is_left(eight: list[Accounts]) -> None:
    """All demote, deactivate and delete each other in a ring."""
    for number in range(5):
        ids = [(await one.user(f"{number}-{n}@example.com", is_superuser=True)).id for n, one in enumerate(eight)]

        async def remove(one: Accounts, n: int, ids: list[Any]) -> None:
            superuser = await one.reload(ids[n])
            victim = ids[(n + 1) % 8]
            if superuser is None:
                return
            if n % 3 == 0:
                await one.manager.delete_by_superuser(superuser, victim)
            else:
                change = {"is_superuser": False} if n % 3 == 1 else {"is_active": False}
                await one.manager.update_by_superuser(superuser, victim, change)

        answers = await asyncio.gather(*(remove(one, n, ids) for n, one in enumerate(eight)), return_exceptions=True)
        refused = [answer for answer in answers if answer is not None and not is_refusal(answer)]
        assert refused == []
        assert superusers(eight[0]) >= 1
        await delete_everybody(eight)


async def test_the_last_two_go_by_themselves(eight: list[Accounts]) -> None:
    for number in range(10):
        ids = [(await eight[n].user(f"{number}-{n}@example.com", is_superuser=True)).id for n in range(2)]
        users = [await eight[n].reload(ids[n]) for n in range(2)]
        answers = await asyncio.gather(
            eight[0].manager.delete_account(users[0], PASSWORD),
            eight[1].manager.update_by_superuser(users[1], ids[1], {"is_superuser": False}),
            return_exceptions=True,
        )
        assert [type(answer) for answer in answers].count(LastSuperuser) == 1
        assert superusers(eight[0]) == 1
        await delete_everybody(eight)


async def delete_everybody(eight: list[Accounts]) -> None:
    with eight[0].stores.outside.begin() as connection:
        connection.execute(eight[0].tables.users.delete())
    for one in eight:
        # Their ids may be given again.
        await one.stores.run(Session.expunge_all)


def is_refusal(answer: object) -> bool:
    return isinstance(answer, FastAPIUsersException)


def superusers(accounts: Accounts) -> int:
    users = accounts.tables.users
    with accounts.stores.outside.connect() as connection:
        is_one = (users.c.is_superuser, users.c.is_active)
        return connection.scalar(select(func.count()).select_from(users).where(*is_one)) or 0


type Act = Callable[[Manager, Any, Any, dict[str, str]], Awaitable[object]]

ACTS: list[Act] = [
    lambda manager, user, root, token: manager.reset_password(token["reset"], PASSWORD),
    lambda manager, user, root, token: manager.change_password(user, PASSWORD, NEW_PASSWORD),
    lambda manager, user, root, token: manager.verify(token["verify"]),
    lambda manager, user, root, token: manager.confirm_email(token["confirm"]),
    lambda manager, user, root, token: manager.undo_change_email(token["undo"]),
    lambda manager, user, root, token: manager.update_by_superuser(root, user.id, {"email": "by-root@example.com"}),
    lambda manager, user, root, token: manager.request_reset_password(ANNA),
    lambda manager, user, root, token: manager.request_change_email(user, "other@example.com", PASSWORD),
]


async def test_nobody_waits_in_a_ring(eight: list[Accounts]) -> None:
    """Everything at once that changes one user: each is done or refused, and no database says anything else."""
    root_id = (await eight[0].user("root@example.com", is_superuser=True)).id
    for number in range(25):
        first = eight[0].manager
        user = await eight[0].user()
        await first.forgot_password(user)
        await first.request_verify(user)
        # Only a verified address has a change to undo.
        user = await first.user_db.update(user, {"is_verified": True})
        await first.request_change_email(user, "new@example.com", PASSWORD)
        await first.user_db.update(user, {"is_verified": False})
        token = {
            "reset": first.token(LetterKind.RESET_PASSWORD),
            "verify": first.token(LetterKind.VERIFY),
            "confirm": first.token(LetterKind.CONFIRM_EMAIL),
            "undo": first.token(LetterKind.EMAIL_CHANGE_REQUESTED),
        }
        users = [await one.reload(user.id) for one in eight]
        roots = [await one.reload(root_id) for one in eight]
        acts = ACTS[number % 8 :] + ACTS[: number % 8]
        answers = await asyncio.gather(
            *(
                act(one.manager, user, root, token)
                for act, one, user, root in zip(acts, eight, users, roots, strict=True)
            ),
            return_exceptions=True,
        )
        wrong = [answer for answer in answers if isinstance(answer, BaseException) and not is_refusal(answer)]
        assert wrong == []
        [email] = {email for email in eight[0].stores.emails() if email != "root@example.com"}
        assert email in {ANNA, "new@example.com", "by-root@example.com"}
        await first.delete(await eight[0].reload(user.id))
        assert eight[0].tokens() == []
        for one in eight:
            await one.stores.run(Session.expunge_all)
