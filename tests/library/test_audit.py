"""The audit trail: one row for each security event, what stands in it, and what is forgotten."""

from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
import time_machine
from sqlalchemy import select

from fastapi_users_sqlmodel import AuditEventKind, LetterKind, audit_events
from fastapi_users_sqlmodel.audit import purge
from fastapi_users_sqlmodel.authentication import BearerRefreshTransport, SessionBackend, Sessions
from fastapi_users_sqlmodel.exceptions import InvalidCurrentPassword
from fastapi_users_sqlmodel.schemas import BaseUserCreate, BaseUserUpdate
from tests.library.accounts import (
    NETWORK,
    NEW_PASSWORD,
    PASSWORD,
    Accounts,
    credentials,
    open_accounts,
    request,
)
from tests.library.models import Models

pytestmark = pytest.mark.parametrize(
    ("form", "kind"), [("sqlalchemy-uuid", "async"), ("sqlmodel-int", "sync")], indirect=True
)
ANNA, NEW = "anna@example.com", "new@example.com"
ELSEWHERE = "198.51.100.7"


@pytest.fixture
async def accounts(models: Models, url: str, kind: str) -> AsyncIterator[Accounts]:
    async with open_accounts(models, url, kind) as accounts:
        yield accounts


def own(accounts: Accounts, user_id: Any) -> list[Any]:
    with accounts.stores.outside.connect() as connection:
        rows = connection.execute(audit_events(accounts.stores.models.user, of=user_id)).mappings()
        return sorted(rows, key=lambda row: row["id"])


async def be_signed_in(accounts: Accounts, user: Any) -> None:
    """Do everything that a person does with sessions."""
    manager, here = accounts.manager, request()
    sessions = Sessions("a secret of thirty-two bytes at least")
    backend: SessionBackend[Any, Any] = SessionBackend("jwt", BearerRefreshTransport("login"), sessions, Accounts)
    strategy = backend.strategy(manager, here)
    await strategy.write_token(user)
    user = await strategy.read_token(await strategy.write_token(user), manager)
    await manager.reauthenticate(user, PASSWORD, here)
    await manager.end_other_sessions(user, here)
    assert manager.current_session is not None
    await manager.record_replayed_refresh_token(user.id, here)
    await manager.end_current_session(user)
    manager.current_session = None


async def live(accounts: Accounts) -> Any:
    """Do everything that a person does with an account; return the id."""
    manager, here = accounts.manager, request()
    user = await manager.register(BaseUserCreate(email=ANNA, password=PASSWORD), here)
    assert user is not None
    await manager.sign_in(credentials(ANNA), here)
    await manager.sign_in(credentials(ANNA, "wrong"), here)
    await manager.record_logout(user, here)
    await be_signed_in(accounts, user)
    await manager.request_verification(ANNA, here)
    await manager.verify(manager.token(LetterKind.VERIFY), here)
    await manager.request_reset_password(ANNA, here)
    await manager.reset_password(manager.token(LetterKind.RESET_PASSWORD), PASSWORD, here)
    await manager.change_password(user, PASSWORD, NEW_PASSWORD, here)
    await manager.request_change_email(user, NEW, NEW_PASSWORD, here)
    await manager.confirm_email(manager.token(LetterKind.CONFIRM_EMAIL), here)
    undone = await manager.undo_change_email(manager.token(LetterKind.EMAIL_CHANGE_REQUESTED), here)
    user = undone.user
    await manager.update_own(user, {"username": "anna"}, here)
    root = await accounts.user("root@example.com", is_superuser=True)
    await manager.update_by_superuser(root, user.id, {"is_superuser": True}, request(ELSEWHERE))
    return user.id


KINDS_OF_A_LIFE = [
    "register",
    "login",
    "login_failed",
    "logout",
    "reauthenticate",
    "end_session",
    "refresh_token_replayed",
    "request_verify",
    "verify",
    "forgot_password",
    "reset_password",
    "change_password",
    "request_change_email",
    "change_email",
    "undo_change_email",
    "update",
    "change_role",
]


