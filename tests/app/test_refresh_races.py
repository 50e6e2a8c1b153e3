"""Refresh tokens at two processes of the service: a hasty client stays signed in, and a thief does not."""

import asyncio
import itertools
import random
import uuid
from collections import Counter
from collections.abc import AsyncIterator, Iterator
from contextlib import AsyncExitStack, asynccontextmanager, suppress
from dataclasses import dataclass
from http.cookiejar import DefaultCookiePolicy
from typing import NamedTuple

import httpx2
import jwt
import pytest
from sqlmodel import Session

from app.core.settings import settings
from app.models import User
from tests.app.conftest import PASSWORD, Ground, form
from tests.app.databases import connected, migrated
from tests.app.shapes import UNAUTHORIZED, said
from tests.programs import Programs
from tests.server import Server, start_server

REFRESH_BAD_TOKEN = (401, {"detail": "REFRESH_BAD_TOKEN"})
FROM_OUR_PAGE = {"Sec-Fetch-Site": "same-origin"}
OUR_KEY, NEW_KEY, ANOTHER_KEY = (
    settings.secret_key.get_secret_value(),
    "the key after it, and as long as a secret key has to be",
    "a key of somebody else, and as long as ours",
)
REPLAYED = "refresh_token_replayed"

_people = itertools.count()


class Tokens(NamedTuple):
    """What signing in and refreshing bring."""

    access: str
    refresh: str

    @property
    def session_id(self) -> str:
        return str(jwt.decode(self.access, options={"verify_signature": False})["sid"])


@dataclass(frozen=True)
class House:
    """Processes of the service on one database."""

    clients: list[httpx2.AsyncClient]
    database_url: str
    hashed_password: str

    def add_user(self) -> str:
        email = f"person{next(_people)}@example.com"
        with connected(self.database_url) as connection, Session(connection) as session:
            session.add(User(email=email, hashed_password=self.hashed_password))
            session.commit()
        return email

    async def sign_in(self, email: str, *, at: int = 0) -> Tokens:
        return tokens_of(await self.clients[at].post("/auth/jwt/login", data=form(email, PASSWORD)))

    async def sign_in_by_cookie(self, email: str) -> dict[str, str]:
        """Sign in, and return the headers to be that user."""
        body = form(email, PASSWORD)
        answer = await self.clients[0].post("/auth/cookie/login", data=body, headers=FROM_OUR_PAGE)
        return {"Cookie": f"session={answer.cookies['session']}"}

    async def refresh(self, token: str, *, at: int = 0) -> httpx2.Response:
        return await self.clients[at].post("/auth/jwt/refresh", json={"refresh_token": token})

    async def refreshed(self, token: str, *, at: int = 0) -> Tokens:
        return tokens_of(await self.refresh(token, at=at))

    async def get(self, path: str, access: str, *, at: int = 0) -> httpx2.Response:
        return await self.clients[at].get(path, headers=bearer(access))

    async def assert_lives(self, *access_tokens: str) -> None:
        for at, token in itertools.product(range(len(self.clients)), access_tokens):
            assert (await self.get("/authenticated-route", token, at=at)).status_code == 200

    async def assert_dead(self, *tokens: Tokens) -> None:
        for at, pair in itertools.product(range(len(self.clients)), tokens):
            assert said(await self.get("/authenticated-route", pair.access, at=at)) == (401, UNAUTHORIZED)
            assert said(await self.refresh(pair.refresh, at=at)) == REFRESH_BAD_TOKEN

    async def sessions_of(self, tokens: Tokens) -> list[str]:
        return [one["id"] for one in (await self.get("/auth/sessions", tokens.access)).json()]

    async def events_of(self, tokens: Tokens) -> list[str]:
        """Return the kinds of what has happened to an account, newest first."""
        return [event["kind"] for event in (await self.get("/users/me/audit-events", tokens.access)).json()]


def tokens_of(answer: httpx2.Response) -> Tokens:
    assert answer.status_code == 200, answer.text
    return Tokens(answer.json()["access_token"], answer.json()["refresh_token"])


