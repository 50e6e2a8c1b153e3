"""/user-groups: groups of users, and who is in them."""

from typing import Any

import httpx2
import pytest
from sqlmodel import select
from sqlmodel.ext.asyncio.session import AsyncSession

from app.models import User, UserGroup
from tests.app.fixture_types import AsUser, CreateGroup, CreateUser
from tests.app.shapes import (
    FORBIDDEN,
    UNAUTHORIZED,
    UNKNOWN_USER,
    problems,
    said,
    user_group_member,
    user_group_read,
    user_public,
    user_read,
)

NOT_FOUND = (404, {"detail": "USER_GROUP_NOT_FOUND"})
USER_NOT_FOUND = (404, {"detail": "USER_NOT_FOUND"})
NAME_TAKEN = (409, {"detail": "USER_GROUP_NAME_TAKEN"})
# Nobody's number, though each is one: the greatest of the column, and beyond it.
UNKNOWN = ["0", "000", "2147483647", "2147483648", "9223372036854775807", "9223372036854775808", "9" * 1000]
NOT_AN_ID = ["x", "+1", "-1", "\uff11", "1_0", "1.0", "1e3", "0x1", "%201", "1%0A", "%00", "²"]
WRONG_ID = (422, [("value_error", ["path", "group_id"])])
NAMES = [("", "string_too_short"), (" \n\u3000", "string_too_short"), ("a" * 101, "string_too_long")]


@pytest.fixture
async def member(create_user: CreateUser) -> User:
    return await create_user("member", username="member", name="A Member")


@pytest.fixture
async def deactivated(create_user: CreateUser) -> User:
    return await create_user("deactivated", username="deactivated", name="Gone", is_active=False)


@pytest.fixture
async def public(create_group: CreateGroup, member: User, deactivated: User) -> UserGroup:
    return await create_group("Public", member, deactivated, is_public=True)


@pytest.fixture
async def private(create_group: CreateGroup, owner: User) -> UserGroup:
    """A private group, whose member is `owner`."""
    return await create_group("Private", owner)


def by_id(*users: User) -> list[User]:
    return sorted(users, key=lambda user: user.id)


class TestList:
    @pytest.mark.parametrize("path", ["/user-groups", "/user-groups/"])
    async def test_nobody(self, client: httpx2.AsyncClient, private: UserGroup, public: UserGroup, path: str) -> None:
        response = await client.get(path)
        assert said(response) == (200, [{"id": public.id, "name": "Public", "is_public": True}])
        assert "link" not in response.headers

    async def test_stranger(self, as_user: AsUser, stranger: User, private: UserGroup, public: UserGroup) -> None:
        assert said(await (await as_user(stranger)).get("/user-groups")) == (200, [user_group_read(public)])

    async def test_member_of_a_private_one(
        self, as_user: AsUser, owner: User, private: UserGroup, public: UserGroup, create_group: CreateGroup
    ) -> None:
        await create_group("Somebody else's")
        expected = [user_group_read(group) for group in (public, private)]
        expected.sort(key=lambda group: group["id"])
        assert said(await (await as_user(owner)).get("/user-groups")) == (200, expected)

    async def test_somebody_deactivated(
        self, as_user: AsUser, session: AsyncSession, owner: User, private: UserGroup, public: UserGroup
    ) -> None:
        """An old token is worth as much as none."""
        client = await as_user(owner)
        owner.is_active = False
        await session.commit()
        assert said(await client.get("/user-groups")) == (200, [user_group_read(public)])

    async def test_superuser(self, as_user: AsUser, superuser: User, private: UserGroup, public: UserGroup) -> None:
        expected = [user_group_read(group) for group in (public, private)]
        expected.sort(key=lambda group: group["id"])
        assert said(await (await as_user(superuser)).get("/user-groups")) == (200, expected)


