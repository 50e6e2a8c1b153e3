"""Races over HTTP, against the real service in a process of its own: the database decides, and nothing is a 5xx."""

import asyncio
import itertools
import uuid
from collections import Counter
from collections.abc import AsyncIterator, Awaitable, Iterator
from dataclasses import dataclass
from typing import Any

import httpx2
import pytest
from sqlalchemy import func, select, update
from sqlmodel import Session, col

from app.models import Item, User, UserGroup
from tests.app.conftest import Ground
from tests.app.databases import connected, signed_in
from tests.server import Server, start_server

PASSWORD = "correct horse battery staple"
# One address, as eight people may write it.
SPELLINGS = (
    "rené@bücher.example.com",
    "René@bücher.example.com",
    "RENÉ@BÜCHER.EXAMPLE.COM",
    "rene\u0301@bücher.example.com",
    "  rené@bücher.example.com ",
    "rené@bu\u0308cher.example.com",
    "rené@xn--bcher-kva.example.com",
    "René@XN--BCHER-KVA.Example.Com",
)


@dataclass(frozen=True)
class House:
    """A running service, and its database."""

    server: Server
    database_url: str
    hashed_password: str

    def add(self, *rows: Any) -> None:
        """Write rows behind the service's back."""
        with connected(self.database_url) as connection, Session(connection, expire_on_commit=False) as session:
            session.add_all(rows)
            session.commit()

    def add_users(self, *names: str, **columns: Any) -> list[User]:
        users = [
            User(email=f"{name}@example.com", username=name, hashed_password=self.hashed_password, **columns)
            for name in names
        ]
        self.add(*users)
        return users

    async def headers(self, user: User) -> dict[str, str]:
        return await signed_in(self.database_url, user)

    def demote_everybody(self) -> None:
        with connected(self.database_url) as connection:
            connection.execute(update(User).values(is_superuser=False))

    def count(self, *conditions: Any) -> int:
        """Count rows of the table that the conditions are about."""
        with connected(self.database_url) as connection:
            return connection.execute(select(func.count()).where(*conditions)).scalar_one()


@pytest.fixture(scope="module")
def house(ground: Ground, hashed_password: str) -> Iterator[House]:
    server = start_server(ground.programs, database_url=ground.database_url, env=ground.env)
    yield House(server, ground.database_url, hashed_password)
    server.stop_silently()


@pytest.fixture
async def client(house: House) -> AsyncIterator[httpx2.AsyncClient]:
    async with house.server.client() as client:
        yield client


async def at_once(requests: list[Awaitable[httpx2.Response]]) -> list[httpx2.Response]:
    answers = await asyncio.gather(*requests)
    failed = [answer for answer in answers if answer.status_code >= 500]
    assert not failed, [(str(answer.request.url), answer.status_code, answer.text) for answer in failed]
    return answers


def said(answers: list[httpx2.Response]) -> Counter[tuple[int, Any]]:
    """Count the statuses, with the code of each failure."""
    return Counter((answer.status_code, answer.json()["detail"] if answer.is_error else None) for answer in answers)


async def sign_in(client: httpx2.AsyncClient, name: str) -> int:
    answer = await client.post("/auth/jwt/login", data={"username": name, "password": PASSWORD})
    return answer.status_code


