"""Passwords are hashed in threads, one computation each, so many at once and no more."""

import asyncio
import threading
import unicodedata
from dataclasses import dataclass, field

import pytest
from fastapi_users import password
from pwdlib import PasswordHash
from pwdlib.hashers.argon2 import Argon2Hasher
from pwdlib.hashers.bcrypt import BcryptHasher

from fastapi_users_sqlmodel.passwords import (
    HashingQueueFullError,
    PasswordHasher,
    PasswordHelper,
    PasswordPolicy,
    Verified,
)

PASSWORD = "correct horse battery"
cheap = Argon2Hasher(memory_cost=8, time_cost=1, parallelism=1)


class CountingHasher(Argon2Hasher):
    """Argon2, cheap, that counts its computations and remembers their threads."""

    def __init__(self) -> None:
        super().__init__(memory_cost=8, time_cost=1, parallelism=1)
        self.threads: list[threading.Thread] = []

    def hash(self, password: str | bytes, *, salt: bytes | None = None) -> str:
        self.threads.append(threading.current_thread())
        return super().hash(password, salt=salt)

    def verify(self, password: str | bytes, hash: str | bytes) -> bool:  # noqa: A002  # pwdlib's name
        self.threads.append(threading.current_thread())
        return super().verify(password, hash)


@pytest.fixture
def counting() -> CountingHasher:
    return CountingHasher()


@pytest.fixture
def hasher(counting: CountingHasher) -> PasswordHasher:
    made = PasswordHasher(PasswordHelper(PasswordHash((counting, BcryptHasher(rounds=4)))))
    made.password_helper.verify(PASSWORD, None)
    counting.threads.clear()
    return made


class TestVerify:
    async def test_right_password(self, hasher: PasswordHasher) -> None:
        assert await hasher.verify(PASSWORD, await hasher.hash(PASSWORD)) == Verified(is_right=True)

    async def test_wrong_password(self, hasher: PasswordHasher) -> None:
        assert await hasher.verify("wrong", await hasher.hash(PASSWORD)) == Verified(is_right=False)

    @pytest.mark.parametrize(
        "stored",
        [
            pytest.param(None, id="nobody"),
            pytest.param("", id="empty"),
            pytest.param("!", id="unusable"),
            pytest.param("md5$abc", id="unknown"),
            pytest.param("$argon2id$v=19$m=8,t=1,p=1$damaged", id="damaged-argon2"),
            pytest.param("$2b$12$damaged", id="damaged-bcrypt"),
        ],
    )
    async def test_a_hash_that_is_nobodys_costs_one_computation(
        self, stored: str | None, hasher: PasswordHasher, counting: CountingHasher
    ) -> None:
        assert await hasher.verify(PASSWORD, stored) == Verified(is_right=False)
        assert len(counting.threads) == 1

    async def test_somebodys_hash_costs_one_computation(self, hasher: PasswordHasher, counting: CountingHasher) -> None:
        stored = cheap.hash(PASSWORD)

        await hasher.verify(PASSWORD, stored)
        await hasher.verify("wrong", stored)

        assert len(counting.threads) == 2

    async def test_hashes_that_fastapi_users_wrote_are_verified_and_want_an_upgrade(
        self, hasher: PasswordHasher
    ) -> None:
        by_argon2 = password.PasswordHelper().hash(PASSWORD)
        by_bcrypt = password.PasswordHelper(PasswordHash((BcryptHasher(rounds=4),))).hash(PASSWORD)

        for stored in (by_argon2, by_bcrypt):
            assert await hasher.verify(PASSWORD, stored) == Verified(is_right=True, needs_upgrade=True)
            assert await hasher.verify("wrong", stored) == Verified(is_right=False)

    async def test_more_than_bcrypt_takes_is_a_wrong_password(self, hasher: PasswordHasher) -> None:
        stored = BcryptHasher(rounds=4).hash(PASSWORD)

        assert await hasher.verify("a" * 73, stored) == Verified(is_right=False)

    async def test_two_spellings_of_one_text_are_one_password(self, hasher: PasswordHasher) -> None:
        composed, decomposed = (unicodedata.normalize(form, "Zürich is larger") for form in ("NFC", "NFD"))

        assert composed != decomposed
        assert (await hasher.verify(decomposed, await hasher.hash(composed))).is_right

    @pytest.mark.parametrize("scheme", [Argon2Hasher(), BcryptHasher(rounds=4)], ids=["argon2", "bcrypt"])
    async def test_an_old_hash_is_of_the_password_as_it_was_typed(
        self, hasher: PasswordHasher, scheme: Argon2Hasher | BcryptHasher
    ) -> None:
        decomposed = unicodedata.normalize("NFD", "Zürich is larger")
        old = password.PasswordHelper(PasswordHash((scheme,))).hash(decomposed)

        verified = await hasher.verify(decomposed, old)
        assert (verified, verified.spellings) == (Verified(is_right=True, needs_upgrade=True), 2)
        assert (await hasher.verify(decomposed, hasher.password_helper.hash(decomposed))).is_right

    async def test_a_legacy_scheme_that_is_not_accepted_costs_nothing(self, counting: CountingHasher) -> None:
        helper = PasswordHelper(PasswordHash((counting,)), legacy=())
        decomposed = unicodedata.normalize("NFD", "Zürich is larger")
        assert helper.verify(decomposed, Argon2Hasher().hash(decomposed)) == Verified(is_right=False)
        assert helper.verify(decomposed, None).spellings == 1


