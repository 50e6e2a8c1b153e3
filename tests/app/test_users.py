"""/users: oneself, and everybody for superusers."""

import uuid
from decimal import Decimal
from typing import Any

import httpx2
import pytest
from sqlmodel import col, func, select
from sqlmodel.ext.asyncio.session import AsyncSession

from app.models import Item, OAuthAccount, Post, User
from tests.app.conftest import PASSWORD
from tests.app.fixture_types import AsUser, CreateGroup, CreateUser, Letters
from tests.app.shapes import (
    FORBIDDEN,
    UNAUTHORIZED,
    UNKNOWN_USER,
    post_read,
    problems,
    said,
    user_public,
    user_read,
)

NEW_PASSWORD = "wrong horse, other battery"
NOT_FOUND = (404, {"detail": "USER_NOT_FOUND"})
LAST_SUPERUSER = (409, {"detail": "LAST_SUPERUSER"})
# In a path: nobody's, whatever they are made of.
UNKNOWN = [
    UNKNOWN_USER,
    str(uuid.UUID(int=0)),
    str(uuid.UUID(int=2**128 - 1)),
    f"{UNKNOWN_USER}0",
    UNKNOWN_USER[:-1],
    "1",
    "x",
    "None",
    "%00",
    "%FF",
    "%F0%9F%98%80",
    "a" * 8192,
]

# What no update of a user takes.
NOT_A_FIELD = ["id", "hashed_password", "email_canonical", "created_at", "updated_at", "items", "oauth_accounts", "x"]


async def signs_in(client: httpx2.AsyncClient, username: str, password: str) -> bool:
    response = await client.post("/auth/jwt/login", data={"username": username, "password": password})
    return response.status_code == 200


class TestList:
    async def test_nobody(self, client: httpx2.AsyncClient) -> None:
        assert said(await client.get("/users")) == (401, UNAUTHORIZED)

    async def test_somebody(self, as_user: AsUser, owner: User) -> None:
        assert said(await (await as_user(owner)).get("/users")) == (403, FORBIDDEN)

    async def test_somebody_who_asks_wrongly(self, as_user: AsUser, owner: User) -> None:
        """Rights come before anything about the list."""
        assert said(await (await as_user(owner)).get("/users?after=x&skip=1")) == (403, FORBIDDEN)

    @pytest.mark.parametrize("path", ["/users", "/users/"])
    async def test_superuser(
        self, as_user: AsUser, superuser: User, owner: User, create_user: CreateUser, path: str
    ) -> None:
        deactivated = await create_user("deactivated", is_active=False)
        users = sorted([superuser, owner, deactivated], key=lambda user: user.id)
        response = await (await as_user(superuser)).get(path)
        assert said(response) == (200, [user_read(user) for user in users])
        assert "link" not in response.headers


class TestReadMe:
    async def test_nobody(self, client: httpx2.AsyncClient) -> None:
        assert said(await client.get("/users/me")) == (401, UNAUTHORIZED)

    @pytest.mark.parametrize("path", ["/users/me", "/users/me/"])
    async def test_oneself(self, as_user: AsUser, owner: User, create_group: CreateGroup, path: str) -> None:
        await create_group("Developers", owner)
        response = await (await as_user(owner)).get(path)
        assert said(response) == (200, user_read(owner))
        assert response.json().keys() == {
            "id",
            "email",
            "username",
            "name",
            "is_active",
            "is_superuser",
            "is_verified",
            "group_id",
            "created_at",
            "updated_at",
        }


