"""What every list does alike: how it is read in parts, in which order, and in how many statements."""

# Fixtures are arguments.

import base64
import re
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from decimal import Decimal
from typing import Any

import httpx2
import pytest
from sqlalchemy.ext.asyncio import AsyncEngine
from sqlmodel.ext.asyncio.session import AsyncSession

from app.models import Item, Post, User, UserGroup
from fastapi_users_sqlmodel.testing import count_statements
from tests.app.fixture_types import AsUser, CreateGroup
from tests.app.shapes import problems, said

LISTS = [
    "/users",
    "/users/{id}/posts",
    "/user-groups",
    "/user-groups/{id}/users",
    "/user-groups/{id}/users as a member",
    "/items",
    "/items as a superuser",
    "/posts",
]


@dataclass(frozen=True)
class List:
    """A list route, whoever may read it, and its rows."""

    client: httpx2.AsyncClient
    path: str
    ids: list[Any]


type Fill = Callable[[int], Awaitable[List]]


@pytest.fixture(params=LISTS)
def fill(
    request: pytest.FixtureRequest,
    client: httpx2.AsyncClient,
    as_user: AsUser,
    session: AsyncSession,
    create_group: CreateGroup,
) -> Fill:
    """Return a function that makes a list of so many rows."""
    route: str = request.param
    path, _, who = route.partition(" as a ")

    async def fill(count: int) -> List:
        reader = User(
            email="reader@example.com", hashed_password="!", is_superuser=path == "/users" or who == "superuser"
        )
        users = [reader] if path == "/users" or who == "member" else []
        users += [
            User(email=f"{number}@example.com", hashed_password="!", username=f"user-{number}")
            for number in range(count - len(users))
        ]
        session.add(reader)
        await session.flush()
        where = path
        rows: list[Any]
        if path == "/users":
            rows = users
        elif path == "/user-groups":
            rows = [UserGroup(name=f"Group {number}", is_public=True) for number in range(count)]
        elif path == "/user-groups/{id}/users":
            group = await create_group("Group", is_public=who != "member")
            for user in users:
                user.group_id = group.id
            where, rows = f"/user-groups/{group.id}/users", users
        elif path == "/items":
            rows = [Item(title=f"Item {number}", price=Decimal(number), user_id=reader.id) for number in range(count)]
        else:
            where = path.format(id=reader.id)
            rows = [Post(title=f"Post {number}", content="...", author_id=reader.id) for number in range(count)]
        session.add_all(rows)
        await session.commit()
        ids = sorted((row.id for row in rows), reverse=path.endswith("posts"))
        signed_in = who or path in {"/users", "/items"}
        found = [row_id if isinstance(row_id, int) else str(row_id) for row_id in ids]
        return List(await as_user(reader) if signed_in else client, where, found)

    return fill


def ids_of(response: httpx2.Response) -> list[Any]:
    assert response.status_code == 200
    return [row["id"] for row in response.json()]


def next_of(response: httpx2.Response) -> str | None:
    """Return where the Link header leads, if there is one."""
    if (link := response.headers.get("link")) is None:
        return None
    found = re.fullmatch(r'<(/[^<>]*)>; rel="next"', link)
    assert found is not None
    return found[1]


def cursor(key: str) -> str:
    return base64.urlsafe_b64encode(key.encode()).decode().rstrip("=")


GARBAGE = [
    "",
    "x",
    "====",
    "*",
    "é",
    "\0",
    "\N{GRINNING FACE}",
    cursor("x"),
    cursor("-1"),
    cursor("\uff11"),
    cursor("1.5"),
    cursor(str(2**31)),
    cursor("9" * 100),
    cursor("\0"),
    cursor("1") + "\n",
    "__--",
]


async def test_an_empty_list(client: httpx2.AsyncClient, as_user: AsUser, owner: User) -> None:
    for who, path in ((client, "/posts"), (client, "/user-groups"), (await as_user(owner), "/items")):
        response = await who.get(path, params={"limit": 1, "after": cursor("1000000")})
        assert said(response) == (200, [])
        assert next_of(response) is None


class TestLimit:
    @pytest.mark.parametrize("limit", ["0", "-1", "101", "x", "", "1.5", "9" * 5000])
    async def test_wrong(self, client: httpx2.AsyncClient, limit: str) -> None:
        status, [(_, location)] = problems(await client.get("/posts", params={"limit": limit}))
        assert (status, location) == (422, ["query", "limit"])

    async def test_default(self, fill: Fill) -> None:
        """50, and a page that is just full is the last one."""
        full = await fill(50)
        response = await full.client.get(full.path)
        assert (ids_of(response), next_of(response)) == (full.ids, None)

    async def test_more_than_a_page(self, fill: Fill) -> None:
        longer = await fill(51)
        response = await longer.client.get(longer.path)
        assert ids_of(response) == longer.ids[:50]
        following = next_of(response)
        assert following is not None
        response = await longer.client.get(following)
        assert (ids_of(response), next_of(response)) == (longer.ids[50:], None)

    async def test_bounds(self, fill: Fill) -> None:
        rows = await fill(101)
        for limit in (1, 100):
            response = await rows.client.get(rows.path, params={"limit": limit})
            assert ids_of(response) == rows.ids[:limit]
            assert next_of(response) == f"{rows.path}?limit={limit}&after={cursor(str(rows.ids[limit - 1]))}"