def bearer(access: str) -> dict[str, str]:
    return {"Authorization": f"Bearer {access}"}


def start(programs: Programs, url: str, key: str = OUR_KEY, previous: str = "") -> Server:
    env = {"SECRET_KEY": key, "SECRET_KEY_PREVIOUS": previous, "LOG_LEVEL": "WARNING"}
    return start_server(programs, database_url=url, env=env)


@asynccontextmanager
async def in_house(servers: list[Server], url: str, hashed_password: str) -> AsyncIterator[House]:
    async with AsyncExitStack() as opened:
        clients = [await opened.enter_async_context(server.client()) for server in servers]
        for client in clients:
            # Each request says itself who is asking.
            client.cookies.jar.set_policy(DefaultCookiePolicy(allowed_domains=[]))
        yield House(clients, url, hashed_password)


def stop(servers: list[Server]) -> None:
    for server in servers:
        server.stop_silently()


@pytest.fixture(scope="module")
def running(ground: Ground) -> Iterator[tuple[list[Server], str]]:
    servers = [start(ground.programs, ground.database_url) for _ in range(2)]
    yield servers, ground.database_url
    stop(servers)


@pytest.fixture
async def house(running: tuple[list[Server], str], hashed_password: str) -> AsyncIterator[House]:
    async with in_house(*running, hashed_password) as house:
        yield house


class TestOneSuccessor:
    """A refresh token has one, however often it is sent within ten seconds."""

    async def test_eight_at_once(self, house: House) -> None:
        first = await house.sign_in(house.add_user())
        answers = await asyncio.gather(*(house.refresh(first.refresh, at=at) for at in (0, 1) * 4))
        assert Counter(answer.status_code for answer in answers) == {200: 8}
        pairs = [tokens_of(answer) for answer in answers]
        (successor,) = {pair.refresh for pair in pairs}
        assert successor != first.refresh
        assert {pair.session_id for pair in pairs} == {first.session_id}
        assert await house.sessions_of(pairs[0]) == [first.session_id]
        # It goes on, and again, and every access token is good.
        last = await house.refreshed(successor, at=1)
        last = await house.refreshed(last.refresh)
        assert last.session_id == first.session_id
        await house.assert_lives(first.access, last.access, *(pair.access for pair in pairs))
        assert REPLAYED not in await house.events_of(last)

    async def test_whoever_lost_the_answer_gets_it_again(self, house: House) -> None:
        first = await house.sign_in(house.add_user())
        second = await house.refreshed(first.refresh)
        for at in (1, 0, 1):
            assert (await house.refreshed(first.refresh, at=at)).refresh == second.refresh
        third = await house.refreshed(second.refresh, at=1)
        assert len({first.refresh, second.refresh, third.refresh}) == 3
        # The same for the next one.
        assert (await house.refreshed(second.refresh)).refresh == third.refresh
        await house.assert_lives(first.access, second.access, third.access)

    async def test_eight_who_cut_the_connection(self, house: House) -> None:
        """Whether or not the first request arrives, who comes again at once has it."""
        firsts = [await house.sign_in(house.add_user()) for _ in range(8)]

        async def cut_and_come_again(first: Tokens, at: int) -> Tokens:
            with suppress(TimeoutError):
                async with asyncio.timeout(0.002 * (at + 1)):
                    await house.refresh(first.refresh, at=at % 2)
            return await house.refreshed(first.refresh, at=(at + 1) % 2)

        seconds = await asyncio.gather(*(cut_and_come_again(first, at) for at, first in enumerate(firsts)))
        # What was cut off is at its end by now.
        await asyncio.sleep(1)
        for first, second in zip(firsts, seconds, strict=True):
            third = await house.refreshed(second.refresh)
            assert third.session_id == first.session_id
            await house.assert_lives(first.access, second.access, third.access)


