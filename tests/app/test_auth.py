"""/auth: register, sign in, verify an address, reset a password."""

from datetime import UTC, datetime, timedelta
from typing import Any

import httpx2
import jwt
import pytest
from fastapi_users.jwt import generate_jwt
from pwdlib.hashers.bcrypt import BcryptHasher
from sqlmodel import func, select
from sqlmodel.ext.asyncio.session import AsyncSession

from app.core.settings import settings
from app.models import User
from app.users import password_helper
from tests.app.conftest import PASSWORD, AsUser, Connect, CreateUser, Letters
from tests.app.shapes import UNAUTHORIZED, UNKNOWN_USER, invalid, problems, said, user_read

NEW_PASSWORD = "wrong horse, other battery"

# One address: cases, surrounding spaces, decomposed letters, a domain in Unicode and in IDNA.
TYPED = "Jörg@Bücher.example.com"
SPELLINGS = [
    "Jörg@Bücher.example.com",
    "jörg@bücher.example.com",
    "JÖRG@BÜCHER.EXAMPLE.COM",
    "Jo\u0308rg@Bu\u0308cher.example.com",
    "  jörg@bücher.example.com\t\n",
    "jörg@xn--bcher-kva.example.com",
    "JÖRG@XN--BCHER-KVA.EXAMPLE.COM",
    "jörg@bücher。example。com",
]

NOT_AN_EMAIL = [
    "",
    " ",
    "@",
    "anna",
    "anna@",
    "@example.com",
    "anna@example",
    "anna@localhost",
    "a b@example.com",
    "anna@exam ple.com",
    "anna@example.com\nBcc: other@example.com",
    "Anna <anna@example.com>",
    "anna@example.com, berta@example.com",
    "anna@[127.0.0.1]",
    "anna@-example.com",
    "anna@example..com",
    "anna\u200b@example.com",
    f"anna@{'a' * 64}.com",
    f"anna@{'a.' * 120}example.com",
]

REFUSED_PASSWORDS = {
    "": "Password should be at least 8 characters",
    "a" * 7: "Password should be at least 8 characters",
    "ä" * 7: "Password should be at least 8 characters",
    "a" * 257: "Password should be at most 256 characters",
    "\N{GRINNING FACE}" * 257: "Password should be at most 256 characters",
}
ACCEPTED_PASSWORDS = ["a" * 8, "        ", "ä" * 256, "\N{GRINNING FACE}" * 256, "pass\tword\n"]

# Tokens that are no tokens of ours; each is made for whoever is asked to believe it.
JUNK_TOKENS = {
    "empty": "",
    "short": "x",
    "8 KB": "x" * 8192,
    "dots": "." * 8192,
    "a deep header": "W1tbW1tbW1tb" * 700 + ".e30.e30",
    "no signature": "eyJhbGciOiJub25lIn0.eyJzdWIiOiIxIn0.",
    "an array": "W10.W10.W10",
    "no ASCII": "é.é.é",
}


def foreign_token(user: User, audience: str, **claims: Any) -> str:
    """Make a token that is right but for its key."""
    return generate_jwt({"sub": str(user.id), "aud": audience, **claims}, "another key, and as long as ours is", 3600)


def form(username: str, password: str = PASSWORD) -> dict[str, str]:
    return {"username": username, "password": password}