class TestThreads:
    async def test_the_event_loop_hashes_nothing(self, hasher: PasswordHasher, counting: CountingHasher) -> None:
        await hasher.verify(PASSWORD, await hasher.hash(PASSWORD))

        assert threading.current_thread() not in counting.threads

    async def test_so_many_at_once_so_many_wait_and_the_next_is_refused(self) -> None:
        gate = Gate()
        hasher = PasswordHasher(PasswordHelper(PasswordHash((gate,))), concurrency=2, queue=3)
        waiting = [asyncio.create_task(hasher.hash(PASSWORD)) for _ in range(5)]
        await asyncio.to_thread(gate.entered.acquire)
        await asyncio.to_thread(gate.entered.acquire)

        with pytest.raises(HashingQueueFullError):
            await hasher.hash(PASSWORD)
        gate.open.set()

        assert len(await asyncio.gather(*waiting)) == 5
        assert gate.most_at_once == 2
        assert (await hasher.verify(PASSWORD, None)) == Verified(is_right=False)

    async def test_a_caller_who_goes_away_frees_the_place_when_the_thread_is_done(self) -> None:
        gate = Gate()
        hasher = PasswordHasher(PasswordHelper(PasswordHash((gate,))), concurrency=1, queue=1)
        running = asyncio.create_task(hasher.hash(PASSWORD))
        await asyncio.to_thread(gate.entered.acquire)
        queued = asyncio.create_task(hasher.hash(PASSWORD))
        await asyncio.sleep(0)

        running.cancel()
        queued.cancel()
        await asyncio.gather(running, queued, return_exceptions=True)
        gate.open.set()

        assert await hasher.hash(PASSWORD)


@dataclass
class Gate(CountingHasher):
    """A hasher that waits in its thread until it may go on."""

    open: threading.Event = field(default_factory=threading.Event)
    entered: threading.Semaphore = field(default_factory=lambda: threading.Semaphore(0))
    most_at_once: int = 0
    _now: int = 0
    _lock: threading.Lock = field(default_factory=threading.Lock)

    def __post_init__(self) -> None:
        super().__init__()

    def hash(self, password: str | bytes, *, salt: bytes | None = None) -> str:
        with self._lock:
            self._now += 1
            self.most_at_once = max(self.most_at_once, self._now)
        self.entered.release()
        assert self.open.wait(30)
        with self._lock:
            self._now -= 1
        return super().hash(password, salt=salt)


@pytest.fixture(scope="module")
def policy() -> PasswordPolicy:
    pytest.importorskip("zxcvbn_rs_py")
    return PasswordPolicy()


class TestPolicy:
    @pytest.mark.parametrize(
        "password",
        ["correct horse battery", "ünïcödé and then some", "x" * 8 + " quite unlike 42", "🐎 staple lamp 🪫 x"],
    )
    def test_accepted(self, password: str, policy: PasswordPolicy) -> None:
        assert policy.problem(password, email="ann@example.com", username="ann.1") is None

    @pytest.mark.parametrize(
        ("password", "problem"),
        [
            ("", "Password should be at least 8 characters"),
            ("short-7", "Password should be at least 8 characters"),
            ("e\u0301" * 7, "Password should be at least 8 characters"),
            ("ab cd ef " * 29, "Password should be at most 256 characters"),
            ("🐎" * 256 + "", None),
            ("Ann.Example", "Password should not be the e-mail address or the username"),
            ("the-admin-7", "Password should not be the e-mail address or the username"),
            ("ann.example@example.com", "Password should not be the e-mail address or the username"),
            ("password1", "Password is too easy to guess: add another word or two"),
            ("aaaaaaaaaaaa", "Password is too easy to guess: add another word or two"),
        ],
    )
    def test_refused(self, password: str, problem: str | None, policy: PasswordPolicy) -> None:
        if problem is None:
            # 256 characters of four bytes are exactly 1024 bytes, and one thing repeated.
            problem = "Password is too easy to guess: add another word or two"
        assert policy.problem(password, email="ann.example@example.com", username="THE-admin-7") == problem

    def test_another_estimate(self) -> None:
        policy = PasswordPolicy(strength=lambda password, known: len(known))

        assert policy.problem("any words at all", email="a@example.com", username="bob") is None
        assert policy.problem("any words at all") == "Password is too easy to guess: add another word or two"

    def test_no_estimate(self) -> None:
        assert PasswordPolicy(strength=None).problem("password") is None