class TestUpdateMe:
    async def test_nobody(self, client: httpx2.AsyncClient) -> None:
        assert said(await client.patch("/users/me", json={"name": 1})) == (401, UNAUTHORIZED)

    @pytest.mark.parametrize("field", [*NOT_A_FIELD, "group_id"])
    async def test_what_is_not_ones_own(self, as_user: AsUser, session: AsyncSession, owner: User, field: str) -> None:
        before = user_read(owner)
        response = await (await as_user(owner)).patch("/users/me", json={"name": "New", field: None})
        assert problems(response) == (422, [("extra_forbidden", ["body", field])])
        await session.refresh(owner)
        assert user_read(owner) == before

    @pytest.mark.parametrize("flag", ["is_active", "is_superuser", "is_verified"])
    async def test_another_flag(self, as_user: AsUser, session: AsyncSession, owner: User, flag: str) -> None:
        before = user_read(owner)
        response = await (await as_user(owner)).patch("/users/me", json={"name": "New", flag: not before[flag]})
        assert problems(response) == (422, [("value_error", ["body", flag])])
        await session.refresh(owner)
        assert user_read(owner) == before

    async def test_another_email(self, as_user: AsUser, session: AsyncSession, owner: User, letters: Letters) -> None:
        """It has to be confirmed, another spelling too; the rest is changed at once."""
        for email in ("new@example.com", "OWNER@example.com"):
            body = {"name": "New", "email": email, "current_password": PASSWORD}
            response = await (await as_user(owner)).patch("/users/me", json=body)
            await session.refresh(owner)
            assert said(response) == (200, user_read(owner))
            assert {letter.to for letter in await letters()} == {"owner@example.com", email}
        assert (owner.email, owner.name) == ("owner@example.com", "New")

    async def test_another_email_without_the_password(
        self, as_user: AsUser, session: AsyncSession, owner: User, letters: Letters
    ) -> None:
        response = await (await as_user(owner)).patch("/users/me", json={"name": "New", "email": "new@example.com"})
        assert problems(response) == (422, [("value_error", ["body", "current_password"])])
        assert await letters() == []
        await session.refresh(owner)
        assert owner.name == "The Owner"

    @pytest.mark.parametrize("field", ["email", "password", "current_password", "is_active", "is_superuser"])
    async def test_null(self, as_user: AsUser, owner: User, field: str) -> None:
        status, [(_, location)] = problems(await (await as_user(owner)).patch("/users/me", json={field: None}))
        assert (status, location) == (422, ["body", field])

    async def test_a_taken_username(self, as_user: AsUser, session: AsyncSession, owner: User, stranger: User) -> None:
        response = await (await as_user(owner)).patch("/users/me", json={"username": "STRANGER", "name": "New"})
        assert said(response) == (400, {"detail": "UPDATE_USER_USERNAME_ALREADY_EXISTS"})
        await session.refresh(owner)
        assert (owner.username, owner.name) == ("owner", "The Owner")

    @pytest.mark.parametrize(
        ("field", "value"),
        [("username", "a"), ("username", "a b c"), ("username", ""), ("name", ""), ("name", "  "), ("name", "a" * 101)],
    )
    async def test_a_wrong_value(self, as_user: AsUser, owner: User, field: str, value: str) -> None:
        status, [(_, location)] = problems(await (await as_user(owner)).patch("/users/me", json={field: value}))
        assert (status, location) == (422, ["body", field])

    async def test_nothing(self, as_user: AsUser, session: AsyncSession, owner: User) -> None:
        before = user_read(owner)
        assert said(await (await as_user(owner)).patch("/users/me", json={})) == (200, before)
        await session.refresh(owner)
        assert user_read(owner) == before

    async def test_what_is_true_already(self, as_user: AsUser, owner: User) -> None:
        """A client of FastAPI Users sends everything that it knows."""
        before = user_read(owner)
        known = ("email", "username", "name", "is_active", "is_superuser", "is_verified")
        response = await (await as_user(owner)).patch("/users/me", json={name: before[name] for name in known})
        assert said(response) == (200, before)

    async def test_name_and_username(self, as_user: AsUser, session: AsyncSession, owner: User) -> None:
        updated_at = owner.updated_at
        response = await (await as_user(owner)).patch("/users/me", json={"username": " New.Name ", "name": " Nëw "})
        await session.refresh(owner)
        assert said(response) == (200, user_read(owner))
        assert (owner.username, owner.name) == ("new.name", "Nëw")
        assert owner.updated_at > updated_at

    async def test_no_name_and_no_username(self, as_user: AsUser, session: AsyncSession, owner: User) -> None:
        response = await (await as_user(owner)).patch("/users/me", json={"username": None, "name": None})
        await session.refresh(owner)
        assert said(response) == (200, user_read(owner))
        assert (owner.username, owner.name) == (None, None)

    async def test_ones_own_username(self, as_user: AsUser, owner: User) -> None:
        response = await (await as_user(owner)).patch("/users/me", json={"username": "Owner"})
        assert (response.status_code, response.json()["username"]) == (200, "owner")

    async def test_last_superuser(self, as_user: AsUser, session: AsyncSession, superuser: User) -> None:
        for flag in ("is_superuser", "is_active"):
            response = await (await as_user(superuser)).patch("/users/me", json={flag: False})
            assert problems(response) == (422, [("value_error", ["body", flag])])
        await session.refresh(superuser)
        assert superuser.is_active
        assert superuser.is_superuser


