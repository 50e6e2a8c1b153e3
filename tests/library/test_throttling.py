"""What may not happen often is counted before it happens: exactly, in one process or in many, Redis or no Redis."""

import asyncio
import gc
import logging
import os
import signal
import socket
import subprocess
import sys
import threading
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import ExitStack
from dataclasses import dataclass
from typing import Any

import pytest
import redis
import time_machine
from fastapi.requests import HTTPConnection
from limits import RateLimitItemPerHour, RateLimitItemPerMinute, RateLimitItemPerSecond

from fastapi_users_sqlmodel.throttling import Reservation, Throttle, ThrottleLimits, TooManyRequests, client_network
from tests.programs import environment_of
from tests.valkey import valkey_server

ANN: dict[str, Any] = {"account": "ann", "network": "203.0.113.7"}
REDIS = "fastapi_users_sqlmodel.throttling._redis"
PATIENTLY = "?socket_timeout=60&socket_connect_timeout=60"
SECOND = RateLimitItemPerSecond(2, 1)

# Waits for the others, and tries with them.
ATTEMPTS = f"""
import asyncio, sys, time, redis
from fastapi_users_sqlmodel import throttling

async def attempt(throttle):
    tried = (throttle.reserve_login(account="ann", network="203.0.113.7") for _ in range(50))
    made = await asyncio.gather(*tried, return_exceptions=True)
    assert all(isinstance(one, (throttling.Reservation, throttling.TooManyRequests)) for one in made), made
    print(sum(isinstance(one, throttling.Reservation) for one in made))

throttling._redis._ANSWERS_WITHIN = 60
url = sys.argv[1]
with redis.Redis.from_url(url) as together:
    together.incr("ready")
    while int(together.get("ready")) < 4:
        time.sleep(0.001)
asyncio.run(attempt(throttling.Throttle(url + "{PATIENTLY}")))
"""


@dataclass
class Store:
    """Where is counted: in memory, whose time is moved, or in Valkey, where it passes."""

    make: Callable[..., Throttle]
    wait: Callable[[float], Awaitable[None]]


@pytest.fixture
def valkey(valkey_url: str) -> Iterator[redis.Redis]:
    """Return a client of a Valkey with nothing in it."""
    with redis.Redis.from_url(valkey_url, decode_responses=True) as client:
        client.flushall()
        yield client


@pytest.fixture(params=["memory", "valkey"])
async def store(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Store]:
    if request.param == "memory":
        with time_machine.travel("2030-01-01T00:00:00Z", tick=False) as traveller:

            async def move(seconds: float) -> None:
                traveller.shift(seconds)

            yield Store(Throttle, move)
        return
    request.getfixturevalue("valkey")
    url: str = request.getfixturevalue("valkey_url")
    # A machine that is busy with other tests is not an outage.
    monkeypatch.setattr(f"{REDIS}._ANSWERS_WITHIN", 60)
    made: list[Throttle] = []

    def make(**options: Any) -> Throttle:
        made.append(Throttle(url + PATIENTLY, **options))
        return made[-1]

    yield Store(make, asyncio.sleep)
    for throttle in made:
        await throttle.close()


@pytest.fixture
def throttle(store: Store) -> Throttle:
    return store.make()


async def at_once[T](attempts: int, attempt: Callable[[int], Awaitable[T]]) -> list[T]:
    """Make attempts at the same time, and return what those came to that were not refused."""
    ended = await asyncio.gather(*(attempt(number) for number in range(attempts)), return_exceptions=True)
    assert [error for error in ended if isinstance(error, BaseException) and type(error) is not TooManyRequests] == []
    return [one for one in ended if not isinstance(one, BaseException)]


async def passed(throttle: Throttle, attempts: int = 20, /, **who: Any) -> int:
    """Return how many of these failed logins were let through, one after another."""
    count = 0
    for _ in range(attempts):
        try:
            await throttle.reserve_login(**{**ANN, **who})
        except TooManyRequests:
            continue
        count += 1
    return count