@pytest.mark.parametrize("path", ["/auth/register", "/users/"])
class TestRegister:
    async def test_nothing(self, client: httpx2.AsyncClient, path: str) -> None:
        assert problems(await client.post(path, json={})) == (
            422,
            [("missing", ["body", "email"]), ("missing", ["body", "password"])],
        )

    async def test_unknown_fields(self, client: httpx2.AsyncClient, path: str) -> None:
        """They cannot be smuggled in."""
        smuggled = {"id": UNKNOWN_USER, "hashed_password": "x", "group_id": 1, "created_at": "2020-01-01T00:00:00Z"}
        response = await client.post(path, json={"email": "anna@example.com", "password": PASSWORD, **smuggled})
        assert problems(response) == (422, [("extra_forbidden", ["body", name]) for name in smuggled])

    async def test_the_flags_are_without_effect(
        self, client: httpx2.AsyncClient, session: AsyncSession, path: str
    ) -> None:
        flags = {"is_active": False, "is_superuser": True, "is_verified": True}
        response = await client.post(path, json={"email": "anna@example.com", "password": PASSWORD, **flags})
        user = (await session.exec(select(User))).one()
        assert said(response) == (201, user_read(user))
        assert (user.is_active, user.is_superuser, user.is_verified) == (True, False, False)

    async def test_a_taken_address(
        self, client: httpx2.AsyncClient, session: AsyncSession, create_user: CreateUser, letters: Letters, path: str
    ) -> None:
        await create_user("jörg", email=TYPED)
        for taken in SPELLINGS:
            response = await client.post(path, json={"email": taken, "password": NEW_PASSWORD})
            assert said(response) == (400, {"detail": "REGISTER_USER_ALREADY_EXISTS"})
        assert (await session.exec(select(func.count()).select_from(User))).one() == 1
        assert letters() == []

    async def test_a_taken_username(
        self, client: httpx2.AsyncClient, session: AsyncSession, owner: User, letters: Letters, path: str
    ) -> None:
        response = await client.post(
            path, json={"email": "anna@example.com", "password": PASSWORD, "username": " Owner "}
        )
        assert said(response) == (400, {"detail": "REGISTER_USERNAME_ALREADY_EXISTS"})
        assert (await session.exec(select(func.count()).select_from(User))).one() == 1
        assert letters() == []

    async def test_the_least(
        self, client: httpx2.AsyncClient, session: AsyncSession, letters: Letters, path: str
    ) -> None:
        response = await client.post(path, json={"email": "anna@example.com", "password": PASSWORD})
        user = (await session.exec(select(User))).one()
        assert said(response) == (201, user_read(user))
        assert (user.username, user.name, user.group_id) == (None, None, None)
        assert user.id.version == 4
        assert password_helper.verify_and_update(PASSWORD, user.hashed_password) == (True, None)
        assert user.hashed_password.startswith("$argon2id$v=19$m=19456,t=2,p=1$")
        (letter,) = letters()
        assert (letter.to, letter.subject) == ("anna@example.com", "Verify your e-mail address")
        assert f"\nhttp://localhost:8000/verify?token={letter.token}\n" in letter.text

    async def test_everything(self, client: httpx2.AsyncClient, session: AsyncSession, path: str) -> None:
        body = {
            "email": " Jo\u0308rg@Bücher.Example.COM\n",
            "password": PASSWORD,
            "username": " Jo.e-r_9 ",
            "name": "\u2003Jörg \N{GRINNING FACE}\t",
        }
        response = await client.post(path, json=body)
        user = (await session.exec(select(User))).one()
        assert said(response) == (201, user_read(user))
        assert (user.email, user.username, user.name) == (
            "Jörg@Bücher.Example.COM",
            "jo.e-r_9",
            "Jörg \N{GRINNING FACE}",
        )

    async def test_null(self, client: httpx2.AsyncClient, session: AsyncSession, path: str) -> None:
        body = {"email": "anna@example.com", "password": PASSWORD, "username": None, "name": None}
        response = await client.post(path, json={**body, "is_active": None, "is_superuser": None, "is_verified": None})
        user = (await session.exec(select(User))).one()
        assert said(response) == (201, user_read(user))
        assert (user.is_active, user.is_superuser, user.is_verified) == (True, False, False)
        for name in ("email", "password"):
            response = await client.post(path, json={**body, name: None})
            assert problems(response) == (422, [("string_type", ["body", name])])