class TestRows:
    async def test_one_for_each_event(self, accounts: Accounts) -> None:
        user_id = await live(accounts)
        assert accounts.events() == KINDS_OF_A_LIFE
        assert {*KINDS_OF_A_LIFE, "delete"} == set(AuditEventKind)
        rows = own(accounts, user_id)
        assert [row["network"] for row in rows] == [NETWORK] * 16 + [None]
        assert [row["actor_id"] is None for row in rows] == [True] * 16 + [False]
        emails = {row["kind"]: row["email"] for row in rows if row["email"]}
        assert emails == {
            "register": ANNA,
            "verify": ANNA,
            "request_change_email": NEW,
            "change_email": NEW,
            "undo_change_email": ANNA,
        }
        details = {row["kind"]: row["details"] for row in rows if row["details"]}
        assert details == {"update": {"fields": ["username"]}, "change_role": {"is_superuser": True}}
        assert all(len(row["request_id"]) == 32 for row in rows[:-1])

    async def test_nothing_secret_stands_there(self, accounts: Accounts) -> None:
        await live(accounts)
        with accounts.stores.outside.connect() as connection:
            said = str(connection.execute(accounts.tables.audit_events.select()).all())
        secrets = [PASSWORD, NEW_PASSWORD, *(letter.token for letter in accounts.manager.letters if letter.token)]
        assert [secret for secret in secrets if secret in said] == []

    async def test_for_nobody_there_is_a_row_of_nobody(self, accounts: Accounts) -> None:
        await accounts.manager.sign_in(credentials("nobody@example.com"), request())
        await accounts.manager.request_reset_password("nobody@example.com", request())
        await accounts.manager.request_verification("nobody@example.com", request())
        assert accounts.events("kind", "user_id", "email") == [
            ("login_failed", None, None),
            ("forgot_password", None, None),
            ("request_verify", None, None),
        ]

    async def test_a_wrong_current_password_is_a_failed_login(self, accounts: Accounts) -> None:
        user = await accounts.user()
        with pytest.raises(InvalidCurrentPassword):
            await accounts.manager.delete_account(user, "wrong", request())
        assert accounts.events("kind", "user_id") == [("login_failed", user.id)]

    async def test_a_script_that_sets_a_password(self, accounts: Accounts) -> None:
        user = await accounts.user()
        await accounts.manager.update(BaseUserUpdate(password=NEW_PASSWORD), user)
        assert accounts.events("kind", "network") == [("change_password", None)]

    async def test_a_superuser_changes_the_address(self, accounts: Accounts) -> None:
        user, root = await accounts.user(is_verified=True), await accounts.user("root@example.com", is_superuser=True)
        await accounts.manager.update_by_superuser(root, user.id, {"email": NEW, "username": "anna"}, request())
        assert accounts.events("kind", "user_id", "actor_id", "email") == [
            ("update", user.id, root.id, None),
            ("change_email", user.id, root.id, NEW),
        ]

    async def test_what_is_undone_leaves_no_row(self, accounts: Accounts, monkeypatch: pytest.MonkeyPatch) -> None:
        async def fail(*_: Any) -> None:
            raise RuntimeError

        user_id = (await accounts.user()).id
        user = await accounts.reload(user_id)
        manager = accounts.manager
        for hook in ("on_register", "on_change_password", "on_failed_login", "on_before_delete", "queue_letter"):
            monkeypatch.setattr(manager, hook, fail)
        with pytest.raises(RuntimeError):
            await manager.register(BaseUserCreate(email=NEW, password=PASSWORD))
        with pytest.raises(RuntimeError):
            await manager.change_password(user, PASSWORD, NEW_PASSWORD)
        with pytest.raises(RuntimeError):
            await manager.sign_in(credentials(ANNA, "wrong"))
        with pytest.raises(RuntimeError):
            await manager.delete(user)
        assert (accounts.events(), accounts.tokens(), accounts.stores.emails()) == ([], [], [ANNA])
        assert manager.heard == []


