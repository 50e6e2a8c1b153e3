"""Change of address: what the token for the new one does, and what the old one may undo."""

from collections.abc import AsyncIterator
from datetime import UTC, datetime
from typing import Any

import pytest
import time_machine
from fastapi_users.exceptions import InvalidResetPasswordToken, UserAlreadyExists

from fastapi_users_sqlmodel import LetterKind
from fastapi_users_sqlmodel.exceptions import InvalidChangeEmailToken, InvalidCurrentPassword
from fastapi_users_sqlmodel.schemas import BaseUserCreate
from tests.library.accounts import NEW_PASSWORD, PASSWORD, Accounts, Letter, credentials, open_accounts
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
        user = await accounts.user(A, is_verified=True)
        await accounts.user(B)
        await accounts.manager.request_change_email(user, B.upper(), PASSWORD)
        last = accounts.manager.letters[-1]
        assert (last.kind, last.to, last.token) == (LetterKind.EMAIL_TAKEN, B, None)

    async def test_the_former_address_was_verified_meanwhile(self, accounts: Accounts) -> None:
        """Whoever verified it has got no link to undo the change, so it does not happen."""
        user = await accounts.user(A)
        await accounts.manager.request_change_email(user, B, PASSWORD)
        token = accounts.manager.token(LetterKind.CONFIRM_EMAIL)
        await accounts.manager.request_verify(user)
        await accounts.manager.verify(accounts.manager.token(LetterKind.VERIFY))
        with pytest.raises(InvalidChangeEmailToken):
            await accounts.manager.confirm_email(token)
        assert accounts.stores.emails() == [A]
        await change(accounts, await accounts.reload(user.id), B)
        assert accounts.stores.emails() == [B]

    async def test_the_former_address_was_never_verified(self, accounts: Accounts) -> None:
        await accounts.manager.request_change_email(await accounts.user(A), B, PASSWORD)
        await accounts.manager.confirm_email(accounts.manager.token(LetterKind.CONFIRM_EMAIL))
        assert accounts.stores.emails() == [B]

    async def test_the_address_was_taken_meanwhile(self, accounts: Accounts) -> None:
        user = await accounts.user(A, is_verified=True)
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
        user = await accounts.user(A, is_verified=True)
        undo_token = await change(accounts, user, A.upper())
        assert accounts.stores.emails() == [A.upper()]
        await accounts.manager.undo_change_email(undo_token)
        assert accounts.stores.emails() == [A]


