"""Tokens sent by mail: random, a hash at rest, good for one purpose and once, and what they die of."""

import re
from collections.abc import AsyncIterator, Awaitable, Callable
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
import time_machine
from fastapi import Request
from fastapi_users.exceptions import (
    InvalidResetPasswordToken,
    InvalidVerifyToken,
    UserAlreadyVerified,
    UserInactive,
)

from fastapi_users_sqlmodel import LetterKind
from fastapi_users_sqlmodel.exceptions import InvalidChangeEmailToken
from fastapi_users_sqlmodel.tokens import Purpose, purge
from tests.library.accounts import HASH, NEW_PASSWORD, PASSWORD, Accounts, Manager, open_accounts
from tests.library.models import Models

pytestmark = pytest.mark.parametrize(
    ("form", "kind"), [("sqlalchemy-uuid", "async"), ("sqlmodel-int", "sync")], indirect=True
)
REFUSED = (InvalidResetPasswordToken, InvalidVerifyToken, InvalidChangeEmailToken)


@pytest.fixture
async def accounts(models: Models, url: str, kind: str) -> AsyncIterator[Accounts]:
    async with open_accounts(models, url, kind) as accounts:
        yield accounts


# A ticket for a WebSocket is not mailed: tests/library/test_websocket_tickets.py.
MAILED = [purpose for purpose in Purpose if purpose is not Purpose.WEBSOCKET]


async def issue(purpose: Purpose, manager: Manager, user: Any) -> str:
    if purpose is Purpose.VERIFY:
        await manager.request_verification(user.email)
        return manager.token(LetterKind.VERIFY)
    if purpose is Purpose.RESET_PASSWORD:
        await manager.request_reset_password(user.email)
        return manager.token(LetterKind.RESET_PASSWORD)
    if purpose is Purpose.UNDO_CHANGE_EMAIL:
        # Nothing else can be undone.
        user = await manager.user_db.update(user, {"is_verified": True})
    await manager.request_change_email(user, "new@example.com", PASSWORD)
    return manager.token(
        LetterKind.CONFIRM_EMAIL if purpose is Purpose.CHANGE_EMAIL else LetterKind.EMAIL_CHANGE_REQUESTED
    )


async def use(purpose: Purpose, manager: Manager, token: str) -> Any:
    if purpose is Purpose.VERIFY:
        return await manager.verify(token)
    if purpose is Purpose.RESET_PASSWORD:
        return await manager.reset_password(token, NEW_PASSWORD)
    if purpose is Purpose.CHANGE_EMAIL:
        return await manager.confirm_email(token)
    return await manager.undo_change_email(token)


async def is_dead(purpose: Purpose, manager: Manager, token: str) -> bool:
    try:
        await use(purpose, manager, token)
    except REFUSED:
        return True
    return False


