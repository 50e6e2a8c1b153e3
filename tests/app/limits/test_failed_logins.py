"""Failed sign-ins are limited for each account and network."""

import asyncio
from collections import Counter

import pytest
from sqlmodel import col, select

from app.models import User
from tests.app.conftest import PASSWORD, Ground
from tests.app.databases import connected
from tests.app.limits.conftest import (
    ACCEPTED,
    BAD_CREDENTIALS,
    CURRENT_PASSWORD_BAD,
    ENV,
    NEW_PASSWORD,
    House,
    _people,
    assert_too_many,
    new_network,
    spellings,
)
from tests.app.shapes import said
from tests.programs import Programs
from tests.server import start_server


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


async def test_who_is_no_proxy_of_ours_is_not_believed(programs: Programs, hashed_password: str) -> None:
    """Whatever network they say they come from, they come from one."""
    env = {**ENV, "TRUSTED_PROXIES": "10.0.0.0/8"}
    server = start_server(programs, database_url="sqlite://", env=env)
    async with server.client() as client:
        house = House(server, "", hashed_password, client)
        for _ in range(5):
            assert said(await house.login("anna@example.com", network=new_network())) == BAD_CREDENTIALS
        assert_too_many(await house.login("anna@example.com", network=new_network()), within=300)
