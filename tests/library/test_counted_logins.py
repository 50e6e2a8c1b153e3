"""Which sign-ins count as failed: those with a wrong password, also after a cancellation, for each table by itself."""

import asyncio
import threading
from collections.abc import AsyncIterator, Coroutine, Iterator
from dataclasses import dataclass, field
from typing import Any

import pytest
from sqlalchemy import Integer, StaticPool, create_engine
from sqlalchemy.exc import OperationalError
from sqlalchemy.orm import DeclarativeBase, Mapped, Session, mapped_column

from fastapi_users_sqlmodel import SQLAlchemyBaseUserTable, SQLModelUserDatabase, Throttle
from fastapi_users_sqlmodel.exceptions import InvalidCurrentPassword
from fastapi_users_sqlmodel.passwords import HashingQueueFullError, PasswordHasher
from fastapi_users_sqlmodel.throttling import TooManyRequests
from tests.library.accounts import (
    HASH,
    NEW_PASSWORD,
    PASSWORD,
    Accounts,
    Manager,
    credentials,
    open_accounts,
    request,
)
from tests.library.models import Models
from tests.library.throttles import Store
from tests.spellings import SPELLINGS, TYPED

on_both_stores = pytest.mark.parametrize(
    ("form", "kind"), [("sqlalchemy-uuid", "async"), ("sqlmodel-int", "sync")], indirect=True
)
ANNA = "anna@example.com"


@pytest.fixture
def manager_class() -> type[Manager]:
    """Counts by itself, and from nothing."""
    return type("Throttled", (Manager,), {"throttle": Throttle()})


@pytest.fixture
async def accounts(models: Models, url: str, kind: str, manager_class: type[Manager]) -> AsyncIterator[Accounts]:
    async with open_accounts(models, url, kind, manager_class) as accounts:
        yield accounts


async def sign_in(accounts: Accounts, username: str, password: str = PASSWORD) -> Any:
    signed_in = await accounts.manager.sign_in(credentials(username, password), request())
    return signed_in.user.email if signed_in is not None else None


async def counted(accounts: Accounts, username: str = ANNA) -> int:
    """Return how many failed logins are counted already, by using up the rest of the five."""
    for left in range(6):
        try:
            await sign_in(accounts, username, "wrong")
        except TooManyRequests:
            return 5 - left
    raise AssertionError("more than five")


@on_both_stores
class TestWhatIsCounted:
    async def test_an_account_is_one_whatever_name_is_typed(self, accounts: Accounts) -> None:
        await accounts.user(TYPED, username="joerg")
        names = ["joerg", "JOERG", *SPELLINGS]
        for name in names[:5]:
            assert await sign_in(accounts, name, "wrong") is None
        for name in names:
            with pytest.raises(TooManyRequests):
                await sign_in(accounts, name)

    async def test_a_name_of_nobody_too(self, accounts: Accounts) -> None:
        for name in SPELLINGS[:5]:
            assert await sign_in(accounts, name, "wrong") is None
        for name in SPELLINGS:
            with pytest.raises(TooManyRequests):
                await sign_in(accounts, name)

    async def test_a_right_password_is_not(self, accounts: Accounts) -> None:
        await accounts.user()
        for _ in range(8):
            assert await sign_in(accounts, "anna@example.com") is not None

    async def test_a_known_network_is_let_in_while_others_attack(self, accounts: Accounts) -> None:
        await accounts.user()
        assert await sign_in(accounts, "anna@example.com") is not None
        attacks = [request(f"198.51.100.{n}") for n in range(50)]
        for attack in attacks:
            assert await accounts.manager.sign_in(credentials("anna@example.com", "wrong"), attack) is None
        with pytest.raises(TooManyRequests):
            await accounts.manager.sign_in(credentials("anna@example.com"), request("203.0.113.1"))
        assert await sign_in(accounts, "anna@example.com") is not None

    async def test_the_current_password_is_counted_with_them(self, accounts: Accounts) -> None:
        user = await accounts.user()
        for _ in range(5):
            with pytest.raises(InvalidCurrentPassword):
                await accounts.manager.change_password(user, "wrong", NEW_PASSWORD, request())
        with pytest.raises(TooManyRequests):
            await sign_in(accounts, "anna@example.com")


