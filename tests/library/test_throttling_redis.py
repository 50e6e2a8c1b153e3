"""Limits that many processes share, and what becomes of them when Redis is away."""

import asyncio
import gc
import logging
import os
import signal
import socket
import subprocess
import sys
import threading
from contextlib import ExitStack
from typing import Any

import pytest
import redis

from fastapi_users_sqlmodel.throttling import Throttle
from tests.library.throttles import ANN, PATIENTLY, REDIS, at_once, passed
from tests.programs import environment_of
from tests.valkey import valkey_server

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
