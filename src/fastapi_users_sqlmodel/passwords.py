"""Hash passwords in a limited number of threads, and the policy for new passwords."""

import asyncio
import os
import secrets
import sys
import threading
import time
import unicodedata
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import Protocol

from fastapi_users import password
from pwdlib import PasswordHash
from pwdlib.hashers import HasherProtocol
from pwdlib.hashers.argon2 import Argon2Hasher
from pwdlib.hashers.bcrypt import BcryptHasher

from fastapi_users_sqlmodel._deadlines import Deadline
from fastapi_users_sqlmodel.exceptions import ServiceUnavailable

# zxcvbn compares every part of a password with every other; the rest of a longer one is not looked at.
_ESTIMATED_CHARACTERS = 100


class HashingQueueFullError(ServiceUnavailable, asyncio.QueueFull, code=ServiceUnavailable.code):
    """More passwords wait to be hashed than can be hashed soon."""


@dataclass(frozen=True, slots=True)
class Verified:
    """Whether a password is right, and whether its hash is weaker than those made today."""

    is_right: bool
    needs_upgrade: bool = False
    # The time of the monotonic clock when a thread began; 0 without a thread.
    began: float = field(default=0.0, compare=False, repr=False)
    # The number of verifications, at most: two for a password that is not in NFC (`PasswordHelper.verify`).
    spellings: int = field(default=1, compare=False, repr=False)


class PasswordHelper(password.PasswordHelper):
    """FastAPI Users' helper, with today's parameters, in this thread: each call is one computation.

    A password is the same in every Unicode spelling.

    Args:
        password_hash: The schemes, the first of which makes new hashes; by default Argon2id with m = 19456 KiB, t = 2,
            p = 1 (OWASP's minimum).
        legacy: Older schemes whose hashes verify too, and are replaced at the next sign-in; by default FastAPI Users'
            own Argon2 and bcrypt. They take several times as long, so every refused sign-in waits as long as the
            slowest one takes: otherwise its time would show who has an account. With `()`, no sign-in waits and bcrypt
            hashes do not verify: use it when no user has an old hash.
    """

    def __init__(
        self, password_hash: PasswordHash | None = None, *, legacy: Sequence[HasherProtocol] | None = None
    ) -> None:
        super().__init__(password_hash or PasswordHash((Argon2Hasher(memory_cost=19456, time_cost=2, parallelism=1),)))
        self.legacy = tuple(legacy) if legacy is not None else (Argon2Hasher(), BcryptHasher())

    def hash(self, password: str) -> str:
        """Hash a new password."""
        return super().hash(normalize_password(password))

    def verify(self, password: str, hashed_password: str | None) -> Verified:
        """Verify a password; None and empty, unusable or unknown hashes take as long as a real one, and fail.

        The password is compared in NFC, and with a legacy hash also as it was typed: FastAPI Users hashes it so.
        """
        normalized = normalize_password(password)
        spellings = [normalized, password] if self.legacy and password != normalized else [normalized]
        for hasher in self.schemes:
            if hashed_password and hasher.identify(hashed_password):
                try:
                    is_of_today = self._is_of_today(hasher, hashed_password)
                    tried = spellings[:1] if is_of_today else spellings
                    is_right = any(hasher.verify(spelling, hashed_password) for spelling in tried)
                except ValueError:
                    # bcrypt takes 72 bytes, and a damaged hash has no salt.
                    break
                return Verified(is_right, needs_upgrade=is_right and not is_of_today, spellings=len(spellings))
        self.password_hash.verify(normalized, self._nobodys_hash)
        return Verified(is_right=False, spellings=len(spellings))

    @property
    def schemes(self) -> tuple[HasherProtocol, ...]:
        """Every scheme whose hashes verify, today's first."""
        return (*self.password_hash.hashers, *self.legacy)

    def is_verified_as_today(self, hashed_password: str | None) -> bool:
        """Return whether verifying a hash takes as long as one made today; so it does if no scheme knows it."""
        hasher = next((one for one in self.schemes if hashed_password and one.identify(hashed_password)), None)
        try:
            return hasher is None or self._is_of_today(hasher, hashed_password or "")
        except ValueError:
            # A damaged hash is refused without work.
            return False

    def _is_of_today(self, hasher: HasherProtocol, hashed_password: str) -> bool:
        current = self.password_hash.current_hasher
        return hasher is current and not current.check_needs_rehash(hashed_password)

    def verify_and_update(self, plain_password: str, hashed_password: str) -> tuple[bool, str | None]:
        """Verify a password, and make today's hash of it if it is right and its hash is of a weaker kind."""
        verified = self.verify(plain_password, hashed_password)
        return verified.is_right, self.hash(plain_password) if verified.needs_upgrade else None

    @cached_property
    def hasher(self) -> "PasswordHasher":
        """The hasher of all users of this helper: its bounds hold for the process."""
        return PasswordHasher(self)

    @cached_property
    def _nobodys_hash(self) -> str:
        return self.password_hash.hash(self.generate())