class TestCreate:
    async def test_nobody(self, client: httpx2.AsyncClient) -> None:
        assert said(await client.post("/user-groups", json={"name": "New"})) == (401, UNAUTHORIZED)

    async def test_somebody(self, as_user: AsUser, session: AsyncSession, owner: User) -> None:
        response = await (await as_user(owner)).post("/user-groups", json={"name": "New"})
        assert said(response) == (403, FORBIDDEN)
        assert (await session.exec(select(UserGroup))).all() == []

    @pytest.mark.parametrize(("name", "kind"), NAMES)
    async def test_not_a_name(self, as_user: AsUser, superuser: User, name: str, kind: str) -> None:
        response = await (await as_user(superuser)).post("/user-groups", json={"name": name})
        assert problems(response) == (422, [(kind, ["body", "name"])])

    @pytest.mark.parametrize(
        ("body", "problem"),
        [
            ({}, ("missing", ["body", "name"])),
            ({"name": None}, ("string_type", ["body", "name"])),
            ({"name": 1}, ("string_type", ["body", "name"])),
            ({"name": "a\0b"}, ("value_error", ["body", "name"])),
            ({"name": "x", "is_public": None}, ("bool_type", ["body", "is_public"])),
            ({"name": "x", "is_public": "true"}, ("bool_type", ["body", "is_public"])),
            ({"name": "x", "id": 1}, ("extra_forbidden", ["body", "id"])),
            ({"name": "x", "users": []}, ("extra_forbidden", ["body", "users"])),
        ],
    )
    async def test_a_wrong_body(
        self, as_user: AsUser, superuser: User, body: dict[str, Any], problem: tuple[str, list[str]]
    ) -> None:
        response = await (await as_user(superuser)).post("/user-groups", json=body)
        assert problems(response) == (422, [problem])

    async def test_a_taken_name(self, as_user: AsUser, superuser: User, private: UserGroup) -> None:
        response = await (await as_user(superuser)).post("/user-groups", json={"name": " Private "})
        assert said(response) == NAME_TAKEN

    @pytest.mark.parametrize("path", ["/user-groups", "/user-groups/"])
    async def test_a_private_one(
        self, client: httpx2.AsyncClient, as_user: AsUser, session: AsyncSession, superuser: User, path: str
    ) -> None:
        """Private is what it is when nothing is said."""
        response = await (await as_user(superuser)).post(path, json={"name": " Nëw \N{GRINNING FACE} "})
        group = (await session.exec(select(UserGroup))).one()
        assert said(response) == (201, {"id": group.id, "name": "Nëw \N{GRINNING FACE}", "is_public": False})
        assert said(await client.get("/user-groups")) == (200, [])

    async def test_a_public_one(self, client: httpx2.AsyncClient, as_user: AsUser, superuser: User) -> None:
        name = "\N{GRINNING FACE}" * 100
        response = await (await as_user(superuser)).post("/user-groups", json={"name": name, "is_public": True})
        group = {"id": response.json()["id"], "name": name, "is_public": True}
        assert said(response) == (201, group)
        assert said(await client.get("/user-groups")) == (200, [group])