class TestUpdateMyPassword:
    async def test_without_the_current_one(self, client: httpx2.AsyncClient, as_user: AsUser, owner: User) -> None:
        response = await (await as_user(owner)).patch("/users/me", json={"password": NEW_PASSWORD})
        assert problems(response) == (422, [("value_error", ["body", "current_password"])])
        assert await signs_in(client, "owner", PASSWORD)

    @pytest.mark.parametrize("wrong", ["", "x", NEW_PASSWORD, "x" * 100_000])
    async def test_with_a_wrong_current_one(
        self, client: httpx2.AsyncClient, as_user: AsUser, owner: User, wrong: str
    ) -> None:
        body = {"password": NEW_PASSWORD, "current_password": wrong, "name": "New"}
        response = await (await as_user(owner)).patch("/users/me", json=body)
        assert said(response) == (400, {"detail": "CURRENT_PASSWORD_BAD"})
        assert await signs_in(client, "owner", PASSWORD)
        assert (await (await as_user(owner)).get("/users/me")).json()["name"] == "The Owner"

    async def test_a_refused_one(self, client: httpx2.AsyncClient, as_user: AsUser, owner: User) -> None:
        body = {"password": "short", "current_password": PASSWORD}
        response = await (await as_user(owner)).patch("/users/me", json=body)
        reason = "Password should be at least 8 characters"
        assert said(response) == (400, {"detail": {"code": "UPDATE_USER_INVALID_PASSWORD", "reason": reason}})
        assert await signs_in(client, "owner", PASSWORD)

    async def test_a_taken_username_beside_it(
        self, client: httpx2.AsyncClient, as_user: AsUser, owner: User, stranger: User
    ) -> None:
        """All or nothing."""
        body = {"password": NEW_PASSWORD, "current_password": PASSWORD, "username": "stranger"}
        response = await (await as_user(owner)).patch("/users/me", json=body)
        assert said(response) == (400, {"detail": "UPDATE_USER_USERNAME_ALREADY_EXISTS"})
        assert await signs_in(client, "owner", PASSWORD)

    async def test_the_current_one_alone(self, client: httpx2.AsyncClient, as_user: AsUser, owner: User) -> None:
        response = await (await as_user(owner)).patch("/users/me", json={"current_password": "whatever"})
        assert said(response) == (200, user_read(owner))
        assert await signs_in(client, "owner", PASSWORD)

    @pytest.mark.parametrize("method", ["PATCH", "PUT"])
    async def test_with_the_current_one(
        self, client: httpx2.AsyncClient, as_user: AsUser, session: AsyncSession, owner: User, method: str
    ) -> None:
        path = "/users/me" if method == "PATCH" else f"/users/{owner.id}"
        body = {"password": NEW_PASSWORD, "current_password": PASSWORD, "name": "New"}
        response = await (await as_user(owner)).request(method, path, json=body)
        await session.refresh(owner)
        assert said(response) == (200, user_read(owner))
        assert owner.name == "New"
        assert await signs_in(client, "owner", NEW_PASSWORD)
        assert not await signs_in(client, "owner", PASSWORD)