class TestFailedLogins:
    async def test_five_of_an_account_from_a_network(self, throttle: Throttle) -> None:
        assert await passed(throttle) == 5
        with pytest.raises(TooManyRequests) as refused:
            await throttle.reserve_login(**ANN)
        assert 1 <= refused.value.retry_after_seconds <= 300

    async def test_five_of_200_at_once(self, throttle: Throttle) -> None:
        assert len(await at_once(200, lambda _: throttle.reserve_login(**ANN))) == 5

    async def test_other_accounts_and_networks_have_their_own(self, throttle: Throttle) -> None:
        await passed(throttle)
        assert await passed(throttle, account="bob") == 5
        assert await passed(throttle, network="2001:db8::/64") == 5

    async def test_names_put_together_in_another_way_are_others(self, throttle: Throttle) -> None:
        await passed(throttle, account="a", network="b/c")
        assert await passed(throttle, account="a/b", network="c") == 5
        assert await passed(throttle, account="a\0b", network="c") == 5

    async def test_30_from_a_network(self, throttle: Throttle) -> None:
        reserved = await at_once(100, lambda number: throttle.reserve_login(account=f"{number}", network="n"))
        assert len(reserved) == 30
        with pytest.raises(TooManyRequests) as refused:
            await throttle.reserve_login(account="another", network="n")
        assert 1 <= refused.value.retry_after_seconds <= 60

    async def test_50_of_an_account(self, throttle: Throttle) -> None:
        reserved = await at_once(100, lambda number: throttle.reserve_login(account="ann", network=f"{number}"))
        assert len(reserved) == 50
        with pytest.raises(TooManyRequests) as refused:
            await throttle.reserve_login(**ANN)
        assert 300 < refused.value.retry_after_seconds <= 3600

    async def test_a_known_network_is_not_locked_out_by_others(self, throttle: Throttle) -> None:
        await at_once(100, lambda number: throttle.reserve_login(account="ann", network=f"{number}"))
        assert await passed(throttle, network="home") == 0
        assert await passed(throttle, network="home", is_known_network=True) == 5

    async def test_a_known_network_does_not_count_for_others(self, throttle: Throttle) -> None:
        async def at_home(number: int) -> Reservation:
            return await throttle.reserve_login(account="ann", network=f"{number}", is_known_network=True)

        assert len(await at_once(100, at_home)) == 100
        assert await passed(throttle) == 5

    @pytest.mark.parametrize("full", ["failed_logins", "failed_logins_from_network", "failed_logins_of_account"])
    async def test_what_one_limit_refuses_no_other_counts(self, store: Store, full: str) -> None:
        names = ["failed_logins", "failed_logins_from_network", "failed_logins_of_account"]
        many: dict[str, Any] = {name: RateLimitItemPerHour(3) for name in names}
        throttle = store.make(limits=ThrottleLimits(**{**many, full: RateLimitItemPerHour(1)}))
        assert await passed(throttle) == 1
        # Not one of the 19 that were refused is counted for the others in that network, or for that account elsewhere.
        if full != "failed_logins_from_network":
            assert await passed(throttle, 1, account="bob") == 1
            assert await passed(throttle, 1, account="cid") == 1
        if full != "failed_logins_of_account":
            assert await passed(throttle, 1, network="elsewhere") == 1
            assert await passed(throttle, 1, network="nowhere") == 1

    async def test_the_last_window_that_refuses_says_how_long(self, store: Store) -> None:
        limits = ThrottleLimits(failed_logins=RateLimitItemPerMinute(1), failed_logins_of_account=SECOND)
        throttle = store.make(limits=limits)
        await passed(throttle, 2)
        with pytest.raises(TooManyRequests) as refused:
            await throttle.reserve_login(**ANN)
        assert refused.value.retry_after_seconds > 1

    async def test_a_window_begins_with_the_first_and_ends(self, store: Store) -> None:
        throttle = store.make(limits=ThrottleLimits(failed_logins=RateLimitItemPerSecond(2, 1)))
        assert await passed(throttle) == 2
        await store.wait(1.1)
        assert await passed(throttle) == 2

    async def test_a_limit_of_none_lets_nobody_through(self, store: Store) -> None:
        throttle = store.make(limits=ThrottleLimits(failed_logins=RateLimitItemPerHour(0)))
        with pytest.raises(TooManyRequests) as refused:
            await throttle.reserve_login(**ANN)
        assert refused.value.retry_after_seconds == 1


