"""/auth/delete-account: whoever knows the password leaves, and takes along what hangs on the account."""

import asyncio
from decimal import Decimal

import httpx2
import pytest
from sqlmodel import Session, col, select
from sqlmodel.ext.asyncio.session import AsyncSession

from app.core.settings import settings
from app.models import Item, OAuthAccount, Post, User
from tests.app.conftest import PASSWORD
from tests.app.databases import connected, migrated, signed_in
from tests.app.fixture_types import AsUser, CreateGroup, CreateUser, Letters
from tests.app.shapes import UNAUTHORIZED, problems, said
from tests.programs import Programs
from tests.server import start_server

NEW_PASSWORD = "wrong horse, other battery"
RIGHT = {"current_password": PASSWORD}
LAST_SUPERUSER = (409, {"detail": "LAST_SUPERUSER"})
ROUNDS = 5


class TestDeleteAccount:
    async def test_nobody(self, client: httpx2.AsyncClient) -> None:
        for body in ({}, RIGHT):
            assert said(await client.post("/auth/delete-account", json=body)) == (401, UNAUTHORIZED)

    async def test_nothing(self, as_user: AsUser, owner: User) -> None:
        response = await (await as_user(owner)).post("/auth/delete-account", json={})
        assert problems(response) == (422, [("missing", ["body", "current_password"])])

    async def test_more(self, as_user: AsUser, owner: User, stranger: User) -> None:
        body = {**RIGHT, "id": str(stranger.id)}
        response = await (await as_user(owner)).post("/auth/delete-account", json=body)
        assert problems(response) == (422, [("extra_forbidden", ["body", "id"])])

    @pytest.mark.parametrize("password", ["", "x", PASSWORD.upper(), "x" * 100_000])
    async def test_a_wrong_password(self, as_user: AsUser, owner: User, password: str) -> None:
        client = await as_user(owner)
        response = await client.post("/auth/delete-account", json={"current_password": password})
        assert said(response) == (400, {"detail": "CURRENT_PASSWORD_BAD"})
        assert (await client.get("/users/me")).status_code == 200

    async def test_last_superuser(
        self, as_user: AsUser, session: AsyncSession, superuser: User, create_user: CreateUser
    ) -> None:
        """One who is deactivated does not count; nor does a wrong password learn of it."""
        await create_user("deactivated", is_superuser=True, is_active=False)
        client = await as_user(superuser)
        response = await client.post("/auth/delete-account", json={"current_password": "x"})
        assert said(response) == (400, {"detail": "CURRENT_PASSWORD_BAD"})
        assert said(await client.post("/auth/delete-account", json=RIGHT)) == LAST_SUPERUSER
        assert (await client.get("/users/me")).status_code == 200

    async def test_last_superuser_but_one(self, as_user: AsUser, superuser: User, create_user: CreateUser) -> None:
        other = await create_user("other", is_superuser=True)
        assert said(await (await as_user(superuser)).post("/auth/delete-account", json=RIGHT)) == (204, None)
        assert said(await (await as_user(other)).post("/auth/delete-account", json=RIGHT)) == LAST_SUPERUSER

    async def test_the_right_one(
        self,
        as_user: AsUser,
        session: AsyncSession,
        owner: User,
        stranger: User,
        create_group: CreateGroup,
        letters: Letters,
    ) -> None:
        """What hangs on the user goes, what belongs to others stays, the group too."""
        group = await create_group("Developers", owner, stranger, is_public=True)
        for user in (owner, stranger):
            session.add(Item(title="Lamp", price=Decimal(1), user_id=user.id))
            session.add(Post(title="Hello", content="...", author_id=user.id))
            session.add(
                OAuthAccount(
                    oauth_name="x", access_token="x", account_id=user.email, account_email="x", user_id=user.id
                )
            )
        await session.commit()
        client = await as_user(owner)
        assert said(await client.post("/auth/delete-account", json=RIGHT)) == (204, None)
        for table in (col(Item.user_id), col(Post.author_id), col(OAuthAccount.user_id), col(User.id)):
            assert (await session.exec(select(table))).all() == [stranger.id]
        other = await as_user(stranger)
        members = (await other.get(f"/user-groups/{group.id}/users")).json()
        assert [member["id"] for member in members] == [str(stranger.id)]
        assert said(await other.get(f"/users/{owner.id}")) == (404, {"detail": "USER_NOT_FOUND"})
        # Who is gone is signed out, here and everywhere, and nobody signs in.
        for request in (
            client.get("/users/me"),
            client.post("/auth/delete-account", json=RIGHT),
            client.post("/posts", json={"title": "x", "content": "y"}),
        ):
            assert said(await request) == (401, UNAUTHORIZED)
        form = {"username": "owner", "password": PASSWORD}
        assert said(await client.post("/auth/jwt/login", data=form)) == (400, {"detail": "LOGIN_BAD_CREDENTIALS"})
        assert await letters() == []


