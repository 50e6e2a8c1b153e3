"""Exactly the limit reaches the hasher, over all processes."""

import asyncio
from collections import Counter
from pathlib import Path

import httpx2
import redis

from tests.examples.running import (
    WITH_USERNAME,
    WRONG,
    count,
    execute,
    login,
    noted,
    register,
    said,
    start_example,
)
from tests.programs import Programs
from tests.server import Server
from tests.spellings import SPELLINGS, TYPED


class TestThrottling:
    async def test_fifty_wrong_passwords_at_once(self, example: Server, example_url: str) -> None:
        async with example.client() as client:
            await register(client, TYPED)
            # Who knows the password is not counted.
            assert [(await login(client, spelling)).status_code for spelling in SPELLINGS] == [200] * 8
            names = [SPELLINGS[number % 8] for number in range(50)]
            answers = await asyncio.gather(*(login(client, name, WRONG) for name in names))
            right = await login(client, TYPED)
        require_limit(answers, right, limit=5)
        failed = "SELECT count(*) FROM user_audit_event WHERE kind = 'login_failed'"
        assert count(example_url, failed) == 5

    async def test_four_processes_that_share_a_valkey(
        self, programs: Programs, database_url: str, notes: Path, valkey_url: str
    ) -> None:
        with redis.Redis.from_url(valkey_url) as valkey:
            valkey.flushall()
        env = {
            "DATABASE_URL": database_url,
            "NOTES": str(notes),
            "LIMITS": f"{valkey_url}?socket_timeout=60&socket_connect_timeout=60",
        }
        servers = [start_example(programs, WITH_USERNAME, **env) for _ in range(4)]
        clients = [server.client() for server in servers]
        await register(clients[0], TYPED)
        execute(database_url, 'UPDATE "user" SET username = :name', name="joerg")
        names = [*SPELLINGS, "joerg", " Joerg "]
        right = [await login(client, name) for client in clients for name in names]
        assert {answer.status_code for answer in right} == {200}
        before = noted(notes, "computed")
        assert before == len(right)
        attempts = [(clients[number % 4], names[number % 10]) for number in range(50)]
        answers = await asyncio.gather(*(login(client, name, WRONG) for client, name in attempts))
        for client in clients:
            for name in (TYPED, "joerg"):
                require_limit(answers, await login(client, name), limit=5)
        # Exactly the limit has reached the hasher, over all processes.
        assert noted(notes, "computed") - before == 5
        assert count(database_url, "SELECT count(*) FROM user_audit_event WHERE kind = 'login_failed'") == 5
        for client in clients:
            await client.aclose()


def require_limit(answers: list[httpx2.Response], right: httpx2.Response, *, limit: int) -> None:
    """Require that so many wrong passwords were looked at, and then not even the right one."""
    assert Counter(answer.status_code for answer in answers) == {400: limit, 429: len(answers) - limit}
    assert {answer.text for answer in answers if answer.status_code == 400} == {'{"detail":"LOGIN_BAD_CREDENTIALS"}'}
    for refused in (*(answer for answer in answers if answer.status_code == 429), right):
        assert said(refused) == (429, {"detail": "Too Many Requests"})
        assert 1 <= int(refused.headers["Retry-After"]) <= 300
