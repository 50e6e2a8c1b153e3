"""/auth/request-verify-token and /auth/verify."""

import httpx2
import pytest
from fastapi_users.jwt import generate_jwt
from sqlmodel.ext.asyncio.session import AsyncSession

from app.core.settings import settings
from app.models import User
from tests.app.conftest import PASSWORD
from tests.app.fixture_types import AsUser, CreateUser, Letters
from tests.app.shapes import problems, said, user_read
from tests.app.tokens import JUNK_TOKENS, foreign_token
from tests.spellings import SPELLINGS, TYPED


class TestRequestVerifyToken:
    async def test_somebody_verified(
        self, client: httpx2.AsyncClient, create_user: CreateUser, letters: Letters
    ) -> None:
        await create_user("anna", is_verified=True)
        response = await client.post("/auth/request-verify-token", json={"email": "anna@example.com"})
        assert said(response) == (202, None)
        assert await letters() == []

    async def test_somebody(self, client: httpx2.AsyncClient, create_user: CreateUser, letters: Letters) -> None:
        """The mail goes to the address as it was typed, not as it was asked for."""
        await create_user("jörg", email=TYPED)
        response = await client.post("/auth/request-verify-token", json={"email": SPELLINGS[-1]})
        assert said(response) == (202, None)
        (letter,) = await letters()
        assert (letter.to, letter.subject) == (TYPED, "Verify your e-mail address")


class TestVerify:
    BAD = (400, {"detail": "VERIFY_USER_BAD_TOKEN"})

    async def token_of(self, client: httpx2.AsyncClient, user: User, letters: Letters) -> str:
        await letters()
        await client.post("/auth/request-verify-token", json={"email": user.email})
        (letter,) = await letters()
        return letter.token

    async def test_nothing(self, client: httpx2.AsyncClient) -> None:
        assert problems(await client.post("/auth/verify", json={})) == (422, [("missing", ["body", "token"])])

    @pytest.mark.parametrize(
        "token", [*JUNK_TOKENS.values(), "W1tb" * 100_000 + ".e30.e30"], ids=[*JUNK_TOKENS.keys(), "400 KB"]
    )
    async def test_junk(self, client: httpx2.AsyncClient, token: str) -> None:
        assert said(await client.post("/auth/verify", json={"token": token})) == self.BAD

    async def test_of_another_key(self, client: httpx2.AsyncClient, owner: User) -> None:
        token = foreign_token(owner, "fastapi-users:verify", email=owner.email)
        assert said(await client.post("/auth/verify", json={"token": token})) == self.BAD

    async def test_of_another_purpose(
        self, client: httpx2.AsyncClient, as_user: AsUser, owner: User, letters: Letters
    ) -> None:
        await client.post("/auth/forgot-password", json={"email": owner.email})
        (letter,) = await letters()
        access_token = (await as_user(owner)).headers["Authorization"].removeprefix("Bearer ")
        for token in (letter.token, access_token):
            assert said(await client.post("/auth/verify", json={"token": token})) == self.BAD

    async def test_too_old(self, client: httpx2.AsyncClient, owner: User) -> None:
        claims = {"sub": str(owner.id), "email": owner.email, "aud": "fastapi-users:verify"}
        token = generate_jwt(claims, settings.key_for("verify"), -1)
        assert said(await client.post("/auth/verify", json={"token": token})) == self.BAD

    async def test_after_another_address(
        self, client: httpx2.AsyncClient, session: AsyncSession, owner: User, letters: Letters
    ) -> None:
        token = await self.token_of(client, owner, letters)
        owner.email = "other@example.com"
        await session.commit()
        assert said(await client.post("/auth/verify", json={"token": token})) == self.BAD

    async def test_of_an_address_that_is_somebody_elses_now(
        self, client: httpx2.AsyncClient, session: AsyncSession, owner: User, stranger: User, letters: Letters
    ) -> None:
        token = await self.token_of(client, owner, letters)
        owner.email = "other@example.com"
        await session.flush()
        stranger.email = "owner@example.com"
        await session.commit()
        assert said(await client.post("/auth/verify", json={"token": token})) == self.BAD

    async def test_of_somebody_deleted(
        self, client: httpx2.AsyncClient, session: AsyncSession, owner: User, letters: Letters
    ) -> None:
        token = await self.token_of(client, owner, letters)
        await session.delete(owner)
        await session.commit()
        assert said(await client.post("/auth/verify", json={"token": token})) == self.BAD

    async def test_of_somebody_deactivated(
        self, client: httpx2.AsyncClient, session: AsyncSession, owner: User, letters: Letters
    ) -> None:
        token = await self.token_of(client, owner, letters)
        owner.is_active = False
        await session.commit()
        assert said(await client.post("/auth/verify", json={"token": token})) == self.BAD
        await session.refresh(owner)
        assert not owner.is_verified

    async def test_a_token(
        self, client: httpx2.AsyncClient, session: AsyncSession, owner: User, letters: Letters
    ) -> None:
        token = await self.token_of(client, owner, letters)
        response = await client.post("/auth/verify", json={"token": token})
        await session.refresh(owner)
        assert owner.is_verified
        assert said(response) == (200, user_read(owner))

    async def test_a_token_of_the_registration(self, client: httpx2.AsyncClient, letters: Letters) -> None:
        response = await client.post("/auth/register", json={"email": TYPED, "password": PASSWORD})
        registered = response.json()
        (letter,) = await letters()
        response = await client.post("/auth/verify", json={"token": letter.token})
        verified = response.json()
        assert (response.status_code, verified) == (
            200,
            {**registered, "is_verified": True, "updated_at": verified["updated_at"]},
        )

    async def test_twice(self, client: httpx2.AsyncClient, owner: User, letters: Letters) -> None:
        token = await self.token_of(client, owner, letters)
        await client.post("/auth/verify", json={"token": token})
        response = await client.post("/auth/verify", json={"token": token})
        assert said(response) == self.BAD

    async def test_of_somebody_whom_a_superuser_has_verified(
        self, client: httpx2.AsyncClient, session: AsyncSession, owner: User, letters: Letters
    ) -> None:
        token = await self.token_of(client, owner, letters)
        owner.is_verified = True
        await session.commit()
        response = await client.post("/auth/verify", json={"token": token})
        assert said(response) == (400, {"detail": "VERIFY_USER_ALREADY_VERIFIED"})