class TestRead:
    async def test_nobody(self, client: httpx2.AsyncClient, owner: User) -> None:
        for user_id in (owner.id, UNKNOWN_USER, "x"):
            assert said(await client.get(f"/users/{user_id}")) == (401, UNAUTHORIZED)

    async def test_who_is_not_there(self, as_user: AsUser, owner: User, superuser: User) -> None:
        for client in (await as_user(owner), await as_user(superuser)):
            answers = {user_id: said(await client.get(f"/users/{user_id}")) for user_id in UNKNOWN}
            assert answers == dict.fromkeys(UNKNOWN, NOT_FOUND)

    async def test_another_spelling(self, as_user: AsUser, owner: User) -> None:
        """An id has one, in upper or lower case."""
        client = await as_user(owner)
        text = str(owner.id)
        assert said(await client.get(f"/users/{text.upper()}")) == (200, user_read(owner))
        full_width = "".join(chr(ord(c) + 0xFEE0) if c.isdigit() else c for c in text)
        for user_id in (f"{text}%0A", f"%20{text}", f"{{{text}}}", f"urn:uuid:{text}", owner.id.hex, full_width):
            assert said(await client.get(f"/users/{user_id}")) == NOT_FOUND

    async def test_somebody_else(self, as_user: AsUser, stranger: User, owner: User) -> None:
        response = await (await as_user(stranger)).get(f"/users/{owner.id}")
        assert said(response) == (200, {"id": str(owner.id), "name": "The Owner"})
        assert response.json() == user_public(owner)

    async def test_a_member_of_the_same_group(
        self, as_user: AsUser, stranger: User, owner: User, create_group: CreateGroup
    ) -> None:
        await create_group("Developers", owner, stranger)
        response = await (await as_user(stranger)).get(f"/users/{owner.id}")
        assert said(response) == (200, user_public(owner))

    async def test_oneself(self, as_user: AsUser, owner: User) -> None:
        assert said(await (await as_user(owner)).get(f"/users/{owner.id}")) == (200, user_read(owner))

    async def test_superuser(self, as_user: AsUser, superuser: User, owner: User) -> None:
        assert said(await (await as_user(superuser)).get(f"/users/{owner.id}")) == (200, user_read(owner))