class TestUndo:
    async def test_before_the_change_it_calls_it_off(self, accounts: Accounts) -> None:
        user = await accounts.user(A, is_verified=True)
        token, undo_token = await request(accounts, user, B)
        await accounts.manager.undo_change_email(undo_token)
        with pytest.raises(InvalidChangeEmailToken):
            await accounts.manager.confirm_email(token)
        assert accounts.stores.emails() == [A]
        # Whoever asked knew the password.
        assert await accounts.manager.sign_in(credentials(A)) is None

    async def test_it_is_good_for_seven_days_after_the_change(self, accounts: Accounts) -> None:
        user = await accounts.user(A, is_verified=True)
        with time_machine.travel(datetime.now(UTC), tick=False) as time:
            token, undo_token = await request(accounts, user, B)
            time.shift(3599)
            await accounts.manager.confirm_email(token)
            time.shift(7 * DAY - 1)
            undone = await accounts.manager.undo_change_email(undo_token)
            assert accounts.stores.emails() == [A]
            await accounts.manager.reset_password(undone.reset_password_token, PASSWORD)
            undo_token = await change(accounts, await accounts.reload(user.id), B)
            time.shift(7 * DAY)
            with pytest.raises(InvalidChangeEmailToken):
                await accounts.manager.undo_change_email(undo_token)

    async def test_it_survives_what_a_thief_does(self, accounts: Accounts) -> None:
        """Another password, a reset, other addresses, and as many requests as there may be tokens."""
        user = await accounts.user(A, is_verified=True)
        undo_token = await change(accounts, user, B)
        user = await accounts.reload(user.id)
        await accounts.manager.change_password(user, PASSWORD, NEW_PASSWORD)
        await accounts.manager.forgot_password(user)
        await accounts.manager.reset_password(accounts.manager.token(LetterKind.RESET_PASSWORD), PASSWORD)
        for email in (C, D, B, C, D):
            await change(accounts, await accounts.reload(user.id), email)
        for _ in range(5):
            await request(accounts, await accounts.reload(user.id), B)
        undone = await accounts.manager.undo_change_email(undo_token)
        assert (undone.user.email, accounts.stores.emails()) == (A, [A])

    async def test_undoing_the_first_change_ends_the_later_ones(self, accounts: Accounts) -> None:
        user = await accounts.user(A, is_verified=True)
        to_a = await change(accounts, user, B)
        to_b = await change(accounts, await accounts.reload(user.id), C)
        await accounts.manager.undo_change_email(to_a)
        with pytest.raises(InvalidChangeEmailToken):
            await accounts.manager.undo_change_email(to_b)
        assert accounts.stores.emails() == [A]

    async def test_undoing_the_last_change_leaves_the_first_one(self, accounts: Accounts) -> None:
        user = await accounts.user(A, is_verified=True)
        to_a = await change(accounts, user, B)
        to_b = await change(accounts, await accounts.reload(user.id), C)
        await accounts.manager.undo_change_email(to_b)
        assert accounts.stores.emails() == [B]
        await accounts.manager.undo_change_email(to_a)
        assert accounts.stores.emails() == [A]

    async def test_a_pending_change_does_not_outlive_it(self, accounts: Accounts) -> None:
        user = await accounts.user(A, is_verified=True)
        to_a = await change(accounts, user, B)
        pending, _ = await request(accounts, await accounts.reload(user.id), C)
        await accounts.manager.undo_change_email(to_a)
        with pytest.raises(InvalidChangeEmailToken):
            await accounts.manager.confirm_email(pending)


class TestAfterAnUndo:
    """The account is the owner's alone."""

    async def test_the_password_of_the_thief_does_nothing(self, accounts: Accounts) -> None:
        user = await accounts.user(A, is_verified=True)
        undo_token = await change(accounts, user, B)
        thief = await accounts.reload(user.id)
        await accounts.manager.forgot_password(thief)
        reset_token = accounts.manager.token(LetterKind.RESET_PASSWORD)
        undone = await accounts.manager.undo_change_email(undo_token)
        assert (undone.user.email, undone.user.is_verified) == (A, True)
        for name in (A, B):
            assert await accounts.manager.sign_in(credentials(name)) is None
        for act in (
            accounts.manager.change_password(thief, PASSWORD, NEW_PASSWORD),
            accounts.manager.request_change_email(thief, C, PASSWORD),
            accounts.manager.delete_account(thief, PASSWORD),
        ):
            with pytest.raises(InvalidCurrentPassword):
                await act
        with pytest.raises(InvalidResetPasswordToken):
            await accounts.manager.reset_password(reset_token, NEW_PASSWORD)
        assert accounts.stores.emails() == [A]

    async def test_the_token_of_the_answer_and_of_the_letter_resets_it_once(self, accounts: Accounts) -> None:
        user = await accounts.user(A, is_verified=True)
        undo_token = await change(accounts, user, B)
        accounts.manager.letters.clear()
        undone = await accounts.manager.undo_change_email(undo_token)
        assert accounts.manager.letters == [
            Letter(LetterKind.EMAIL_CHANGE_UNDONE, A, undone.reset_password_token),
            Letter(LetterKind.EMAIL_REMOVED, B, None),
        ]
        assert accounts.manager.heard.count("on_change_password") == 1
        await accounts.manager.reset_password(undone.reset_password_token, NEW_PASSWORD)
        with pytest.raises(InvalidResetPasswordToken):
            await accounts.manager.reset_password(undone.reset_password_token, PASSWORD)
        assert await accounts.manager.sign_in(credentials(A, NEW_PASSWORD)) is not None

    @pytest.mark.parametrize("act", ["sign_in", "change_password", "request_change_email"])
    async def test_what_was_verified_before_is_refused_after(
        self, accounts: Accounts, models: Models, url: str, kind: str, monkeypatch: pytest.MonkeyPatch, act: str
    ) -> None:
        """The thief's password is right when it is verified, and the undo is committed meanwhile."""
        user = await accounts.user(A, is_verified=True)
        undo_token = await change(accounts, user, B)
        async with open_accounts(models, url, kind) as thief:
            present = await thief.reload(user.id)
            hasher, manager = thief.manager.password_hasher, thief.manager
            verify = hasher.verify

            async def verify_and_be_overtaken(password: str, stored: str | None) -> Any:
                verified = await verify(password, stored)
                monkeypatch.setattr(hasher, "verify", verify)
                await accounts.manager.undo_change_email(undo_token)
                return verified

            monkeypatch.setattr(hasher, "verify", verify_and_be_overtaken)
            if act == "sign_in":
                assert await manager.sign_in(credentials(B)) is None
            else:
                arguments = {"change_password": (PASSWORD, NEW_PASSWORD), "request_change_email": (C, PASSWORD)}[act]
                with pytest.raises(InvalidCurrentPassword):
                    await getattr(manager, act)(present, *arguments)
        assert accounts.stores.emails() == [A]
        assert accounts.tokens() == ["reset_password"]


