"""Registrations and mails are limited for each network and address."""

import asyncio
import itertools
from collections import Counter

import pytest
from sqlmodel import Session, select

from app.models import User
from tests.app.conftest import PASSWORD
from tests.app.databases import connected
from tests.app.limits.conftest import (
    ACCEPTED,
    CURRENT_PASSWORD_BAD,
    NEW_PASSWORD,
    House,
    _people,
    assert_too_many,
    new_network,
    spellings,
)
from tests.app.shapes import said


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