class TestRead:
    @pytest.mark.parametrize("path", ["/user-groups/{}", "/user-groups/{}/users"])
    async def test_none(self, client: httpx2.AsyncClient, as_user: AsUser, superuser: User, path: str) -> None:
        for who in (client, await as_user(superuser)):
            answers = {group_id: said(await who.get(path.format(group_id))) for group_id in UNKNOWN}
            assert answers == dict.fromkeys(UNKNOWN, NOT_FOUND)

    @pytest.mark.parametrize("path", ["/user-groups/{}", "/user-groups/{}/users"])
    async def test_not_an_id(self, client: httpx2.AsyncClient, path: str) -> None:
        answers = {group_id: problems(await client.get(path.format(group_id))) for group_id in NOT_AN_ID}
        assert answers == dict.fromkeys(NOT_AN_ID, WRONG_ID)

    async def test_leading_zeros(self, client: httpx2.AsyncClient, public: UserGroup) -> None:
        assert said(await client.get(f"/user-groups/00{public.id}")) == (200, user_group_read(public))

    async def test_a_public_one(
        self, client: httpx2.AsyncClient, as_user: AsUser, stranger: User, superuser: User, public: UserGroup
    ) -> None:
        for who in (client, await as_user(stranger), await as_user(superuser)):
            assert said(await who.get(f"/user-groups/{public.id}")) == (200, user_group_read(public))

    async def test_a_private_one(
        self,
        client: httpx2.AsyncClient,
        as_user: AsUser,
        stranger: User,
        member: User,
        public: UserGroup,
        owner: User,
        superuser: User,
        private: UserGroup,
    ) -> None:
        for who in (client, await as_user(stranger), await as_user(member)):
            assert said(await who.get(f"/user-groups/{private.id}")) == NOT_FOUND
        for who in (await as_user(owner), await as_user(superuser)):
            assert said(await who.get(f"/user-groups/{private.id}")) == (200, user_group_read(private))


class TestUpdate:
    async def test_nobody(self, client: httpx2.AsyncClient, public: UserGroup) -> None:
        for group_id in (public.id, *UNKNOWN, *NOT_AN_ID):
            response = await client.patch(f"/user-groups/{group_id}", json={"name": "New"})
            assert said(response) == (401, UNAUTHORIZED)

    async def test_stranger(self, as_user: AsUser, stranger: User, public: UserGroup, private: UserGroup) -> None:
        """What is hidden is not there; what is not hidden may not be changed."""
        client = await as_user(stranger)
        assert said(await client.patch(f"/user-groups/{private.id}", json={"name": "New"})) == NOT_FOUND
        assert said(await client.patch(f"/user-groups/{public.id}", json={"name": "New"})) == (403, FORBIDDEN)

    async def test_member(self, as_user: AsUser, session: AsyncSession, owner: User, private: UserGroup) -> None:
        for body in ({"name": "New"}, {"is_public": True}, {}):
            response = await (await as_user(owner)).patch(f"/user-groups/{private.id}", json=body)
            assert said(response) == (403, FORBIDDEN)
        await session.refresh(private)
        assert (private.name, private.is_public) == ("Private", False)

    async def test_none(self, as_user: AsUser, stranger: User, superuser: User) -> None:
        for client in (await as_user(stranger), await as_user(superuser)):
            answers = {group_id: said(await client.patch(f"/user-groups/{group_id}", json={})) for group_id in UNKNOWN}
            assert answers == dict.fromkeys(UNKNOWN, NOT_FOUND)

    async def test_not_an_id(self, as_user: AsUser, superuser: User) -> None:
        client = await as_user(superuser)
        paths = {group_id: f"/user-groups/{group_id}" for group_id in NOT_AN_ID}
        answers = {group_id: problems(await client.patch(path, json={})) for group_id, path in paths.items()}
        assert answers == dict.fromkeys(NOT_AN_ID, WRONG_ID)

    @pytest.mark.parametrize(("name", "kind"), [*NAMES, (None, "string_type"), ("a\0", "value_error")])
    async def test_not_a_name(
        self, as_user: AsUser, superuser: User, private: UserGroup, name: str | None, kind: str
    ) -> None:
        response = await (await as_user(superuser)).patch(f"/user-groups/{private.id}", json={"name": name})
        assert problems(response) == (422, [(kind, ["body", "name"])])

    @pytest.mark.parametrize("body", [{"is_public": None}, {"id": 1}, {"users": []}])
    async def test_a_wrong_body(
        self, as_user: AsUser, superuser: User, private: UserGroup, body: dict[str, Any]
    ) -> None:
        response = await (await as_user(superuser)).patch(f"/user-groups/{private.id}", json=body)
        status, [(_, location)] = problems(response)
        assert (status, location) == (422, ["body", *body])

    async def test_a_taken_name(
        self, as_user: AsUser, session: AsyncSession, superuser: User, private: UserGroup, public: UserGroup
    ) -> None:
        body = {"name": "Public", "is_public": True}
        response = await (await as_user(superuser)).patch(f"/user-groups/{private.id}", json=body)
        assert said(response) == NAME_TAKEN
        await session.refresh(private)
        assert (private.name, private.is_public) == ("Private", False)

    async def test_nothing(self, as_user: AsUser, superuser: User, private: UserGroup) -> None:
        response = await (await as_user(superuser)).patch(f"/user-groups/{private.id}", json={})
        assert said(response) == (200, user_group_read(private))

    async def test_its_own_name(self, as_user: AsUser, superuser: User, private: UserGroup) -> None:
        response = await (await as_user(superuser)).patch(f"/user-groups/{private.id}", json={"name": "Private"})
        assert said(response) == (200, user_group_read(private))

    async def test_name(self, as_user: AsUser, superuser: User, private: UserGroup) -> None:
        response = await (await as_user(superuser)).patch(f"/user-groups/{private.id}", json={"name": " New "})
        assert said(response) == (200, {"id": private.id, "name": "New", "is_public": False})

    async def test_visibility(
        self, client: httpx2.AsyncClient, as_user: AsUser, superuser: User, private: UserGroup
    ) -> None:
        response = await (await as_user(superuser)).patch(f"/user-groups/{private.id}", json={"is_public": True})
        assert said(response) == (200, {"id": private.id, "name": "Private", "is_public": True})
        assert said(await client.get(f"/user-groups/{private.id}")) == said(response)


