"""Refresh tokens while the key is changed."""

import uuid

from tests.app.databases import migrated
from tests.app.refresh_races.conftest import (
    ANOTHER_KEY,
    NEW_KEY,
    OUR_KEY,
    REFRESH_BAD_TOKEN,
    REPLAYED,
    bearer,
    in_house,
    start,
    stop,
)
from tests.app.shapes import UNAUTHORIZED, said
from tests.programs import Programs


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
