"""Who may try how often: failed logins and mails, counted in this process or, for many, in Redis or Valkey."""

import asyncio
from collections.abc import Awaitable, Callable
from contextlib import suppress
from dataclasses import dataclass, field
from functools import partial
from hashlib import sha256
from ipaddress import IPv4Address, IPv6Network, ip_address

from fastapi.requests import HTTPConnection
from limits import RateLimitItem, RateLimitItemPerHour, RateLimitItemPerMinute

from fastapi_users_sqlmodel.exceptions import TooManyRequests
from fastapi_users_sqlmodel.throttling._counters import Counter, Counters, GiveBack, Memory
from fastapi_users_sqlmodel.throttling._redis import Away, SharedCounters
from fastapi_users_sqlmodel.throttling._reservation import Background, Reservation

__all__ = ["Reservation", "Throttle", "ThrottleLimits", "TooManyRequests", "client_network"]


@dataclass(frozen=True, slots=True)
class ThrottleLimits:
    """How many in how long: a window begins with what is counted first in it. An address may have several limits."""

    failed_logins: RateLimitItem = field(default_factory=partial(RateLimitItemPerMinute, 5, 5))
    failed_logins_from_network: RateLimitItem = field(default_factory=partial(RateLimitItemPerMinute, 30))
    failed_logins_of_account: RateLimitItem = field(default_factory=partial(RateLimitItemPerHour, 50))
    mails_to_address: tuple[RateLimitItem, ...] = (RateLimitItemPerMinute(1), RateLimitItemPerHour(5))
    changes_of_account: RateLimitItem = field(default_factory=partial(RateLimitItemPerHour, 20))
    mails_from_network: RateLimitItem = field(default_factory=partial(RateLimitItemPerMinute, 20))
    registrations_from_network: RateLimitItem = field(default_factory=partial(RateLimitItemPerMinute, 30))


class Throttle:
    """Counts before it happens what may not happen often, so that simultaneous attempts do not slip through.

    Accounts are user ids or canonical names, and addresses are canonical, each with its table; networks are those of
    `client_network`. Only hashes of them are kept. While Redis is away, each process counts for itself.

    Args:
        redis_url: Where all processes count together: `redis://`, `rediss://`, `valkey://`, `valkeys://` or `unix://`;
            if not given, each counts for itself. It needs the extra `redis`. Its options are those of redis-py.
        limits: How many in how long.
    """

    def __init__(
        self,
        redis_url: str | None = None,
        *,
        limits: ThrottleLimits = ThrottleLimits(),
    ) -> None:
        self.limits = limits
        self._own = Memory()
        self._background = Background()
        self._shared = SharedCounters(redis_url) if redis_url else None

    @property
    def is_shared(self) -> bool:
        """Whether all processes count together."""
        return self._shared is not None

    async def reserve_login(self, *, account: str, network: str, is_known_network: bool = False) -> Reservation:
        """Count a login as failed before its password is hashed.

        Args:
            account: Who wants to sign in, with the table: the same id in another table is another account.
            network: From where.
            is_known_network: Whether the account has signed in from there before: then what others do elsewhere does
                not lock it out, and its own failures there count for that network alone.

        Raises:
            TooManyRequests: Too many have failed; this one was not counted.
        """
        counters = [
            self._failed_logins(account, network),
            _counter("failed-logins-from-network", self.limits.failed_logins_from_network, network),
        ]
        if not is_known_network:
            counters.append(_counter("failed-logins-of-account", self.limits.failed_logins_of_account, account))
        take = asyncio.ensure_future(self._ask(lambda store: store.take(counters)))
        try:
            # A cancellation of this coroutine does not reach the task: Redis may have counted already.
            await asyncio.wait([take])
        except asyncio.CancelledError:
            self._background.start(_undo(take))
            raise
        return Reservation(take.result(), self._background)

    async def forgive(self, *, account: str, network: str) -> None:
        """Forget the failed logins of an account from a network, after its password was reset from there."""
        counter = self._failed_logins(account, network)
        await self._own.clear(counter)
        await self._ask(lambda store: store.clear(counter))

    async def require_mail_from(self, network: str) -> None:
        """Count a mail that somebody in a network wants to be sent.

        Raises:
            TooManyRequests: Too many were; this one was not counted.
        """
        await self._ask(lambda store: store.take([self._mails_from(network)]))

    async def give_back_mail_from(self, network: str) -> None:
        """Count one mail less, because nothing was sent after all."""
        await self._ask(lambda store: store.give_back_one(self._mails_from(network)))

    async def may_mail_to(self, address: str, about: str = "") -> bool:
        """Count a mail to an address, unless that would be too many: then it must not be sent.

        Mails about different things are counted apart, so that nobody who asks for some keeps others from their reader.
        """
        limits = enumerate(self.limits.mails_to_address)
        counters = [_counter(f"mails-to-address-{number}", limit, address, about) for number, limit in limits]
        try:
            await self._ask(lambda store: store.take(counters))
        except TooManyRequests:
            return False
        return True

    async def require_registration(self, network: str) -> None:
        """Count a registration, of a free or a taken address, before its password is hashed.

        Raises:
            TooManyRequests: There were too many from this network; this one was not counted.
        """
        counter = _counter("registrations-from-network", self.limits.registrations_from_network, network)
        await self._ask(lambda store: store.take([counter]))

    async def require_reset(self, account: str) -> None:
        """Count a reset of a password with a token that is good, before the new one is hashed.

        Raises:
            TooManyRequests: There were too many of this account; this one was not counted.
        """
        await self._ask(lambda store: store.take([_counter("resets", self.limits.changes_of_account, account)]))

    async def require_change(self, account: str) -> None:
        """Count a change of which an account's owner is told by mail.

        Raises:
            TooManyRequests: Too many were; this one was not counted.
        """
        await self._ask(lambda store: store.take([_counter("changes", self.limits.changes_of_account, account)]))

    async def close(self) -> None:
        """Wait until what cancelled requests left is counted, and close the connections; later use opens new ones."""
        await self._background.finish()
        if self._shared is not None:
            await self._shared.close()

    def _failed_logins(self, account: str, network: str) -> Counter:
        return _counter("failed-logins", self.limits.failed_logins, account, network)

    def _mails_from(self, network: str) -> Counter:
        return _counter("mails-from-network", self.limits.mails_from_network, network)

    async def _ask[T](self, question: Callable[[Counters], Awaitable[T]]) -> T:
        if self._shared is not None:
            with suppress(Away):
                return await question(self._shared)
        return await question(self._own)


def client_network(connection: HTTPConnection | None) -> str:
    """Return the network of a client: its IPv4 address, the /64 of its IPv6 address, or `unknown`."""
    client = connection.client if connection is not None else None
    try:
        address = ip_address(client.host if client is not None else "")
    except ValueError:
        return "unknown"
    if isinstance(address, IPv4Address):
        return str(address)
    # So IPv4 looks to a socket that listens to both. The integer leaves the zone behind.
    return str(address.ipv4_mapped or IPv6Network((int(address), 64), strict=False))


async def _undo(take: Awaitable[GiveBack]) -> None:
    with suppress(TooManyRequests):
        await (await take)()


def _counter(name: str, limit: RateLimitItem, *whose: str) -> Counter:
    # Each hashed by itself, so that no two names together look like two others; and any text can be hashed like this.
    parts = [sha256(part.encode("utf-8", "surrogatepass")).hexdigest() for part in whose]
    return Counter(f"throttling:{sha256(limit.key_for(name, *parts).encode()).hexdigest()}", limit)
