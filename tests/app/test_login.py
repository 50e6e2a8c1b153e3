"""/auth/jwt/login, and the access tokens that it gives."""

from datetime import UTC, datetime, timedelta

import httpx2
import jwt
import pytest
from pwdlib.hashers.bcrypt import BcryptHasher
from sqlmodel.ext.asyncio.session import AsyncSession

from app.models import User
from tests.app.conftest import PASSWORD, form
from tests.app.fixture_types import AsUser, Connect, CreateUser, Letters
from tests.app.shapes import UNAUTHORIZED, problems, said, user_read
from tests.app.tokens import JUNK_TOKENS, foreign_token
from tests.spellings import SPELLINGS, TYPED


class TestLogin:
    BAD = (400, {"detail": "LOGIN_BAD_CREDENTIALS"})

    async def test_nothing(self, client: httpx2.AsyncClient) -> None:
        assert problems(await client.post("/auth/jwt/login", data={})) == (
            422,
            [("missing", ["body", "username"]), ("missing", ["body", "password"])],
        )

    async def test_json(self, client: httpx2.AsyncClient, owner: User) -> None:
        response = await client.post("/auth/jwt/login", json=form("owner@example.com"))
        assert problems(response) == (
            422,
            [("missing", ["body", "username"]), ("missing", ["body", "password"])],
        )

    async def test_another_grant(self, client: httpx2.AsyncClient, owner: User) -> None:
        response = await client.post("/auth/jwt/login", data={**form("owner"), "grant_type": "client_credentials"})
        assert problems(response) == (422, [("string_pattern_mismatch", ["body", "grant_type"])])

    @pytest.mark.parametrize(
        "name", ["nobody@example.com", "nobody", " ", "@", "a\0b", "a\0b@example.com", "\N{GRINNING FACE}"]
    )
    async def test_nobody(self, client: httpx2.AsyncClient, name: str) -> None:
        assert said(await client.post("/auth/jwt/login", data=form(name))) == self.BAD

    @pytest.mark.parametrize("name", ["a" * 500_000, f"{'a' * 500_000}@example.com", f"a@{'ü.' * 100_000}com"])
    async def test_a_very_long_name(self, client: httpx2.AsyncClient, name: str) -> None:
        assert said(await client.post("/auth/jwt/login", data=form(name))) == self.BAD

    @pytest.mark.parametrize("part", ["%00", "%ED%A0%80", "%FF%FE"])
    async def test_bytes_that_are_no_text(self, client: httpx2.AsyncClient, owner: User, part: str) -> None:
        for name, password in ((f"a{part}", "x"), (f"a{part}@example.com", "x"), ("owner", f"x{part}")):
            response = await client.post(
                "/auth/jwt/login",
                content=f"username={name}&password={password}",
                headers={"content-type": "application/x-www-form-urlencoded"},
            )
            assert said(response) == self.BAD

    @pytest.mark.parametrize("password", ["x", PASSWORD.upper(), f" {PASSWORD}", f"{PASSWORD}\0", "x" * 500_000, "\0"])
    async def test_a_wrong_password(self, client: httpx2.AsyncClient, owner: User, password: str) -> None:
        assert said(await client.post("/auth/jwt/login", data=form("owner@example.com", password))) == self.BAD
        assert said(await client.post("/auth/jwt/login", data=form("owner", password))) == self.BAD

    @pytest.mark.parametrize("hashed_password", ["", "!", "x" * 1024, "$argon2id$broken", "$2b$broken"])
    async def test_an_unusable_password(
        self, client: httpx2.AsyncClient, create_user: CreateUser, hashed_password: str
    ) -> None:
        await create_user("anna", hashed_password=hashed_password)
        for password in (PASSWORD, hashed_password):
            response = await client.post("/auth/jwt/login", data=form("anna@example.com", password or "x"))
            assert said(response) == self.BAD

    async def test_somebody_deactivated(self, client: httpx2.AsyncClient, create_user: CreateUser) -> None:
        await create_user("anna", username="anna", is_active=False)
        assert said(await client.post("/auth/jwt/login", data=form("anna@example.com"))) == self.BAD
        assert said(await client.post("/auth/jwt/login", data=form("anna"))) == self.BAD

    async def test_somebody(self, client: httpx2.AsyncClient, connect: Connect, owner: User) -> None:
        response = await client.post("/auth/jwt/login", data=form("owner@example.com"))
        token = response.json()["access_token"]
        refresh = response.json()["refresh_token"]
        answer = {"access_token": token, "token_type": "bearer", "refresh_token": refresh, "expires_in": 3600}
        assert said(response) == (200, answer)
        assert response.headers["Cache-Control"] == "no-store"
        claims = jwt.decode(token, options={"verify_signature": False})
        assert claims.keys() == {"sub", "sid", "jti", "iss", "aud", "iat", "exp"}
        assert claims["sub"] == str(owner.id)
        lifetime = datetime.fromtimestamp(claims["exp"], UTC) - datetime.now(UTC)
        assert timedelta(minutes=59) < lifetime <= timedelta(hours=1)
        response = await connect(Authorization=f"Bearer {token}").get("/users/me")
        assert said(response) == (200, user_read(owner))

    async def test_with_everything_that_oauth2_sends(self, client: httpx2.AsyncClient, owner: User) -> None:
        more = {"grant_type": "password", "scope": "a b", "client_id": "c", "client_secret": "d"}
        response = await client.post("/auth/jwt/login", data={**form("owner"), **more})
        assert response.status_code == 200
        assert response.json().keys() == {"access_token", "token_type", "refresh_token", "expires_in"}

    async def test_as_multipart(self, client: httpx2.AsyncClient, owner: User) -> None:
        parts = {name: (None, value) for name, value in form("owner").items()}
        response = await client.post("/auth/jwt/login", files=parts)
        assert response.status_code == 200

    async def test_in_every_spelling(self, client: httpx2.AsyncClient, create_user: CreateUser) -> None:
        await create_user("jörg", email=TYPED)
        for spelling in SPELLINGS:
            assert (await client.post("/auth/jwt/login", data=form(spelling))).status_code == 200

    async def test_by_username(self, client: httpx2.AsyncClient, owner: User) -> None:
        for spelling in ("owner", "Owner", " OWNER "):
            assert (await client.post("/auth/jwt/login", data=form(spelling))).status_code == 200

    async def test_who_has_no_username(self, client: httpx2.AsyncClient, create_user: CreateUser) -> None:
        await create_user("anna")
        for name in ("None", "null", "anna"):
            assert said(await client.post("/auth/jwt/login", data=form(name))) == self.BAD

    async def test_a_hash_of_bcrypt_is_upgraded(
        self, client: httpx2.AsyncClient, session: AsyncSession, create_user: CreateUser
    ) -> None:
        """FastAPI Users wrote such ones."""
        user = await create_user("anna", hashed_password=BcryptHasher(rounds=4).hash(PASSWORD))
        assert (await client.post("/auth/jwt/login", data=form("anna@example.com"))).status_code == 200
        await session.refresh(user)
        assert user.hashed_password.startswith("$argon2id$")
        assert (await client.post("/auth/jwt/login", data=form("anna@example.com"))).status_code == 200


