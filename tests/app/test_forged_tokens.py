"""Access tokens that are not ours, or not as we make them: no door opens, and nothing fails."""

import httpx2
import jwt
import pytest
from sqlmodel.ext.asyncio.session import AsyncSession

from app.models import User
from app.users import UserManager, auth_backend, sessions
from fastapi_users_sqlmodel import SQLAlchemyUserDatabase
from tests.app.fixture_types import Connect, Letters
from tests.app.forgeries import FORGERIES, ISSUER, Forger, Forgery
from tests.app.shapes import UNAUTHORIZED, said, user_read


# A token is refused before any database is asked.
@pytest.fixture
async def forger(session: AsyncSession, owner: User, stranger: User) -> Forger:
    strategy = auth_backend.strategy(UserManager(SQLAlchemyUserDatabase(session, User), session))
    token, others = await strategy.write_token(owner), await strategy.write_token(stranger)
    return Forger(
        jwt.get_unverified_header(token),
        jwt.decode(token, options={"verify_signature": False}),
        sessions.keys.signing[1],
        jwt.decode(others, options={"verify_signature": False}),
        getattr(token, "refresh_token", ""),
        str(token),
    )


async def shown(client: httpx2.AsyncClient, token: str) -> httpx2.Response:
    return await client.get("/users/me", headers={b"Authorization": f"Bearer {token}".encode("latin-1")})


class TestForgedTokens:
    async def test_the_forger_can_make_an_honest_one(
        self, client: httpx2.AsyncClient, forger: Forger, owner: User
    ) -> None:
        """So whatever else is refused is refused for its difference."""
        for token in (
            forger.honest,
            forger.token(),
            ".".join(forger.segments),
            forger.with_signature(forger.segments[2]),
        ):
            assert said(await shown(client, token)) == (200, user_read(owner))
        assert forger.header == {"alg": "HS256", "typ": "at+jwt", "kid": sessions.keys.signing[0]}
        assert forger.claims.keys() == {"sub", "sid", "jti", "iss", "aud", "iat", "exp"}
        assert (forger.claims["iss"], forger.claims["aud"]) == (ISSUER, ISSUER)

    @pytest.mark.parametrize("forgery", FORGERIES.values(), ids=FORGERIES.keys())
    async def test_opens_nothing(
        self, client: httpx2.AsyncClient, forger: Forger, owner: User, forgery: Forgery
    ) -> None:
        response = await shown(client, forgery(forger))
        assert said(response) == (401, UNAUTHORIZED)
        assert response.headers["www-authenticate"] == "Bearer"
        # And whoever is honest is none the worse for it.
        assert said(await shown(client, forger.token())) == (200, user_read(owner))

    async def test_mail(self, client: httpx2.AsyncClient, owner: User, letters: Letters) -> None:
        await client.post("/auth/forgot-password", json={"email": owner.email})
        await client.post("/auth/request-verify-token", json={"email": owner.email})
        both = await letters()
        assert len(both) == 2
        for letter in both:
            assert said(await shown(client, letter.token)) == (401, UNAUTHORIZED)

    @pytest.mark.parametrize("scheme", ["Basic", "Token", "Bearer,", "DPoP", ""])
    async def test_another_scheme(self, connect: Connect, forger: Forger, scheme: str) -> None:
        response = await connect(Authorization=f"{scheme} {forger.token()}").get("/users/me")
        assert said(response) == (401, UNAUTHORIZED)