class TestDelete:
    async def test_nobody(self, client: httpx2.AsyncClient, public: UserGroup) -> None:
        for group_id in (public.id, *UNKNOWN, *NOT_AN_ID):
            assert said(await client.delete(f"/user-groups/{group_id}")) == (401, UNAUTHORIZED)

    async def test_stranger(self, as_user: AsUser, stranger: User, public: UserGroup, private: UserGroup) -> None:
        client = await as_user(stranger)
        assert said(await client.delete(f"/user-groups/{private.id}")) == NOT_FOUND
        assert said(await client.delete(f"/user-groups/{public.id}")) == (403, FORBIDDEN)

    async def test_member(self, as_user: AsUser, owner: User, private: UserGroup) -> None:
        assert said(await (await as_user(owner)).delete(f"/user-groups/{private.id}")) == (403, FORBIDDEN)

    async def test_none(self, as_user: AsUser, superuser: User) -> None:
        client = await as_user(superuser)
        answers = {group_id: said(await client.delete(f"/user-groups/{group_id}")) for group_id in UNKNOWN}
        assert answers == dict.fromkeys(UNKNOWN, NOT_FOUND)

    async def test_its_users_stay(
        self, as_user: AsUser, session: AsyncSession, superuser: User, owner: User, private: UserGroup
    ) -> None:
        client = await as_user(superuser)
        assert said(await client.delete(f"/user-groups/{private.id}")) == (204, None)
        assert said(await client.get(f"/user-groups/{private.id}")) == NOT_FOUND
        await session.refresh(owner)
        assert owner.group_id is None
        assert said(await client.get(f"/users/{owner.id}")) == (200, user_read(owner))