class TestReplay:
    """Whoever comes with a token whose successor was used ends the session: one of the two is a thief."""

    async def test_of_the_predecessor(self, house: House) -> None:
        email = house.add_user()
        first, other = await house.sign_in(email), await house.sign_in(email)
        second = await house.refreshed(first.refresh)
        third = await house.refreshed(second.refresh, at=1)
        assert said(await house.refresh(first.refresh)) == REFRESH_BAD_TOKEN
        await house.assert_dead(third, second, first)
        # The family alone.
        await house.assert_lives(other.access)
        assert await house.sessions_of(other) == [other.session_id]
        assert (await house.events_of(other)).count(REPLAYED) == 1

    async def test_eight_at_once(self, house: House) -> None:
        """It is noticed once."""
        email = house.add_user()
        first, other = await house.sign_in(email), await house.sign_in(email)
        second = await house.refreshed(first.refresh)
        third = await house.refreshed(second.refresh)
        answers = await asyncio.gather(*(house.refresh(first.refresh, at=at) for at in (0, 1) * 4))
        assert [said(answer) for answer in answers] == [REFRESH_BAD_TOKEN] * 8
        await house.assert_dead(third)
        assert (await house.events_of(other)).count(REPLAYED) == 1

    async def test_beside_the_newest(self, house: House) -> None:
        """A replay and a proper refresh at the same moment: whoever is first, the session is over."""
        email = house.add_user()
        other = await house.sign_in(email)
        for _ in range(5):
            first = await house.sign_in(email)
            second = await house.refreshed(first.refresh)
            third = await house.refreshed(second.refresh)
            newest, replayed = await asyncio.gather(house.refresh(third.refresh), house.refresh(first.refresh, at=1))
            assert said(replayed) == REFRESH_BAD_TOKEN
            assert newest.status_code == 200 or said(newest) == REFRESH_BAD_TOKEN
            await house.assert_dead(third, *([tokens_of(newest)] if newest.is_success else []))
        assert await house.sessions_of(other) == [other.session_id]

    @pytest.mark.thorough
    async def test_after_the_ten_seconds(self, programs: Programs, database_url: str, hashed_password: str) -> None:
        """Also while the successor is unused: it may be its thief who waits. A restart forgets nothing."""
        migrated(database_url)
        servers = [start(programs, database_url) for _ in range(2)]
        async with in_house(servers, database_url, hashed_password) as house:
            email = house.add_user()
            first = await house.sign_in(email)
            second = await house.refreshed(first.refresh)
            assert (await house.refreshed(first.refresh, at=1)).refresh == second.refresh
            # Who is late with the newest one is no thief.
            late = await house.sign_in(email)
            newest = await house.refreshed(late.refresh)
            await asyncio.sleep(11)
            assert said(await house.refresh(first.refresh, at=1)) == REFRESH_BAD_TOKEN
            await house.assert_dead(second, first)
            newest = await house.refreshed(newest.refresh, at=1)
            assert await house.sessions_of(newest) == [late.session_id]
        stop(servers)
        servers = [start(programs, database_url) for _ in range(2)]
        async with in_house(servers, database_url, hashed_password) as house:
            await house.assert_dead(second, first)
            newest = await house.refreshed(newest.refresh)
            await house.assert_lives(late.access, newest.access)
            assert (await house.events_of(newest)).count(REPLAYED) == 1
        stop(servers)


class TestHonestClients:
    async def test_a_storm_signs_nobody_out(self, house: House) -> None:
        """Twenty rounds, in which each client refreshes once, twice at once, or again for want of an answer."""
        chance = random.Random(20)

        async def client() -> None:
            first = tokens = await house.sign_in(house.add_user())
            for _ in range(20):
                at, way = chance.randrange(2), chance.choice(("properly", "twice", "again"))
                if way == "properly":
                    tokens = await house.refreshed(tokens.refresh, at=at)
                elif way == "twice":
                    one, tokens = await asyncio.gather(
                        house.refreshed(tokens.refresh, at=at), house.refreshed(tokens.refresh, at=chance.randrange(2))
                    )
                    assert one.refresh == tokens.refresh
                else:
                    lost = asyncio.create_task(house.refresh(tokens.refresh, at=at))
                    await asyncio.sleep(chance.uniform(0, 0.02))
                    tokens = await house.refreshed(tokens.refresh, at=chance.randrange(2))
                    await lost
                answer = await house.get("/authenticated-route", tokens.access, at=chance.randrange(2))
                assert answer.status_code == 200
            assert tokens.session_id == first.session_id
            await house.assert_lives(first.access, tokens.access)
            assert REPLAYED not in await house.events_of(tokens)

        await asyncio.gather(*(client() for _ in range(6)))


