"""How often somebody may fail, and how much mail is asked for: the real service, and clients in many networks."""

import asyncio
import itertools
from collections import Counter
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import ExitStack
from ipaddress import ip_address
from typing import Any

import httpx2
import pytest
from sqlmodel import Session, col, select

from app.core.settings import settings
from app.models import User
from tests.app.conftest import PASSWORD, Ground, form
from tests.app.databases import connected, migrated, signed_in
from tests.app.shapes import said
from tests.programs import Programs
from tests.server import Server, start_server
from tests.spellings import SPELLINGS
from tests.valkey import valkey_server

NEW_PASSWORD = "wrong horse, other battery"
BAD_CREDENTIALS = (400, {"detail": "LOGIN_BAD_CREDENTIALS"})
CURRENT_PASSWORD_BAD = (400, {"detail": "CURRENT_PASSWORD_BAD"})
TOO_MANY = (429, {"detail": "Too Many Requests"})
ACCEPTED = (202, None)
ENV = {
    "THROTTLING": "on",
    "TRUSTED_PROXIES": "127.0.0.1/32",
    # The same key as here, so that nobody needs to sign in first.
    "SECRET_KEY": settings.secret_key.get_secret_value(),
}

# No two tests come from one network, or are about one person.
_networks = itertools.count(int(ip_address("198.18.0.0")))
_people = itertools.count()


def new_network() -> str:
    return str(ip_address(next(_networks)))


def spellings(person: int) -> list[str]:
    """Return the spellings of an address of this person."""
    return [spelling.replace("rg@", f"rg{person}@").replace("RG@", f"RG{person}@") for spelling in SPELLINGS]


def assert_too_many(response: httpx2.Response, *, within: int) -> None:
    assert said(response) == TOO_MANY
    assert 1 <= int(response.headers["Retry-After"]) <= within


class House:
    """A running service behind a proxy, and people who come from somewhere."""

    def __init__(self, server: Server, database_url: str, hashed_password: str, client: httpx2.AsyncClient) -> None:
        self.server, self.database_url, self.hashed_password = server, database_url, hashed_password
        self.client = client

    def add_user(self, **columns: Any) -> User:
        person = next(_people)
        values = {"email": f"person{person}@example.com", "username": f"person{person}", **columns}
        user = User(hashed_password=self.hashed_password, **values)
        with connected(self.database_url) as connection, Session(connection, expire_on_commit=False) as session:
            session.add(user)
            session.commit()
        return user

    async def login(self, name: str, password: str = PASSWORD, *, network: str) -> httpx2.Response:
        headers = {"X-Forwarded-For": network}
        return await self.client.post("/auth/jwt/login", data=form(name, password), headers=headers)

    async def fail(self, name: str, count: int, *, network: str) -> None:
        # At once, because each waits to be refused.
        answers = await asyncio.gather(*(self.login(name, "x", network=network) for _ in range(count)))
        assert [said(answer) for answer in answers] == [BAD_CREDENTIALS] * count

    async def post(self, path: str, network: str, user: User | None = None, /, **body: str) -> httpx2.Response:
        return await self.request("POST", path, network, user, **body)

    async def request(
        self, method: str, path: str, network: str, user: User | None = None, /, **body: str
    ) -> httpx2.Response:
        headers = {} if user is None else await signed_in(self.database_url, user)
        return await self.client.request(method, path, json=body, headers={**headers, "X-Forwarded-For": network})

    async def letters_to(self, *addresses: str) -> list[int]:
        """Count the letters that have left, by recipient."""
        # Whatever was to leave before this letter has left.
        last = self.add_user()
        assert said(await self.post("/auth/forgot-password", new_network(), email=last.email)) == ACCEPTED
        self.server.program.until(lambda: f"\nTo: {last.email}\n" in self.server.program.out or None)
        return [self.server.program.out.count(f"\nTo: {address}\n") for address in addresses]

    def token_to(self, address: str) -> str:
        """Wait for a letter with a token, and return the token of the last one."""

        def find() -> str | None:
            _, found, letter = self.server.program.out.rpartition(f"\nTo: {address}\n")
            token = letter.partition("?token=")[2].partition("\n")[0]
            return token if found and token and f"\n{token}\n" in letter else None

        return self.server.program.until(find)