class TestRegisterValues:
    async def test_not_an_email(self, client: httpx2.AsyncClient) -> None:
        answers = {
            email: said(await client.post("/auth/register", json={"email": email, "password": PASSWORD}))
            for email in NOT_AN_EMAIL
        }
        refused = invalid("value_error", ["body", "email"], "Value error, not a valid e-mail address")
        assert answers == dict.fromkeys(NOT_AN_EMAIL, refused)

    async def test_a_very_long_email(self, client: httpx2.AsyncClient) -> None:
        email = f"{'a' * 500_000}@example.com"
        response = await client.post("/auth/register", json={"email": email, "password": PASSWORD})
        assert problems(response) == (422, [("string_too_long", ["body", "email"])])

    @pytest.mark.parametrize("field", ["email", "password", "username", "name"])
    async def test_text_that_no_database_holds(self, client: httpx2.AsyncClient, field: str) -> None:
        for text in (r"a\u0000b@example.com", r"a\ud800b@example.com"):
            body = {"email": "anna@example.com", "password": PASSWORD, field: "..."}
            content = "{" + ", ".join(f'"{name}": "{text if name == field else body[name]}"' for name in body) + "}"
            response = await client.post(
                "/auth/register", content=content, headers={"content-type": "application/json"}
            )
            status, [(_, location)] = problems(response)
            assert (status, location) == (422, ["body", field])

    @pytest.mark.parametrize("username", ["", "ab", "a" * 33, "a b c", "a@b", "äää", "a/b", "a\nb", "İİİ"])
    async def test_not_a_username(self, client: httpx2.AsyncClient, username: str) -> None:
        body = {"email": "anna@example.com", "password": PASSWORD, "username": username}
        status, [(_, location)] = problems(await client.post("/auth/register", json=body))
        assert (status, location) == (422, ["body", "username"])

    @pytest.mark.parametrize("username", ["abc", "a" * 32, "...", "a_b", "1-2"])
    async def test_a_username(self, client: httpx2.AsyncClient, username: str) -> None:
        body = {"email": "anna@example.com", "password": PASSWORD, "username": username}
        response = await client.post("/auth/register", json=body)
        assert (response.status_code, response.json()["username"]) == (201, username)

    @pytest.mark.parametrize(
        ("name", "kind"),
        [("", "string_too_short"), (" \t\n\u3000", "string_too_short"), ("a" * 101, "string_too_long")],
    )
    async def test_not_a_name(self, client: httpx2.AsyncClient, name: str, kind: str) -> None:
        response = await client.post(
            "/auth/register", json={"email": "anna@example.com", "password": PASSWORD, "name": name}
        )
        assert problems(response) == (422, [(kind, ["body", "name"])])

    async def test_a_long_name(self, client: httpx2.AsyncClient) -> None:
        """A hundred characters, however many bytes they have."""
        name = "\N{GRINNING FACE}" * 100
        response = await client.post(
            "/auth/register", json={"email": "anna@example.com", "password": PASSWORD, "name": f" {name} "}
        )
        assert (response.status_code, response.json()["name"]) == (201, name)

    @pytest.mark.parametrize("password", REFUSED_PASSWORDS)
    async def test_a_refused_password(self, client: httpx2.AsyncClient, session: AsyncSession, password: str) -> None:
        response = await client.post("/auth/register", json={"email": "anna@example.com", "password": password})
        reason = REFUSED_PASSWORDS[password]
        assert said(response) == (400, {"detail": {"code": "REGISTER_INVALID_PASSWORD", "reason": reason}})
        assert (await session.exec(select(func.count()).select_from(User))).one() == 0

    @pytest.mark.parametrize("password", ACCEPTED_PASSWORDS)
    async def test_a_password(self, client: httpx2.AsyncClient, password: str) -> None:
        """It is taken as it is, spaces included, and nothing of it is cut off."""
        response = await client.post("/auth/register", json={"email": "anna@example.com", "password": password})
        assert response.status_code == 201
        response = await client.post("/auth/jwt/login", data=form("anna@example.com", password))
        assert response.status_code == 200
        response = await client.post("/auth/jwt/login", data=form("anna@example.com", password[:-1]))
        assert response.status_code == 400


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
        assert said(response) == (200, {"access_token": token, "token_type": "bearer"})
        assert response.headers["Cache-Control"] == "no-store"
        claims = jwt.decode(token, options={"verify_signature": False})
        assert claims.keys() == {"sub", "aud", "exp"}
        assert claims["sub"] == str(owner.id)
        lifetime = datetime.fromtimestamp(claims["exp"], UTC) - datetime.now(UTC)
        assert timedelta(minutes=59) < lifetime <= timedelta(hours=1)
        response = await connect(Authorization=f"Bearer {token}").get("/users/me")
        assert said(response) == (200, user_read(owner))

    async def test_with_everything_that_oauth2_sends(self, client: httpx2.AsyncClient, owner: User) -> None:
        more = {"grant_type": "password", "scope": "a b", "client_id": "c", "client_secret": "d"}
        response = await client.post("/auth/jwt/login", data={**form("owner"), **more})
        assert response.status_code == 200
        assert response.json().keys() == {"access_token", "token_type"}

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
        for letter in letters():
            response = await connect(Authorization=f"Bearer {letter.token}").get("/users/me")
            assert said(response) == (401, UNAUTHORIZED)

    @pytest.mark.parametrize(
        "claims",
        [
            {"exp": 1},
            {"exp": "never"},
            {"aud": "fastapi-users:verify"},
            {"aud": None},
            {"sub": None},
            {"sub": 1},
            {"sub": "x"},
            {"sub": UNKNOWN_USER},
        ],
    )
    async def test_of_our_key_with_wrong_claims(self, connect: Connect, owner: User, claims: dict[str, Any]) -> None:
        good = {"sub": str(owner.id), "aud": ["fastapi-users:auth"], "exp": datetime.now(UTC) + timedelta(hours=1)}
        key = settings.key_for("access-token")
        for token, status in ((jwt.encode(good, key), 200), (jwt.encode({**good, **claims}, key), 401)):
            response = await connect(Authorization=f"Bearer {token}").get("/users/me")
            assert response.status_code == status

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


