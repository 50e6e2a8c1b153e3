"""The situations of FastAPI Users' own tests of its manager."""

import uuid
from collections.abc import AsyncIterator
from typing import Any

import pytest
from fastapi_users.exceptions import (
    InvalidID,
    InvalidPasswordException,
    InvalidResetPasswordToken,
    InvalidVerifyToken,
    UserAlreadyExists,
    UserAlreadyVerified,
    UserInactive,
    UserNotExists,
)

from fastapi_users_sqlmodel import IntegerIDMixin, LetterKind, UUIDIDMixin
from fastapi_users_sqlmodel.exceptions import FieldsNotAllowed
from fastapi_users_sqlmodel.schemas import BaseUserCreate, BaseUserUpdate
from tests.library.account_app import UserUpdate
from tests.library.accounts import NEW_PASSWORD, PASSWORD, Accounts, credentials, open_accounts, request
from tests.library.models import Models

ANNA = "anna@example.com"
on_both_stores = pytest.mark.parametrize(
    ("form", "kind"), [("sqlalchemy-uuid", "async"), ("sqlmodel-int", "sync")], indirect=True
)


@on_both_stores
class TestTheManager:
    @pytest.fixture
    async def accounts(self, models: Models, url: str, kind: str) -> AsyncIterator[Accounts]:
        async with open_accounts(models, url, kind) as accounts:
            yield accounts

    async def test_a_user_that_exists(self, accounts: Accounts) -> None:
        user = await accounts.user()
        assert await accounts.manager.get(user.id) is user
        assert await accounts.manager.get_by_email("ANNA@Example.com") is user

    async def test_a_user_that_does_not_exist(self, accounts: Accounts) -> None:
        for unknown_id in accounts.stores.models.unknown_ids:
            with pytest.raises(UserNotExists):
                await accounts.manager.get(unknown_id)
        with pytest.raises(UserNotExists):
            await accounts.manager.get_by_email("nobody@example.com")

    @pytest.mark.parametrize("is_safe", [False, True])
    async def test_the_flags_of_a_creation(
        self,
        accounts: Accounts,
        is_safe: bool,  # noqa: FBT001  # A parameter
    ) -> None:
        flags = {"is_active": False, "is_superuser": True, "is_verified": True}
        user_create = BaseUserCreate(email="Anna@Example.com", password=PASSWORD, **flags)
        user = await accounts.manager.create(user_create, safe=is_safe)
        kept = {"is_active": True, "is_superuser": False, "is_verified": False} if is_safe else flags
        assert type(user) is accounts.stores.models.user
        assert {name: getattr(user, name) for name in flags} == kept
        assert accounts.manager.heard == ["on_register", "on_after_register"]

    @pytest.mark.parametrize(
        ("email", "password", "error"),
        [
            (ANNA, PASSWORD, UserAlreadyExists),
            ("Anna@Example.com", PASSWORD, UserAlreadyExists),
            ("new@example.com", "short", InvalidPasswordException),
        ],
    )
    async def test_a_refused_creation(
        self, accounts: Accounts, email: str, password: str, error: type[Exception]
    ) -> None:
        await accounts.user()
        with pytest.raises(error):
            await accounts.manager.create(BaseUserCreate(email=email, password=password))
        assert (accounts.manager.heard, accounts.stores.emails()) == ([], [ANNA])

    @pytest.mark.parametrize(
        ("method", "columns", "error"),
        [
            ("request_verify", {"is_active": False}, UserInactive),
            ("request_verify", {"is_verified": True}, UserAlreadyVerified),
            ("forgot_password", {"is_active": False}, UserInactive),
        ],
    )
    async def test_a_token_that_is_refused(
        self, accounts: Accounts, method: str, columns: dict[str, Any], error: type[Exception]
    ) -> None:
        user = await accounts.user(**columns)
        with pytest.raises(error):
            await getattr(accounts.manager, method)(user)
        assert (accounts.manager.heard, accounts.tokens()) == ([], [])

    @pytest.mark.parametrize(
        ("method", "hook", "letter"),
        [
            ("request_verify", "on_after_request_verify", LetterKind.VERIFY),
            ("forgot_password", "on_after_forgot_password", LetterKind.RESET_PASSWORD),
        ],
    )
    async def test_the_hook_gets_the_user_the_token_and_the_request(
        self, accounts: Accounts, monkeypatch: pytest.MonkeyPatch, method: str, hook: str, letter: LetterKind
    ) -> None:
        user, calls = await accounts.user(), list[tuple[Any, ...]]()

        async def remember(*arguments: Any) -> None:
            calls.append(arguments)

        monkeypatch.setattr(accounts.manager, hook, remember)
        sent = request()
        await getattr(accounts.manager, method)(user, sent)
        assert calls == [(user, accounts.manager.token(letter), sent)]

    async def test_a_verification(self, accounts: Accounts) -> None:
        await accounts.manager.request_verify(await accounts.user())
        with pytest.raises(InvalidVerifyToken):
            await accounts.manager.verify("unknown")
        assert accounts.manager.heard == ["on_after_request_verify"]
        user = await accounts.manager.verify(accounts.manager.token(LetterKind.VERIFY))
        assert (user.is_verified, user.is_active) == (True, True)
        assert accounts.manager.heard == ["on_after_request_verify", "on_after_verify"]

    async def test_a_reset(self, accounts: Accounts) -> None:
        await accounts.manager.forgot_password(await accounts.user())
        token = accounts.manager.token(LetterKind.RESET_PASSWORD)
        with pytest.raises(InvalidResetPasswordToken):
            await accounts.manager.reset_password("unknown", NEW_PASSWORD)
        with pytest.raises(InvalidPasswordException):
            await accounts.manager.reset_password(token, "short")
        assert accounts.manager.heard == ["on_after_forgot_password"]
        user = await accounts.manager.reset_password(token, NEW_PASSWORD)
        assert accounts.manager.heard[1:] == ["on_change_password", "on_after_reset_password"]
        assert await accounts.manager.authenticate(credentials(ANNA, NEW_PASSWORD)) is user

    async def test_the_tokens_of_a_deactivated_user(self, accounts: Accounts) -> None:
        """FastAPI Users verifies the user, and raises `UserInactive` for the password."""
        user = await accounts.user()
        await accounts.manager.request_verify(user)
        await accounts.manager.forgot_password(user)
        await accounts.manager.user_db.update(user, {"is_active": False})
        with pytest.raises(InvalidVerifyToken):
            await accounts.manager.verify(accounts.manager.token(LetterKind.VERIFY))
        with pytest.raises(InvalidResetPasswordToken):
            await accounts.manager.reset_password(accounts.manager.token(LetterKind.RESET_PASSWORD), NEW_PASSWORD)
        assert accounts.column("is_verified") is False

    @pytest.mark.parametrize(
        ("username", "password", "columns", "is_found"),
        [
            ("nobody@example.com", PASSWORD, {}, False),
            (ANNA, "wrong", {}, False),
            (ANNA, PASSWORD, {}, True),
            # FastAPI Users returns the user, and leaves it to the route.
            (ANNA, PASSWORD, {"is_active": False}, False),
        ],
    )
    async def test_credentials(
        self,
        accounts: Accounts,
        username: str,
        password: str,
        columns: dict[str, Any],
        is_found: bool,  # noqa: FBT001  # A parameter
    ) -> None:
        user = await accounts.user(**columns)
        found = await accounts.manager.authenticate(credentials(username, password))
        assert found is (user if is_found else None)

    async def test_an_update_of_the_user_s_own(self, accounts: Accounts) -> None:
        user = await accounts.user()
        for refused in (UserUpdate(username="anna", is_superuser=True), UserUpdate(password=NEW_PASSWORD)):
            with pytest.raises(FieldsNotAllowed):
                await accounts.manager.update(refused, user, safe=True)
        assert accounts.manager.heard == []
        updated = await accounts.manager.update(UserUpdate(username="anna", is_superuser=False), user, safe=True)
        assert (updated.username, updated.is_superuser) == ("anna", False)
        assert accounts.manager.heard == ["on_after_update"]

    async def test_an_update_of_the_flags_by_a_script(self, accounts: Accounts) -> None:
        update = UserUpdate(username="anna", is_superuser=True)
        updated = await accounts.manager.update(update, await accounts.user())
        assert (updated.username, updated.is_superuser) == ("anna", True)
        assert accounts.manager.heard == ["on_after_update"]

    async def test_a_deletion(self, accounts: Accounts) -> None:
        await accounts.manager.delete(await accounts.user())
        assert (accounts.manager.heard, accounts.stores.emails()) == (["on_before_delete", "on_after_delete"], [])

    @pytest.mark.parametrize("name", ["email", "is_active", "is_superuser", "is_verified"])
    async def test_an_update_by_a_script(self, accounts: Accounts, name: str) -> None:
        user = await accounts.user()
        with pytest.raises(FieldsNotAllowed, match=f"{name}: cannot be null"):
            await accounts.manager.update(BaseUserUpdate(**{name: None}), user)
        assert accounts.column("is_active") is True

    async def test_a_password_that_is_null_is_not_sent(self, accounts: Accounts) -> None:
        """As FastAPI Users has it."""
        user = await accounts.user()
        await accounts.manager.update(UserUpdate(password=None, username="anna"), user)
        assert await accounts.manager.authenticate(credentials("anna")) is not None

    @pytest.mark.parametrize("name", ["is_active", "is_superuser", "is_verified"])
    async def test_a_creation_by_a_script(self, accounts: Accounts, name: str) -> None:
        values: dict[str, Any] = {"email": ANNA, "password": PASSWORD, name: None}
        with pytest.raises(FieldsNotAllowed, match=f"{name}: cannot be null"):
            await accounts.manager.create(BaseUserCreate(**values))
        assert accounts.stores.emails() == []

    @pytest.mark.parametrize("is_safe", [False, True])
    async def test_the_same_address_is_an_update(
        self,
        accounts: Accounts,
        monkeypatch: pytest.MonkeyPatch,
        is_safe: bool,  # noqa: FBT001  # A parameter
    ) -> None:
        user = await accounts.user(is_verified=True)
        updates: list[dict[str, Any]] = []

        async def remember(_: Any, update: dict[str, Any], __: Any = None) -> None:
            updates.append(update)

        monkeypatch.setattr(accounts.manager, "on_after_update", remember)
        updated = await accounts.manager.update(BaseUserUpdate(email=ANNA), user, safe=is_safe)
        await accounts.manager.update(BaseUserUpdate(), user, safe=is_safe)
        assert updates == [{"email": ANNA}, {}]
        assert updated.is_verified is True
        assert accounts.manager.letters == []

    async def test_another_address_is_none_before_it_is_confirmed(self, accounts: Accounts) -> None:
        user = await accounts.user()
        update = UserUpdate.model_validate({"email": "new@example.com", "current_password": PASSWORD})
        await accounts.manager.update(update, user, safe=True)
        assert "on_after_update" not in accounts.manager.heard

    async def test_a_taken_address_by_a_script(self, accounts: Accounts) -> None:
        user, _ = await accounts.user(), await accounts.user("berta@example.com")
        with pytest.raises(UserAlreadyExists):
            await accounts.manager.update(BaseUserUpdate(email="Berta@example.com"), user)
        assert accounts.manager.heard == []

    async def test_a_password_by_a_script(self, accounts: Accounts) -> None:
        user = await accounts.user()
        with pytest.raises(InvalidPasswordException):
            await accounts.manager.update(BaseUserUpdate(password="short"), user)
        assert accounts.manager.heard == []
        await accounts.manager.update(BaseUserUpdate(password=NEW_PASSWORD), user)
        assert await accounts.manager.authenticate(credentials(ANNA, NEW_PASSWORD)) is not None


class TestIds:
    @pytest.mark.parametrize(("value", "parsed"), [("123", 123), (123, 123)])
    def test_an_integer(self, value: object, parsed: int) -> None:
        assert IntegerIDMixin().parse_id(value) == parsed

    @pytest.mark.parametrize("value", ["123.42", 123.42, "abc", ""])
    def test_what_is_no_integer(self, value: object) -> None:
        with pytest.raises(InvalidID):
            IntegerIDMixin().parse_id(value)

    @pytest.mark.parametrize("value", [uuid.UUID(int=7), str(uuid.UUID(int=7))])
    def test_a_uuid(self, value: object) -> None:
        assert UUIDIDMixin().parse_id(value) == uuid.UUID(int=7)

    @pytest.mark.parametrize("value", ["123", "abc", ""])
    def test_what_is_no_uuid(self, value: str) -> None:
        with pytest.raises(InvalidID):
            UUIDIDMixin().parse_id(value)
