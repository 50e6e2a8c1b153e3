"""How long access tokens and sessions live."""

import time_machine
from sqlalchemy import select
from sqlalchemy.ext.asyncio import AsyncConnection

from app.models import User
from tests.app.conftest import form
from tests.app.fixture_types import Connect
from tests.app.session_lifetimes.conftest import (
    AT_ALL,
    DAY,
    HOUR,
    IDLE,
    MINUTE,
    OVER,
    RECORDED_EVERY,
    SECOND,
    SESSIONS,
    People,
)
from tests.app.shapes import said, user_read

REFRESH_BAD = (401, {"detail": "REFRESH_BAD_TOKEN"})


class TestAccessToken:
    async def test_dies_at_its_second(self, clock: time_machine.Traveller, people: People, owner: User) -> None:
        bearer = await people.bearer()
        clock.shift(HOUR - SECOND)
        assert said(await bearer.get()) == (200, user_read(owner))
        clock.shift(SECOND)
        assert said(await bearer.get()) == OVER

    async def test_is_replaced_then(self, clock: time_machine.Traveller, people: People, owner: User) -> None:
        bearer = await people.bearer()
        clock.shift(HOUR)
        response = await bearer.refresh()
        assert said(response) == (
            200,
            {
                "access_token": bearer.access_token,
                "token_type": "bearer",
                "refresh_token": bearer.refresh_token,
                "expires_in": 3600,
            },
        )
        assert response.headers["cache-control"] == "no-store"
        assert said(await bearer.get()) == (200, user_read(owner))
        clock.shift(HOUR)
        assert said(await bearer.get()) == OVER

    async def test_lives_no_longer_than_its_session(
        self, clock: time_machine.Traveller, people: People, owner: User
    ) -> None:
        bearer = await people.bearer()
        for _ in range(2):
            clock.shift(10 * DAY)
            await bearer.refresh()
        clock.shift(10 * DAY - MINUTE)
        assert (await bearer.refresh()).json()["expires_in"] == 60
        clock.shift(MINUTE - SECOND)
        assert said(await bearer.get()) == (200, user_read(owner))
        clock.shift(SECOND)
        assert said(await bearer.get()) == OVER


class TestAbsoluteLifetime:
    async def test_of_who_refreshes(self, clock: time_machine.Traveller, people: People, owner: User) -> None:
        """However much it is used."""
        bearer = await people.bearer()
        for _ in range(29):
            clock.shift(DAY)
            assert (await bearer.refresh()).status_code == 200
            assert (await bearer.get()).status_code == 200
        clock.shift(DAY - SECOND)
        assert (await bearer.refresh()).json()["expires_in"] == 1
        assert said(await bearer.get()) == (200, user_read(owner))
        clock.shift(SECOND)
        assert said(await bearer.get()) == OVER
        assert said(await bearer.refresh()) == REFRESH_BAD

    async def test_of_who_has_a_cookie(self, clock: time_machine.Traveller, people: People, owner: User) -> None:
        browser = await people.browser()
        for _ in range(29):
            clock.shift(DAY)
            assert (await browser.get()).status_code == 200
        clock.shift(DAY - SECOND)
        assert said(await browser.get()) == (200, user_read(owner))
        clock.shift(SECOND)
        assert said(await browser.get()) == OVER

    async def test_is_what_the_cookie_says(self, connect: Connect, owner: User) -> None:
        headers = {"Sec-Fetch-Site": "same-origin"}
        response = await connect().post("/auth/cookie/login", data=form("owner"), headers=headers)
        assert f"Max-Age={int(AT_ALL.total_seconds())};" in response.headers["set-cookie"]


class TestIdleLifetime:
    async def test_of_a_cookie_that_is_not_used(
        self, clock: time_machine.Traveller, people: People, owner: User
    ) -> None:
        browser = await people.browser()
        clock.shift(IDLE)
        assert said(await browser.get()) == OVER

    async def test_of_a_cookie_that_is_used_at_the_last_second(
        self, clock: time_machine.Traveller, people: People, owner: User
    ) -> None:
        browser = await people.browser()
        for _ in range(2):
            clock.shift(IDLE - SECOND)
            assert said(await browser.get()) == (200, user_read(owner))
        # Its absolute lifetime comes first now.
        clock.shift(2 * DAY + SECOND)
        assert said(await browser.get()) == (200, user_read(owner))
        clock.shift(SECOND)
        assert said(await browser.get()) == OVER

    async def test_counts_from_the_last_recorded_use(
        self, clock: time_machine.Traveller, people: People, owner: User
    ) -> None:
        one, other = await people.browser(), await people.browser()
        clock.shift(RECORDED_EVERY - SECOND)
        await one.get()
        clock.shift(SECOND)
        await other.get()
        clock.shift(IDLE - RECORDED_EVERY)
        assert said(await one.get()) == OVER
        clock.shift(RECORDED_EVERY - SECOND)
        assert said(await other.get()) == (200, user_read(owner))

    async def test_of_a_cookie_from_its_recorded_use_on(
        self, clock: time_machine.Traveller, people: People, owner: User
    ) -> None:
        browser = await people.browser()
        clock.shift(DAY)
        await browser.get()
        clock.shift(IDLE)
        assert said(await browser.get()) == OVER

    async def test_of_a_refresh_token(self, clock: time_machine.Traveller, people: People, owner: User) -> None:
        """Refreshing is a use, and records it."""
        used, unused = await people.bearer(), await people.bearer()
        clock.shift(IDLE - SECOND)
        assert (await used.refresh()).status_code == 200
        clock.shift(SECOND)
        assert said(await unused.refresh()) == REFRESH_BAD
        clock.shift(IDLE - 2 * SECOND)
        assert (await used.refresh()).status_code == 200
        clock.shift(IDLE)
        assert said(await used.refresh()) == REFRESH_BAD

    async def test_is_over_in_the_list_as_well(
        self, clock: time_machine.Traveller, people: People, connection: AsyncConnection, owner: User
    ) -> None:
        """And it cannot be ended any more, though its row is there."""
        await people.browser()
        [old] = (await connection.execute(select(SESSIONS.c.id))).scalars().all()
        clock.shift(IDLE)
        bearer = await people.bearer()
        [listed] = (await bearer.get("/auth/sessions")).json()
        assert (listed["current"], listed["id"] != str(old)) == (True, True)
        client = people.connect(Authorization=f"Bearer {bearer.access_token}")
        assert said(await client.delete(f"/auth/sessions/{old}")) == (404, {"detail": "SESSION_NOT_FOUND"})
        assert said(await client.delete(f"/auth/sessions/{listed['id']}")) == (204, None)