class TestListUsers:
    """Who sees whom, and how much; that there is no group for some, TestRead has asked."""

    async def test_nobody_of_a_public_one(self, client: httpx2.AsyncClient, public: UserGroup, member: User) -> None:
        for path in (f"/user-groups/{public.id}/users", f"/user-groups/{public.id}/users/"):
            response = await client.get(path)
            assert said(response) == (200, [{"id": str(member.id), "name": "A Member"}])
            assert "link" not in response.headers

    async def test_stranger_of_a_public_one(
        self, as_user: AsUser, stranger: User, owner: User, private: UserGroup, public: UserGroup, member: User
    ) -> None:
        """Whoever is in another group is a stranger."""
        for user in (stranger, owner):
            response = await (await as_user(user)).get(f"/user-groups/{public.id}/users")
            assert said(response) == (200, [user_public(member)])

    async def test_somebody_deactivated_of_a_public_one(
        self, as_user: AsUser, session: AsyncSession, stranger: User, public: UserGroup, member: User
    ) -> None:
        client = await as_user(stranger)
        stranger.is_active = False
        await session.commit()
        response = await client.get(f"/user-groups/{public.id}/users")
        assert said(response) == (200, [user_public(member)])

    async def test_member_of_a_public_one(self, as_user: AsUser, public: UserGroup, member: User) -> None:
        response = await (await as_user(member)).get(f"/user-groups/{public.id}/users")
        who = {"id": str(member.id), "name": "A Member", "username": "member", "email": "member@example.com"}
        assert said(response) == (200, [who])

    async def test_superuser_of_a_public_one(
        self, as_user: AsUser, superuser: User, public: UserGroup, member: User, deactivated: User
    ) -> None:
        response = await (await as_user(superuser)).get(f"/user-groups/{public.id}/users")
        assert said(response) == (200, [user_group_member(user) for user in by_id(member, deactivated)])

    async def test_of_a_private_one(
        self,
        client: httpx2.AsyncClient,
        as_user: AsUser,
        stranger: User,
        member: User,
        public: UserGroup,
        private: UserGroup,
    ) -> None:
        for who in (client, await as_user(stranger), await as_user(member)):
            assert said(await who.get(f"/user-groups/{private.id}/users")) == NOT_FOUND

    async def test_member_of_a_private_one(
        self, as_user: AsUser, create_group: CreateGroup, owner: User, member: User, deactivated: User
    ) -> None:
        group = await create_group("Private", owner, member, deactivated)
        response = await (await as_user(owner)).get(f"/user-groups/{group.id}/users")
        assert said(response) == (200, [user_group_member(user) for user in by_id(owner, member)])

    async def test_superuser_of_a_private_one(
        self, as_user: AsUser, create_group: CreateGroup, superuser: User, member: User, deactivated: User
    ) -> None:
        group = await create_group("Private", superuser, member, deactivated)
        response = await (await as_user(superuser)).get(f"/user-groups/{group.id}/users")
        expected = [user_group_member(user) for user in by_id(superuser, member, deactivated)]
        assert said(response) == (200, expected)

    async def test_an_empty_one(
        self, client: httpx2.AsyncClient, as_user: AsUser, create_group: CreateGroup, superuser: User
    ) -> None:
        group = await create_group("Empty", is_public=True)
        for who in (client, await as_user(superuser)):
            assert said(await who.get(f"/user-groups/{group.id}/users")) == (200, [])


@pytest.mark.parametrize("method", ["PUT", "DELETE"])
class TestPutOrDeleteUser:
    async def test_no_group(self, as_user: AsUser, superuser: User, stranger: User, method: str) -> None:
        client = await as_user(superuser)
        paths = {group_id: f"/user-groups/{group_id}/users/{stranger.id}" for group_id in UNKNOWN}
        answers = {group_id: said(await client.request(method, path)) for group_id, path in paths.items()}
        assert answers == dict.fromkeys(UNKNOWN, NOT_FOUND)

    async def test_no_user(self, as_user: AsUser, superuser: User, private: UserGroup, method: str) -> None:
        client = await as_user(superuser)
        for user_id in (UNKNOWN_USER, "x", "1"):
            response = await client.request(method, f"/user-groups/{private.id}/users/{user_id}")
            assert said(response) == USER_NOT_FOUND


