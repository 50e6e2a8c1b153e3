"""Signing in: one hash computation whoever it is, what is counted, and what becomes of an old hash."""

import asyncio
import re
from collections.abc import AsyncIterator, Callable
from contextlib import AsyncExitStack, suppress
from functools import partial
from typing import Any

import pytest
from pwdlib.hashers.argon2 import Argon2Hasher
from pwdlib.hashers.bcrypt import BcryptHasher
from sqlalchemy import event
from sqlalchemy.ext.asyncio import AsyncSession

from fastapi_users_sqlmodel import AuditEventKind, Sessions, Throttle
from fastapi_users_sqlmodel.authentication import BearerSessionStrategy
from fastapi_users_sqlmodel.exceptions import InvalidCurrentPassword, UserNotExists, UserNotVerified
from fastapi_users_sqlmodel.schemas import BaseUserCreate
from fastapi_users_sqlmodel.throttling import TooManyRequests
from tests.library.accounts import (
    HASH,
    NEW_PASSWORD,
    PASSWORD,
    Accounts,
    Manager,
    counting,
    credentials,
    open_accounts,
    password_helper,
    request,
)
from tests.library.models import Models

pytestmark = pytest.mark.parametrize(
    ("form", "kind"), [("sqlalchemy-uuid", "async"), ("sqlmodel-int", "sync")], indirect=True
)
WEAK = Argon2Hasher(memory_cost=16, time_cost=1, parallelism=1).hash(PASSWORD)
BCRYPT = BcryptHasher(rounds=4).hash(PASSWORD)
SECRET = "seven grey herons sleep above an old canal"
LOGIN, LOGIN_FAILED = AuditEventKind.LOGIN, AuditEventKind.LOGIN_FAILED


@pytest.fixture
def manager_class() -> type[Manager]:
    """Counts by itself, and from nothing."""
    return type("Throttled", (Manager,), {"throttle": Throttle()})


@pytest.fixture
async def accounts(models: Models, url: str, kind: str, manager_class: type[Manager]) -> AsyncIterator[Accounts]:
    async with open_accounts(models, url, kind, manager_class) as accounts:
        yield accounts


async def sign_in(accounts: Accounts, username: str, password: str = PASSWORD, **options: Any) -> Any:
    signed_in = await accounts.manager.sign_in(credentials(username, password), request(), **options)
    return signed_in.user.email if signed_in is not None else None


def statements(accounts: Accounts) -> list[str]:
    """Return a list to which each statement of the session is added."""
    session = accounts.stores.session
    engine = (session.sync_session if isinstance(session, AsyncSession) else session).get_bind()
    said: list[str] = []

    def hear(_: Any, __: Any, statement: str, *___: Any) -> None:
        said.append(statement)

    event.listen(engine, "before_cursor_execute", hear)
    return said


def reads_of_users(accounts: Accounts, said: list[str]) -> list[str]:
    table = accounts.tables.users.name
    return [statement for statement in said if re.search(rf'SELECT .*FROM "?{table}"?( |$)', statement, re.DOTALL)]