@pytest.fixture(scope="module")
def running(ground: Ground) -> Iterator[tuple[Server, str]]:
    server = start_server(ground.programs, database_url=ground.database_url, env=ENV)
    yield server, ground.database_url
    server.stop_silently()


@pytest.fixture
async def house(running: tuple[Server, str], hashed_password: str) -> AsyncIterator[House]:
    async with running[0].client() as client:
        yield House(*running, hashed_password, client)


class TestAccountAndNetwork:
    """Five failed logins in five minutes."""

    async def test_whatever_name_is_typed(self, house: House) -> None:
        person = next(_people)
        written = spellings(person)
        user = house.add_user(email=written[0], username=f"jorg{person}")
        other, network = house.add_user(), new_network()
        for name in (written[1], f"jorg{person}", written[5], f"JORG{person}", written[7]):
            assert said(await house.login(name, "x", network=network)) == BAD_CREDENTIALS
        for name in (*written, f"jorg{person}", f" Jorg{person} "):
            for password in ("x", PASSWORD):
                assert_too_many(await house.login(name, password, network=network), within=300)
        # Others, there, and the same person elsewhere are none the worse for it.
        assert (await house.login(other.email, network=network)).status_code == 200
        assert (await house.login(user.email, network=new_network())).status_code == 200

    async def test_fifty_at_once(self, house: House) -> None:
        """Exactly five passwords are looked at."""
        person = next(_people)
        names = [*spellings(person), f"jorg{person}", f"JORG{person}"]
        house.add_user(email=names[0], username=f"jorg{person}")
        network = new_network()
        answers = await asyncio.gather(*(house.login(name, "x", network=network) for name in names * 5))
        assert Counter(answer.status_code for answer in answers) == {400: 5, 429: 45}

    async def test_a_name_that_is_nobodys(self, house: House) -> None:
        """It is limited alike, so that a limit does not tell who has an account."""
        network, written = new_network(), spellings(next(_people))
        for name in written[:5]:
            assert said(await house.login(name, network=network)) == BAD_CREDENTIALS
        for name in written:
            assert_too_many(await house.login(name, network=network), within=300)

    async def test_right_passwords_do_not_count(self, house: House) -> None:
        user, network = house.add_user(), new_network()
        await house.fail(user.email, 4, network=network)
        for _ in range(7):
            assert (await house.login(user.email, network=network)).status_code == 200
        await house.fail(user.email, 1, network=network)
        assert_too_many(await house.login(user.email, network=network), within=300)

    async def test_a_reset_from_there_begins_anew(self, house: House) -> None:
        user, network = house.add_user(), new_network()
        await house.fail(user.email, 5, network=network)
        assert_too_many(await house.login(user.email, network=network), within=300)
        assert said(await house.post("/auth/forgot-password", network, email=user.email)) == ACCEPTED
        body = {"token": house.token_to(user.email), "password": NEW_PASSWORD}
        assert said(await house.post("/auth/reset-password", network, **body)) == (200, None)
        assert (await house.login(user.email, NEW_PASSWORD, network=network)).status_code == 200


class TestNetwork:
    """Thirty failed logins in a minute, whoever they are about."""

    async def test_of_an_address(self, house: House) -> None:
        user, network = house.add_user(), new_network()
        answers = await asyncio.gather(
            *(house.login(f"nobody{next(_people)}@example.com", network=network) for _ in range(40))
        )
        assert Counter(answer.status_code for answer in answers) == {400: 30, 429: 10}
        assert_too_many(await house.login(user.email, network=network), within=60)
        assert (await house.login(user.email, network=new_network())).status_code == 200

    async def test_of_ipv6_the_64(self, house: House) -> None:
        user, prefix = house.add_user(), f"2001:db8:0:{next(_people):x}"
        for host in range(5):
            assert said(await house.login(user.email, "x", network=f"{prefix}::{host + 1}")) == BAD_CREDENTIALS
        assert_too_many(await house.login(user.email, network=f"{prefix}:ffff:ffff:ffff:ffff"), within=300)
        other = f"2001:db8:1:{next(_people):x}::1"
        assert (await house.login(user.email, network=other)).status_code == 200