@pytest.mark.parametrize("method", ["PATCH", "PUT"])
class TestUpdate:
    """What PATCH and PUT have in common: a superuser changes somebody."""

    async def test_nobody(self, client: httpx2.AsyncClient, owner: User, method: str) -> None:
        for user_id in (owner.id, UNKNOWN_USER, "x"):
            response = await client.request(method, f"/users/{user_id}", json={"name": "New"})
            assert said(response) == (401, UNAUTHORIZED)

    async def test_somebody_else(
        self, as_user: AsUser, session: AsyncSession, stranger: User, owner: User, method: str
    ) -> None:
        before = user_read(owner)
        for body in ({"name": "New"}, {"is_superuser": True}, {}):
            response = await (await as_user(stranger)).request(method, f"/users/{owner.id}", json=body)
            assert said(response) == (403, FORBIDDEN)
        await session.refresh(owner)
        assert user_read(owner) == before

    async def test_who_is_not_there(self, as_user: AsUser, owner: User, superuser: User, method: str) -> None:
        for client in (await as_user(owner), await as_user(superuser)):
            answers = {
                user_id: said(await client.request(method, f"/users/{user_id}", json={"name": "New"}))
                for user_id in UNKNOWN
            }
            assert answers == dict.fromkeys(UNKNOWN, NOT_FOUND)

    @pytest.mark.parametrize("field", [*NOT_A_FIELD, "password", "current_password"])
    async def test_what_is_not_a_superusers(
        self, client: httpx2.AsyncClient, as_user: AsUser, superuser: User, owner: User, method: str, field: str
    ) -> None:
        """A password least of all."""
        response = await (await as_user(superuser)).request(
            method, f"/users/{owner.id}", json={"name": "New", field: NEW_PASSWORD}
        )
        assert problems(response) == (422, [("extra_forbidden", ["body", field])])
        assert NEW_PASSWORD not in response.text
        assert await signs_in(client, "owner", PASSWORD)

    @pytest.mark.parametrize("field", ["email", "is_active", "is_superuser", "is_verified"])
    async def test_null(self, as_user: AsUser, superuser: User, owner: User, method: str, field: str) -> None:
        response = await (await as_user(superuser)).request(method, f"/users/{owner.id}", json={field: None})
        status, [(_, location)] = problems(response)
        assert (status, location) == (422, ["body", field])

    @pytest.mark.parametrize(
        ("field", "value"),
        [
            ("username", "a b c"),
            ("name", " "),
            ("email", "x"),
            ("group_id", 0),
            ("group_id", -1),
            ("group_id", 2**31),
            ("group_id", 2**100),
            ("group_id", 1.5),
            ("group_id", "x"),
            ("is_active", "perhaps"),
        ],
    )
    async def test_a_wrong_value(
        self, as_user: AsUser, superuser: User, owner: User, method: str, field: str, value: Any
    ) -> None:
        response = await (await as_user(superuser)).request(method, f"/users/{owner.id}", json={field: value})
        status, [(_, location)] = problems(response)
        assert (status, location) == (422, ["body", field])

    async def test_a_taken_username(self, as_user: AsUser, superuser: User, owner: User, method: str) -> None:
        response = await (await as_user(superuser)).request(
            method, f"/users/{owner.id}", json={"username": "SuperUser"}
        )
        assert said(response) == (400, {"detail": "UPDATE_USER_USERNAME_ALREADY_EXISTS"})

    async def test_a_taken_email(
        self, as_user: AsUser, superuser: User, owner: User, create_user: CreateUser, letters: Letters, method: str
    ) -> None:
        await create_user("jörg", email="Jörg@Bücher.example.com")
        for taken in ("jörg@bücher.example.com", "JO\u0308RG@xn--bcher-kva.example.com "):
            response = await (await as_user(superuser)).request(method, f"/users/{owner.id}", json={"email": taken})
            assert said(response) == (400, {"detail": "UPDATE_USER_EMAIL_ALREADY_EXISTS"})
        assert await letters() == []

    async def test_an_unknown_group(
        self, as_user: AsUser, session: AsyncSession, superuser: User, owner: User, method: str
    ) -> None:
        before = user_read(owner)
        for group_id in (2**31 - 1, 1_000_000):
            response = await (await as_user(superuser)).request(
                method, f"/users/{owner.id}", json={"name": "New", "group_id": group_id}
            )
            assert said(response) == (404, {"detail": "USER_GROUP_NOT_FOUND"})
        await session.refresh(owner)
        assert user_read(owner) == before

    async def test_nothing(self, as_user: AsUser, superuser: User, owner: User, method: str) -> None:
        response = await (await as_user(superuser)).request(method, f"/users/{owner.id}", json={})
        assert said(response) == (200, user_read(owner))

    async def test_everything(
        self,
        as_user: AsUser,
        session: AsyncSession,
        superuser: User,
        owner: User,
        create_group: CreateGroup,
        letters: Letters,
        method: str,
    ) -> None:
        group = await create_group("Developers")
        changes = {
            "email": " New@Example.com ",
            "username": "New",
            "name": " New Name ",
            "group_id": group.id,
            "is_active": False,
            "is_superuser": True,
            "is_verified": True,
        }
        response = await (await as_user(superuser)).request(method, f"/users/{owner.id}", json=changes)
        await session.refresh(owner)
        assert said(response) == (200, user_read(owner))
        changed = {"email": "New@Example.com", "username": "new", "name": "New Name"}
        assert {name: getattr(owner, name) for name in changes} == {**changes, **changed}
        assert [(letter.to, letter.subject) for letter in await letters()] == [
            ("owner@example.com", "Your e-mail address was changed")
        ]

    async def test_what_may_be_null(
        self,
        as_user: AsUser,
        session: AsyncSession,
        superuser: User,
        owner: User,
        create_group: CreateGroup,
        method: str,
    ) -> None:
        await create_group("Developers", owner)
        nothing = {"username": None, "name": None, "group_id": None}
        response = await (await as_user(superuser)).request(method, f"/users/{owner.id}", json=nothing)
        await session.refresh(owner)
        assert said(response) == (200, user_read(owner))
        assert {name: getattr(owner, name) for name in nothing} == nothing

    async def test_another_email(
        self,
        client: httpx2.AsyncClient,
        as_user: AsUser,
        session: AsyncSession,
        superuser: User,
        create_user: CreateUser,
        letters: Letters,
        method: str,
    ) -> None:
        """The old address is told, and the new one is not verified."""
        user = await create_user("anna", is_verified=True)
        response = await (await as_user(superuser)).request(
            method, f"/users/{user.id}", json={"email": "Berta@example.com"}
        )
        await session.refresh(user)
        assert said(response) == (200, user_read(user))
        assert (user.email, user.is_verified) == ("Berta@example.com", False)
        (letter,) = await letters()
        assert (letter.to, letter.subject) == ("anna@example.com", "Your e-mail address was changed")
        assert "berta" not in letter.text.lower()
        assert await signs_in(client, "berta@EXAMPLE.com", PASSWORD)
        assert not await signs_in(client, "anna@example.com", PASSWORD)

    async def test_another_spelling_of_the_email(
        self,
        as_user: AsUser,
        session: AsyncSession,
        superuser: User,
        create_user: CreateUser,
        letters: Letters,
        method: str,
    ) -> None:
        """It is the same address."""
        user = await create_user("anna", is_verified=True)
        response = await (await as_user(superuser)).request(
            method, f"/users/{user.id}", json={"email": "Anna@Example.com"}
        )
        await session.refresh(user)
        assert said(response) == (200, user_read(user))
        assert (user.email, user.is_verified) == ("Anna@Example.com", True)
        assert await letters() == []

    @pytest.mark.parametrize("flag", ["is_superuser", "is_active"])
    async def test_last_superuser(
        self,
        as_user: AsUser,
        session: AsyncSession,
        superuser: User,
        create_user: CreateUser,
        method: str,
        flag: str,
    ) -> None:
        """One who is deactivated does not count."""
        await create_user("deactivated", is_superuser=True, is_active=False)
        client = await as_user(superuser)
        response = await client.request(method, f"/users/{superuser.id}", json={"name": "New", flag: False})
        assert said(response) == LAST_SUPERUSER
        await session.refresh(superuser)
        assert (superuser.name, superuser.is_active, superuser.is_superuser) == (None, True, True)
        response = await client.request(method, f"/users/{superuser.id}", json={"name": "New", flag: True})
        assert (response.status_code, response.json()["name"]) == (200, "New")

    @pytest.mark.parametrize("flag", ["is_superuser", "is_active"])
    async def test_last_but_one(
        self, as_user: AsUser, superuser: User, create_user: CreateUser, method: str, flag: str
    ) -> None:
        """Two superusers cannot remove each other: the first one done, the second one's sessions are over."""
        other = await create_user("other", is_superuser=True)
        clients = await as_user(superuser), await as_user(other)
        response = await clients[0].request(method, f"/users/{other.id}", json={flag: False})
        assert (response.status_code, response.json()[flag]) == (200, False)
        response = await clients[1].request(method, f"/users/{superuser.id}", json={flag: False})
        assert response.status_code == 401
        response = await clients[0].request(method, f"/users/{superuser.id}", json={flag: False})
        assert said(response) == LAST_SUPERUSER