class TestOneComputation:
    @pytest.mark.parametrize(
        ("username", "password", "columns", "is_admitted"),
        [
            ("nobody@example.com", PASSWORD, {}, False),
            ("nobody", PASSWORD, {}, False),
            ("", "", {}, False),
            ("a\0@example.com", PASSWORD, {}, False),
            ("\ud800", PASSWORD, {}, False),
            ("a@" + "ü" * 500_000, PASSWORD, {}, False),
            ("anna@example.com", PASSWORD, {}, True),
            (" ANNA@example.com ", PASSWORD, {}, True),
            ("anna", PASSWORD, {"username": "anna"}, True),
            (" Anna ", PASSWORD, {"username": "anna"}, True),
            ("anna@example.com", "wrong", {}, False),
            ("anna@example.com", "", {}, False),
            ("anna@example.com", "\ud800", {}, False),
            ("anna@example.com", "x" * 500_000, {}, False),
            ("anna@example.com", PASSWORD, {"is_active": False}, False),
            ("anna@example.com", "wrong", {"is_active": False}, False),
            ("anna@example.com", PASSWORD, {"hashed_password": ""}, False),
            ("anna@example.com", PASSWORD, {"hashed_password": "!"}, False),
            ("anna@example.com", PASSWORD, {"hashed_password": "$argon2id$v=19$m=8,t=1,p=1$damaged"}, False),
            ("anna@example.com", "x" * 73, {"hashed_password": BCRYPT}, False),
            ("anna@example.com", PASSWORD, {"hashed_password": WEAK}, True),
        ],
    )
    async def test_on_every_path(
        self,
        accounts: Accounts,
        username: str,
        password: str,
        columns: dict[str, Any],
        is_admitted: bool,  # noqa: FBT001  # A parameter
    ) -> None:
        await accounts.user(**columns)
        before = counting.count
        assert (await sign_in(accounts, username, password) is not None) is is_admitted
        assert counting.count == before + 1
        assert accounts.events() == [LOGIN if is_admitted else LOGIN_FAILED]

    async def test_not_verified(self, accounts: Accounts) -> None:
        await accounts.user()
        before = counting.count
        with pytest.raises(UserNotVerified):
            await sign_in(accounts, "anna@example.com", requires_verification=True)
        assert await sign_in(accounts, "anna@example.com", "wrong", requires_verification=True) is None
        assert counting.count == before + 2
        assert accounts.events() == [LOGIN_FAILED, LOGIN_FAILED]

    async def test_none_when_it_is_refused_before(self, accounts: Accounts) -> None:
        await accounts.user()
        for _ in range(5):
            await sign_in(accounts, "anna@example.com", "wrong")
        before = counting.count
        with pytest.raises(TooManyRequests):
            await sign_in(accounts, "anna@example.com")
        assert counting.count == before


class TestStatements:
    async def test_unknown_and_wrong_are_the_same(self, accounts: Accounts) -> None:
        await accounts.user(username="anna")
        await accounts.user("berta@example.com", is_active=False)
        said = statements(accounts)
        heard = []
        for username in ("nobody@example.com", "anna@example.com", "berta@example.com"):
            said.clear()
            await sign_in(accounts, username, "wrong")
            heard.append(list(said))
        assert heard[0] == heard[1] == heard[2]
        heard = []
        for username in ("nobody", "anna"):
            said.clear()
            await sign_in(accounts, username, "wrong")
            heard.append(list(said))
        assert heard[0] == heard[1]

    async def test_a_sign_in_reads_the_user_twice(self, accounts: Accounts) -> None:
        await accounts.user()
        strategy: BearerSessionStrategy[Any, Any] = BearerSessionStrategy(Sessions(SECRET), accounts.manager)

        async def sign_a_token(_: Any) -> str:
            return "a token"

        said = statements(accounts)
        for begin, begins_inside in ((strategy.write_token, True), (sign_a_token, False)):
            said.clear()
            signed_in = await accounts.manager.sign_in(
                credentials("anna@example.com"), request(), begin=begin, begins_inside=begins_inside
            )
            assert signed_in is not None
            # The second read locks.
            assert len(reads_of_users(accounts, said)) == 2
        said.clear()
        await sign_in(accounts, "anna@example.com", "wrong")
        assert len(reads_of_users(accounts, said)) == 1

    async def test_registering_reads_no_user(self, accounts: Accounts, monkeypatch: pytest.MonkeyPatch) -> None:
        """The row that this transaction has inserted is its own: asking to verify it takes no lock."""
        monkeypatch.setattr(accounts.manager, "on_register", accounts.manager.request_verify)
        said = statements(accounts)
        user = await accounts.manager.create(BaseUserCreate(email="berta@example.com", password=NEW_PASSWORD))
        assert accounts.tokens() == ["verify"]
        assert reads_of_users(accounts, said) == []
        said.clear()
        await accounts.manager.request_verify(user)
        assert len(reads_of_users(accounts, said)) == 1

    async def test_a_lock_is_remembered_as_long_as_it_holds(self, accounts: Accounts) -> None:
        user = await accounts.user()
        said, store = statements(accounts), accounts.manager.user_db
        async with store.transaction():
            with suppress(LookupError):
                async with store.transaction():
                    await store.lock(user.id)
                    raise LookupError
            said.clear()
            for _ in range(2):
                await store.lock(user.id)
            async with store.transaction():
                await store.lock(user.id)
            assert len(reads_of_users(accounts, said)) == 1
        async with store.transaction():
            await store.lock(user.id)
        assert len(reads_of_users(accounts, said)) == 2


