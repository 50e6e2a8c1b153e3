"""Somebody else was faster: between two looks of a request at the database, what it had seen has changed."""

from collections.abc import Awaitable, Callable
from decimal import Decimal
from typing import Any

import httpx2
import pytest
from pwdlib.hashers.bcrypt import BcryptHasher
from sqlmodel import select
from sqlmodel.ext.asyncio.session import AsyncSession

from app.core.errors import Unauthorized
from app.crud.item import Items
from app.crud.post import Posts
from app.crud.user_group import UserGroupNotFound, UserGroups
from app.db import pause
from app.models import User
from app.users import UserManager, password_helper
from fastapi_users_sqlmodel import SQLAlchemyUserDatabase
from fastapi_users_sqlmodel.exceptions import NotSuperuser, ValueRefused
from tests.app.conftest import PASSWORD
from tests.app.fixture_types import AsUser, CreateGroup, CreateUser, Letters
from tests.app.shapes import UNAUTHORIZED, said, user_read

NEW_PASSWORD = "wrong horse, other battery"
CHANGE_PASSWORD = {"password": NEW_PASSWORD, "current_password": PASSWORD}

type Change = Callable[[], Awaitable[None]]
type Meanwhile = Callable[[Change], None]


@pytest.fixture
def meanwhile(monkeypatch: pytest.MonkeyPatch) -> Meanwhile:
    """Return a function that says what shall happen, once, while a request hashes and has no connection."""

    def plan(change: Change) -> None:
        async def pause_and_change(session: AsyncSession) -> None:
            monkeypatch.setattr("app.users.pause", pause)
            await pause(session)
            await change()

        monkeypatch.setattr("app.users.pause", pause_and_change)

    return plan


@pytest.fixture
def change_password(session: AsyncSession, owner: User) -> Change:
    async def change() -> None:
        await session.refresh(owner)
        owner.hashed_password = password_helper.hash("changed by somebody else")
        await session.commit()

    return change


@pytest.fixture
def delete(session: AsyncSession, owner: User) -> Change:
    async def delete() -> None:
        await session.delete(await session.get_one(User, owner.id))
        await session.commit()

    return delete


def manager_on(session: AsyncSession) -> UserManager:
    return UserManager(SQLAlchemyUserDatabase(session, User), session)


async def signs_in(client: httpx2.AsyncClient, name: str, password: str) -> bool:
    response = await client.post("/auth/jwt/login", data={"username": name, "password": password})
    return response.status_code == 200


class TestUpdateMyPassword:
    async def test_it_was_changed(
        self,
        client: httpx2.AsyncClient,
        as_user: AsUser,
        owner: User,
        meanwhile: Meanwhile,
        change_password: Change,
    ) -> None:
        """The one who was slower does not know the password any more."""
        me = await as_user(owner)
        meanwhile(change_password)
        response = await me.patch("/users/me", json=CHANGE_PASSWORD)
        assert said(response) == (400, {"detail": "CURRENT_PASSWORD_BAD"})
        assert await signs_in(client, "owner", "changed by somebody else")
        assert not await signs_in(client, "owner", NEW_PASSWORD)

    async def test_the_user_was_deleted(
        self, as_user: AsUser, owner: User, meanwhile: Meanwhile, delete: Change
    ) -> None:
        me = await as_user(owner)
        meanwhile(delete)
        assert said(await me.patch("/users/me", json=CHANGE_PASSWORD)) == (401, UNAUTHORIZED)


