"""/posts: what people wrote, for anyone to read."""

from typing import Any

import httpx2
import pytest
from sqlmodel import select
from sqlmodel.ext.asyncio.session import AsyncSession

from app.models import Post, User
from tests.app.fixture_types import AsUser
from tests.app.shapes import FORBIDDEN, UNAUTHORIZED, post_read, problems, said

NOT_FOUND = (404, {"detail": "POST_NOT_FOUND"})
UNKNOWN = ["0", "2147483647", "2147483648", "9223372036854775808", "9" * 1000]
NOT_AN_ID = ["x", "+1", "-1", "\uff11", "1_0", "1.0", "%201", "%00"]
WRONG_VALUES = [
    ("title", "", "string_too_short"),
    ("title", " \t\n\u3000", "string_too_short"),
    ("title", "a" * 201, "string_too_long"),
    ("title", None, "string_type"),
    ("title", "a\0b", "value_error"),
    ("content", "", "string_too_short"),
    ("content", "\n", "string_too_short"),
    ("content", "a" * 100_001, "string_too_long"),
    ("content", None, "string_type"),
    ("content", ["a"], "string_type"),
    ("content", "a\0b", "value_error"),
    ("id", 1, "extra_forbidden"),
    ("author_id", "00000000-0000-4000-8000-000000000000", "extra_forbidden"),
    ("created_at", "2020-01-01T00:00:00Z", "extra_forbidden"),
]


@pytest.fixture
async def post(session: AsyncSession, owner: User) -> Post:
    """A post of `owner`."""
    post = Post(title="Hello", content="My first post.", author_id=owner.id)
    session.add(post)
    await session.commit()
    return post


class TestList:
    @pytest.mark.parametrize("path", ["/posts", "/posts/"])
    async def test_nobody(
        self, client: httpx2.AsyncClient, session: AsyncSession, stranger: User, post: Post, path: str
    ) -> None:
        """Newest first, whoever wrote them."""
        other = Post(title="Hello, too", content="...", author_id=stranger.id)
        session.add(other)
        await session.commit()
        response = await client.get(path)
        assert said(response) == (200, [post_read(other), post_read(post)])
        assert "link" not in response.headers

    async def test_a_bad_token(self, client: httpx2.AsyncClient, post: Post) -> None:
        """Where nobody is asked for one, a token that has expired does no harm."""
        response = await client.get("/posts", headers={"Authorization": "Bearer x"})
        assert said(response) == (200, [post_read(post)])


class TestCreate:
    async def test_nobody(self, client: httpx2.AsyncClient) -> None:
        for body in ({"title": "x", "content": "y"}, {}):
            assert said(await client.post("/posts", json=body)) == (401, UNAUTHORIZED)

    async def test_nothing(self, as_user: AsUser, owner: User) -> None:
        response = await (await as_user(owner)).post("/posts", json={})
        assert problems(response) == (422, [("missing", ["body", "title"]), ("missing", ["body", "content"])])

    @pytest.mark.parametrize(("field", "value", "kind"), WRONG_VALUES)
    async def test_a_wrong_value(self, as_user: AsUser, owner: User, field: str, value: Any, kind: str) -> None:
        response = await (await as_user(owner)).post("/posts", json={"title": "x", "content": "y", field: value})
        assert problems(response) == (422, [(kind, ["body", field])])

    @pytest.mark.parametrize("path", ["/posts", "/posts/"])
    async def test_somebody(self, as_user: AsUser, session: AsyncSession, owner: User, path: str) -> None:
        response = await (await as_user(owner)).post(path, json={"title": " Hello ", "content": "\n a \n b \n"})
        post = (await session.exec(select(Post))).one()
        expected = {
            "id": post.id,
            "title": "Hello",
            "content": "a \n b",
            "author_id": str(owner.id),
            "created_at": response.json()["created_at"],
        }
        assert said(response) == (201, expected)
        assert expected == post_read(post)
        assert expected["created_at"].endswith("Z")

    async def test_a_long_one(self, as_user: AsUser, session: AsyncSession, owner: User) -> None:
        face = "\N{GRINNING FACE}"
        response = await (await as_user(owner)).post(
            "/posts", json={"title": face * 200, "content": face * 80_000 + "a" * 20_000}
        )
        post = (await session.exec(select(Post))).one()
        assert said(response) == (201, post_read(post))
        assert (len(post.title), len(post.content)) == (200, 100_000)