class TestPatchOneself:
    async def test_by_id(self, as_user: AsUser, session: AsyncSession, owner: User) -> None:
        """For that there is /users/me."""
        for body in ({"name": "New"}, {"is_superuser": True}):
            response = await (await as_user(owner)).patch(f"/users/{owner.id}", json=body)
            assert said(response) == (403, FORBIDDEN)
        await session.refresh(owner)
        assert (owner.name, owner.is_superuser) == ("The Owner", False)


class TestPutOneself:
    @pytest.mark.parametrize("field", [*NOT_A_FIELD, "group_id"])
    async def test_what_is_not_ones_own(self, as_user: AsUser, owner: User, field: str) -> None:
        response = await (await as_user(owner)).put(f"/users/{owner.id}", json={"name": "New", field: None})
        assert problems(response) == (422, [("extra_forbidden", ["body", field])])

    async def test_another_flag(self, as_user: AsUser, session: AsyncSession, owner: User) -> None:
        for flag in ("is_superuser", "is_verified"):
            response = await (await as_user(owner)).put(f"/users/{owner.id}", json={flag: True})
            assert problems(response) == (422, [("value_error", ["body", flag])])
        await session.refresh(owner)
        assert not owner.is_superuser

    async def test_another_email(self, as_user: AsUser, owner: User, letters: Letters) -> None:
        response = await (await as_user(owner)).put(
            f"/users/{owner.id}", json={"email": "new@example.com", "current_password": PASSWORD}
        )
        assert said(response) == (200, user_read(owner))
        assert [letter.to for letter in await letters()] == ["owner@example.com", "new@example.com"]

    async def test_a_taken_username(self, as_user: AsUser, owner: User, stranger: User) -> None:
        response = await (await as_user(owner)).put(f"/users/{owner.id}", json={"username": "stranger"})
        assert said(response) == (400, {"detail": "UPDATE_USER_USERNAME_ALREADY_EXISTS"})

    async def test_what_is_sent(self, as_user: AsUser, session: AsyncSession, owner: User) -> None:
        response = await (await as_user(owner)).put(f"/users/{owner.id}", json={"name": "New", "is_active": True})
        await session.refresh(owner)
        assert said(response) == (200, user_read(owner))
        assert (owner.name, owner.username) == ("New", "owner")

    async def test_a_superuser_with_the_current_password(
        self, as_user: AsUser, session: AsyncSession, superuser: User
    ) -> None:
        """What `PATCH /users/me` takes, they take too: a stolen token is not the account."""
        client = await as_user(superuser)
        before = superuser.hashed_password
        body = {"password": NEW_PASSWORD, "current_password": PASSWORD}
        response = await client.put(f"/users/{superuser.id}", json=body)
        await session.refresh(superuser)
        assert said(response) == (200, user_read(superuser))
        assert superuser.hashed_password != before
        for body in ({"password": PASSWORD}, {"email": "new@example.com"}):
            response = await client.put(f"/users/{superuser.id}", json=body)
            assert problems(response) == (422, [("value_error", ["body", "current_password"])])
        response = await client.patch(f"/users/{superuser.id}", json={"email": "new@example.com"})
        assert problems(response) == (422, [("value_error", ["body", "email"])])
        body = {"email": superuser.email, "name": "Sue"}
        assert (await client.patch(f"/users/{superuser.id}", json=body)).status_code == 200
        body = {"email": "new@example.com", "current_password": NEW_PASSWORD}
        response = await client.put(f"/users/{superuser.id}", json=body)
        await session.refresh(superuser)
        assert said(response) == (200, user_read(superuser))
        assert (superuser.email, superuser.name) != ("new@example.com", None)


