"""What ends a session ends it everywhere and at once: two service processes on one database."""

import asyncio
from collections import Counter
from collections.abc import AsyncIterator, Iterator
from http.cookiejar import DefaultCookiePolicy

import pytest

from tests.app.conftest import Ground
from tests.app.session_ends import BAD_CREDENTIALS, BEARER, CAUSES, COOKIE, PATHS, Cause, House, Scene
from tests.app.shapes import UNAUTHORIZED, said
from tests.server import Server, start_server


@pytest.fixture(scope="module")
def running(ground: Ground) -> Iterator[tuple[list[Server], str]]:
    servers = [start_server(ground.programs, database_url=ground.database_url, env=ground.env) for _ in range(2)]
    yield servers, ground.database_url
    for server in servers:
        server.stop_silently()


@pytest.fixture
async def house(running: tuple[list[Server], str], hashed_password: str) -> AsyncIterator[House]:
    servers, url = running
    async with servers[0].client() as one, servers[1].client() as other:
        for client in (one, other):
            # Each request says itself who is asking.
            client.cookies.jar.set_policy(DefaultCookiePolicy(allowed_domains=[]))
        yield House(servers, [one, other], url, hashed_password)


@pytest.mark.parametrize(
    ("cause", "asks"),
    [pytest.param(cause, by, id=f"{name}-{by}") for name, cause in CAUSES.items() for by in cause.asked_by],
)
async def test_what_ends_and_what_lives(house: House, cause: Cause, asks: str) -> None:
    # Verified, because only such an address can be taken back.
    person = house.add_person(is_superuser=cause.is_superuser, is_verified=True)
    superuser = house.add_person(is_superuser=True)
    scene = Scene(
        house, person, asking=await house.sign_in(person, asks), superuser=await house.sign_in(superuser, asks, at=1)
    )
    for at, transport in enumerate((BEARER, COOKIE)):
        scene.others[transport] = await house.sign_in(person, transport, at=at)
    for session in (scene.asking, *scene.others.values()):
        await house.assert_lives(session)

    await cause.happens(scene)

    sessions = {"asking": scene.asking, **scene.others}
    dead = [session for name, session in sessions.items() if name not in cause.lives]
    for session in dead:
        await house.assert_dead(session)
    # The superuser is somebody else, whatever happens.
    for session in (scene.superuser, *(sessions[name] for name in cause.lives)):
        await house.assert_lives(session)
    for at, transport in enumerate((COOKIE, BEARER)):
        if cause.can_sign_in:
            await house.assert_lives(await house.sign_in(person, transport, at=at))
        else:
            assert said(await house.login(person, transport, at=at)) == BAD_CREDENTIALS
    # A new session brings no old one back.
    for session in dead:
        await house.assert_dead(session)


class TestLogout:
    """It ends the session that is presented to it, and once."""

    @pytest.mark.parametrize("transport", PATHS)
    async def test_twice(self, house: House, transport: str) -> None:
        session = await house.sign_in(house.add_person(), transport)
        answers = [await house.logout(session, at=at) for at in (0, 1, 0)]
        assert [answer.status_code for answer in answers] == [204, 401, 401]
        await house.assert_dead(session)

    @pytest.mark.parametrize("transport", PATHS)
    async def test_eight_at_once(self, house: House, transport: str) -> None:
        session = await house.sign_in(house.add_person(), transport)
        answers = await asyncio.gather(*(house.logout(session, at=at) for at in (0, 1) * 4))
        assert Counter(answer.status_code for answer in answers) == {204: 1, 401: 7}
        await house.assert_dead(session)

    @pytest.mark.parametrize(("path", "transport"), [("/auth/jwt", COOKIE), ("/auth/cookie", BEARER)])
    async def test_with_a_session_of_the_other_kind(self, house: House, path: str, transport: str) -> None:
        person = house.add_person()
        sessions = [await house.sign_in(person, kind) for kind in (transport, BEARER, COOKIE)]
        for at in (0, 1):
            answer = await house.request("POST", f"{path}/logout", sessions[0], at=at)
            assert said(answer) == (401, UNAUTHORIZED)
        for session in sessions:
            await house.assert_lives(session)

    async def test_with_both(self, house: House) -> None:
        """Beside a bearer token a cookie says nothing, and so does not end either."""
        person = house.add_person()
        bearer, cookie = [await house.sign_in(person, transport) for transport in (BEARER, COOKIE)]
        headers = {**bearer.credentials[0], **cookie.credentials[0]}
        answer = await house.clients[0].post("/auth/cookie/logout", headers=headers)
        assert said(answer) == (401, UNAUTHORIZED)
        for session in (bearer, cookie):
            await house.assert_lives(session)
        assert said(await house.clients[1].post("/auth/jwt/logout", headers=headers)) == (204, None)
        await house.assert_dead(bearer)
        await house.assert_lives(cookie)