@pytest.mark.parametrize("purpose", MAILED)
class TestAToken:
    async def test_is_random_and_43_characters(self, accounts: Accounts, purpose: Purpose) -> None:
        user = await accounts.user()
        tokens = {await issue(purpose, accounts.manager, user) for _ in range(8)}
        assert len(tokens) == 8
        assert all(re.fullmatch(r"[A-Za-z0-9_-]{43}", token) for token in tokens)

    async def test_is_nowhere_at_rest(self, accounts: Accounts, purpose: Purpose) -> None:
        token = await issue(purpose, accounts.manager, await accounts.user())
        with accounts.stores.outside.connect() as connection:
            rows = [str(connection.execute(t.select()).all()) for t in accounts.stores.models.metadata.sorted_tables]
        assert "anna@example.com" in "".join(rows)
        assert token not in "".join(rows)

    async def test_is_good_once(self, accounts: Accounts, purpose: Purpose) -> None:
        token = await issue(purpose, accounts.manager, await accounts.user())
        await use(purpose, accounts.manager, token)
        assert await is_dead(purpose, accounts.manager, token)

    async def test_is_good_for_its_purpose_alone(self, accounts: Accounts, purpose: Purpose) -> None:
        token = await issue(purpose, accounts.manager, await accounts.user())
        for other in MAILED:
            if other is not purpose:
                assert await is_dead(other, accounts.manager, token)
        await use(purpose, accounts.manager, token)

    async def test_the_newest_three_live(self, accounts: Accounts, purpose: Purpose) -> None:
        user = await accounts.user()
        with time_machine.travel(datetime.now(UTC), tick=False) as time:
            tokens = []
            for _ in range(5):
                time.shift(1)
                tokens.append(await issue(purpose, accounts.manager, user))
        if purpose is Purpose.UNDO_CHANGE_EMAIL:
            # Who asks for many changes does not push out the token of the first one.
            await use(purpose, accounts.manager, tokens[0])
            return
        assert [await is_dead(purpose, accounts.manager, token) for token in tokens[:2]] == [True, True]
        assert accounts.tokens().count(purpose) == 3
        await use(purpose, accounts.manager, tokens[2])

    async def test_using_one_ends_those_of_its_kind(self, accounts: Accounts, purpose: Purpose) -> None:
        user = await accounts.user()
        first, second, third = [await issue(purpose, accounts.manager, user) for _ in range(3)]
        await use(purpose, accounts.manager, second)
        assert await is_dead(purpose, accounts.manager, third)
        # The undo token of an earlier change leads to the same address, and stays good.
        assert await is_dead(purpose, accounts.manager, first) is (purpose is not Purpose.UNDO_CHANGE_EMAIL)

    @pytest.mark.parametrize("token", ["", "x" * 43, "\0" * 43, "\ud800" * 43, "é" * 43, "x" * 500_000])
    async def test_nonsense_is_refused(self, accounts: Accounts, purpose: Purpose, token: str) -> None:
        assert await is_dead(purpose, accounts.manager, token)

    async def test_it_lives_to_its_last_second(self, accounts: Accounts, purpose: Purpose) -> None:
        user = await accounts.user()
        hour = 3600 if purpose is not Purpose.UNDO_CHANGE_EMAIL else 3600 + 7 * 24 * 3600
        with time_machine.travel(datetime.now(UTC), tick=False) as time:
            first = await issue(purpose, accounts.manager, user)
            time.shift(hour)
            assert await is_dead(purpose, accounts.manager, first)
            second = await issue(purpose, accounts.manager, user)
            time.shift(hour - 1)
            await use(purpose, accounts.manager, second)


async def change_password(accounts: Accounts, user: Any) -> None:
    await accounts.manager.change_password(user, PASSWORD, NEW_PASSWORD)


async def reset_password(accounts: Accounts, user: Any) -> None:
    await accounts.manager.forgot_password(user)
    await accounts.manager.reset_password(accounts.manager.token(LetterKind.RESET_PASSWORD), NEW_PASSWORD)


async def change_email(accounts: Accounts, user: Any) -> None:
    # By another session of the user, so that the token in question is another one.
    await accounts.manager.request_change_email(user, "newer@example.com", PASSWORD)
    await accounts.manager.confirm_email(accounts.manager.token(LetterKind.CONFIRM_EMAIL))


async def undo(accounts: Accounts, user: Any) -> None:
    user = await accounts.manager.user_db.update(user, {"is_verified": True})
    await accounts.manager.request_change_email(user, "newer@example.com", PASSWORD)
    await accounts.manager.undo_change_email(accounts.manager.token(LetterKind.EMAIL_CHANGE_REQUESTED))


async def deactivate(accounts: Accounts, user: Any) -> None:
    superuser = await accounts.user("root@example.com", is_superuser=True)
    await accounts.manager.update_by_superuser(superuser, user.id, {"is_active": False})
    await accounts.manager.update_by_superuser(superuser, user.id, {"is_active": True})


async def change_email_by_superuser(accounts: Accounts, user: Any) -> None:
    superuser = await accounts.user("root@example.com", is_superuser=True)
    await accounts.manager.update_by_superuser(superuser, user.id, {"email": "newer@example.com"})


async def delete(accounts: Accounts, user: Any) -> None:
    await accounts.manager.delete_account(user, PASSWORD)


MORTAL = [Purpose.VERIFY, Purpose.RESET_PASSWORD, Purpose.CHANGE_EMAIL]