class TestGivingBack:
    async def test_right_passwords_are_not_counted(self, throttle: Throttle) -> None:
        for _ in range(60):
            await (await throttle.reserve_login(**ANN)).give_back()
        assert await passed(throttle) == 5

    async def test_one_is_one(self, throttle: Throttle) -> None:
        reserved = [await throttle.reserve_login(**ANN) for _ in range(5)]
        await reserved[2].give_back()
        assert await passed(throttle) == 1

    async def test_twice_is_once(self, throttle: Throttle) -> None:
        reserved = [await throttle.reserve_login(**ANN) for _ in range(5)]
        await reserved[0].give_back()
        await asyncio.gather(*(reserved[0].give_back() for _ in range(10)))
        assert await passed(throttle) == 1

    async def test_a_later_window_is_left_alone(self, store: Store) -> None:
        throttle = store.make(limits=ThrottleLimits(failed_logins=SECOND, failed_logins_of_account=SECOND))
        late = [await throttle.reserve_login(**ANN) for _ in range(2)]
        await store.wait(1.1)
        # Given back when there is no window, and then when there is the next.
        await late[0].give_back()
        assert await passed(throttle, 1) == 1
        await late[1].give_back()
        assert await passed(throttle, 5) == 1

    async def test_a_window_after_one_that_was_emptied_is_left_alone(self, throttle: Throttle) -> None:
        first = await throttle.reserve_login(**ANN)
        await throttle.forgive(**ANN)
        await throttle.reserve_login(**ANN)
        await first.give_back()
        assert await passed(throttle) == 4

    async def test_in_any_order_at_once(self, throttle: Throttle) -> None:
        async def attempt(number: int) -> None:
            reservation = await throttle.reserve_login(**ANN)
            await asyncio.sleep(0)
            if number % 50:
                await reservation.give_back()

        for _ in range(5):
            await at_once(40, attempt)
        kept = 5 - await passed(throttle)
        assert 0 <= kept <= 5
        await throttle.forgive(**ANN)
        assert await passed(throttle) == 5

    async def test_a_reservation_of_nothing(self) -> None:
        await Reservation().give_back()


class TestForgiving:
    async def test_an_account_may_try_again_from_that_network(self, throttle: Throttle) -> None:
        await passed(throttle)
        await passed(throttle, network="elsewhere")
        await throttle.forgive(**ANN)
        assert await passed(throttle, network="elsewhere") == 0
        assert await passed(throttle) == 5

    async def test_nothing(self, throttle: Throttle) -> None:
        await throttle.forgive(**ANN)
        assert await passed(throttle) == 5