class TestAccount:
    """Fifty failed logins in an hour, from wherever they come."""

    async def test_the_owner_still_gets_in(self, house: House) -> None:
        user, home = house.add_user(), new_network()
        assert (await house.login(user.email, network=home)).status_code == 200
        await asyncio.gather(*(house.fail(user.email, 5, network=new_network()) for _ in range(10)))
        for network in (new_network(), new_network()):
            for name in (user.email, user.username or "", user.email.upper()):
                assert_too_many(await house.login(name, network=network), within=3600)
        # From a network where the account has signed in before; failing there neither counts nor locks out elsewhere.
        await house.fail(user.email, 1, network=home)
        assert (await house.login(user.email, network=home)).status_code == 200
        # From a new one, after a reset from there; the others learn nothing of that.
        travelling, thief = new_network(), new_network()
        assert_too_many(await house.login(user.email, network=travelling), within=3600)
        assert said(await house.post("/auth/forgot-password", travelling, email=user.email)) == ACCEPTED
        body = {"token": house.token_to(user.email), "password": NEW_PASSWORD}
        assert said(await house.post("/auth/reset-password", travelling, **body)) == (200, None)
        assert (await house.login(user.email, NEW_PASSWORD, network=travelling)).status_code == 200
        assert_too_many(await house.login(user.email, NEW_PASSWORD, network=thief), within=3600)

    async def test_others_are_none_the_worse_for_it(self, house: House) -> None:
        user, other = house.add_user(), house.add_user()
        await asyncio.gather(*(house.fail(user.email, 5, network=new_network()) for _ in range(10)))
        assert_too_many(await house.login(user.email, network=new_network()), within=3600)
        assert (await house.login(other.email, network=new_network())).status_code == 200


class TestErrors:
    """A failure of ours is no failed login."""

    async def test_a_locked_account(self, ground: Ground, hashed_password: str) -> None:
        server = start_server(ground.programs, database_url=ground.database_url, env=ENV)
        async with server.client() as client:
            house = House(server, ground.database_url, hashed_password, client)
            user, network = house.add_user(), new_network()
            with connected(house.database_url) as connection:
                connection.execute(select(User).where(col(User.id) == user.id).with_for_update())
                answers = await asyncio.gather(*(house.login(user.email, network=network) for _ in range(5)))
            assert [answer.status_code for answer in answers] == [503] * 5
            await house.fail(user.email, 4, network=network)
            assert (await house.login(user.email, network=network)).status_code == 200
        server.stop()


class TestRegistrations:
    """Thirty in a minute from a network, of free and taken addresses alike."""

    async def test_of_a_taken_address(self, house: House) -> None:
        user, network = house.add_user(), new_network()
        body = {"email": user.email, "password": PASSWORD}
        paths = itertools.islice(itertools.cycle(("/auth/register", "/users")), 34)
        answers = await asyncio.gather(*(house.post(path, network, **body) for path in paths))
        statuses = Counter(answer.status_code for answer in answers)
        # Some may have met the limit of mails, which counts those that are under way.
        assert statuses[400] <= 30
        for path in ("/auth/register", "/users"):
            while (answer := await house.post(path, network, **body)).status_code == 400:
                statuses[400] += 1
            assert_too_many(answer, within=60)
            free = {**body, "email": f"new{next(_people)}@example.com"}
            assert_too_many(await house.post(path, network, **free), within=60)
        assert statuses[400] == 30
        assert (await house.login(user.email, network=network)).status_code == 200
        assert (await house.post("/users", new_network(), **body)).status_code == 400


@pytest.mark.parametrize(
    ("method", "path", "body"),
    [
        ("POST", "/auth/change-password", {"new_password": NEW_PASSWORD}),
        ("POST", "/auth/change-email", {"new_email": "new@example.com"}),
        ("POST", "/auth/delete-account", {}),
        ("PATCH", "/users/me", {"password": NEW_PASSWORD}),
        ("PATCH", "/users/me", {"email": "new@example.com"}),
    ],
    ids=["change-password", "change-email", "delete-account", "PATCH password", "PATCH email"],
)
class TestCurrentPassword:
    async def test_a_wrong_one_counts_as_a_failed_login(
        self, house: House, method: str, path: str, body: dict[str, str]
    ) -> None:
        """Whoever has stolen a token cannot find out the password with it."""
        user, network = house.add_user(), new_network()
        await house.fail(user.email, 2, network=network)
        for _ in range(3):
            response = await house.request(method, path, network, user, current_password="x", **body)
            assert said(response) == CURRENT_PASSWORD_BAD
        for password in ("x", PASSWORD):
            response = await house.request(method, path, network, user, current_password=password, **body)
            assert_too_many(response, within=300)
            assert_too_many(await house.login(user.email, password, network=network), within=300)
        # Nothing has happened, and everything else is as ever.
        response = await house.request("PATCH", "/users/me", network, user, name="New")
        assert (response.status_code, response.json()["email"]) == (200, user.email)
        assert (await house.login(user.email, network=new_network())).status_code == 200


