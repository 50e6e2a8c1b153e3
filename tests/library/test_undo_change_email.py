"""Change of address: what the token for the new one does, and what the old one may undo."""

from collections.abc import AsyncIterator
from datetime import UTC, datetime
from typing import Any

import pytest
import time_machine
from fastapi_users.exceptions import UserAlreadyExists

from fastapi_users_sqlmodel import LetterKind
from fastapi_users_sqlmodel.exceptions import InvalidChangeEmailToken
from fastapi_users_sqlmodel.schemas import BaseUserCreate
from tests.library.accounts import NEW_PASSWORD, PASSWORD, Accounts, open_accounts
from tests.library.models import Models

pytestmark = pytest.mark.parametrize(
    ("form", "kind"), [("sqlalchemy-uuid", "async"), ("sqlmodel-int", "sync")], indirect=True
)
A, B, C, D = (f"{name}@example.com" for name in "abcd")
DAY = 24 * 3600


@pytest.fixture
async def accounts(models: Models, url: str, kind: str) -> AsyncIterator[Accounts]:
    async with open_accounts(models, url, kind) as accounts:
        yield accounts


async def request(accounts: Accounts, user: Any, email: str, password: str = PASSWORD) -> tuple[str, str]:
    """Ask for an address; return the token that confirms it, and the one that undoes it."""
    await accounts.manager.request_change_email(user, email, password)
    return accounts.manager.token(LetterKind.CONFIRM_EMAIL), accounts.manager.token(LetterKind.EMAIL_CHANGE_REQUESTED)


async def change(accounts: Accounts, user: Any, email: str, password: str = PASSWORD) -> str:
    """Change the address; return the token that undoes it."""
    token, undo_token = await request(accounts, user, email, password)
    await accounts.manager.confirm_email(token)
    return undo_token


class TestConfirm:
    async def test_nothing_changes_before(self, accounts: Accounts) -> None:
        user = await accounts.user(A, is_verified=True)
        token, _ = await request(accounts, user, B)
        assert accounts.stores.emails() == [A]
        confirmed = await accounts.manager.confirm_email(token)
        assert accounts.stores.emails() == [B]
        assert (confirmed.email, confirmed.is_verified) == (B, True)
        kinds = {(letter.kind, letter.to) for letter in accounts.manager.letters}
        assert kinds == {(LetterKind.EMAIL_CHANGE_REQUESTED, A), (LetterKind.CONFIRM_EMAIL, B)}

    async def test_a_taken_address_gets_no_token(self, accounts: Accounts) -> None:
        user = await accounts.user(A)
        await accounts.user(B)
        await accounts.manager.request_change_email(user, B.upper(), PASSWORD)
        last = accounts.manager.letters[-1]
        assert (last.kind, last.to, last.token) == (LetterKind.EMAIL_TAKEN, B, None)

    async def test_the_address_was_taken_meanwhile(self, accounts: Accounts) -> None:
        user = await accounts.user(A)
        token, _ = await request(accounts, user, B)
        other = await accounts.user(B)
        for _ in range(2):
            with pytest.raises(InvalidChangeEmailToken):
                await accounts.manager.confirm_email(token)
        assert accounts.stores.emails() == [A, B]
        await accounts.manager.delete(other)
        await accounts.manager.confirm_email(token)
        assert accounts.stores.emails() == [B]

    async def test_another_spelling_of_the_same_address(self, accounts: Accounts) -> None:
        user = await accounts.user(A)
        undo_token = await change(accounts, user, A.upper())
        assert accounts.stores.emails() == [A.upper()]
        await accounts.manager.undo_change_email(undo_token)
        assert accounts.stores.emails() == [A]