class TestMails:
    async def test_one_a_minute_to_an_address(self, throttle: Throttle) -> None:
        assert sum(await at_once(20, lambda _: throttle.may_mail_to("ann@example.com"))) == 1
        assert await throttle.may_mail_to("bob@example.com")

    async def test_five_an_hour_to_an_address(self) -> None:
        throttle = Throttle()
        with time_machine.travel("2030-01-01T00:00:00Z", tick=False) as traveller:
            sent = []
            for _ in range(60):
                sent.append(await throttle.may_mail_to("ann@example.com"))
                assert not await throttle.may_mail_to("ann@example.com")
                traveller.shift(60)
            assert sent == [True] * 5 + [False] * 55
            assert await throttle.may_mail_to("ann@example.com")

    async def test_what_is_refused_does_not_count(self, store: Store) -> None:
        limits = (RateLimitItemPerSecond(1, 1), RateLimitItemPerHour(2))
        throttle = store.make(limits=ThrottleLimits(mails_to_address=limits))
        assert [await throttle.may_mail_to("ann@example.com") for _ in range(5)] == [True] + [False] * 4
        await store.wait(1.1)
        assert [await throttle.may_mail_to("ann@example.com") for _ in range(5)] == [True] + [False] * 4

    async def test_the_same_limit_twice(self, store: Store) -> None:
        limits = (RateLimitItemPerHour(2), RateLimitItemPerHour(2))
        throttle = store.make(limits=ThrottleLimits(mails_to_address=limits))
        assert [await throttle.may_mail_to("ann@example.com") for _ in range(3)] == [True, True, False]

    async def test_no_limit(self, store: Store) -> None:
        throttle = store.make(limits=ThrottleLimits(mails_to_address=()))
        assert [await throttle.may_mail_to("ann@example.com") for _ in range(3)] == [True] * 3

    async def test_20_a_minute_from_a_network(self, throttle: Throttle) -> None:
        assert len(await at_once(200, lambda _: throttle.require_mail_from("n"))) == 20
        with pytest.raises(TooManyRequests) as refused:
            await throttle.require_mail_from("n")
        assert 1 <= refused.value.retry_after_seconds <= 60
        await throttle.require_mail_from("another")

    async def test_one_that_was_not_sent_is_given_back(self, throttle: Throttle) -> None:
        await at_once(20, lambda _: throttle.require_mail_from("n"))
        await throttle.give_back_mail_from("n")
        assert len(await at_once(5, lambda _: throttle.require_mail_from("n"))) == 1

    async def test_more_than_were_counted_are_not_given_back(self, throttle: Throttle) -> None:
        await throttle.require_mail_from("n")
        for _ in range(5):
            await throttle.give_back_mail_from("n")
        assert len(await at_once(30, lambda _: throttle.require_mail_from("n"))) == 20


@pytest.mark.parametrize(
    "text",
    ["", "\0", "\ud800", "\udfff\ud800", "🐎", "a b\r\n*1\r\n$8\r\nFLUSHALL\r\n", "{a}", "x" * 500_000, "İ" * 500_000],
    ids=["empty", "nul", "surrogate", "surrogates", "horse", "command", "braces", "long", "long-unicode"],
)
async def test_any_text_can_be_counted(text: str, throttle: Throttle) -> None:
    assert await passed(throttle, account=text, network=text) == 5
    assert await passed(throttle, account=f"{text}x", network=text) == 5
    await throttle.forgive(account=text, network=text)
    assert await throttle.may_mail_to(text)
    assert not await throttle.may_mail_to(text)
    await throttle.require_mail_from(text)
    await throttle.give_back_mail_from(text)


class TestManyProcesses:
    def test_five_of_200_at_once(self, valkey: redis.Redis, valkey_url: str) -> None:
        with ExitStack() as ending:
            processes = [
                ending.enter_context(
                    subprocess.Popen(
                        [sys.executable, "-c", ATTEMPTS, valkey_url],
                        env=environment_of({}),
                        stdout=subprocess.PIPE,
                        stderr=subprocess.PIPE,
                        text=True,
                    )
                )
                for _ in range(4)
            ]
            for process in processes:
                ending.callback(process.kill)
            ended = [process.communicate(timeout=120) for process in processes]
        assert [err for _, err in ended] == [""] * 4
        assert sum(int(out) for out, _ in ended) == 5

    async def test_what_one_counts_another_refuses(self, valkey: redis.Redis, valkey_url: str) -> None:
        for scheme in ("redis", "valkey"):
            throttle = Throttle(valkey_url.replace("redis", scheme) + PATIENTLY)
            assert await passed(throttle) == (5 if scheme == "redis" else 0)
            await throttle.close()

    async def test_nothing_that_could_be_read_stands_in_valkey(self, valkey: redis.Redis, valkey_url: str) -> None:
        throttle = Throttle(valkey_url + PATIENTLY)
        await throttle.reserve_login(account="ann.example", network="203.0.113.7")
        await throttle.require_mail_from("2001:db8::/64")
        await throttle.may_mail_to("ann.example@example.com")
        await throttle.close()

        windows: dict[str, Any] = {str(key): valkey.hgetall(key) for key in valkey.scan_iter()}

        assert len(windows) == 6
        for key, window in windows.items():
            namespace, _, digest = key.partition(":")
            assert (namespace, len(bytes.fromhex(digest))) == ("throttling", 32)
            assert window.keys() == {"window", "count"}
            assert (len(bytes.fromhex(window["window"])), window["count"]) == (8, "1")
            assert 0 < valkey.pttl(key) <= 3600 * 1000