class TestAnOverriddenAuthenticate:
    """A project decides who signs in; every sign-in is counted and recorded all the same."""

    def override(self, accounts: Accounts, authenticate: Callable[..., Any]) -> None:
        accounts.manager.authenticate = partial(authenticate, accounts.manager)  # type: ignore[method-assign]

    async def test_that_passes_the_credentials_on(self, accounts: Accounts) -> None:
        await accounts.user()
        asked: list[str] = []

        async def authenticate(manager: Any, given: Any) -> Any:
            asked.append(given.username)
            given.username = given.username.removeprefix("local/")
            return await Manager.authenticate(manager, given)

        self.override(accounts, authenticate)
        assert await sign_in(accounts, "local/anna@example.com") == "anna@example.com"
        assert await sign_in(accounts, "anna@example.com", "wrong") is None
        assert asked == ["local/anna@example.com", "anna@example.com"]
        assert accounts.events() == [LOGIN, LOGIN_FAILED]

    async def test_that_refuses_whom_ours_admits(self, accounts: Accounts) -> None:
        await accounts.user()
        begun: list[Any] = []

        async def authenticate(manager: Any, given: Any) -> None:
            assert await Manager.authenticate(manager, given) is not None

        async def begin(user: Any) -> None:
            begun.append(user)

        self.override(accounts, authenticate)
        for _ in range(5):
            assert await accounts.manager.sign_in(credentials("anna@example.com"), request(), begin=begin) is None
        with pytest.raises(TooManyRequests):
            await sign_in(accounts, "anna@example.com")
        assert begun == []
        assert accounts.events() == [LOGIN_FAILED] * 5

    async def test_that_does_not_ask_ours(self, accounts: Accounts) -> None:
        user = await accounts.user()

        async def authenticate(manager: Any, given: Any) -> Any:
            return await manager.user_db.get(user.id) if given.password == "by another way" else None

        self.override(accounts, authenticate)
        assert await sign_in(accounts, "anna@example.com", "by another way") == "anna@example.com"
        for _ in range(5):
            assert await sign_in(accounts, "anna@example.com") is None
        with pytest.raises(TooManyRequests):
            await sign_in(accounts, "anna@example.com", "by another way")
        assert accounts.events() == [LOGIN, *[LOGIN_FAILED] * 5]
        assert accounts.manager.heard == ["on_failed_login"] * 5


class TestAnOldHash:
    @pytest.mark.parametrize("stored", [WEAK, BCRYPT], ids=["weak", "bcrypt"])
    async def test_is_upgraded_after_the_answer(self, accounts: Accounts, stored: str) -> None:
        await accounts.user(hashed_password=stored)
        signed_in = await accounts.manager.sign_in(credentials("anna@example.com"))
        assert accounts.column("hashed_password") == stored
        assert signed_in is not None
        assert signed_in.after_response is not None
        await signed_in.after_response()
        upgraded = accounts.column("hashed_password")
        assert upgraded != stored
        assert password_helper.verify(PASSWORD, upgraded).is_right
        again = await accounts.manager.sign_in(credentials("anna@example.com"))
        assert again is not None
        assert again.after_response is None

    async def test_the_user_may_go_on_with_it(self, accounts: Accounts) -> None:
        """Whoever is signed in meanwhile knows the present password."""
        await accounts.user(hashed_password=WEAK)
        user = await accounts.manager.authenticate(credentials("anna@example.com"))
        assert user is not None
        await accounts.manager.change_password(user, PASSWORD, NEW_PASSWORD)

    async def test_is_not_brought_back(self, accounts: Accounts, models: Models, url: str, kind: str) -> None:
        """The password is changed between the answer and the upgrade."""
        user_id = (await accounts.user(hashed_password=WEAK)).id
        signed_in = await accounts.manager.sign_in(credentials("anna@example.com"))
        async with open_accounts(models, url, kind) as other:
            await other.manager.change_password(await other.reload(user_id), PASSWORD, NEW_PASSWORD)
        changed = accounts.column("hashed_password")
        assert signed_in is not None
        assert signed_in.after_response is not None
        await signed_in.after_response()
        assert accounts.column("hashed_password") == changed


