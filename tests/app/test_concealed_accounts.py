"""CONCEAL_ACCOUNTS: registering does not tell who has an account; the mail does, to the owner alone."""

import httpx2
import pytest
from sqlmodel import func, select
from sqlmodel.ext.asyncio.session import AsyncSession

from app.models import User
from app.users import UserManager
from tests.app.conftest import PASSWORD, form
from tests.app.databases import migrated
from tests.app.fixture_types import CreateUser, Letters
from tests.app.shapes import problems, said
from tests.programs import Programs
from tests.server import start_server
from tests.spellings import SPELLINGS, TYPED

NEW_PASSWORD = "wrong horse, other battery"
ACCEPTED = (202, None)
# What is another one in each answer.
OF_EACH_ANSWER = {"date", "x-request-id"}


def headers_of(response: httpx2.Response) -> dict[str, str]:
    return {name: value for name, value in response.headers.items() if name not in OF_EACH_ANSWER}


@pytest.fixture(autouse=True)
def concealed(monkeypatch: pytest.MonkeyPatch) -> None:
    # As the setting does, which is read once.
    monkeypatch.setattr(UserManager, "conceal_accounts", True)


@pytest.mark.parametrize("path", ["/auth/register", "/users"])
class TestRegister:
    async def test_what_is_wrong_with_the_request(
        self, client: httpx2.AsyncClient, owner: User, letters: Letters, path: str
    ) -> None:
        """It is said as ever, whoever has the address."""
        for email in ("new@example.com", owner.email):
            response = await client.post(path, json={"email": email})
            assert problems(response) == (422, [("missing", ["body", "password"])])
            response = await client.post(path, json={"email": email, "password": "short"})
            reason = "Password should be at least 8 characters"
            assert said(response) == (400, {"detail": {"code": "REGISTER_INVALID_PASSWORD", "reason": reason}})
        assert await letters() == []

    async def test_a_taken_username(
        self, client: httpx2.AsyncClient, session: AsyncSession, owner: User, letters: Letters, path: str
    ) -> None:
        """Usernames are no secret, and it is the same for a free address and a taken one."""
        for email in ("new@example.com", owner.email):
            body = {"email": email, "password": NEW_PASSWORD, "username": "Owner"}
            response = await client.post(path, json=body)
            assert said(response) == (400, {"detail": "REGISTER_USERNAME_ALREADY_EXISTS"})
        assert (await session.exec(select(func.count()).select_from(User))).one() == 1
        assert await letters() == []

    async def test_a_free_address(
        self, client: httpx2.AsyncClient, session: AsyncSession, letters: Letters, path: str
    ) -> None:
        body = {"email": "Anna@example.com", "password": PASSWORD, "username": "anna"}
        assert said(await client.post(path, json=body)) == ACCEPTED
        user = (await session.exec(select(User))).one()
        assert (user.email, user.username, user.is_verified) == ("Anna@example.com", "anna", False)
        (letter,) = await letters()
        assert (letter.to, letter.subject) == ("Anna@example.com", "Verify your e-mail address")
        assert (await client.post("/auth/jwt/login", data=form("anna"))).status_code == 200

    async def test_a_taken_address(
        self,
        client: httpx2.AsyncClient,
        session: AsyncSession,
        create_user: CreateUser,
        letters: Letters,
        path: str,
    ) -> None:
        """Its owner is told, at the address as they typed it, in a letter without a link; nothing changes."""
        user = await create_user("jörg", email=TYPED, name="Jörg")
        before = user.hashed_password
        for number, spelling in enumerate(SPELLINGS):
            body = {"email": spelling, "password": NEW_PASSWORD, "username": f"jörg{number}".replace("ö", "o")}
            assert said(await client.post(path, json={**body, "name": "Intruder"})) == ACCEPTED
            (letter,) = await letters()
            assert (letter.to, letter.subject) == (TYPED, "You have an account already")
            assert letter.text.startswith("Hello Jörg,\n")
            assert "token=" not in letter.text
            assert "Intruder" not in letter.text
        user = (await session.exec(select(User).execution_options(populate_existing=True))).one()
        assert (user.hashed_password, user.name, user.username) == (before, "Jörg", None)

    async def test_the_address_of_somebody_deactivated(
        self, client: httpx2.AsyncClient, create_user: CreateUser, letters: Letters, path: str
    ) -> None:
        await create_user("anna", is_active=False)
        body = {"email": "anna@example.com", "password": NEW_PASSWORD}
        assert said(await client.post(path, json=body)) == ACCEPTED
        assert await letters() == []

    async def test_the_answers_are_the_same(self, client: httpx2.AsyncClient, owner: User, path: str) -> None:
        free, taken = [
            await client.post(path, json={"email": email, "password": NEW_PASSWORD})
            for email in ("new@example.com", owner.email)
        ]
        assert (free.status_code, free.content) == (taken.status_code, taken.content) == (202, b"null")
        assert headers_of(free) == headers_of(taken)


async def test_the_setting(programs: Programs, database_url: str) -> None:
    """In the real service, with the real mail."""
    server = start_server(programs, database_url=migrated(database_url), env={"CONCEAL_ACCOUNTS": "on"})
    async with server.client() as client:
        answers = [
            await client.post(path, json={"email": email, "password": PASSWORD})
            for path in ("/auth/register", "/users")
            for email in (f"{path.strip('/').replace('/', '-')}@example.com", "Users@example.com")
        ]
        assert [said(answer) for answer in answers] == [ACCEPTED] * 4
        assert len({tuple(sorted(headers_of(answer).items())) for answer in answers}) == 1
        server.program.until(lambda: server.program.out.count("Subject: ") == 4 or None)
        assert server.program.out.count("Subject: You have an account already") == 2
        assert (await client.post("/auth/jwt/login", data=form("users@example.com"))).status_code == 200
    assert "Traceback" not in server.stop().err
