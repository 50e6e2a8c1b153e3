"""/auth/forgot-password and /auth/reset-password."""

import httpx2
import pytest
from fastapi_users.jwt import generate_jwt
from sqlmodel.ext.asyncio.session import AsyncSession

from app.core.settings import settings
from app.models import User
from app.users import password_helper
from tests.app.conftest import PASSWORD, form
from tests.app.fixture_types import AsUser, CreateUser, Letters
from tests.app.shapes import problems, said
from tests.app.tokens import JUNK_TOKENS, foreign_token
from tests.spellings import SPELLINGS, TYPED

NEW_PASSWORD = "wrong horse, other battery"
REFUSED_PASSWORDS = {
    "": "Password should be at least 8 characters",
    "a" * 7: "Password should be at least 8 characters",
    "ä" * 7: "Password should be at least 8 characters",
    "a" * 257: "Password should be at most 256 characters",
    "\N{GRINNING FACE}" * 257: "Password should be at most 256 characters",
}


class TestForgotPassword:
    async def test_somebody(self, client: httpx2.AsyncClient, create_user: CreateUser, letters: Letters) -> None:
        """The mail goes to the address as it was typed, and no header says where its link leads."""
        await create_user("jörg", email=TYPED)
        response = await client.post(
            "/auth/forgot-password",
            json={"email": SPELLINGS[-1]},
            headers={"Host": "evil.example.com", "X-Forwarded-Host": "evil.example.com"},
        )
        assert said(response) == (202, None)
        (letter,) = await letters()
        assert (letter.to, letter.subject) == (TYPED, "Reset your password")
        assert f"\nhttp://localhost:8000/reset-password?token={letter.token}\n" in letter.text
        assert "evil" not in letter.text


class TestResetPassword:
    BAD = (400, {"detail": "RESET_PASSWORD_BAD_TOKEN"})

    async def token_of(self, client: httpx2.AsyncClient, user: User, letters: Letters) -> str:
        await letters()
        await client.post("/auth/forgot-password", json={"email": user.email})
        (letter,) = await letters()
        return letter.token

    async def test_nothing(self, client: httpx2.AsyncClient) -> None:
        assert problems(await client.post("/auth/reset-password", json={})) == (
            422,
            [("missing", ["body", "token"]), ("missing", ["body", "password"])],
        )

    @pytest.mark.parametrize(
        "token", [*JUNK_TOKENS.values(), "W1tb" * 100_000 + ".e30.e30"], ids=[*JUNK_TOKENS.keys(), "400 KB"]
    )
    async def test_junk(self, client: httpx2.AsyncClient, token: str) -> None:
        response = await client.post("/auth/reset-password", json={"token": token, "password": NEW_PASSWORD})
        assert said(response) == self.BAD

    async def test_of_another_key(self, client: httpx2.AsyncClient, owner: User) -> None:
        fingerprint = password_helper.hash(owner.hashed_password)
        token = foreign_token(owner, "fastapi-users:reset", password_fgpt=fingerprint)
        response = await client.post("/auth/reset-password", json={"token": token, "password": NEW_PASSWORD})
        assert said(response) == self.BAD

    async def test_of_another_purpose(
        self, client: httpx2.AsyncClient, as_user: AsUser, owner: User, letters: Letters
    ) -> None:
        await client.post("/auth/request-verify-token", json={"email": owner.email})
        (letter,) = await letters()
        access_token = (await as_user(owner)).headers["Authorization"].removeprefix("Bearer ")
        for token in (letter.token, access_token):
            response = await client.post("/auth/reset-password", json={"token": token, "password": NEW_PASSWORD})
            assert said(response) == self.BAD

    async def test_too_old(self, client: httpx2.AsyncClient, owner: User) -> None:
        fingerprint = password_helper.hash(owner.hashed_password)
        claims = {"sub": str(owner.id), "password_fgpt": fingerprint, "aud": "fastapi-users:reset"}
        token = generate_jwt(claims, settings.key_for("reset-password"), -1)
        response = await client.post("/auth/reset-password", json={"token": token, "password": NEW_PASSWORD})
        assert said(response) == self.BAD

    async def test_of_somebody_deleted(
        self, client: httpx2.AsyncClient, session: AsyncSession, owner: User, letters: Letters
    ) -> None:
        token = await self.token_of(client, owner, letters)
        await session.delete(owner)
        await session.commit()
        response = await client.post("/auth/reset-password", json={"token": token, "password": NEW_PASSWORD})
        assert said(response) == self.BAD

    async def test_of_somebody_deactivated(
        self, client: httpx2.AsyncClient, session: AsyncSession, owner: User, letters: Letters
    ) -> None:
        token = await self.token_of(client, owner, letters)
        owner.is_active = False
        await session.commit()
        response = await client.post("/auth/reset-password", json={"token": token, "password": NEW_PASSWORD})
        assert said(response) == self.BAD

    async def test_a_refused_password(self, client: httpx2.AsyncClient, owner: User, letters: Letters) -> None:
        """The token is not used up."""
        token = await self.token_of(client, owner, letters)
        for password, reason in REFUSED_PASSWORDS.items():
            response = await client.post("/auth/reset-password", json={"token": token, "password": password})
            assert said(response) == (400, {"detail": {"code": "RESET_PASSWORD_INVALID_PASSWORD", "reason": reason}})
        response = await client.post("/auth/reset-password", json={"token": token, "password": NEW_PASSWORD})
        assert said(response) == (200, None)

    async def test_a_token(
        self, client: httpx2.AsyncClient, session: AsyncSession, owner: User, stranger: User, letters: Letters
    ) -> None:
        token = await self.token_of(client, owner, letters)
        response = await client.post("/auth/reset-password", json={"token": token, "password": NEW_PASSWORD})
        assert said(response) == (200, None)
        assert (await client.post("/auth/jwt/login", data=form("owner", NEW_PASSWORD))).status_code == 200
        assert said(await client.post("/auth/jwt/login", data=form("owner"))) == (
            400,
            {"detail": "LOGIN_BAD_CREDENTIALS"},
        )
        assert (await client.post("/auth/jwt/login", data=form("stranger"))).status_code == 200

    async def test_twice(self, client: httpx2.AsyncClient, owner: User, letters: Letters) -> None:
        """All tokens that were sent before die with the old password."""
        tokens = [await self.token_of(client, owner, letters) for _ in range(2)]
        response = await client.post("/auth/reset-password", json={"token": tokens[0], "password": NEW_PASSWORD})
        assert said(response) == (200, None)
        for token in tokens:
            response = await client.post("/auth/reset-password", json={"token": token, "password": PASSWORD})
            assert said(response) == self.BAD
