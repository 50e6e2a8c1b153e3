"""A forgotten password: who comes with its token, how often, and what the time that an answer takes gives away."""

import asyncio
import re
from collections import Counter

import httpx2
import pytest
from pwdlib.hashers.bcrypt import BcryptHasher
from sqlmodel.ext.asyncio.session import AsyncSession

from app.crud.user import Users
from app.models import User
from app.users import password_helper
from tests.app.conftest import PASSWORD, Letters
from tests.app.databases import migrated
from tests.programs import Programs
from tests.server import start_server


async def test_of_six_who_come_at_once_one_does_it(programs: Programs, database_url: str) -> None:
    server = start_server(programs, database_url=migrated(database_url))
    async with server.client() as client:
        await client.post("/auth/register", json={"email": "anna@example.com", "password": PASSWORD})
        await client.post("/auth/forgot-password", json={"email": "anna@example.com"})
        (token,) = re.findall(r"reset-password\?token=(\S+)", server.program.out)
        passwords = [f"{PASSWORD} {number}" for number in range(6)]
        bodies = [{"token": token, "password": password} for password in passwords]
        answers = await asyncio.gather(*(client.post("/auth/reset-password", json=body) for body in bodies))
        assert Counter(answer.status_code for answer in answers) == {200: 1, 400: 5}
        assert {answer.text for answer in answers if answer.is_error} == {'{"detail":"RESET_PASSWORD_BAD_TOKEN"}'}
        done = next(password for password, answer in zip(passwords, answers, strict=True) if answer.is_success)
        for password in (PASSWORD, *passwords):
            form = {"username": "anna@example.com", "password": password}
            answer = await client.post("/auth/jwt/login", data=form)
            assert answer.status_code == (200 if password == done else 400)


async def test_nothing_slow_tells_who_has_an_account(
    client: httpx2.AsyncClient, owner: User, letters: Letters, monkeypatch: pytest.MonkeyPatch
) -> None:
    hashed: list[str] = []
    monkeypatch.setattr(password_helper, "hash", hashed.append)
    for email in (owner.email, "nobody@example.com"):
        assert (await client.post("/auth/forgot-password", json={"email": email})).status_code == 202
    assert [letter.to for letter in letters()] == [owner.email]
    assert hashed == []


async def test_an_upgraded_hash_does_not_bring_back_an_old_password(
    session: AsyncSession, owner: User, hashed_password: str
) -> None:
    """Somebody signs in with the old password, while it is changed."""
    owner.hashed_password = BcryptHasher().hash(PASSWORD)
    await session.commit()
    signing_in = User(id=owner.id, hashed_password=owner.hashed_password)
    owner.hashed_password = changed = password_helper.hash("another password")
    await session.commit()
    await Users(session).upgrade_hash(signing_in, hashed_password)
    await session.commit()
    await session.refresh(owner)
    assert owner.hashed_password == changed