class TestTheCausesOfDeath:
    @pytest.mark.parametrize("purpose", MORTAL)
    @pytest.mark.parametrize("cause", [change_password, reset_password, change_email, undo])
    async def test_changes_by_the_user(
        self, accounts: Accounts, purpose: Purpose, cause: Callable[[Accounts, Any], Awaitable[None]]
    ) -> None:
        user = await accounts.user()
        token = await issue(purpose, accounts.manager, user)
        await cause(accounts, user)
        assert await is_dead(purpose, accounts.manager, token)

    @pytest.mark.parametrize("purpose", MAILED)
    @pytest.mark.parametrize("cause", [deactivate, change_email_by_superuser, delete])
    async def test_what_ends_everything(
        self, accounts: Accounts, purpose: Purpose, cause: Callable[[Accounts, Any], Awaitable[None]]
    ) -> None:
        user = await accounts.user()
        token = await issue(purpose, accounts.manager, user)
        await cause(accounts, user)
        assert await is_dead(purpose, accounts.manager, token)
        assert accounts.tokens() == []

    @pytest.mark.parametrize("purpose", MAILED)
    async def test_somebody_else_s_live_on(self, accounts: Accounts, purpose: Purpose) -> None:
        user, other = await accounts.user(), await accounts.user("berta@example.com")
        token = await issue(purpose, accounts.manager, other)
        await change_password(accounts, user)
        await accounts.manager.delete(user)
        await use(purpose, accounts.manager, token)


class TestVerify:
    async def test_it_stays_unused_when_there_is_nothing_to_verify(self, accounts: Accounts) -> None:
        user = await accounts.user()
        token = await issue(Purpose.VERIFY, accounts.manager, user)
        await accounts.manager.user_db.update(user, {"is_verified": True})
        for _ in range(2):
            with pytest.raises(UserAlreadyVerified):
                await accounts.manager.verify(token)

    @pytest.mark.parametrize("columns", [{"is_verified": True}, {"is_active": False}])
    async def test_nobody_gets_one_without_need(self, accounts: Accounts, columns: dict[str, Any]) -> None:
        await accounts.user(**columns)
        await accounts.manager.request_verification("anna@example.com")
        await accounts.manager.request_verification("nobody@example.com")
        assert accounts.tokens() == []
        assert [letter.to for letter in accounts.manager.letters] == [None, None]


class TestOverriddenRequests:
    """FastAPI Users' routes call `request_verify` and `forgot_password`; where they are overridden, ours do too."""

    class Own(Manager):
        async def request_verify(self, user: Any, request: Request | None = None) -> None:
            self.heard.append(f"request_verify {user.email}")
            await super().request_verify(user, request)

        async def forgot_password(self, user: Any, request: Request | None = None) -> None:
            self.heard.append(f"forgot_password {user.email}")
            raise UserInactive

    @pytest.fixture
    async def own(self, models: Models, url: str, kind: str) -> AsyncIterator[Accounts]:
        async with open_accounts(models, url, kind, self.Own) as accounts:
            yield accounts

    async def test_are_called(self, own: Accounts) -> None:
        await own.user("anna@example.com")
        await own.manager.request_verification("ANNA@example.com")
        assert own.manager.heard == ["request_verify anna@example.com", "on_after_request_verify"]
        assert own.tokens() == ["verify"]
        await own.manager.request_reset_password("anna@example.com")
        assert own.manager.heard[2:] == ["forgot_password anna@example.com"]
        assert own.tokens() == ["verify"]

    async def test_are_not_called_for_nobody(self, own: Accounts) -> None:
        await own.user("anna@example.com", is_active=False)
        await own.user("berta@example.com", is_verified=True)
        for email in ("anna@example.com", "berta@example.com", "nobody@example.com"):
            await own.manager.request_verification(email)
        await own.manager.request_reset_password("anna@example.com")
        assert own.manager.heard == []
        assert own.tokens() == []


class TestPurge:
    async def test_it_goes_in_batches_and_takes_what_is_over(self, accounts: Accounts) -> None:
        users = [await accounts.user(f"{n}@example.com") for n in range(5)]
        with time_machine.travel(datetime.now(UTC) - timedelta(hours=2)):
            for user in users:
                await issue(Purpose.RESET_PASSWORD, accounts.manager, user)
        token = await issue(Purpose.RESET_PASSWORD, accounts.manager, users[0])
        store = accounts.manager.user_db
        purged = []
        for _ in range(4):
            async with store.transaction():
                purged.append(await store.ask(purge, limit=2))
        assert purged == [2, 2, 1, 0]
        await use(Purpose.RESET_PASSWORD, accounts.manager, token)
        assert accounts.column("hashed_password", "0@example.com") != HASH
