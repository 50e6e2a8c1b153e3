"""Another password, at /auth/change-password and at PATCH /users/me: with the present one, which is good no more."""

import httpx2
import pytest
from sqlmodel.ext.asyncio.session import AsyncSession

from app.models import User
from app.users import password_helper
from tests.app.conftest import PASSWORD, form
from tests.app.fixture_types import AsUser, Letters
from tests.app.shapes import UNAUTHORIZED, problems, said, user_read
from tests.app.test_register import REFUSED_PASSWORDS

NEW_PASSWORD = "wrong horse, other battery"
BAD_CREDENTIALS = (400, {"detail": "LOGIN_BAD_CREDENTIALS"})
CURRENT_PASSWORD_BAD = (400, {"detail": "CURRENT_PASSWORD_BAD"})


async def change(client: httpx2.AsyncClient, way: str, current_password: str, password: str) -> httpx2.Response:
    if way == "POST":
        body = {"current_password": current_password, "new_password": password}
        return await client.post("/auth/change-password", json=body)
    return await client.patch("/users/me", json={"current_password": current_password, "password": password})


class TestChangePassword:
    async def test_nobody(self, client: httpx2.AsyncClient) -> None:
        for body in ({}, {"current_password": PASSWORD, "new_password": NEW_PASSWORD}):
            assert said(await client.post("/auth/change-password", json=body)) == (401, UNAUTHORIZED)

    async def test_nothing(self, as_user: AsUser, owner: User) -> None:
        response = await (await as_user(owner)).post("/auth/change-password", json={})
        assert problems(response) == (
            422,
            [("missing", ["body", "current_password"]), ("missing", ["body", "new_password"])],
        )

    @pytest.mark.parametrize("field", ["password", "email", "x"])
    async def test_more(self, as_user: AsUser, owner: User, field: str) -> None:
        body = {"current_password": PASSWORD, "new_password": NEW_PASSWORD, field: "x"}
        response = await (await as_user(owner)).post("/auth/change-password", json=body)
        assert problems(response) == (422, [("extra_forbidden", ["body", field])])

    async def test_null(self, as_user: AsUser, owner: User) -> None:
        body = {"current_password": None, "new_password": None}
        response = await (await as_user(owner)).post("/auth/change-password", json=body)
        assert problems(response) == (
            422,
            [("string_type", ["body", "current_password"]), ("string_type", ["body", "new_password"])],
        )

    async def test_the_right_one(self, as_user: AsUser, owner: User) -> None:
        response = await change(await as_user(owner), "POST", PASSWORD, NEW_PASSWORD)
        assert said(response) == (204, None)


