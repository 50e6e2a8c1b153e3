"""Of several who come at once, one does it."""

import asyncio
from collections import Counter
from pathlib import Path

import pytest

from tests.examples.running import (
    CONFIGURED,
    NEW_PASSWORD,
    PASSWORD,
    count,
    login,
    printed_token,
    register,
    start_example,
)
from tests.programs import Programs
from tests.server import Server
from tests.spellings import SPELLINGS


class TestRaces:
    async def test_of_six_who_register_at_once_one_does(self, example: Server, example_url: str) -> None:
        async with example.client() as client:
            bodies = [{"email": spelling, "password": PASSWORD} for spelling in SPELLINGS[:6]]
            answers = await asyncio.gather(*(client.post("/auth/register", json=body) for body in bodies))
        assert Counter(answer.status_code for answer in answers) == {201: 1, 400: 5}
        assert {answer.text for answer in answers if answer.is_error} == {'{"detail":"REGISTER_USER_ALREADY_EXISTS"}'}
        assert count(example_url, 'SELECT count(*) FROM "user"') == 1

    @pytest.mark.parametrize("rounds", [3, pytest.param(20, marks=pytest.mark.thorough)])
    async def test_of_eight_who_use_one_token_at_once_one_does(
        self, programs: Programs, database_url: str, notes: Path, rounds: int
    ) -> None:
        server = start_example(programs, CONFIGURED, DATABASE_URL=database_url, NOTES=str(notes), LIMITS="off")
        async with server.client() as client:
            for number in range(rounds):
                email = f"user{number}@example.com"
                user_id = await register(client, email)
                await client.post("/auth/forgot-password", json={"email": email})
                token = await printed_token(server, "reset", user_id)
                passwords = [f"{NEW_PASSWORD} {n}" for n in range(8)]
                bodies = [{"token": token, "password": password} for password in passwords]
                answers = await asyncio.gather(*(client.post("/auth/reset-password", json=body) for body in bodies))
                assert Counter(answer.status_code for answer in answers) == {200: 1, 400: 7}
                refused = {answer.text for answer in answers if answer.is_error}
                assert refused == {'{"detail":"RESET_PASSWORD_BAD_TOKEN"}'}
                done = next(password for password, one in zip(passwords, answers, strict=True) if one.is_success)
                logins = [await login(client, email, password) for password in (done, PASSWORD)]
                assert [answer.status_code for answer in logins] == [200, 400]