class TestRotationOfKeys:
    """`SECRET_KEY_PREVIOUS` keeps sessions alive, and nothing else does."""

    async def test_restarted_with_a_new_key(self, programs: Programs, database_url: str, hashed_password: str) -> None:
        migrated(database_url)
        before = start(programs, database_url)
        async with in_house([before], database_url, hashed_password) as house:
            email = house.add_user()
            first, lost, cookie = (
                await house.sign_in(email), await house.sign_in(email), await house.sign_in_by_cookie(email)
            )  # fmt: skip
            # Whose answer is lost asks the next service for it.
            found = await house.refreshed(lost.refresh)
        stop([before])

        after = start(programs, database_url, NEW_KEY, OUR_KEY)
        async with in_house([after], database_url, hashed_password) as house:
            await house.assert_lives(first.access, lost.access, found.access)
            assert (await house.clients[0].get("/authenticated-route", headers=cookie)).status_code == 200
            again = await house.refreshed(lost.refresh)
            # They are one token, though each key signs it in its own way.
            third = await house.refreshed(found.refresh)
            assert (await house.refreshed(again.refresh)).refresh == third.refresh
            second = await house.refreshed(first.refresh)
            assert (await house.refreshed(first.refresh)).refresh == second.refresh
            assert second.session_id == first.session_id
            new_cookie = await house.sign_in_by_cookie(email)
            assert REPLAYED not in await house.events_of(second)
        stop([after])

        neither = start(programs, database_url, ANOTHER_KEY)
        async with in_house([neither], database_url, hashed_password) as house:
            await house.assert_dead(first, second, third)
            answer = await house.clients[0].get("/authenticated-route", headers=cookie)
            assert said(answer) == (401, UNAUTHORIZED)
        stop([neither])

        # The old key is gone for good: what the new one has made is still good.
        later = start(programs, database_url, NEW_KEY)
        async with in_house([later], database_url, hashed_password) as house:
            await house.assert_lives(second.access)
            assert (await house.refreshed(second.refresh)).session_id == first.session_id
            for headers, status in ((cookie, 401), (new_cookie, 200), (bearer(first.access), 401)):
                answer = await house.clients[0].get("/authenticated-route", headers=headers)
                assert answer.status_code == status
            assert said(await house.refresh(found.refresh)) == REFRESH_BAD_TOKEN
        stop([later])

    async def test_beside_one_with_the_old_key(
        self, programs: Programs, database_url: str, hashed_password: str
    ) -> None:
        """While the processes are restarted one after the other, the old one refuses what it cannot read, no more."""
        migrated(database_url)
        servers = [start(programs, database_url), start(programs, database_url, NEW_KEY, OUR_KEY)]
        async with in_house(servers, database_url, hashed_password) as house:
            first = await house.sign_in(house.add_user())
            second = await house.refreshed(first.refresh, at=1)
            assert said(await house.refresh(second.refresh, at=0)) == REFRESH_BAD_TOKEN
            # It cannot give the same successor again, and does not take its client for a thief.
            assert said(await house.refresh(first.refresh, at=0)) == REFRESH_BAD_TOKEN
            assert said(await house.get("/authenticated-route", second.access, at=0)) == (401, UNAUTHORIZED)
            third = await house.refreshed(second.refresh, at=1)
            assert third.session_id == first.session_id
            # One that neither has made ends nothing.
            for token in ("", "x", first.access, str(uuid.uuid4())):
                assert (await house.refresh(token)).status_code in {401, 422}
            assert (await house.get("/authenticated-route", third.access, at=1)).status_code == 200
        stop(servers)