@pytest.mark.parametrize("way", ["POST", "PATCH"])
class TestBothWays:
    @pytest.mark.parametrize("wrong", ["", "x", PASSWORD.upper(), f"{PASSWORD} ", NEW_PASSWORD, "x" * 100_000])
    async def test_a_wrong_one(
        self,
        client: httpx2.AsyncClient,
        as_user: AsUser,
        session: AsyncSession,
        owner: User,
        letters: Letters,
        way: str,
        wrong: str,
    ) -> None:
        before = owner.hashed_password
        assert said(await change(await as_user(owner), way, wrong, NEW_PASSWORD)) == CURRENT_PASSWORD_BAD
        await session.refresh(owner)
        assert owner.hashed_password == before
        assert await letters() == []

    async def test_somebody_elses(
        self, as_user: AsUser, session: AsyncSession, owner: User, stranger: User, way: str
    ) -> None:
        stranger.hashed_password = password_helper.hash(NEW_PASSWORD)
        await session.commit()
        assert said(await change(await as_user(owner), way, NEW_PASSWORD, NEW_PASSWORD)) == CURRENT_PASSWORD_BAD

    @pytest.mark.parametrize("password", REFUSED_PASSWORDS)
    async def test_a_refused_one(
        self, as_user: AsUser, session: AsyncSession, owner: User, letters: Letters, way: str, password: str
    ) -> None:
        before = owner.hashed_password
        response = await change(await as_user(owner), way, PASSWORD, password)
        reason = REFUSED_PASSWORDS[password]
        assert said(response) == (400, {"detail": {"code": "UPDATE_USER_INVALID_PASSWORD", "reason": reason}})
        await session.refresh(owner)
        assert owner.hashed_password == before
        assert await letters() == []

    async def test_what_is_known_of_the_user(
        self, as_user: AsUser, session: AsyncSession, owner: User, way: str
    ) -> None:
        owner.email, owner.username = "wrong.horse.other.battery@example.com", "fifty-purple-owls-at-noon"
        await session.commit()
        for known in (owner.email, owner.email.partition("@")[0], owner.username, owner.username.upper()):
            response = await change(await as_user(owner), way, PASSWORD, known)
            reason = "Password should not be the e-mail address or the username"
            assert said(response) == (400, {"detail": {"code": "UPDATE_USER_INVALID_PASSWORD", "reason": reason}})

    async def test_the_right_one(
        self,
        client: httpx2.AsyncClient,
        as_user: AsUser,
        session: AsyncSession,
        owner: User,
        stranger: User,
        letters: Letters,
        way: str,
    ) -> None:
        """The new one signs in and the old one does not; the owner is told, and nobody else has changed."""
        response = await change(await as_user(owner), way, PASSWORD, NEW_PASSWORD)
        await session.refresh(owner)
        assert said(response) == ((204, None) if way == "POST" else (200, user_read(owner)))
        assert said(await client.post("/auth/jwt/login", data=form("owner"))) == BAD_CREDENTIALS
        assert (await client.post("/auth/jwt/login", data=form("owner", NEW_PASSWORD))).status_code == 200
        assert (await client.post("/auth/jwt/login", data=form("stranger"))).status_code == 200
        (letter,) = await letters()
        assert (letter.to, letter.subject) == ("owner@example.com", "Your password was changed")
        assert letter.text.startswith("Hello The Owner,\n")
        assert PASSWORD not in letter.text
        assert NEW_PASSWORD not in letter.text

    async def test_in_another_unicode_spelling(
        self, client: httpx2.AsyncClient, as_user: AsUser, owner: User, way: str
    ) -> None:
        """A password is the same from every keyboard."""
        composed, decomposed = "fünf käsige Öfen um zwölf", "fu\u0308nf ka\u0308sige O\u0308fen um zwo\u0308lf"
        assert (await change(await as_user(owner), way, PASSWORD, decomposed)).is_success
        assert (await client.post("/auth/jwt/login", data=form("owner", composed))).status_code == 200
        assert (await change(await as_user(owner), way, composed, PASSWORD)).is_success

    async def test_what_was_mailed_before_dies(
        self,
        client: httpx2.AsyncClient,
        as_user: AsUser,
        session: AsyncSession,
        owner: User,
        letters: Letters,
        way: str,
    ) -> None:
        """Tokens to verify, to reset and for another address; but not the one that undoes that."""
        signed_in = await as_user(owner)
        await client.post("/auth/request-verify-token", json={"email": owner.email})
        await client.post("/auth/forgot-password", json={"email": owner.email})
        owner.is_verified = True
        await session.commit()
        await signed_in.post("/auth/change-email", json={"new_email": "new@example.com", "current_password": PASSWORD})
        verify, reset, undo, confirm = [letter.token for letter in await letters()]
        assert (await change(signed_in, way, PASSWORD, NEW_PASSWORD)).is_success
        answers = [
            await client.post("/auth/verify", json={"token": verify}),
            await client.post("/auth/reset-password", json={"token": reset, "password": PASSWORD}),
            await client.post("/auth/confirm-email", json={"token": confirm}),
        ]
        assert [said(answer) for answer in answers] == [
            (400, {"detail": "VERIFY_USER_BAD_TOKEN"}),
            (400, {"detail": "RESET_PASSWORD_BAD_TOKEN"}),
            (400, {"detail": "CONFIRM_EMAIL_BAD_TOKEN"}),
        ]
        assert (await client.post("/auth/undo-change-email", json={"token": undo})).status_code == 200

    async def test_what_was_mailed_before_a_wrong_one_lives(
        self, client: httpx2.AsyncClient, as_user: AsUser, owner: User, letters: Letters, way: str
    ) -> None:
        await client.post("/auth/forgot-password", json={"email": owner.email})
        (letter,) = await letters()
        await change(await as_user(owner), way, "x", NEW_PASSWORD)
        body = {"token": letter.token, "password": NEW_PASSWORD}
        assert said(await client.post("/auth/reset-password", json=body)) == (200, None)

    async def test_who_has_no_password(self, as_user: AsUser, session: AsyncSession, owner: User, way: str) -> None:
        """Such as somebody who signs in at a provider: there is nothing that could be right."""
        owner.hashed_password = "!"
        await session.commit()
        for password in ("", "!", PASSWORD):
            assert said(await change(await as_user(owner), way, password, NEW_PASSWORD)) == CURRENT_PASSWORD_BAD