class TestAnUnverifiedAddress:
    """It may be somebody else's."""

    async def test_gets_no_undo_token(self, accounts: Accounts) -> None:
        user = await accounts.user(A)
        await accounts.manager.request_change_email(user, B, PASSWORD)
        told, _ = accounts.manager.letters
        assert told == Letter(LetterKind.EMAIL_CHANGE_NOTICE, A, None)
        assert accounts.tokens() == ["change_email"]

    @pytest.mark.parametrize("conceal", [False, True])
    async def test_is_free_for_its_owner(
        self,
        accounts: Accounts,
        monkeypatch: pytest.MonkeyPatch,
        conceal: bool,  # noqa: FBT001  # A parameter
    ) -> None:
        monkeypatch.setattr(accounts.manager, "conceal_accounts", conceal)
        squatter = await accounts.user(A)
        await accounts.manager.request_change_email(squatter, B, PASSWORD)
        await accounts.manager.confirm_email(accounts.manager.token(LetterKind.CONFIRM_EMAIL))
        await accounts.manager.register(BaseUserCreate(email=A, password=NEW_PASSWORD))
        assert accounts.stores.emails() == [A, B]
        assert accounts.manager.heard.count("on_register") == 1

    async def test_is_free_for_an_account_that_changes_to_it(self, accounts: Accounts) -> None:
        squatter, owner = await accounts.user(A), await accounts.user(C, is_verified=True)
        await accounts.manager.request_change_email(squatter, B, PASSWORD)
        await accounts.manager.confirm_email(accounts.manager.token(LetterKind.CONFIRM_EMAIL))
        await change(accounts, owner, A)
        assert accounts.stores.emails() == [A, B]


class TestTheOldAddress:
    async def test_is_nobody_else_s_meanwhile(self, accounts: Accounts) -> None:
        user, other = await accounts.user(A, is_verified=True), await accounts.user(C, is_verified=True)
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
        user = await accounts.user(A, is_verified=True)
        await change(accounts, user, B)
        await change(accounts, await accounts.reload(user.id), A)
        assert accounts.stores.emails() == [A]

    async def test_is_free_once_the_account_is_gone(self, accounts: Accounts) -> None:
        user = await accounts.user(A, is_verified=True)
        await change(accounts, user, B)
        await accounts.manager.delete(await accounts.reload(user.id))
        await accounts.manager.register(BaseUserCreate(email=A, password=NEW_PASSWORD))
        assert accounts.stores.emails() == [A]
