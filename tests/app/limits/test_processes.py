"""Several processes count together in Valkey."""

import asyncio
import itertools
from collections import Counter
from collections.abc import Callable
from contextlib import ExitStack

import pytest

from tests.app.conftest import PASSWORD
from tests.app.databases import migrated
from tests.app.limits.conftest import ACCEPTED, ENV, House, _people, assert_too_many, new_network, spellings
from tests.app.shapes import said
from tests.programs import Programs
from tests.server import Server, start_server
from tests.valkey import valkey_server


class TestManyProcesses:
    """They count together, in Valkey; without it each counts alone, and nothing fails."""

    @pytest.fixture
    def start(self, programs: Programs, database_url: str) -> Callable[[str], list[Server]]:
        migrated(database_url)

        def start(redis_url: str) -> list[Server]:
            env = {**ENV, "REDIS_URL": redis_url}
            return [start_server(programs, database_url=database_url, env=env) for _ in range(2)]

        return start

    async def test_fifty_at_once(
        self, start: Callable[[str], list[Server]], valkey_url: str, database_url: str, hashed_password: str
    ) -> None:
        servers = start(valkey_url)
        async with servers[0].client() as one, servers[1].client() as other:
            houses = [
                House(server, database_url, hashed_password, client)
                for server, client in zip(servers, (one, other), strict=True)
            ]
            person, network = next(_people), new_network()
            names = [*spellings(person), f"jorg{person}"]
            houses[0].add_user(email=names[0], username=f"jorg{person}")
            turns = zip(itertools.cycle(houses), names * 6, strict=False)
            answers = await asyncio.gather(*(house.login(name, "x", network=network) for house, name in turns))
            assert Counter(answer.status_code for answer in answers) == {400: 5, 429: 49}
            for house in houses:
                assert_too_many(await house.login(names[0], network=network), within=300)
                assert (await house.login(names[0], network=new_network())).status_code == 200
            addresses = [f"nobody{next(_people)}@example.com" for _ in range(30)]
            turns = zip(itertools.cycle(houses), addresses, strict=False)
            answers = await asyncio.gather(
                *(house.post("/auth/forgot-password", network, email=address) for house, address in turns)
            )
            assert Counter(answer.status_code for answer in answers) == {202: 20, 429: 10}
        for server in servers:
            assert "Traceback" not in server.stop().err

    async def test_valkey_goes_away(
        self, start: Callable[[str], list[Server]], database_url: str, hashed_password: str
    ) -> None:
        with ExitStack() as valkey:
            servers = start(valkey.enter_context(valkey_server()))
            async with servers[0].client() as one, servers[1].client() as other:
                houses = [
                    House(server, database_url, hashed_password, client)
                    for server, client in zip(servers, (one, other), strict=True)
                ]
                user, network = houses[0].add_user(), new_network()
                for house in houses:
                    await house.fail(user.email, 2, network=network)
                # In the middle of requests that come all the time.
                under_way = [
                    asyncio.create_task(house.login(f"nobody{next(_people)}", network=new_network()))
                    for house in houses * 10
                ]
                await asyncio.to_thread(valkey.close)
                under_way += [
                    asyncio.create_task(house.login(f"nobody{next(_people)}", network=new_network()))
                    for house in houses * 10
                ]
                answers = await asyncio.gather(*under_way)
                assert Counter(answer.status_code for answer in answers) == {400: 40}
                # Each has a limit of its own now.
                for house in houses:
                    await house.fail(user.email, 5, network=network)
                    assert_too_many(await house.login(user.email, network=network), within=300)
                    assert (await house.login(user.email, network=new_network())).status_code == 200
                    body = {"email": f"new{next(_people)}@example.com", "password": PASSWORD}
                    assert (await house.post("/auth/register", new_network(), **body)).status_code == 201
                    assert said(await house.post("/auth/forgot-password", new_network(), email=user.email)) == ACCEPTED
            for server in servers:
                ran = server.stop()
                assert "Traceback" not in ran.err
                assert ran.err.count("Redis is away") == 1