class TestPutSomebodyElse:
    async def test_what_nobody_may(self, as_user: AsUser, stranger: User, owner: User) -> None:
        """Whoever has no right learns that, and not what a superuser may send."""
        body = {"password": NEW_PASSWORD, "current_password": PASSWORD}
        response = await (await as_user(stranger)).put(f"/users/{owner.id}", json=body)
        assert said(response) == (403, FORBIDDEN)


class TestDelete:
    async def test_nobody(self, client: httpx2.AsyncClient, owner: User) -> None:
        for user_id in (owner.id, UNKNOWN_USER, "x"):
            assert said(await client.delete(f"/users/{user_id}")) == (401, UNAUTHORIZED)

    async def test_somebody_else(self, as_user: AsUser, stranger: User, owner: User) -> None:
        assert said(await (await as_user(stranger)).delete(f"/users/{owner.id}")) == (403, FORBIDDEN)

    async def test_oneself(self, as_user: AsUser, owner: User) -> None:
        assert said(await (await as_user(owner)).delete(f"/users/{owner.id}")) == (403, FORBIDDEN)

    async def test_who_is_not_there(self, as_user: AsUser, owner: User, superuser: User) -> None:
        for client in (await as_user(owner), await as_user(superuser)):
            answers = {user_id: said(await client.delete(f"/users/{user_id}")) for user_id in UNKNOWN}
            assert answers == dict.fromkeys(UNKNOWN, NOT_FOUND)

    async def test_last_superuser(self, as_user: AsUser, superuser: User, create_user: CreateUser) -> None:
        await create_user("deactivated", is_superuser=True, is_active=False)
        client = await as_user(superuser)
        assert said(await client.delete(f"/users/{superuser.id}")) == LAST_SUPERUSER
        assert (await client.get("/users/me")).status_code == 200

    async def test_last_but_one(self, as_user: AsUser, superuser: User, create_user: CreateUser) -> None:
        await create_user("other", is_superuser=True)
        client = await as_user(superuser)
        assert said(await client.delete(f"/users/{superuser.id}")) == (204, None)
        assert said(await client.get("/users/me")) == (401, UNAUTHORIZED)

    async def test_a_deactivated_superuser(self, as_user: AsUser, superuser: User, create_user: CreateUser) -> None:
        user = await create_user("deactivated", is_superuser=True, is_active=False)
        assert said(await (await as_user(superuser)).delete(f"/users/{user.id}")) == (204, None)

    async def test_what_hangs_on_somebody(
        self, as_user: AsUser, session: AsyncSession, superuser: User, owner: User, stranger: User
    ) -> None:
        """It goes, and what belongs to others stays."""
        for user in (owner, stranger):
            session.add(Item(title="Lamp", price=Decimal(1), user_id=user.id))
            session.add(Post(title="Hello", content="...", author_id=user.id))
            session.add(
                OAuthAccount(
                    oauth_name="x", access_token="x", account_id=user.email, account_email="x", user_id=user.id
                )
            )
        await session.commit()
        client = await as_user(superuser)
        assert said(await client.delete(f"/users/{owner.id}")) == (204, None)
        assert said(await client.get(f"/users/{owner.id}")) == NOT_FOUND
        assert said(await client.delete(f"/users/{owner.id}")) == NOT_FOUND
        for owners in (col(Item.user_id), col(Post.author_id), col(OAuthAccount.user_id)):
            assert (await session.exec(select(owners))).all() == [stranger.id]

    async def test_the_address_is_free_again(
        self, client: httpx2.AsyncClient, as_user: AsUser, session: AsyncSession, superuser: User, owner: User
    ) -> None:
        await (await as_user(superuser)).delete(f"/users/{owner.id}")
        body = {"email": "owner@example.com", "username": "owner", "password": PASSWORD}
        response = await client.post("/auth/register", json=body)
        assert response.status_code == 201
        assert response.json()["id"] != str(owner.id)
        assert (await session.exec(select(func.count()).select_from(User))).one() == 2


