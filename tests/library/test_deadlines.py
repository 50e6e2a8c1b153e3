"""A refused sign-in takes as long as the dearest accepted scheme, whoever it is; nothing is held meanwhile."""

import asyncio
from collections.abc import AsyncIterator
from typing import Any

import pytest
from pwdlib import PasswordHash
from pwdlib.hashers.argon2 import Argon2Hasher
from pwdlib.hashers.bcrypt import BcryptHasher

from fastapi_users_sqlmodel import _deadlines, passwords
from fastapi_users_sqlmodel.exceptions import UserNotVerified
from fastapi_users_sqlmodel.passwords import PasswordHasher, PasswordHelper, Verified
from tests.library.accounts import PASSWORD, Accounts, credentials, open_accounts, request
from tests.library.models import Models

TODAY, DEAR = 0.25, 2.0
DEADLINE = DEAR * 1.25


class Clock:
    """A clock that hashing and waiting put forward, and nothing else."""

    def __init__(self) -> None:
        self.now = 100.0
        self.busy = 1.0

    def monotonic(self) -> float:
        return self.now

    async def sleep(self, seconds: float) -> None:
        self.now += max(0, seconds)


class Timed(Argon2Hasher):
    """Argon2 with a time of its own on that clock."""

    def __init__(self, clock: Clock, seconds: float, time_cost: int) -> None:
        super().__init__(memory_cost=8, time_cost=time_cost, parallelism=1)
        self.clock, self.seconds, self.count = clock, seconds, 0

    def hash(self, password: str | bytes, *, salt: bytes | None = None) -> str:
        return super().hash(password, salt=salt)

    def verify(self, password: str | bytes, hash: str | bytes) -> bool:  # noqa: A002  # pwdlib's name
        self.count += 1
        # Whatever object verifies it, a hash costs what its parameters say.
        self.clock.now += (DEAR if ",t=2," in str(hash) else TODAY) * self.clock.busy
        return super().verify(password, hash)


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    clock = Clock()
    for module in (_deadlines, passwords):
        monkeypatch.setattr(module, "time", clock)
    return clock


@pytest.fixture
def today(clock: Clock) -> Timed:
    return Timed(clock, TODAY, 1)


@pytest.fixture
def dear(clock: Clock) -> Timed:
    return Timed(clock, DEAR, 2)


@pytest.fixture
def hasher(today: Timed, dear: Timed) -> PasswordHasher:
    return PasswordHasher(PasswordHelper(PasswordHash((today,)), legacy=(dear,)))


@pytest.fixture
def waits(clock: Clock, monkeypatch: pytest.MonkeyPatch) -> None:
    """Waiting puts the clock forward; only where the event loop itself has no use for sleeping."""
    monkeypatch.setattr(asyncio, "sleep", clock.sleep)


@pytest.mark.usefixtures("waits")
class TestTheDeadline:
    async def refused_after(
        self, hasher: PasswordHasher, clock: Clock, stored: str | None, typed: str = "wrong"
    ) -> float:
        verified = await hasher.verify(typed, stored)
        await hasher.wait_to_refuse(verified)
        return clock.now - verified.began

    async def test_is_the_same_for_every_hash(
        self, hasher: PasswordHasher, clock: Clock, today: Timed, dear: Timed
    ) -> None:
        await hasher.wait_to_refuse(await hasher.verify("wrong", None))
        kinds = (None, "", "!", today.hash(PASSWORD), dear.hash(PASSWORD), "$2b$12$damaged")
        assert {await self.refused_after(hasher, clock, stored) for stored in kinds} == {DEADLINE}

    async def test_is_of_the_dearest_scheme_even_if_that_is_today_s(self, clock: Clock) -> None:
        dear, cheap = Timed(clock, DEAR, 2), Timed(clock, TODAY, 1)
        hasher = PasswordHasher(PasswordHelper(PasswordHash((dear,)), legacy=(cheap,)))
        await hasher.wait_to_refuse(await hasher.verify("wrong", None))
        assert {await self.refused_after(hasher, clock, one) for one in (None, cheap.hash(PASSWORD))} == {DEADLINE}

    async def test_grows_with_the_load_and_shrinks_again(self, hasher: PasswordHasher, clock: Clock) -> None:
        await hasher.wait_to_refuse(await hasher.verify("wrong", None))
        clock.busy = 3.0
        for _ in range(40):
            await hasher.verify("wrong", None)
        assert await self.refused_after(hasher, clock, None) == pytest.approx(3 * DEADLINE, rel=0.05)
        clock.busy = 100.0
        for _ in range(40):
            await hasher.verify("wrong", None)
        assert hasher._deadline.seconds == _deadlines._LONGEST  # noqa: SLF001  # What holds at present
        for busy in (1.0, 0.5):
            clock.busy = busy
            for _ in range(80):
                await hasher.verify("wrong", None)
            assert await self.refused_after(hasher, clock, None) == pytest.approx(busy * DEADLINE, rel=0.05)

    async def test_an_old_hash_is_no_load(self, hasher: PasswordHasher, clock: Clock, dear: Timed) -> None:
        """It would tell others that somebody has one."""
        await hasher.wait_to_refuse(await hasher.verify("wrong", None))
        for _ in range(40):
            await hasher.verify("wrong", dear.hash(PASSWORD))
        assert await self.refused_after(hasher, clock, None) == DEADLINE

    async def test_is_twice_as_long_for_a_password_in_two_spellings(
        self, hasher: PasswordHasher, clock: Clock, dear: Timed
    ) -> None:
        """Each is tried with an old hash, so nobody is refused earlier than somebody who has one."""
        await hasher.wait_to_refuse(await hasher.verify("wrong", None))
        stored = [None, hasher.password_helper.hash(PASSWORD), dear.hash(PASSWORD)]
        refused = {await self.refused_after(hasher, clock, one, "u\u0308ber") for one in stored}
        assert refused == {2 * DEADLINE}

    async def test_without_legacy_schemes_there_is_none(self, clock: Clock, today: Timed) -> None:
        hasher = PasswordHasher(PasswordHelper(PasswordHash((today,)), legacy=()))
        await hasher.verify("wrong", None)
        assert await self.refused_after(hasher, clock, today.hash(PASSWORD)) == TODAY