class TestResetPassword:
    BAD = (400, {"detail": "RESET_PASSWORD_BAD_TOKEN"})

    async def request(self, client: httpx2.AsyncClient, owner: User, letters: Letters) -> dict[str, str]:
        await client.post("/auth/forgot-password", json={"email": owner.email})
        (letter,) = await letters()
        return {"token": letter.token, "password": NEW_PASSWORD}

    async def test_it_was_changed(
        self,
        client: httpx2.AsyncClient,
        owner: User,
        letters: Letters,
        meanwhile: Meanwhile,
    ) -> None:
        """Somebody else came with another token of the same."""
        bodies = [await self.request(client, owner, letters) for _ in range(2)]

        async def reset() -> None:
            body = {**bodies[0], "password": "changed by somebody else"}
            assert said(await client.post("/auth/reset-password", json=body)) == (200, None)

        meanwhile(reset)
        assert said(await client.post("/auth/reset-password", json=bodies[1])) == self.BAD
        assert await signs_in(client, "owner", "changed by somebody else")

    async def test_the_user_was_deactivated(
        self, client: httpx2.AsyncClient, session: AsyncSession, owner: User, letters: Letters, meanwhile: Meanwhile
    ) -> None:
        body = await self.request(client, owner, letters)

        async def deactivate() -> None:
            owner.is_active = False
            await session.commit()

        meanwhile(deactivate)
        assert said(await client.post("/auth/reset-password", json=body)) == self.BAD

    async def test_the_user_was_deleted(
        self, client: httpx2.AsyncClient, owner: User, letters: Letters, meanwhile: Meanwhile, delete: Change
    ) -> None:
        body = await self.request(client, owner, letters)
        meanwhile(delete)
        assert said(await client.post("/auth/reset-password", json=body)) == self.BAD


class TestLogin:
    @pytest.fixture
    async def owner(self, create_user: CreateUser) -> User:
        """A user whose hash a login would upgrade."""
        return await create_user("owner", username="owner", hashed_password=BcryptHasher(rounds=4).hash(PASSWORD))

    async def test_the_password_was_changed(
        self,
        client: httpx2.AsyncClient,
        owner: User,
        meanwhile: Meanwhile,
        change_password: Change,
    ) -> None:
        """The old one does not come back with its upgraded hash."""
        meanwhile(change_password)
        await signs_in(client, "owner", PASSWORD)
        assert await signs_in(client, "owner", "changed by somebody else")
        assert not await signs_in(client, "owner", PASSWORD)

    async def test_the_user_was_deleted(
        self, client: httpx2.AsyncClient, owner: User, meanwhile: Meanwhile, delete: Change
    ) -> None:
        """There is no user for the token, if there is one."""
        meanwhile(delete)
        response = await client.post("/auth/jwt/login", data={"username": "owner", "password": PASSWORD})
        assert response.status_code in {200, 400}


class TestRights:
    """Who is asking was read before; the rows that a change needs are read again, and locked."""

    async def test_a_superuser_was_demoted(
        self, session: AsyncSession, superuser: User, owner: User, create_group: CreateGroup
    ) -> None:
        group = await create_group("Developers", owner)
        assert group.id is not None
        by = User(id=superuser.id, is_superuser=True, is_active=True)
        superuser.is_superuser = False
        await session.commit()
        before = user_read(owner)
        manager = manager_on(session)
        changes: list[Callable[[], Awaitable[Any]]] = [
            lambda: manager.update_by_superuser(by, owner.id, {"name": "New"}),
            lambda: manager.delete_by_superuser(by, owner.id),
            lambda: manager.update_by_superuser(by, owner.id, {"group_id": group.id}),
            lambda: manager.take_out(owner.id, group.id or 0, by=by),
        ]
        for change in changes:
            with pytest.raises(NotSuperuser):
                await change()
        await session.refresh(owner)
        assert user_read(owner) == before

    async def test_who_creates_an_item_was_deleted(self, session: AsyncSession, owner: User, delete: Change) -> None:
        await delete()
        with pytest.raises(Unauthorized):
            await Items(session).create({"title": "Lamp", "price": Decimal(1)}, by=owner)

    async def test_who_writes_a_post_was_deleted(self, session: AsyncSession, owner: User, delete: Change) -> None:
        await delete()
        with pytest.raises(Unauthorized):
            await Posts(session).create({"title": "Hello", "content": "..."}, by=owner)

    async def test_the_group_was_deleted(
        self, session: AsyncSession, superuser: User, owner: User, create_group: CreateGroup
    ) -> None:
        group = await create_group("Developers")
        group_id = group.id or 0
        await UserGroups(session).delete(group_id, by=superuser)
        with pytest.raises(UserGroupNotFound):
            await manager_on(session).update_by_superuser(superuser, owner.id, {"group_id": group_id})


class TestConstraints:
    async def test_a_check_of_the_table(self, session: AsyncSession, owner: User) -> None:
        """The schemas refuse such a value first; a project's own code gets the name of the field."""
        with pytest.raises(ValueRefused, match="username: is refused by a constraint of the database"):
            await manager_on(session).apply(owner, {"username": "UPPER"})
        await session.rollback()
        assert (await session.exec(select(User.username))).one() == "owner"