class TestListPosts:
    async def test_of_who_is_not_there(self, client: httpx2.AsyncClient) -> None:
        answers = {user_id: said(await client.get(f"/users/{user_id}/posts")) for user_id in UNKNOWN}
        assert answers == dict.fromkeys(UNKNOWN, NOT_FOUND)

    async def test_none(self, client: httpx2.AsyncClient, owner: User) -> None:
        assert said(await client.get(f"/users/{owner.id}/posts")) == (200, [])

    async def test_newest_first(
        self, client: httpx2.AsyncClient, session: AsyncSession, owner: User, stranger: User
    ) -> None:
        posts = [Post(title=f"Post {number}", content="...", author_id=owner.id) for number in range(3)]
        session.add_all([*posts, Post(title="Other", content="...", author_id=stranger.id)])
        await session.commit()
        newest_first = sorted(posts, key=lambda post: post.id or 0, reverse=True)
        for path in (f"/users/{owner.id}/posts", f"/users/{owner.id}/posts/"):
            assert said(await client.get(path)) == (200, [post_read(post) for post in newest_first])

    async def test_of_somebody_deactivated(
        self, client: httpx2.AsyncClient, session: AsyncSession, create_user: CreateUser
    ) -> None:
        """What was said stays said."""
        user = await create_user("anna", is_active=False)
        post = Post(title="Hello", content="...", author_id=user.id)
        session.add(post)
        await session.commit()
        assert said(await client.get(f"/users/{user.id}/posts")) == (200, [post_read(post)])