class TestMeasuring:
    async def test_happens_once_for_all_who_wait(
        self, hasher: PasswordHasher, dear: Timed, today: Timed, clock: Clock
    ) -> None:
        before = today.count
        verified = Verified(is_right=False, began=clock.now - 1000)
        await asyncio.gather(*(hasher.wait_to_refuse(verified) for _ in range(20)))
        await hasher.wait_to_refuse(verified)
        assert (today.count - before, dear.count) == (1, 1)

    async def test_a_cancellation_does_not_end_it(self, hasher: PasswordHasher, dear: Timed, clock: Clock) -> None:
        verified = Verified(is_right=False, began=clock.now - 1000)
        gone, stays = [asyncio.create_task(hasher.wait_to_refuse(verified)) for _ in range(2)]
        await asyncio.sleep(0)
        gone.cancel()
        await stays
        assert gone.cancelled()
        assert dear.count == 1

    async def test_nothing_is_measured_for_a_right_password(
        self, hasher: PasswordHasher, today: Timed, dear: Timed
    ) -> None:
        assert (await hasher.verify(PASSWORD, today.hash(PASSWORD))).is_right
        assert dear.count == 0


class TestTheDefaults:
    @pytest.mark.parametrize("scheme", [Argon2Hasher(), BcryptHasher(rounds=4)])
    def test_fastapi_users_own_hashes_verify(self, scheme: Argon2Hasher | BcryptHasher) -> None:
        stored = scheme.hash(PASSWORD)
        assert PasswordHelper().verify(PASSWORD, stored) == Verified(is_right=True, needs_upgrade=True)

    def test_a_scheme_that_is_not_accepted_is_nobody_s(self) -> None:
        stored = BcryptHasher(rounds=4).hash(PASSWORD)
        assert PasswordHelper(legacy=()).verify(PASSWORD, stored) == Verified(is_right=False)


REFUSED: dict[str, tuple[str, dict[str, Any]]] = {
    "nobody": ("wrong", {"email": "other@example.com"}),
    "today": ("wrong", {}),
    "legacy": ("wrong", {"hashed_password": BcryptHasher(rounds=4).hash(PASSWORD)}),
    "unusable": (PASSWORD, {"hashed_password": "!"}),
    "deactivated": (PASSWORD, {"is_active": False}),
    "unverified": (PASSWORD, {}),
}


@pytest.mark.parametrize(("form", "kind"), [("sqlalchemy-uuid", "async"), ("sqlmodel-int", "sync")], indirect=True)
class TestSigningIn:
    @pytest.fixture
    async def accounts(self, models: Models, url: str, kind: str) -> AsyncIterator[Accounts]:
        async with open_accounts(models, url, kind) as accounts:
            yield accounts

    @pytest.fixture
    def held(self, accounts: Accounts, monkeypatch: pytest.MonkeyPatch) -> list[bool]:
        """Whether a transaction is open, or a place taken, each time that somebody waits to be refused."""
        held: list[bool] = []
        hasher, session = accounts.manager.password_hasher, accounts.stores.session

        async def look(_: Verified) -> None:
            held.append(session.in_transaction() or hasher._executor._work_queue.qsize() > 0)  # noqa: SLF001

        monkeypatch.setattr(hasher, "wait_to_refuse", look)
        return held

    @pytest.mark.parametrize("who", REFUSED)
    async def test_whoever_is_refused_waits_and_holds_nothing(
        self, accounts: Accounts, held: list[bool], who: str
    ) -> None:
        password, columns = REFUSED[who]
        await accounts.user(**columns)
        form = credentials("anna@example.com", password)
        if who == "unverified":
            with pytest.raises(UserNotVerified):
                await accounts.manager.sign_in(form, request(), requires_verification=True)
        else:
            assert await accounts.manager.sign_in(form, request()) is None
        assert held == [False]

    async def test_a_right_password_does_not_wait(self, accounts: Accounts, held: list[bool]) -> None:
        await accounts.user()
        assert await accounts.manager.sign_in(credentials("anna@example.com"), request()) is not None
        assert held == []

    async def test_a_cancellation_while_waiting_counts(
        self, accounts: Accounts, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        await accounts.user()
        waiting = asyncio.Event()

        async def wait(_: Verified) -> None:
            waiting.set()
            await asyncio.sleep(60)

        monkeypatch.setattr(accounts.manager.password_hasher, "wait_to_refuse", wait)
        task = asyncio.create_task(accounts.manager.sign_in(credentials("anna@example.com", "wrong"), request()))
        await waiting.wait()
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        assert accounts.events() == ["login_failed"]