class TestSkip:
    @pytest.mark.parametrize("skip", ["-1", "10001", "x", "", "1.5", "9" * 5000])
    async def test_wrong(self, client: httpx2.AsyncClient, skip: str) -> None:
        status, [(_, location)] = problems(await client.get("/posts", params={"skip": skip}))
        assert (status, location) == (422, ["query", "skip"])

    async def test_some(self, fill: Fill) -> None:
        """The next page follows after a cursor, however this one was reached."""
        rows = await fill(7)
        response = await rows.client.get(rows.path, params={"skip": 2, "limit": 3})
        assert ids_of(response) == rows.ids[2:5]
        assert next_of(response) == f"{rows.path}?limit=3&after={cursor(str(rows.ids[4]))}"
        response = await rows.client.get(next_of(response) or "")
        assert (ids_of(response), next_of(response)) == (rows.ids[5:], None)

    async def test_none(self, fill: Fill) -> None:
        rows = await fill(2)
        assert ids_of(await rows.client.get(rows.path, params={"skip": 0})) == rows.ids

    async def test_all(self, fill: Fill) -> None:
        rows = await fill(2)
        for skip in (2, 10_000):
            response = await rows.client.get(rows.path, params={"skip": skip})
            assert (ids_of(response), next_of(response)) == ([], None)


class TestAfter:
    async def test_garbage(self, fill: Fill) -> None:
        rows = await fill(1)
        for after in GARBAGE:
            response = await rows.client.get(rows.path, params={"after": after})
            assert problems(response) == (422, [("value_error", ["query", "after"])])

    async def test_very_long(self, client: httpx2.AsyncClient) -> None:
        response = await client.get("/posts", params={"after": "x" * 5000})
        assert problems(response) == (422, [("string_too_long", ["query", "after"])])

    async def test_with_skip(self, fill: Fill) -> None:
        rows = await fill(2)
        for skip in (0, 1):
            response = await rows.client.get(rows.path, params={"after": cursor(str(rows.ids[0])), "skip": skip})
            assert problems(response) == (422, [("value_error", ["query", "after"])])

    async def test_the_whole_list(self, fill: Fill) -> None:
        """Each row once, in order; a page at a time, wherever the first one was asked for."""
        rows = await fill(8)
        for start in (f"{rows.path}?limit=3", f"{rows.path}/?limit=3"):
            pages = []
            following: str | None = start
            while following is not None:
                response = await rows.client.get(following)
                pages.append(ids_of(response))
                following = next_of(response)
                assert following is None or following.startswith(f"{rows.path}?limit=3&after=")
            assert pages == [rows.ids[:3], rows.ids[3:6], rows.ids[6:]]

    async def test_a_row_that_is_gone(self, client: httpx2.AsyncClient, session: AsyncSession, owner: User) -> None:
        posts = [Post(title=f"Post {number}", content="...", author_id=owner.id) for number in range(4)]
        session.add_all(posts)
        await session.commit()
        response = await client.get("/posts?limit=2")
        await session.delete(posts[2])
        session.add(Post(title="New", content="...", author_id=owner.id))
        await session.commit()
        assert ids_of(await client.get(next_of(response) or "")) == [posts[1].id, posts[0].id]


class TestOtherParameters:
    async def test_are_kept(self, client: httpx2.AsyncClient, session: AsyncSession, owner: User) -> None:
        """Whatever they are called, and whatever they say."""
        session.add_all([Post(title="Post", content="...", author_id=owner.id) for _ in range(2)])
        await session.commit()
        response = await client.get("/posts?self=1&x=%C3%BC%0D%0A%3E&url=%FF&limit=1&skip=0&y=1&y=2")
        assert response.status_code == 200
        following = httpx2.URL(next_of(response) or "")
        assert dict(following.params) == {
            "self": "1",
            "x": "ü\r\n>",
            "url": "\N{REPLACEMENT CHARACTER}",
            "limit": "1",
            "y": "2",
            "after": following.params["after"],
        }
        assert len(ids_of(await client.get(str(following)))) == 1


class TestStatements:
    async def test_as_many_for_thirty_rows_as_for_three(self, fill: Fill, engine: AsyncEngine) -> None:
        rows = await fill(30)
        counts = []
        for limit in (3, 30):
            with count_statements(engine) as statements:
                response = await rows.client.get(rows.path, params={"limit": limit})
            assert len(ids_of(response)) == limit
            counts.append(len(statements))
        assert counts[0] == counts[1]
        # Who is asking, what belongs to the path, the list; and a savepoint with its end, which are the test's own.
        assert counts[0] <= 5