class PasswordHasher:
    """A helper's work in threads, so that the event loop goes on meanwhile.

    Args:
        password_helper: The helper.
        concurrency: The number of threads, each of which takes the memory of the algorithm. By default all cores but
            one, which the event loop keeps.
        queue: The number of passwords that may wait.
    """

    def __init__(
        self, password_helper: PasswordHelper | None = None, *, concurrency: int | None = None, queue: int = 64
    ) -> None:
        self.password_helper = password_helper or PasswordHelper()
        concurrency = concurrency or max(1, _usable_cores() - 1)
        self._executor = ThreadPoolExecutor(concurrency, thread_name_prefix="password")
        self._places = threading.BoundedSemaphore(concurrency + queue)
        self._deadline = Deadline(self.password_helper.schemes, self._executor)

    async def hash(self, password: str) -> str:
        """Hash a new password.

        Raises:
            HashingQueueFullError: Too many wait already.
        """
        return await self._run(self.password_helper.hash, password)

    async def verify(self, password: str, hashed_password: str | None) -> Verified:
        """Verify a password as `PasswordHelper.verify` does.

        Raises:
            HashingQueueFullError: Too many wait already.
        """
        return await self._run(self._verify, password, hashed_password)

    async def wait_to_refuse(self, verified: Verified) -> None:
        """Wait, before a refusal, as long as the slowest accepted scheme takes to verify.

        The first refusal of a process measures that, which takes about a second with FastAPI Users' schemes. A
        waiting request holds no thread; call this without a database connection.
        """
        if self.password_helper.legacy:
            await self._deadline.wait(verified.began, verifications=verified.spellings)

    def _verify(self, password: str, hashed_password: str | None) -> Verified:
        began = time.monotonic()
        verified = self.password_helper.verify(password, hashed_password)
        if self.password_helper.is_verified_as_today(hashed_password):
            self._deadline.record(time.monotonic() - began)
        return replace(verified, began=began)

    async def _run[*Ts, T](self, work: Callable[[*Ts], T], *args: *Ts) -> T:
        if not self._places.acquire(blocking=False):
            raise HashingQueueFullError
        future = self._executor.submit(work, *args)
        # The place is free when the thread is done, which may be after the request was cancelled.
        future.add_done_callback(lambda _: self._places.release())
        return await asyncio.wrap_future(future)


def _usable_cores() -> int:
    """Return how many cores this process may use."""
    if sys.version_info >= (3, 13):
        return os.process_cpu_count() or 1
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def unusable_hash() -> str:
    """Return a hash that no password has; each one differs, so that a comparison sees the change."""
    return f"!{secrets.token_urlsafe(32)}"


def normalize_password(password: str) -> str:
    """Return the password in Unicode NFC, so that it is the same from every keyboard (NIST SP 800-63B, 3.1.1.2)."""
    return unicodedata.normalize("NFC", password)


class PasswordStrength(Protocol):
    """Estimates a password's strength."""

    def __call__(self, password: str, known: Sequence[str], /) -> int:
        """Return 0 (too guessable) to 4 (very unguessable); `known` are words that an attacker knows of the user."""


def zxcvbn_strength(password: str, known: Sequence[str]) -> int:
    """Estimate with zxcvbn, by the number of guesses that it takes."""
    from zxcvbn_rs_py import zxcvbn  # Its dictionaries take memory, and are loaded when they are needed.

    return int(zxcvbn(password[:_ESTIMATED_CHARACTERS], list(known)).score)


@dataclass(frozen=True, slots=True)
class PasswordPolicy:
    """The rules for new passwords (OWASP ASVS 5.0, 6.2; NIST SP 800-63B, 3.1.1.2): length and strength."""

    minimum_length: int = 8
    maximum_length: int = 256
    maximum_bytes: int = 1024
    minimum_strength: int = 3
    strength: PasswordStrength | None = zxcvbn_strength

    def problem(self, password: str, *, email: str = "", username: str | None = None) -> str | None:
        """Return why a password is refused, in a sentence without the password; None if it is accepted."""
        password = normalize_password(password)
        local_part = email.rpartition("@")[0]
        known = [word for word in (local_part, email, username) if word]
        if len(password) < self.minimum_length:
            return f"Password should be at least {self.minimum_length} characters"
        if len(password) > self.maximum_length:
            return f"Password should be at most {self.maximum_length} characters"
        if len(password.encode()) > self.maximum_bytes:
            return f"Password should be at most {self.maximum_bytes} bytes"
        if password.casefold() in {word.casefold() for word in known}:
            return "Password should not be the e-mail address or the username"
        if self.strength is not None and self.strength(password, known) < self.minimum_strength:
            return "Password is too easy to guess: add another word or two"
        return None