class TestAccessToken:
    @pytest.mark.parametrize("token", JUNK_TOKENS.values(), ids=JUNK_TOKENS.keys())
    async def test_junk(self, client: httpx2.AsyncClient, token: str) -> None:
        response = await client.get("/users/me", headers={b"Authorization": f"Bearer {token}".encode("latin-1")})
        assert said(response) == (401, UNAUTHORIZED)
        assert response.headers["www-authenticate"] == "Bearer"

    @pytest.mark.parametrize("value", ["", "Bearer", "bearer", "Basic b3duZXI6eA==", "Bearer  ", "x" * 8192])
    async def test_another_scheme(self, client: httpx2.AsyncClient, value: str) -> None:
        assert said(await client.get("/users/me", headers={"Authorization": value})) == (401, UNAUTHORIZED)

    async def test_in_the_query(self, client: httpx2.AsyncClient, as_user: AsUser, owner: User) -> None:
        token = (await as_user(owner)).headers["Authorization"].removeprefix("Bearer ")
        response = await client.get("/users/me", params={"access_token": token})
        assert said(response) == (401, UNAUTHORIZED)

    async def test_of_another_key(self, connect: Connect, owner: User) -> None:
        token = foreign_token(owner, "fastapi-users:auth")
        assert said(await connect(Authorization=f"Bearer {token}").get("/users/me")) == (401, UNAUTHORIZED)

    async def test_of_another_purpose(
        self, client: httpx2.AsyncClient, connect: Connect, owner: User, letters: Letters
    ) -> None:
        """A token that was mailed opens no door."""
        await client.post("/auth/forgot-password", json={"email": owner.email})
        await client.post("/auth/request-verify-token", json={"email": owner.email})
        for letter in await letters():
            response = await connect(Authorization=f"Bearer {letter.token}").get("/users/me")
            assert said(response) == (401, UNAUTHORIZED)

    async def test_of_somebody_deactivated(self, as_user: AsUser, session: AsyncSession, owner: User) -> None:
        client = await as_user(owner)
        owner.is_active = False
        await session.commit()
        assert said(await client.get("/users/me")) == (401, UNAUTHORIZED)
        assert said(await client.post("/posts", json={"title": "x", "content": "y"})) == (401, UNAUTHORIZED)

    async def test_of_somebody_deleted(self, as_user: AsUser, session: AsyncSession, owner: User) -> None:
        client = await as_user(owner)
        await session.delete(owner)
        await session.commit()
        assert said(await client.get("/users/me")) == (401, UNAUTHORIZED)