class TestRead:
    async def test_none(self, client: httpx2.AsyncClient) -> None:
        answers = {post_id: said(await client.get(f"/posts/{post_id}")) for post_id in UNKNOWN}
        assert answers == dict.fromkeys(UNKNOWN, NOT_FOUND)

    async def test_not_an_id(self, client: httpx2.AsyncClient) -> None:
        answers = {post_id: problems(await client.get(f"/posts/{post_id}")) for post_id in NOT_AN_ID}
        assert answers == dict.fromkeys(NOT_AN_ID, (422, [("value_error", ["path", "post_id"])]))

    async def test_nobody(self, client: httpx2.AsyncClient, post: Post) -> None:
        assert said(await client.get(f"/posts/{post.id}")) == (200, post_read(post))


class TestUpdate:
    async def test_nobody(self, client: httpx2.AsyncClient, post: Post) -> None:
        for post_id in (post.id, *UNKNOWN, *NOT_AN_ID):
            assert said(await client.patch(f"/posts/{post_id}", json={"title": ""})) == (401, UNAUTHORIZED)

    async def test_stranger(self, as_user: AsUser, session: AsyncSession, stranger: User, post: Post) -> None:
        before = post_read(post)
        for body in ({"title": "New"}, {}):
            response = await (await as_user(stranger)).patch(f"/posts/{post.id}", json=body)
            assert said(response) == (403, FORBIDDEN)
        await session.refresh(post)
        assert post_read(post) == before

    async def test_none(self, as_user: AsUser, stranger: User, superuser: User) -> None:
        for client in (await as_user(stranger), await as_user(superuser)):
            answers = {post_id: said(await client.patch(f"/posts/{post_id}", json={})) for post_id in UNKNOWN}
            assert answers == dict.fromkeys(UNKNOWN, NOT_FOUND)

    @pytest.mark.parametrize(("field", "value", "kind"), WRONG_VALUES)
    async def test_a_wrong_value(
        self, as_user: AsUser, owner: User, post: Post, field: str, value: Any, kind: str
    ) -> None:
        response = await (await as_user(owner)).patch(f"/posts/{post.id}", json={field: value})
        assert problems(response) == (422, [(kind, ["body", field])])

    async def test_nothing(self, as_user: AsUser, owner: User, post: Post) -> None:
        assert said(await (await as_user(owner)).patch(f"/posts/{post.id}", json={})) == (200, post_read(post))

    @pytest.mark.parametrize("who", ["owner", "superuser"])
    async def test_who_may(
        self, as_user: AsUser, session: AsyncSession, owner: User, superuser: User, post: Post, who: str
    ) -> None:
        """It stays its author's."""
        before = post_read(post)
        client = await as_user(owner if who == "owner" else superuser)
        response = await client.patch(f"/posts/{post.id}", json={"content": " New "})
        assert said(response) == (200, {**before, "content": "New"})
        await session.refresh(post)
        assert post_read(post) == response.json()


class TestDelete:
    async def test_nobody(self, client: httpx2.AsyncClient, post: Post) -> None:
        for post_id in (post.id, *UNKNOWN, *NOT_AN_ID):
            assert said(await client.delete(f"/posts/{post_id}")) == (401, UNAUTHORIZED)

    async def test_stranger(self, as_user: AsUser, stranger: User, post: Post) -> None:
        client = await as_user(stranger)
        assert said(await client.delete(f"/posts/{post.id}")) == (403, FORBIDDEN)
        assert (await client.get(f"/posts/{post.id}")).status_code == 200

    async def test_none(self, as_user: AsUser, stranger: User, superuser: User) -> None:
        for client in (await as_user(stranger), await as_user(superuser)):
            answers = {post_id: said(await client.delete(f"/posts/{post_id}")) for post_id in UNKNOWN}
            assert answers == dict.fromkeys(UNKNOWN, NOT_FOUND)

    @pytest.mark.parametrize("who", ["owner", "superuser"])
    async def test_who_may(
        self, as_user: AsUser, session: AsyncSession, owner: User, superuser: User, post: Post, who: str
    ) -> None:
        client = await as_user(owner if who == "owner" else superuser)
        assert said(await client.delete(f"/posts/{post.id}")) == (204, None)
        assert said(await client.delete(f"/posts/{post.id}")) == NOT_FOUND
        assert (await session.exec(select(Post))).all() == []
