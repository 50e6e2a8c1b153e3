"""Limits for failed sign-ins, e-mails and changes, counted in this process or, for several, in Redis or Valkey."""

import asyncio
from collections.abc import Awaitable, Callable
from contextlib import suppress
from dataclasses import dataclass
from hashlib import sha256
from ipaddress import IPv4Address, IPv6Address, IPv6Network, ip_address

from fastapi.requests import HTTPConnection

from fastapi_users_sqlmodel.exceptions import TooManyRequests
from fastapi_users_sqlmodel.throttling._counters import (
    Background,
    Counter,
    Counters,
    GiveBack,
    Limit,
    Memory,
    Reservation,
)
from fastapi_users_sqlmodel.throttling._redis import Away, SharedCounters

__all__ = [
    "Limit",
    "Reservation",
    "Throttle",
    "ThrottleLimits",
    "TooManyRequests",
    "client_address",
    "client_network",
    "read_address",
]

_MINUTE, _HOUR = 60, 3600


@dataclass(frozen=True, slots=True)
class ThrottleLimits:
    """The limits of a `Throttle`; e-mails to an address may have several."""

    # Of an account from a network.
    failed_logins: Limit = Limit(5, 5 * _MINUTE)
    failed_logins_from_network: Limit = Limit(30, _MINUTE)
    failed_logins_of_account: Limit = Limit(50, _HOUR)
    mails_to_address: tuple[Limit, ...] = (Limit(1, _MINUTE), Limit(5, _HOUR))
    changes_of_account: Limit = Limit(20, _HOUR)
    mails_from_network: Limit = Limit(20, _MINUTE)
    registrations_from_network: Limit = Limit(30, _MINUTE)


class Throttle:
    """Counts attempts before their work is done, so that simultaneous attempts cannot pass a limit together.

    An account is a user id or a canonical name, an address is canonical; both come with their table. A network is one
    of `client_network`. Only hashes of them are stored. While Redis does not answer, each process counts for itself.

    Args:
        redis_url: The server on which all processes count together: `redis://`, `rediss://`, `valkey://`, `valkeys://`
            or `unix://`, with the options of redis-py. It needs the extra `redis`. By default each process counts for
            itself.
        limits: The limits.
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
        """Count a sign-in as failed before its password is hashed.

        Args:
            account: The account, with its table.
            network: The network of the client.
            is_known_network: Whether the account has signed in from this network before. Then the limit of the account
                does not apply, and a failure does not count for it.

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
            # A cancellation does not reach the task: Redis may have counted already.
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
        """Count an e-mail that a client in a network asks for.

        Raises:
            TooManyRequests: Too many were asked for; this one was not counted.
        """
        await self._ask(lambda store: store.take([self._mails_from(network)]))

    async def give_back_mail_from(self, network: str) -> None:
        """Count one e-mail less, because none was sent."""
        await self._ask(lambda store: store.give_back_one(self._mails_from(network)))

    async def may_mail_to(self, address: str, about: str = "") -> bool:
        """Count an e-mail to an address; return False, without counting, if too many were sent about the same.

        Each subject has its own count: requests for one kind of e-mail cannot keep another kind from its reader.
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
        """Count a change of an account that sends an e-mail to its owner.

        Raises:
            TooManyRequests: There were too many; this one was not counted.
        """
        await self._ask(lambda store: store.take([_counter("changes", self.limits.changes_of_account, account)]))

    async def close(self) -> None:
        """Wait until cancelled requests are counted, and close the connections; a later use opens new ones."""
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
    address = client_address(connection)
    if address is None:
        return "unknown"
    return str(IPv6Network((address, 64), strict=False) if isinstance(address, IPv6Address) else address)


def client_address(connection: HTTPConnection | None) -> IPv4Address | IPv6Address | None:
    """Return the IP address of a client; None if it has none, such as on a Unix socket."""
    client = connection.client if connection is not None else None
    return read_address(client.host) if client is not None else None


def read_address(text: str) -> IPv4Address | IPv6Address | None:
    """Read an IP address without its zone; IPv4, as a socket for both versions writes it, is IPv4; None for others."""
    try:
        address = ip_address(text)
    except ValueError:
        return None
    return address if isinstance(address, IPv4Address) else address.ipv4_mapped or IPv6Address(int(address))


async def _undo(take: Awaitable[GiveBack]) -> None:
    with suppress(TooManyRequests):
        await (await take)()


def _counter(name: str, limit: Limit, *whose: str) -> Counter:
    # Each part is hashed by itself, so that no two parts together are equal to two others.
    parts = [sha256(part.encode("utf-8", "surrogatepass")).hexdigest() for part in whose]
    key = "/".join((name, *parts, str(limit.amount), str(limit.seconds)))
    return Counter(f"throttling:{sha256(key.encode()).hexdigest()}", limit)