@on_both_stores
class TestErrors:
    """Whatever fails for another reason than the password is no failed login."""

    async def test_of_the_database_after_a_right_password(
        self, accounts: Accounts, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        await accounts.user()

        async def time_out(_: Any) -> Any:
            raise OperationalError("SELECT", {}, Exception("lock timeout"))

        with monkeypatch.context() as patched:
            patched.setattr(accounts.manager.user_db, "lock", time_out)
            for _ in range(6):
                with pytest.raises(OperationalError):
                    await sign_in(accounts, ANNA)
        assert await counted(accounts) == 0

    async def test_of_a_hook_after_a_wrong_password(self, accounts: Accounts, monkeypatch: pytest.MonkeyPatch) -> None:
        await accounts.user()

        async def fail(*_: Any) -> None:
            raise LookupError

        with monkeypatch.context() as patched:
            patched.setattr(accounts.manager, "on_failed_login", fail)
            for name in (ANNA, "nobody@example.com"):
                with pytest.raises(LookupError):
                    await sign_in(accounts, name, "wrong")
        assert await counted(accounts) == 1
        assert await counted(accounts, "nobody@example.com") == 1

    @pytest.mark.parametrize("error", [HashingQueueFullError, MemoryError])
    async def test_before_the_verdict(
        self, accounts: Accounts, monkeypatch: pytest.MonkeyPatch, error: type[Exception]
    ) -> None:
        user = await accounts.user()

        async def refuse(*_: Any) -> Any:
            raise error

        with monkeypatch.context() as patched:
            patched.setattr(PasswordHasher, "_run", refuse)
            for _ in range(6):
                with pytest.raises(error):
                    await sign_in(accounts, ANNA, "wrong")
                with pytest.raises(error):
                    await accounts.manager.change_password(user, "wrong", NEW_PASSWORD, request())
        assert await counted(accounts) == 0


@dataclass
class Gate:
    """Verifications wait in their thread until it is open."""

    open: threading.Event = field(default_factory=threading.Event)
    submitted: asyncio.Event = field(default_factory=asyncio.Event)

    async def leave(self, attempt: Coroutine[Any, Any, Any]) -> None:
        """Make an attempt, and cancel it when its verification is in a thread or waits for one."""
        self.submitted.clear()
        task = asyncio.create_task(attempt)
        await self.submitted.wait()
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task


@pytest.fixture
def gate(accounts: Accounts, monkeypatch: pytest.MonkeyPatch) -> Iterator[Gate]:
    gate, hasher = Gate(), accounts.manager.password_hasher
    verify, run = hasher.password_helper.verify, hasher._run  # noqa: SLF001  # All work goes through it

    def wait_and_verify(*args: Any) -> Any:
        assert gate.open.wait(30)
        return verify(*args)

    async def submit(*args: Any) -> Any:
        gate.submitted.set()
        return await run(*args)

    with monkeypatch.context() as patched:
        patched.setattr(hasher.password_helper, "verify", wait_and_verify)
        patched.setattr(hasher, "_run", submit)
        yield gate
    gate.open.set()


@on_both_stores
class TestCancellation:
    """A client that goes away: its verification still ends, and counts."""

    @pytest.mark.parametrize(("password", "expected"), [("wrong", 2), (PASSWORD, 0)])
    async def test_while_it_is_verified_or_waits_for_that(
        self, accounts: Accounts, gate: Gate, password: str, expected: int
    ) -> None:
        user = await accounts.user()
        await gate.leave(sign_in(accounts, ANNA, password))
        await gate.leave(accounts.manager.change_password(user, password, NEW_PASSWORD, request()))
        gate.open.set()
        assert accounts.manager.throttle is not None
        await accounts.manager.throttle.close()
        assert await counted(accounts) == expected

    async def test_after_a_wrong_password(self, accounts: Accounts, monkeypatch: pytest.MonkeyPatch) -> None:
        await accounts.user()

        async def wait(*_: Any) -> None:
            await asyncio.sleep(30)

        with monkeypatch.context() as patched:
            patched.setattr(accounts.manager, "on_failed_login", wait)
            task = asyncio.create_task(sign_in(accounts, ANNA, "wrong"))
            await asyncio.sleep(0.1)
            task.cancel()
            with pytest.raises(asyncio.CancelledError):
                await task
        assert await counted(accounts) == 1

    async def test_a_failure_after_it_is_logged(
        self, accounts: Accounts, gate: Gate, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
    ) -> None:
        """Nobody is there to hear of it, and the place is given back."""
        await accounts.user()

        def fail(*_: Any) -> Any:
            assert gate.open.wait(30)
            raise MemoryError

        with monkeypatch.context() as patched:
            patched.setattr(accounts.manager.password_helper, "verify", fail)
            await gate.leave(sign_in(accounts, ANNA, "wrong"))
            gate.open.set()
            assert accounts.manager.throttle is not None
            await accounts.manager.throttle.close()
        assert await counted(accounts) == 0
        assert [record.exc_info[0] for record in caplog.records if record.exc_info] == [MemoryError]


class Base(DeclarativeBase):
    """Of two kinds of users, and of one in another schema."""


class Customer(SQLAlchemyBaseUserTable[int], Base):
    __tablename__ = "customer"
    id: Mapped[int] = mapped_column(Integer, primary_key=True)


class Staff(SQLAlchemyBaseUserTable[int], Base):
    __tablename__ = "staff"
    id: Mapped[int] = mapped_column(Integer, primary_key=True)


class Partner(SQLAlchemyBaseUserTable[int], Base):
    __tablename__ = "customer"
    __table_args__ = ({"schema": "partner"},)
    id: Mapped[int] = mapped_column(Integer, primary_key=True)


async def test_tables_are_counted_apart(store: Store) -> None:
    """The default throttle is one object for all of them, and ids and names are those of a table."""
    manager_class = type("Throttled", (Manager,), {"throttle": store.make()})
    engine = create_engine("sqlite://", poolclass=StaticPool, connect_args={"check_same_thread": False})
    with engine.begin() as connection:
        connection.exec_driver_sql("ATTACH ':memory:' AS partner")
        Base.metadata.create_all(connection)
    with Session(engine, expire_on_commit=False) as session:
        managers = [manager_class(SQLModelUserDatabase(session, table)) for table in (Customer, Staff, Partner)]
        for manager in managers:
            await manager.user_db.create({"email": ANNA, "hashed_password": HASH})
        for name in (ANNA, "nobody@example.com"):
            for _ in range(5):
                assert await managers[0].sign_in(credentials(name, "wrong"), request()) is None
            with pytest.raises(TooManyRequests):
                await managers[0].sign_in(credentials(name), request())
            for manager in managers[1:]:
                assert (await manager.sign_in(credentials(ANNA), request())) is not None
                assert (await manager.sign_in(credentials("nobody@example.com"), request())) is None
        mailed = [await manager.may_mail_to(ANNA, "reset_password") for manager in managers * 2]
        assert mailed == [True] * 3 + [False] * 3
    engine.dispose()