class TestRequestVerifyToken:
    async def test_no_email(self, client: httpx2.AsyncClient) -> None:
        response = await client.post("/auth/request-verify-token", json={"email": "anna"})
        assert problems(response) == (422, [("value_error", ["body", "email"])])

    async def test_nobody(self, client: httpx2.AsyncClient, letters: Letters) -> None:
        response = await client.post("/auth/request-verify-token", json={"email": "nobody@example.com"})
        assert said(response) == (202, None)
        assert letters() == []

    async def test_somebody_deactivated(
        self, client: httpx2.AsyncClient, create_user: CreateUser, letters: Letters
    ) -> None:
        await create_user("anna", is_active=False)
        response = await client.post("/auth/request-verify-token", json={"email": "anna@example.com"})
        assert said(response) == (202, None)
        assert letters() == []

    async def test_somebody_verified(
        self, client: httpx2.AsyncClient, create_user: CreateUser, letters: Letters
    ) -> None:
        await create_user("anna", is_verified=True)
        response = await client.post("/auth/request-verify-token", json={"email": "anna@example.com"})
        assert said(response) == (202, None)
        assert letters() == []

    async def test_somebody(self, client: httpx2.AsyncClient, create_user: CreateUser, letters: Letters) -> None:
        """The mail goes to the address as it was typed, not as it was asked for."""
        await create_user("jörg", email=TYPED)
        response = await client.post("/auth/request-verify-token", json={"email": SPELLINGS[-1]})
        assert said(response) == (202, None)
        (letter,) = letters()
        assert (letter.to, letter.subject) == (TYPED, "Verify your e-mail address")


class TestVerify:
    BAD = (400, {"detail": "VERIFY_USER_BAD_TOKEN"})

    async def token_of(self, client: httpx2.AsyncClient, user: User, letters: Letters) -> str:
        letters()
        await client.post("/auth/request-verify-token", json={"email": user.email})
        (letter,) = letters()
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
        (letter,) = letters()
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
        (letter,) = letters()
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
        assert said(response) == (400, {"detail": "VERIFY_USER_ALREADY_VERIFIED"})


class TestForgotPassword:
    async def test_no_email(self, client: httpx2.AsyncClient) -> None:
        response = await client.post("/auth/forgot-password", json={"email": "anna"})
        assert problems(response) == (422, [("value_error", ["body", "email"])])

    async def test_nobody(self, client: httpx2.AsyncClient, letters: Letters) -> None:
        response = await client.post("/auth/forgot-password", json={"email": "nobody@example.com"})
        assert said(response) == (202, None)
        assert letters() == []

    async def test_somebody_deactivated(
        self, client: httpx2.AsyncClient, create_user: CreateUser, letters: Letters
    ) -> None:
        await create_user("anna", is_active=False)
        response = await client.post("/auth/forgot-password", json={"email": "anna@example.com"})
        assert said(response) == (202, None)
        assert letters() == []

    async def test_somebody(self, client: httpx2.AsyncClient, create_user: CreateUser, letters: Letters) -> None:
        """The mail goes to the address as it was typed, and no header says where its link leads."""
        await create_user("jörg", email=TYPED)
        response = await client.post(
            "/auth/forgot-password",
            json={"email": SPELLINGS[-1]},
            headers={"Host": "evil.example.com", "X-Forwarded-Host": "evil.example.com"},
        )
        assert said(response) == (202, None)
        (letter,) = letters()
        assert (letter.to, letter.subject) == (TYPED, "Reset your password")
        assert f"\nhttp://localhost:8000/reset-password?token={letter.token}\n" in letter.text
        assert "evil" not in letter.text


class TestResetPassword:
    BAD = (400, {"detail": "RESET_PASSWORD_BAD_TOKEN"})

    async def token_of(self, client: httpx2.AsyncClient, user: User, letters: Letters) -> str:
        letters()
        await client.post("/auth/forgot-password", json={"email": user.email})
        (letter,) = letters()
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
        (letter,) = letters()
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
        assert said(await client.post("/auth/jwt/login", data=form("owner"))) == TestLogin.BAD
        assert (await client.post("/auth/jwt/login", data=form("stranger"))).status_code == 200

    async def test_twice(self, client: httpx2.AsyncClient, owner: User, letters: Letters) -> None:
        """All tokens that were sent before die with the old password."""
        tokens = [await self.token_of(client, owner, letters) for _ in range(2)]
        response = await client.post("/auth/reset-password", json={"token": tokens[0], "password": NEW_PASSWORD})
        assert said(response) == (200, None)
        for token in tokens:
            response = await client.post("/auth/reset-password", json={"token": token, "password": PASSWORD})
            assert said(response) == self.BAD