class TestMeanwhile:
    """What happens to the account while its password is being verified."""

    @pytest.fixture
    def meanwhile(self, accounts: Accounts, monkeypatch: pytest.MonkeyPatch) -> Callable[..., None]:
        """Return a function that says what will have been written when the first password has been verified."""

        def set_up(**columns: Any) -> None:
            hasher = accounts.manager.password_hasher
            verify = hasher.verify

            async def verify_and_change(password: str, stored: str | None) -> Any:
                verified = await verify(password, stored)
                monkeypatch.setattr(hasher, "verify", verify)
                with accounts.stores.outside.begin() as connection:
                    connection.execute(accounts.tables.users.update().values(**columns))
                return verified

            monkeypatch.setattr(hasher, "verify", verify_and_change)

        return set_up

    async def test_a_stronger_hash_of_the_same_password(self, accounts: Accounts, meanwhile: Any) -> None:
        """As another login does, whose owner has just as good a right."""
        await accounts.user(hashed_password=WEAK)
        meanwhile(hashed_password=HASH)
        assert await sign_in(accounts, "anna@example.com") == "anna@example.com"
        assert accounts.events() == [LOGIN]

    async def test_another_password(self, accounts: Accounts, meanwhile: Any) -> None:
        await accounts.user()
        meanwhile(hashed_password=password_helper.hash(NEW_PASSWORD))
        assert await sign_in(accounts, "anna@example.com") is None
        assert accounts.events() == [LOGIN_FAILED]

    async def test_deactivation(self, accounts: Accounts, meanwhile: Any) -> None:
        """A request that is under way does nothing any more."""
        user = await accounts.user()
        for act in (
            lambda: accounts.manager.change_password(user, PASSWORD, NEW_PASSWORD),
            lambda: accounts.manager.request_change_email(user, "new@example.com", PASSWORD),
            lambda: accounts.manager.delete_account(user, PASSWORD),
        ):
            meanwhile(is_active=False)
            with pytest.raises(UserNotExists):
                await act()
        assert accounts.events() == []
        assert (accounts.tokens(), accounts.column("hashed_password")) == ([], HASH)


class TestAnOverlappingChange:
    async def test_a_login_that_has_verified_the_old_password_is_refused(
        self, accounts: Accounts, models: Models, url: str, kind: str, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        user_id = (await accounts.user(hashed_password=WEAK)).id
        verify = accounts.manager.password_hasher.verify
        has_verified, may_go_on = asyncio.Event(), asyncio.Event()

        async def slow(password: str, hashed_password: str | None) -> Any:
            verified = await verify(password, hashed_password)
            has_verified.set()
            await may_go_on.wait()
            return verified

        async with open_accounts(models, url, kind) as other:
            user = await other.reload(user_id)
            with monkeypatch.context() as patched:
                patched.setattr(accounts.manager.password_hasher, "verify", slow)
                login = asyncio.create_task(accounts.manager.sign_in(credentials("anna@example.com"), request()))
                await has_verified.wait()
            await other.manager.change_password(user, PASSWORD, NEW_PASSWORD)
            may_go_on.set()
        assert await login is None
        assert accounts.events() == [AuditEventKind.CHANGE_PASSWORD, LOGIN_FAILED]
        assert password_helper.verify(NEW_PASSWORD, accounts.column("hashed_password")).is_right

    async def test_however_they_are_interleaved_the_new_password_stays(
        self, models: Models, url: str, kind: str
    ) -> None:
        async with AsyncExitStack() as stack:
            first, second = [await stack.enter_async_context(open_accounts(models, url, kind)) for _ in range(2)]
            user = await first.user(hashed_password=WEAK)
            for number in range(125):
                await asyncio.gather(log_in(first, after=number % 11), change(second, user.id, after=number % 7))
                stored = first.column("hashed_password")
                assert password_helper.verify(NEW_PASSWORD, stored).is_right
                with first.stores.outside.begin() as connection:
                    connection.execute(first.tables.users.update().values(hashed_password=WEAK))


async def pause(turns: int) -> None:
    for _ in range(turns):
        await asyncio.sleep(0)


async def log_in(accounts: Accounts, *, after: int) -> None:
    await pause(after)
    signed_in = await accounts.manager.sign_in(credentials("anna@example.com"))
    if signed_in is not None and signed_in.after_response is not None:
        await signed_in.after_response()


async def change(accounts: Accounts, user_id: Any, *, after: int) -> None:
    await pause(after)
    while True:
        user = await accounts.reload(user_id)
        try:
            await accounts.manager.change_password(user, PASSWORD, NEW_PASSWORD)
        except InvalidCurrentPassword:
            continue  # The login has upgraded the hash meanwhile.
        return