class TestUndo:
    async def test_before_the_change_it_calls_it_off(self, accounts: Accounts) -> None:
        user = await accounts.user(A)
        token, undo_token = await request(accounts, user, B)
        await accounts.manager.undo_change_email(undo_token)
        with pytest.raises(InvalidChangeEmailToken):
            await accounts.manager.confirm_email(token)
        assert accounts.stores.emails() == [A]

    async def test_it_is_good_for_seven_days_after_the_change(self, accounts: Accounts) -> None:
        user = await accounts.user(A)
        with time_machine.travel(datetime.now(UTC), tick=False) as time:
            token, undo_token = await request(accounts, user, B)
            time.shift(3599)
            await accounts.manager.confirm_email(token)
            time.shift(7 * DAY - 1)
            await accounts.manager.undo_change_email(undo_token)
            assert accounts.stores.emails() == [A]
            undo_token = await change(accounts, user, B)
            time.shift(7 * DAY)
            with pytest.raises(InvalidChangeEmailToken):
                await accounts.manager.undo_change_email(undo_token)

    async def test_it_survives_what_a_thief_does(self, accounts: Accounts) -> None:
        """Another password, a reset, other addresses, and as many requests as there may be tokens."""
        user = await accounts.user(A)
        undo_token = await change(accounts, user, B)
        user = await accounts.reload(user.id)
        await accounts.manager.change_password(user, PASSWORD, NEW_PASSWORD)
        await accounts.manager.forgot_password(user)
        await accounts.manager.reset_password(accounts.manager.token(LetterKind.RESET_PASSWORD), PASSWORD)
        for email in (C, D, B, C, D):
            await change(accounts, await accounts.reload(user.id), email)
        for _ in range(5):
            await request(accounts, await accounts.reload(user.id), B)
        given_back = await accounts.manager.undo_change_email(undo_token)
        assert (given_back.email, accounts.stores.emails()) == (A, [A])

    async def test_undoing_the_first_change_ends_the_later_ones(self, accounts: Accounts) -> None:
        user = await accounts.user(A)
        to_a = await change(accounts, user, B)
        to_b = await change(accounts, await accounts.reload(user.id), C)
        await accounts.manager.undo_change_email(to_a)
        with pytest.raises(InvalidChangeEmailToken):
            await accounts.manager.undo_change_email(to_b)
        assert accounts.stores.emails() == [A]

    async def test_undoing_the_last_change_leaves_the_first_one(self, accounts: Accounts) -> None:
        user = await accounts.user(A)
        to_a = await change(accounts, user, B)
        to_b = await change(accounts, await accounts.reload(user.id), C)
        await accounts.manager.undo_change_email(to_b)
        assert accounts.stores.emails() == [B]
        await accounts.manager.undo_change_email(to_a)
        assert accounts.stores.emails() == [A]

    async def test_a_pending_change_does_not_outlive_it(self, accounts: Accounts) -> None:
        user = await accounts.user(A)
        to_a = await change(accounts, user, B)
        pending, _ = await request(accounts, await accounts.reload(user.id), C)
        await accounts.manager.undo_change_email(to_a)
        with pytest.raises(InvalidChangeEmailToken):
            await accounts.manager.confirm_email(pending)


class TestTheOldAddress:
    async def test_is_nobody_else_s_meanwhile(self, accounts: Accounts) -> None:
        user, other = await accounts.user(A), await accounts.user(C)
        await request(accounts, other, D)
        with time_machine.travel(datetime.now(UTC), tick=False) as time:
            undo_token = await change(accounts, user, B)
            superuser = await accounts.user("root@example.com", is_superuser=True)
            for email in (A, A.upper()):
                with pytest.raises(UserAlreadyExists):
                    await accounts.manager.register(BaseUserCreate(email=email, password=NEW_PASSWORD))
                with pytest.raises(UserAlreadyExists):
                    await accounts.manager.update_by_superuser(superuser, other.id, {"email": email})
                token, _ = await request(accounts, await accounts.reload(other.id), email)
                with pytest.raises(InvalidChangeEmailToken):
                    await accounts.manager.confirm_email(token)
            assert accounts.stores.emails() == [B, C, "root@example.com"]
            time.shift(7 * DAY)
            await accounts.manager.register(BaseUserCreate(email=A, password=NEW_PASSWORD))
            with pytest.raises(InvalidChangeEmailToken):
                await accounts.manager.undo_change_email(undo_token)

    async def test_may_be_taken_back_by_its_owner(self, accounts: Accounts) -> None:
        user = await accounts.user(A)
        await change(accounts, user, B)
        await change(accounts, await accounts.reload(user.id), A)
        assert accounts.stores.emails() == [A]

    async def test_is_free_once_the_account_is_gone(self, accounts: Accounts) -> None:
        user = await accounts.user(A)
        await change(accounts, user, B)
        await accounts.manager.delete(await accounts.reload(user.id))
        await accounts.manager.register(BaseUserCreate(email=A, password=NEW_PASSWORD))
        assert accounts.stores.emails() == [A]