class TestAfterDeletion:
    async def test_ids_and_kinds_stay(self, accounts: Accounts) -> None:
        user_id = await live(accounts)
        await accounts.manager.delete(await accounts.reload(user_id), request())
        forgotten = ("kind", "user_id", "email", "network", "details", "is_erased")
        expected = [*KINDS_OF_A_LIFE, "delete"]
        assert accounts.events(*forgotten) == [(kind, user_id, None, None, None, True) for kind in expected]

    async def test_an_administrator_who_is_gone_came_from_nowhere(self, accounts: Accounts) -> None:
        user, root = await accounts.user(), await accounts.user("root@example.com", is_superuser=True)
        await accounts.user("other@example.com", is_superuser=True)
        await accounts.manager.update_by_superuser(root, user.id, {"is_active": False}, request())
        await accounts.manager.delete(root)
        assert accounts.events("kind", "actor_id", "network", "details")[0] == (
            "change_role",
            root.id,
            None,
            {"is_active": False},
        )

    async def test_who_gets_the_id_next_sees_nothing(self, accounts: Accounts) -> None:
        user_id = await live(accounts)
        await accounts.manager.delete(await accounts.reload(user_id))
        assert own(accounts, user_id) == []
        again = await accounts.user(ANNA, id=user_id)
        await accounts.manager.sign_in(credentials(ANNA), request())
        assert [row["kind"] for row in own(accounts, again.id)] == ["login"]

    async def test_tokens_and_a_known_network_are_not_inherited(
        self, models: Models, url: str, kind: str, backend: str
    ) -> None:
        """On SQLite as it comes, without foreign keys, too."""
        async with open_accounts(models, url, kind, prepared=False) as accounts:
            user = await accounts.user()
            await accounts.manager.sign_in(credentials(ANNA), request())
            await accounts.manager.forgot_password(user)
            await accounts.manager.delete(user)
            assert accounts.tokens() == []


class TestOneSOwn:
    async def test_hides_where_an_administrator_came_from(self, accounts: Accounts) -> None:
        user_id = await live(accounts)
        *_, change_role = own(accounts, user_id)
        assert (change_role["kind"], change_role["network"], change_role["request_id"]) == ("change_role", None, None)
        with accounts.stores.outside.connect() as connection:
            everything = connection.execute(audit_events(accounts.stores.models.user)).mappings().all()
        assert [row["network"] for row in everything if row["kind"] == "change_role"] == [ELSEWHERE]

    async def test_is_one_s_own(self, accounts: Accounts) -> None:
        user_id = await live(accounts)
        other = await accounts.user("berta@example.com")
        await accounts.manager.sign_in(credentials("berta@example.com"), request())
        assert [row["kind"] for row in own(accounts, other.id)] == ["login"]
        assert len(own(accounts, user_id)) == len(KINDS_OF_A_LIFE)


class TestPurge:
    async def test_in_batches_and_never_what_is_younger(self, accounts: Accounts) -> None:
        store = accounts.manager.user_db
        with time_machine.travel(datetime.now(UTC) - timedelta(days=401)):
            for _ in range(5):
                await accounts.manager.sign_in(credentials("nobody@example.com"))
        with time_machine.travel(datetime.now(UTC) - timedelta(days=399)):
            await accounts.manager.sign_in(credentials("nobody@example.com"))
        purged = []
        for _ in range(5):
            async with store.transaction():
                purged.append(await store.ask(purge, older_than=timedelta(days=400), limit=2))
        assert purged == [2, 2, 1, 0, 0]
        table = accounts.tables.audit_events
        with accounts.stores.outside.connect() as connection:
            assert len(connection.execute(select(table.c.id)).all()) == 1
