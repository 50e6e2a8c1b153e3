"""Hashing off the event loop, so many at once and no more, and the policy for new passwords."""

import asyncio
import os
import sys
import threading
import unicodedata
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import cached_property
from typing import Protocol

from fastapi_users import password
from pwdlib import PasswordHash
from pwdlib.hashers.argon2 import Argon2Hasher
from pwdlib.hashers.bcrypt import BcryptHasher

# zxcvbn compares every part of a password with every other; what is longer than this is not weak for its length.
_ESTIMATED_CHARACTERS = 100


class HashingQueueFullError(asyncio.QueueFull):
    """More passwords wait to be hashed than will be soon; answer 503 with `Retry-After`."""

    retry_after_seconds = 1


@dataclass(frozen=True, slots=True)
class Verified:
    """What became of a password: whether it is the right one, and whether its hash is of a weaker kind than today's."""

    is_right: bool
    needs_upgrade: bool = False


class PasswordHelper(password.PasswordHelper):
    """FastAPI Users' helper, with today's parameters, in this thread: each call is one computation.

    By default Argon2id with m = 19456 KiB, t = 2, p = 1 (OWASP's minimum); Argon2 hashes with other parameters and
    bcrypt hashes, as FastAPI Users wrote them, verify too. A password is the same in every Unicode spelling.
    """

    def __init__(self, password_hash: PasswordHash | None = None) -> None:
        super().__init__(
            password_hash or PasswordHash((Argon2Hasher(memory_cost=19456, time_cost=2, parallelism=1), BcryptHasher()))
        )

    def hash(self, password: str) -> str:
        """Hash a new password."""
        return super().hash(normalize_password(password))

    def verify(self, password: str, hashed_password: str | None) -> Verified:
        """Verify a password; None, an empty, unusable or unknown hash is nobody's, and takes as long as somebody's."""
        password = normalize_password(password)
        for hasher in self.password_hash.hashers:
            if hashed_password and hasher.identify(hashed_password):
                try:
                    is_right = hasher.verify(password, hashed_password)
                except ValueError:
                    # bcrypt takes 72 bytes, and a damaged hash has no salt.
                    break
                current = self.password_hash.current_hasher
                needs_upgrade = is_right and (hasher is not current or current.check_needs_rehash(hashed_password))
                return Verified(is_right, needs_upgrade)
        self.password_hash.verify(password, self._nobodys_hash)
        return Verified(is_right=False)

    def verify_and_update(self, plain_password: str, hashed_password: str) -> tuple[bool, str | None]:
        """Verify a password, and make today's hash of it if it is right and its hash is of a weaker kind."""
        verified = self.verify(plain_password, hashed_password)
        return verified.is_right, self.hash(plain_password) if verified.needs_upgrade else None

    @cached_property
    def hasher(self) -> "PasswordHasher":
        """The hasher that all who use this helper share: its bounds are a process's, and not a request's."""
        return PasswordHasher(self)

    @cached_property
    def _nobodys_hash(self) -> str:
        return self.password_hash.hash(self.generate())


class PasswordHasher:
    """A helper's work in threads, so that the event loop goes on meanwhile.

    Args:
        password_helper: Does it.
        concurrency: How many at once; each takes the memory that the algorithm asks for. If not given, all cores but
            one, which the event loop keeps.
        queue: How many may wait.
    """

    def __init__(
        self, password_helper: PasswordHelper | None = None, *, concurrency: int | None = None, queue: int = 64
    ) -> None:
        self.password_helper = password_helper or PasswordHelper()
        concurrency = concurrency or max(1, _usable_cores() - 1)
        self._executor = ThreadPoolExecutor(concurrency, thread_name_prefix="password")
        self._places = threading.BoundedSemaphore(concurrency + queue)

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
        return await self._run(self.password_helper.verify, password, hashed_password)

    async def _run[*Ts, T](self, work: Callable[[*Ts], T], *args: *Ts) -> T:
        if not self._places.acquire(blocking=False):
            raise HashingQueueFullError
        future = self._executor.submit(work, *args)
        # Free when the thread is done with it, which may be later than when the caller has gone away.
        future.add_done_callback(lambda _: self._places.release())
        return await asyncio.wrap_future(future)


def _usable_cores() -> int:
    """Return how many cores this process may use."""
    if sys.version_info >= (3, 13):
        return os.process_cpu_count() or 1
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def normalize_password(password: str) -> str:
    """Return the password in Unicode NFC, so that it is the same from every keyboard (NIST SP 800-63B, 3.1.1.2)."""
    return unicodedata.normalize("NFC", password)


class PasswordStrength(Protocol):
    """Estimates a password's strength."""

    def __call__(self, password: str, known: Sequence[str], /) -> int:
        """Return 0 (too guessable) to 4 (very unguessable); `known` are words that an attacker knows of the user."""


def zxcvbn_strength(password: str, known: Sequence[str]) -> int:
    """Estimate with zxcvbn, by the number of guesses that it takes."""
    from zxcvbn_rs_py import zxcvbn  # Its dictionaries take memory: only who asks loads them.

    return int(zxcvbn(password[:_ESTIMATED_CHARACTERS], list(known)).score)


@dataclass(frozen=True, slots=True)
class PasswordPolicy:
    """What a new password must be (OWASP ASVS 5.0, 6.2; NIST SP 800-63B, 3.1.1.2): long enough, and not guessable."""

    minimum_length: int = 8
    maximum_length: int = 256
    maximum_bytes: int = 1024
    minimum_strength: int = 3
    strength: PasswordStrength | None = zxcvbn_strength

    def problem(self, password: str, *, email: str = "", username: str | None = None) -> str | None:
        """Say why a password is refused, in a sentence without the password; None if it is not."""
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