class TestTheTokens:
    async def test_die_and_nothing_revives_them(
        self, client: httpx2.AsyncClient, as_user: AsUser, session: AsyncSession, owner: User, letters: Letters
    ) -> None:
        """Registering with the same address and username makes another account, with nothing of the old one."""
        session.add(Item(title="Lamp", price=Decimal(1), user_id=owner.id))
        await session.commit()
        signed_in = await as_user(owner)
        await client.post("/auth/request-verify-token", json={"email": owner.email})
        await client.post("/auth/forgot-password", json={"email": owner.email})
        owner.is_verified = True
        await session.commit()
        body = {"new_email": "new@example.com", **RIGHT}
        assert (await signed_in.post("/auth/change-email", json=body)).status_code == 202
        verify, reset, undo, confirm = [letter.token for letter in await letters()]
        assert said(await signed_in.post("/auth/delete-account", json=RIGHT)) == (204, None)

        async def assert_all_are_dead() -> None:
            answers = [
                await client.post("/auth/verify", json={"token": verify}),
                await client.post("/auth/reset-password", json={"token": reset, "password": NEW_PASSWORD}),
                await client.post("/auth/confirm-email", json={"token": confirm}),
                await client.post("/auth/undo-change-email", json={"token": undo}),
            ]
            assert [said(answer) for answer in answers] == [
                (400, {"detail": "VERIFY_USER_BAD_TOKEN"}),
                (400, {"detail": "RESET_PASSWORD_BAD_TOKEN"}),
                (400, {"detail": "CONFIRM_EMAIL_BAD_TOKEN"}),
                (400, {"detail": "UNDO_CHANGE_EMAIL_BAD_TOKEN"}),
            ]
            assert said(await signed_in.get("/users/me")) == (401, UNAUTHORIZED)

        await assert_all_are_dead()
        registration = {"email": "owner@example.com", "username": "owner", "password": NEW_PASSWORD}
        registered = await client.post("/auth/register", json=registration)
        assert registered.status_code == 201
        assert registered.json()["id"] != str(owner.id)
        assert (registered.json()["is_verified"], registered.json()["name"]) == (False, None)
        await assert_all_are_dead()
        user = (await session.exec(select(User).where(col(User.username) == "owner"))).one()
        again = await as_user(user)
        assert said(await again.get("/items")) == (200, [])
        kinds = [event["kind"] for event in (await again.get("/users/me/audit-events")).json()]
        assert kinds == ["request_verify", "register"]
        response = await client.post("/auth/jwt/login", data={"username": "owner", "password": PASSWORD})
        assert said(response) == (400, {"detail": "LOGIN_BAD_CREDENTIALS"})


async def test_of_two_superusers_who_leave_at_once_one_stays(
    programs: Programs, database_url: str, hashed_password: str
) -> None:
    env = {"SECRET_KEY": settings.secret_key.get_secret_value()}
    server = start_server(programs, database_url=migrated(database_url), env=env)
    active = (col(User.is_superuser), col(User.is_active))

    def add(*users: User) -> list[User]:
        """Write users behind the service's back, and return the superusers."""
        with connected(database_url) as connection, Session(connection, expire_on_commit=False) as session:
            session.add_all(users)
            session.commit()
            return list(session.exec(select(User).where(*active)).all())

    async with server.client() as client:
        # Whoever stays leaves in the next round, if the other one does not.
        add(User(email="first@example.com", hashed_password=hashed_password, is_superuser=True))
        for number in range(ROUNDS):
            both = add(User(email=f"{number}@example.com", hashed_password=hashed_password, is_superuser=True))
            signed = [await signed_in(database_url, user) for user in both]
            answers = await asyncio.gather(
                *(client.post("/auth/delete-account", json=RIGHT, headers=headers) for headers in signed)
            )
            assert sorted(map(said, answers), key=str) == [(204, None), LAST_SUPERUSER]
            assert len(add()) == 1
    assert "Traceback" not in server.stop().err