class TestRegister:
    async def test_forty_with_one_address_in_eight_spellings(self, house: House, client: httpx2.AsyncClient) -> None:
        answers = await at_once(
            [
                client.post("/auth/register", json={"email": spelling, "password": PASSWORD})
                for spelling in SPELLINGS * 5
            ]
        )
        assert said(answers) == {(201, None): 1, (400, "REGISTER_USER_ALREADY_EXISTS"): 39}
        assert house.count(col(User.email_canonical).like("%cher%")) == 1
        (registered,) = [answer.json() for answer in answers if answer.status_code == 201]
        assert registered["email"] in {"".join(spelling.split()) for spelling in SPELLINGS} | set(SPELLINGS)
        # The owner signs in, however the address is written.
        assert [await sign_in(client, spelling) for spelling in SPELLINGS] == [200] * 8

    async def test_forty_with_two_usernames(self, house: House, client: httpx2.AsyncClient) -> None:
        usernames = itertools.cycle(["twin-one", "twin-two", "Twin-One", "TWIN-TWO"])
        answers = await at_once(
            [
                client.post("/users", json={"email": f"twin{n}@example.com", "password": PASSWORD, "username": name})
                for n, name in zip(range(40), usernames, strict=False)
            ]
        )
        assert said(answers) == {(201, None): 2, (400, "REGISTER_USERNAME_ALREADY_EXISTS"): 38}
        assert house.count(col(User.email).like("twin%")) == 2
        assert [await sign_in(client, name) for name in ("twin-one", "twin-two")] == [200, 200]

    async def test_the_same_username_taken_by_those_who_are_there(
        self, house: House, client: httpx2.AsyncClient
    ) -> None:
        users = house.add_users(*(f"renamed{n}" for n in range(8)))
        answers = await at_once(
            [
                client.patch("/users/me", json={"username": "wanted"}, headers=await house.headers(user))
                for user in users
            ]
        )
        assert said(answers) == {(200, None): 1, (400, "UPDATE_USER_USERNAME_ALREADY_EXISTS"): 7}


class TestLastSuperuser:
    async def test_eight_who_demote_each_other_leave_one(self, house: House, client: httpx2.AsyncClient) -> None:
        active = (col(User.is_superuser), col(User.is_active))
        house.demote_everybody()
        users = house.add_users(*(f"super{n}" for n in range(8)), is_superuser=True)
        signed = {user.id: await house.headers(user) for user in users}

        def remove(one: User, other: User, way: int) -> Awaitable[httpx2.Response]:
            if way == 0:
                return client.delete(f"/users/{other.id}", headers=signed[one.id])
            changes = {"is_superuser": False} if way == 1 else {"is_active": False}
            return client.patch(f"/users/{other.id}", json=changes, headers=signed[one.id])

        pairs = itertools.permutations(users, 2)
        answers = await at_once([remove(*pair, way) for pair, way in zip(pairs, itertools.cycle(range(3)))])
        assert {answer.status_code for answer in answers} <= {200, 204, 401, 403, 404, 409}
        left = house.count(*active)
        assert left == 1
        with connected(house.database_url) as connection, Session(connection) as session:
            last = session.scalars(select(User).where(*active)).one()
        own = await client.patch(f"/users/{last.id}", json={"is_superuser": False}, headers=await house.headers(last))
        assert (own.status_code, own.json()) == (409, {"detail": "LAST_SUPERUSER"})

    async def test_eight_who_demote_themselves_leave_one(self, house: House, client: httpx2.AsyncClient) -> None:
        active = (col(User.is_superuser), col(User.is_active))
        house.demote_everybody()
        users = house.add_users(*(f"modest{n}" for n in range(8)), is_superuser=True)
        answers = await at_once(
            [
                client.patch(f"/users/{user.id}", json={"is_superuser": False}, headers=await house.headers(user))
                for user in users
            ]
        )
        assert said(answers) == {(200, None): 7, (409, "LAST_SUPERUSER"): 1}
        assert house.count(*active) == 1