class TestPutUser:
    async def test_nobody(self, client: httpx2.AsyncClient, public: UserGroup, stranger: User) -> None:
        for path in (f"{public.id}/users/{stranger.id}", "0/users/x", "x/users/x"):
            assert said(await client.put(f"/user-groups/{path}")) == (401, UNAUTHORIZED)

    async def test_stranger(
        self, as_user: AsUser, session: AsyncSession, stranger: User, public: UserGroup, private: UserGroup
    ) -> None:
        client = await as_user(stranger)
        assert said(await client.put(f"/user-groups/{private.id}/users/{stranger.id}")) == NOT_FOUND
        assert said(await client.put(f"/user-groups/{public.id}/users/{stranger.id}")) == (403, FORBIDDEN)
        assert said(await client.put(f"/user-groups/{public.id}/users/{UNKNOWN_USER}")) == USER_NOT_FOUND
        await session.refresh(stranger)
        assert stranger.group_id is None

    async def test_member(self, as_user: AsUser, owner: User, stranger: User, private: UserGroup) -> None:
        response = await (await as_user(owner)).put(f"/user-groups/{private.id}/users/{stranger.id}")
        assert said(response) == (403, FORBIDDEN)

    async def test_somebody_without_a_group(
        self, as_user: AsUser, session: AsyncSession, superuser: User, stranger: User, private: UserGroup
    ) -> None:
        """Twice is as good as once."""
        for _ in range(2):
            response = await (await as_user(superuser)).put(f"/user-groups/{private.id}/users/{stranger.id}")
            assert said(response) == (204, None)
            await session.refresh(stranger)
            assert stranger.group_id == private.id

    async def test_somebody_of_another_group(
        self,
        as_user: AsUser,
        session: AsyncSession,
        superuser: User,
        owner: User,
        private: UserGroup,
        public: UserGroup,
    ) -> None:
        response = await (await as_user(superuser)).put(f"/user-groups/{public.id}/users/{owner.id}")
        assert said(response) == (204, None)
        await session.refresh(owner)
        assert owner.group_id == public.id


class TestDeleteUser:
    async def test_nobody(self, client: httpx2.AsyncClient, public: UserGroup, member: User) -> None:
        for path in (f"{public.id}/users/{member.id}", "0/users/x", "x/users/x"):
            assert said(await client.delete(f"/user-groups/{path}")) == (401, UNAUTHORIZED)

    async def test_stranger(
        self, as_user: AsUser, stranger: User, public: UserGroup, member: User, private: UserGroup, owner: User
    ) -> None:
        client = await as_user(stranger)
        assert said(await client.delete(f"/user-groups/{private.id}/users/{owner.id}")) == NOT_FOUND
        assert said(await client.delete(f"/user-groups/{public.id}/users/{member.id}")) == (403, FORBIDDEN)

    async def test_member(self, as_user: AsUser, owner: User, private: UserGroup) -> None:
        response = await (await as_user(owner)).delete(f"/user-groups/{private.id}/users/{owner.id}")
        assert said(response) == (403, FORBIDDEN)

    async def test_who_is_not_in_it(
        self,
        as_user: AsUser,
        session: AsyncSession,
        superuser: User,
        stranger: User,
        member: User,
        public: UserGroup,
        private: UserGroup,
    ) -> None:
        for user in (stranger, member):
            response = await (await as_user(superuser)).delete(f"/user-groups/{private.id}/users/{user.id}")
            assert said(response) == USER_NOT_FOUND
        await session.refresh(member)
        assert member.group_id == public.id

    async def test_who_is_in_it(
        self, as_user: AsUser, session: AsyncSession, superuser: User, owner: User, private: UserGroup
    ) -> None:
        client = await as_user(superuser)
        assert said(await client.delete(f"/user-groups/{private.id}/users/{owner.id}")) == (204, None)
        await session.refresh(owner)
        assert owner.group_id is None
        assert said(await client.delete(f"/user-groups/{private.id}/users/{owner.id}")) == USER_NOT_FOUND