class TestMailsToAnAddress:
    """One a minute."""

    @pytest.mark.parametrize("path", ["/auth/forgot-password", "/auth/request-verify-token"])
    async def test_what_is_too_much_is_not_sent(self, house: House, path: str) -> None:
        """Whatever was asked for, from wherever, in whatever spelling: the answer does not change."""
        written = spellings(next(_people))
        house.add_user(email=written[0], username=None)
        unknown = f"nobody{next(_people)}@example.com"
        for address in (written[0], unknown):
            assert said(await house.post(path, new_network(), email=address)) == ACCEPTED
        for address in (*written, unknown):
            response = await house.post(path, new_network(), email=address)
            assert said(response) == ACCEPTED
            assert "Retry-After" not in response.headers
        assert await house.letters_to(written[0], unknown) == [1, 0]

    async def test_nobody_uses_up_what_the_owner_needs(self, house: House) -> None:
        """What others ask for at an address keeps no reset from it."""
        victim, attacker = house.add_user(is_verified=True), house.add_user()
        assert said(await house.post("/auth/request-verify-token", new_network(), email=victim.email)) == ACCEPTED
        body = {"new_email": victim.email, "current_password": PASSWORD}
        assert said(await house.post("/auth/change-email", new_network(), attacker, **body)) == ACCEPTED
        assert said(await house.post("/auth/forgot-password", new_network(), email=victim.email)) == ACCEPTED
        assert house.token_to(victim.email)

    async def test_change_email(self, house: House) -> None:
        """Nobody is written to: the new address not, and so the old one has nothing to be told."""
        other, user, new = house.add_user(), house.add_user(), f"new{next(_people)}@example.com"
        body = {"new_email": new.upper(), "current_password": PASSWORD}
        assert said(await house.post("/auth/change-email", new_network(), other, **body)) == ACCEPTED
        assert said(await house.post("/auth/change-email", new_network(), user, **body)) == ACCEPTED
        body = {"email": new, "current_password": PASSWORD}
        response = await house.request("PATCH", "/users/me", new_network(), user, **body)
        assert (response.status_code, response.json()["email"]) == (200, user.email)
        assert await house.letters_to(user.email, new, new.upper()) == [0, 0, 1]

    async def test_changes_of_an_account(self, house: House) -> None:
        """Twenty an hour: each writes to the owner, which whoever has the password could do all day long."""
        user, passwords = house.add_user(), itertools.cycle([PASSWORD, NEW_PASSWORD])
        present = next(passwords)
        for number in range(20):
            if number % 2:
                body = {"new_email": f"new{next(_people)}@example.com", "current_password": present}
                assert said(await house.post("/auth/change-email", new_network(), user, **body)) == ACCEPTED
            else:
                body = {"current_password": present, "new_password": (present := next(passwords))}
                assert said(await house.post("/auth/change-password", new_network(), user, **body)) == (204, None)
        body = {"current_password": present, "new_password": next(passwords)}
        assert_too_many(await house.post("/auth/change-password", new_network(), user, **body), within=3600)
        assert (await house.login(user.email, present, network=new_network())).status_code == 200

    async def test_registering_again(self, house: House) -> None:
        """Whoever registers, leaves and registers again does not write with every round."""
        new = {"email": f"again{next(_people)}@example.com", "password": PASSWORD}
        for _ in range(3):
            assert (await house.post("/auth/register", new_network(), **new)).status_code == 201
            with connected(house.database_url) as connection, Session(connection) as session:
                user = session.exec(select(User).where(User.email == new["email"])).one()
                session.expunge(user)
            response = await house.post("/auth/delete-account", new_network(), user, current_password=PASSWORD)
            assert said(response) == (204, None)
        assert await house.letters_to(new["email"]) == [1]


