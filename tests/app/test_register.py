"""/auth/register, which is POST /users as well."""

import httpx2
import pytest
from sqlmodel import func, select
from sqlmodel.ext.asyncio.session import AsyncSession

from app.models import User
from app.users import password_helper
from tests.app.conftest import PASSWORD, form
from tests.app.fixture_types import CreateUser, Letters
from tests.app.shapes import UNKNOWN_USER, invalid, problems, said, user_read
from tests.spellings import SPELLINGS, TYPED

NEW_PASSWORD = "wrong horse, other battery"
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
    "a" * 8: "Password is too easy to guess: add another word or two",
    " " * 8: "Password is too easy to guess: add another word or two",
    "Password123!": "Password is too easy to guess: add another word or two",
}
ACCEPTED_PASSWORDS = ["pass\tword\n", " five  wide   spaces ", "ä,ö;ü:" * 42, "pässwörter \N{CAT} owl " * 15]


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
        assert await letters() == []

    async def test_a_taken_username(
        self, client: httpx2.AsyncClient, session: AsyncSession, owner: User, letters: Letters, path: str
    ) -> None:
        response = await client.post(
            path, json={"email": "anna@example.com", "password": PASSWORD, "username": " Owner "}
        )
        assert said(response) == (400, {"detail": "REGISTER_USERNAME_ALREADY_EXISTS"})
        assert (await session.exec(select(func.count()).select_from(User))).one() == 1
        assert await letters() == []

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
        (letter,) = await letters()
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
