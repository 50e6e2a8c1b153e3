"""A refresh token that is used several times at the same moment."""

import asyncio
import random
from collections import Counter
from contextlib import suppress

import pytest

from tests.app.databases import migrated
from tests.app.refresh_races.conftest import (
    REFRESH_BAD_TOKEN,
    REPLAYED,
    House,
    Tokens,
    in_house,
    start,
    stop,
    tokens_of,
)
from tests.app.shapes import said
from tests.programs import Programs


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