class TestMailsFromANetwork:
    """Twenty a minute."""

    async def ask(self, house: House, network: str, count: int) -> None:
        for number in range(count):
            path = "/auth/forgot-password" if number % 2 else "/auth/request-verify-token"
            response = await house.post(path, network, email=f"nobody{next(_people)}@example.com")
            assert said(response) == ACCEPTED

    async def test_whoever_they_are_for(self, house: House) -> None:
        user, network = house.add_user(), new_network()
        await self.ask(house, network, 20)
        body = {"password": PASSWORD}
        answers = [
            await house.post("/auth/forgot-password", network, email=user.email),
            await house.post("/auth/forgot-password", network, email=f"nobody{next(_people)}@example.com"),
            await house.post("/auth/request-verify-token", network, email=user.email),
            await house.post("/auth/register", network, email=f"new{next(_people)}@example.com", **body),
            await house.post("/users", network, email=user.email, **body),
            await house.post(
                "/auth/change-email", network, user, new_email="new@example.com", current_password=PASSWORD
            ),
            await house.request(
                "PATCH", "/users/me", network, user, email="new@example.com", current_password=PASSWORD
            ),
        ]
        for answer in answers:
            assert_too_many(answer, within=60)
        # What needs no mail is as ever, and elsewhere all is.
        assert (await house.login(user.email, network=network)).status_code == 200
        assert await house.letters_to(user.email) == [0]
        assert said(await house.post("/auth/forgot-password", new_network(), email=user.email)) == ACCEPTED
        assert await house.letters_to(user.email) == [1]

    async def test_forty_at_once(self, house: House) -> None:
        network = new_network()
        addresses = [f"nobody{next(_people)}@example.com" for _ in range(40)]
        answers = await asyncio.gather(
            *(house.post("/auth/forgot-password", network, email=address) for address in addresses)
        )
        assert Counter(answer.status_code for answer in answers) == {202: 20, 429: 20}

    async def test_registering_asks_for_one(self, house: House) -> None:
        """When it succeeds, and not when it is refused: then there is no mail."""
        user, network = house.add_user(), new_network()
        await self.ask(house, network, 18)
        refused = [
            ({"email": "x", "password": PASSWORD}, 422),
            ({"email": f"new{next(_people)}@example.com", "password": "short"}, 400),
            ({"email": user.email, "password": PASSWORD}, 400),
            ({"email": f"new{next(_people)}@example.com", "password": PASSWORD, "username": user.username or ""}, 400),
        ]
        for body, status in refused:
            assert (await house.post("/auth/register", network, **body)).status_code == status
        for path in ("/auth/register", "/users"):
            body = {"email": f"new{next(_people)}@example.com", "password": PASSWORD}
            assert (await house.post(path, network, **body)).status_code == 201
            assert await house.letters_to(body["email"]) == [1]
        body = {"email": f"new{next(_people)}@example.com", "password": PASSWORD}
        assert_too_many(await house.post("/auth/register", network, **body), within=60)

    async def test_another_address_asks_for_one(self, house: House) -> None:
        user, network = house.add_user(), new_network()
        await self.ask(house, network, 19)
        body = {"new_email": f"new{next(_people)}@example.com", "current_password": "x"}
        assert said(await house.post("/auth/change-email", network, user, **body)) == CURRENT_PASSWORD_BAD
        body["current_password"] = PASSWORD
        assert said(await house.post("/auth/change-email", network, user, **body)) == ACCEPTED
        response = await house.post("/auth/forgot-password", network, email=user.email)
        assert_too_many(response, within=60)


async def test_who_is_no_proxy_of_ours_is_not_believed(programs: Programs, hashed_password: str) -> None:
    """Whatever network they say they come from, they come from one."""
    env = {**ENV, "TRUSTED_PROXIES": "10.0.0.0/8"}
    server = start_server(programs, database_url="sqlite://", env=env)
    async with server.client() as client:
        house = House(server, "", hashed_password, client)
        for _ in range(5):
            assert said(await house.login("anna@example.com", network=new_network())) == BAD_CREDENTIALS
        assert_too_many(await house.login("anna@example.com", network=new_network()), within=300)


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