class TestGroups:
    @pytest.fixture
    async def by_superuser(self, house: House) -> dict[str, str]:
        (superuser,) = house.add_users(f"su-{uuid.uuid4().hex[:8]}", is_superuser=True)
        return await house.headers(superuser)

    async def test_two_renamed_to_one_name(
        self, house: House, client: httpx2.AsyncClient, by_superuser: dict[str, str]
    ) -> None:
        house.add(one := UserGroup(name="Here"), other := UserGroup(name="There"))
        answers = await at_once(
            [
                client.patch(f"/user-groups/{group.id}", json={"name": "Everywhere"}, headers=by_superuser)
                for group in [one, other] * 10
            ]
        )
        assert said(answers) == {(200, None): 10, (409, "USER_GROUP_NAME_TAKEN"): 10}
        # Of each group all or none: who was first, stays.
        assert len({answer.status_code for answer in answers[::2]}) == 1
        assert house.count(col(UserGroup.name) == "Everywhere") == 1

    async def test_ten_created_with_one_name(
        self, house: House, client: httpx2.AsyncClient, by_superuser: dict[str, str]
    ) -> None:
        answers = await at_once(
            [client.post("/user-groups", json={"name": "Only"}, headers=by_superuser) for _ in range(10)]
        )
        assert said(answers) == {(201, None): 1, (409, "USER_GROUP_NAME_TAKEN"): 9}

    async def test_a_user_moved_everywhere_at_once_is_in_one(
        self, house: House, client: httpx2.AsyncClient, by_superuser: dict[str, str]
    ) -> None:
        (user,) = house.add_users("nomad")
        house.add(*(groups := [UserGroup(name=f"Place {n}") for n in range(4)]))
        answers = await at_once(
            [client.put(f"/user-groups/{group.id}/users/{user.id}", headers=by_superuser) for group in groups * 5]
        )
        assert Counter(answer.status_code for answer in answers) == {204: 20}
        lists = [await client.get(f"/user-groups/{group.id}/users", headers=by_superuser) for group in groups]
        assert sorted(len(answer.json()) for answer in lists) == [0, 0, 0, 1]

    async def test_a_group_deleted_while_users_move_in_keeps_them_all(
        self, house: House, client: httpx2.AsyncClient, by_superuser: dict[str, str]
    ) -> None:
        users = house.add_users(*(f"mover{n}" for n in range(12)))
        house.add(group := UserGroup(name="Short-lived"))
        moves = [client.put(f"/user-groups/{group.id}/users/{user.id}", headers=by_superuser) for user in users]
        answers = await at_once(
            [*moves[:6], client.delete(f"/user-groups/{group.id}", headers=by_superuser), *moves[6:]]
        )
        assert answers[6].status_code == 204
        moved = [*answers[:6], *answers[7:]]
        assert all(answer.status_code == 204 or answer.json() == {"detail": "USER_GROUP_NOT_FOUND"} for answer in moved)
        assert house.count(col(User.username).like("mover%"), col(User.group_id).is_(None)) == 12


class TestDelete:
    async def test_a_user_who_is_creating_items_leaves_none(self, house: House, client: httpx2.AsyncClient) -> None:
        (user,) = house.add_users("leaving")
        (superuser,) = house.add_users("remover", is_superuser=True)
        signed = await house.headers(user)
        creations = [
            client.post("/items", json={"title": f"Thing {n}", "price": "1.00"}, headers=signed) for n in range(30)
        ]
        deletion = client.delete(f"/users/{user.id}", headers=await house.headers(superuser))
        answers = await at_once([*creations[:10], deletion, *creations[10:]])
        assert answers[10].status_code == 204
        assert {answer.status_code for answer in answers} <= {201, 204, 401}
        assert house.count(col(Item.user_id) == user.id) == 0


class TestEverythingAtOnce:
    async def test_two_hundred_requests(self, house: House, client: httpx2.AsyncClient) -> None:
        users = house.add_users(*(f"crowd{n}" for n in range(10)))
        house.add(group := UserGroup(name="Crowd", is_public=True))
        signed = [await house.headers(user) for user in users]
        requests: list[Awaitable[httpx2.Response]] = []
        for n, own in zip(range(25), itertools.cycle(signed), strict=False):
            requests += [
                client.get("/users/me", headers=own),
                client.patch("/users/me", json={"name": f"Name {n}"}, headers=own),
                client.post("/items", json={"title": f"Item {n}", "price": n}, headers=own),
                client.get("/items", headers=own),
                client.post("/posts", json={"title": f"Post {n}", "content": "…"}, headers=own),
                client.get("/posts?limit=5"),
                client.get(f"/user-groups/{group.id}/users"),
                client.get("/health/ready"),
            ]
        answers = await asyncio.gather(*requests)
        busy = [answer for answer in answers if answer.status_code == 503]
        assert all(answer.headers["Retry-After"] == "1" for answer in busy)
        served = {answer.status_code for answer in answers if answer not in busy}
        assert served <= {200, 201}
        created = sum(answer.status_code == 201 and answer.request.url.path == "/items" for answer in answers)
        assert house.count(col(Item.title).like("Item %")) == created