class TestEventLoops:
    """A throttle belongs to no event loop, and leaves nothing of one behind."""

    @pytest.mark.parametrize("shared", [False, True], ids=["memory", "valkey"])
    def test_one_after_another(
        self, request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch, *, shared: bool
    ) -> None:
        monkeypatch.setattr(f"{REDIS}._ANSWERS_WITHIN", 60)
        if shared:
            request.getfixturevalue("valkey")
        throttle = Throttle(request.getfixturevalue("valkey_url") + PATIENTLY if shared else None)

        async def attempt() -> tuple[int, bool]:
            reserved = await at_once(3, lambda _: throttle.reserve_login(**ANN))
            return len(reserved), await throttle.may_mail_to("ann@example.com")

        assert [asyncio.run(attempt()) for _ in range(4)] == [(3, True), (2, False), (0, False), (0, False)]
        # What was left behind would complain now, and a warning is an error.
        gc.collect()
        asyncio.run(throttle.close())
        assert asyncio.run(attempt()) == (0, False)
        asyncio.run(throttle.close())
        gc.collect()

    @pytest.mark.parametrize("shared", [False, True], ids=["memory", "valkey"])
    def test_at_once_in_threads(
        self, request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch, *, shared: bool
    ) -> None:
        monkeypatch.setattr(f"{REDIS}._ANSWERS_WITHIN", 60)
        if shared:
            request.getfixturevalue("valkey")
        throttle = Throttle(request.getfixturevalue("valkey_url") + PATIENTLY if shared else None)
        start = threading.Barrier(4)
        counts: list[int] = []

        def attempt() -> None:
            start.wait()
            counts.append(len(asyncio.run(at_once(50, lambda _: throttle.reserve_login(**ANN)))))

        threads = [threading.Thread(target=attempt) for _ in range(4)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        asyncio.run(throttle.close())
        assert (len(counts), sum(counts)) == (4, 5)


class TestMemory:
    async def test_what_has_ended_is_forgotten(self) -> None:
        throttle = Throttle()
        with time_machine.travel("2030-01-01T00:00:00Z", tick=False) as traveller:
            for flood in range(3):
                for number in range(5_000):
                    await throttle.reserve_login(account=f"{flood}-{number}", network=f"{number}")
                    await throttle.may_mail_to(f"{number}@example.com")
                traveller.shift(3600)
            await throttle.reserve_login(**ANN)
        kept = throttle._own._windows.values()  # noqa: SLF001  # Nobody outside can see how much is kept.
        assert sum(map(len, kept)) == 3

    async def test_a_clock_that_is_set_back_locks_nobody_out(self) -> None:
        throttle = Throttle()
        with time_machine.travel("2030-01-01T00:00:00Z", tick=False) as traveller:
            await passed(throttle)
            await passed(throttle, account="bob")
            traveller.shift(-3600 * 24)
            assert await passed(throttle) == 5
            traveller.shift(300)
            assert await passed(throttle) == 5

    async def test_it_needs_no_redis(self) -> None:
        code = """
import sys
sys.modules["redis"] = None
from fastapi_users_sqlmodel.throttling import Throttle
Throttle()
"""
        process = await asyncio.create_subprocess_exec(sys.executable, "-c", code, env=environment_of({}))
        assert await process.wait() == 0


@pytest.fixture
def often(monkeypatch: pytest.MonkeyPatch) -> None:
    """Ask again soon whether Redis is back."""
    monkeypatch.setattr(f"{REDIS}._ASK_AGAIN_AFTER", 0.05)


@pytest.fixture
def once(monkeypatch: pytest.MonkeyPatch) -> None:
    """Ask no more than once in a test whether Redis is back."""
    monkeypatch.setattr(f"{REDIS}._ASK_AGAIN_AFTER", 3600)


def warnings(caplog: pytest.LogCaptureFixture) -> list[str]:
    return [record.getMessage() for record in caplog.records if record.levelno >= logging.WARNING]


async def until_back(throttle: Throttle, client: redis.Redis) -> None:
    """Try until it is counted in Redis again."""
    async with asyncio.timeout(60):
        while not client.keys("throttling:*"):
            await (await throttle.reserve_login(account="somebody", network="n")).give_back()
            await throttle.reserve_login(account=os.urandom(8).hex(), network=os.urandom(8).hex())
            await asyncio.sleep(0.01)


class TestRedisAway:
    """It is nobody's exception: each process counts for itself meanwhile."""

    @pytest.mark.usefixtures("once")
    async def test_at_the_start(self, caplog: pytest.LogCaptureFixture) -> None:
        with socket.create_server(("127.0.0.1", 0)) as reserved:
            port = reserved.getsockname()[1]
        throttle = Throttle(f"redis://user:hunter2@127.0.0.1:{port}/0")

        with caplog.at_level(logging.DEBUG, logger="fastapi_users_sqlmodel"):
            assert len(await at_once(200, lambda _: throttle.reserve_login(**ANN))) == 5
            assert await throttle.may_mail_to("ann@example.com")
            assert not await throttle.may_mail_to("ann@example.com")
            await throttle.require_mail_from("n")
            await throttle.give_back_mail_from("n")
            await throttle.forgive(**ANN)
            assert await passed(throttle) == 5
            await throttle.close()

        assert warnings(caplog) == ["Redis is away (ConnectionError): until it is back, each process counts alone"]
        assert "hunter2" not in caplog.text

    @pytest.mark.usefixtures("once")
    async def test_silent(self, caplog: pytest.LogCaptureFixture) -> None:
        with socket.create_server(("127.0.0.1", 0)) as silent:
            silent.setblocking(False)
            throttle = Throttle(f"redis://127.0.0.1:{silent.getsockname()[1]}/0")
            assert len(await at_once(200, lambda _: throttle.reserve_login(**ANN))) == 5
            asked = 0
            while True:
                try:
                    silent.accept()[0].close()
                except BlockingIOError:
                    break
                asked += 1
            assert await passed(throttle, account="bob") == 5
            # Not every login waits for what the first ones have waited for.
            assert 1 <= asked <= 8
            with pytest.raises(BlockingIOError):
                silent.accept()
        assert warnings(caplog) == ["Redis is away (TimeoutError): until it is back, each process counts alone"]
        await throttle.close()

    @pytest.mark.usefixtures("once")
    @pytest.mark.parametrize("answer", [b"HTTP/1.1 400 Bad Request\r\n\r\n", b":x\r\n", b"", b"-NOAUTH\r\n"])
    async def test_no_redis_at_all(self, answer: bytes) -> None:
        async def say(_: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            writer.write(answer)
            writer.close()

        async with await asyncio.start_server(say, "127.0.0.1", 0) as server:
            port = server.sockets[0].getsockname()[1]
            throttle = Throttle(f"redis://127.0.0.1:{port}/0")
            assert await passed(throttle) == 5
            await throttle.close()

    @pytest.mark.usefixtures("once")
    @pytest.mark.parametrize("host", ["nowhere.invalid", "a" * 64, "a..b"])
    async def test_a_host_that_is_none(self, host: str) -> None:
        throttle = Throttle(f"redis://{host}:6379/0")
        assert await passed(throttle) == 5
        await throttle.close()

    @pytest.mark.usefixtures("often")
    async def test_killed_in_the_middle_and_back(self, caplog: pytest.LogCaptureFixture) -> None:
        caplog.set_level(logging.INFO, logger="fastapi_users_sqlmodel")
        with valkey_server() as url, redis.Redis.from_url(url) as client:
            throttle = Throttle(url)
            assert await passed(throttle, 3) == 3
            held = await throttle.reserve_login(**ANN)
            os.kill(client.info()["process_id"], signal.SIGKILL)

            assert len(await at_once(50, lambda _: throttle.reserve_login(**ANN))) == 5
            await held.give_back()
            assert await passed(throttle) == 0
            assert len(warnings(caplog)) == 1

        with (
            valkey_server(int(url.rpartition(":")[2].removesuffix("/0"))) as again,
            redis.Redis.from_url(again) as client,
        ):
            assert again == url
            await until_back(throttle, client)
            assert await passed(throttle) == 5
            assert await passed(Throttle(url)) == 0
        assert caplog.messages[-1] == "Redis is back: the processes count together again"
        assert len(warnings(caplog)) == 1
        # The next outage is one of its own.
        assert await passed(throttle, account="bob") == 5
        assert len(warnings(caplog)) == 2
        await throttle.close()

    @pytest.mark.usefixtures("often")
    async def test_stopped_in_the_middle_and_back(self) -> None:
        with valkey_server() as url, redis.Redis.from_url(url) as client:
            throttle = Throttle(url)
            await (await throttle.reserve_login(**ANN)).give_back()
            pid = client.info()["process_id"]
            os.kill(pid, signal.SIGSTOP)
            try:
                assert len(await at_once(50, lambda _: throttle.reserve_login(**ANN))) == 5
            finally:
                os.kill(pid, signal.SIGCONT)
            await until_back(throttle, client)
            await throttle.close()

    @pytest.mark.parametrize(
        "url", ["http://localhost", "localhost:6379", "redis://h?nonsense=1", "redis://h?socket_timeout=x"]
    )
    def test_a_wrong_url_is_said_at_once(self, url: str) -> None:
        with pytest.raises((ValueError, TypeError)):
            Throttle(url)

    @pytest.mark.parametrize(
        "url", ["redis://h", "rediss://u:p@h:1/2", "valkey://h", "valkeys://h", "unix:///run/valkey.sock?db=1"]
    )
    def test_a_right_url_is_asked_later(self, url: str) -> None:
        Throttle(url)


class TestClientNetwork:
    @pytest.mark.parametrize(
        ("host", "network"),
        [
            ("203.0.113.7", "203.0.113.7"),
            ("127.0.0.1", "127.0.0.1"),
            ("2001:db8::1", "2001:db8::/64"),
            ("2001:DB8:0:0:ffff:ffff:ffff:ffff", "2001:db8::/64"),
            ("2001:db8:0:1::1", "2001:db8:0:1::/64"),
            ("::1", "::/64"),
            ("::ffff:203.0.113.7", "203.0.113.7"),
            ("::ffff:cb00:7107", "203.0.113.7"),
            ("fe80::1%eth0", "fe80::/64"),
            ("::ffff:203.0.113.7%eth0", "203.0.113.7"),
            ("", "unknown"),
            ("testclient", "unknown"),
            ("203.0.113.7:80", "unknown"),
            ("203.0.113.07", "unknown"),
            ("203.0.113.256", "unknown"),
            ("٢٠٣.0.113.7", "unknown"),
            ("[::1]", "unknown"),
            ("\ud800", "unknown"),
            ("1" * 10_000, "unknown"),
        ],
    )
    def test_table(self, host: str, network: str) -> None:
        assert client_network(HTTPConnection({"type": "http", "client": (host, 1234)})) == network

    def test_nobody(self) -> None:
        assert client_network(None) == "unknown"
        assert client_network(HTTPConnection({"type": "http", "client": None})) == "unknown"
        assert client_network(HTTPConnection({"type": "websocket"})) == "unknown"


@pytest.mark.parametrize(("given", "seconds"), [(-1, 1), (0, 1), (1, 1), (300, 300)])
def test_at_least_a_second(given: int, seconds: int) -> None:
    assert TooManyRequests(given).retry_after_seconds == seconds
