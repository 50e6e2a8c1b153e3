"""Ask for another address, and confirm it."""

from datetime import timedelta

import httpx2
import pytest
import time_machine
from sqlmodel.ext.asyncio.session import AsyncSession

from app.models import User
from tests.app.change_email.conftest import CONFIRM_BAD, NEW_PASSWORD, UNDO_BAD, People, heads
from tests.app.conftest import PASSWORD
from tests.app.fixture_types import AsUser, CreateUser
from tests.app.shapes import UNAUTHORIZED, problems, said, user_read
from tests.app.tokens import JUNK_TOKENS
from tests.spellings import SPELLINGS, TYPED

CURRENT_PASSWORD_BAD = (400, {"detail": "CURRENT_PASSWORD_BAD"})
TO_THE_OLD = "Your e-mail address is about to change"
TO_THE_NEW = "Confirm your new e-mail address"
TO_THE_OWNER = "Your address belongs to your account already"


class TestChangeEmail:
    async def test_nobody(self, client: httpx2.AsyncClient) -> None:
        for body in ({}, {"new_email": "new@example.com", "current_password": PASSWORD}):
            assert said(await client.post("/auth/change-email", json=body)) == (401, UNAUTHORIZED)

    async def test_nothing(self, as_user: AsUser, owner: User) -> None:
        response = await (await as_user(owner)).post("/auth/change-email", json={})
        assert problems(response) == (
            422,
            [("missing", ["body", "current_password"]), ("missing", ["body", "new_email"])],
        )

    async def test_more(self, as_user: AsUser, owner: User) -> None:
        body = {"new_email": "new@example.com", "current_password": PASSWORD, "email": "other@example.com"}
        response = await (await as_user(owner)).post("/auth/change-email", json=body)
        assert problems(response) == (422, [("extra_forbidden", ["body", "email"])])

    @pytest.mark.parametrize("email", ["", "anna", "a b@example.com", "a@example.com\nBcc: b@example.com"])
    async def test_not_an_email(self, people: People, owner: User, email: str) -> None:
        assert problems(await people.ask(owner, email)) == (422, [("value_error", ["body", "new_email"])])
        assert await people.letters() == []

    @pytest.mark.parametrize("password", ["", "x", PASSWORD.upper(), "x" * 100_000])
    async def test_a_wrong_password(self, people: People, owner: User, stranger: User, password: str) -> None:
        """Whether the address is free or taken."""
        for email in ("new@example.com", stranger.email):
            assert said(await people.ask(owner, email, password)) == CURRENT_PASSWORD_BAD
        assert await people.letters() == []

    async def test_a_free_address(
        self, client: httpx2.AsyncClient, people: People, session: AsyncSession, owner: User
    ) -> None:
        """Both addresses are written to; until the new one is confirmed, nothing changes."""
        before = user_read(owner)
        response = await people.ask(owner, " New@Example.com ")
        assert said(response) == (202, None)
        await session.refresh(owner)
        assert user_read(owner) == before
        told, asked = await people.letters()
        assert heads([told, asked]) == [("owner@example.com", TO_THE_OLD), ("New@Example.com", TO_THE_NEW)]
        assert f"\nhttp://localhost:8000/undo-change-email?token={told.token}\n" in told.text
        assert f"\nhttp://localhost:8000/confirm-email?token={asked.token}\n" in asked.text
        assert told.token != asked.token
        # The old address is not told the new one, and the other way round.
        assert "new@example.com" not in told.text.lower()
        assert "owner@example.com" not in asked.text.lower()
        assert await people.signs_in("owner@example.com")
        assert not await people.signs_in("new@example.com")

    async def test_a_header_does_not_say_where_links_lead(self, people: People, owner: User) -> None:
        body = {"new_email": "new@example.com", "current_password": PASSWORD}
        headers = {"Host": "evil.example.com", "X-Forwarded-Host": "evil.example.com"}
        response = await (await people.as_user(owner)).post("/auth/change-email", json=body, headers=headers)
        assert said(response) == (202, None)
        assert not [letter for letter in await people.letters() if "evil" in letter.text]

    async def test_a_taken_address(
        self, people: People, session: AsyncSession, owner: User, create_user: CreateUser
    ) -> None:
        """The answer is the same, and its owner is told, without a token."""
        await create_user("jörg", email=TYPED, name="Jörg")
        free, taken = await people.ask(owner, "new@example.com"), None
        await people.letters()
        for spelling in SPELLINGS:
            taken = await people.ask(owner, spelling)
            assert said(taken) == said(free) == (202, None)
            assert taken.headers.keys() == free.headers.keys()
            told, asked = await people.letters()
            assert heads([told, asked]) == [("owner@example.com", TO_THE_OLD), (TYPED, TO_THE_OWNER)]
            assert asked.text.startswith("Hello Jörg,\n")
            assert "token=" not in asked.text
            assert "owner" not in asked.text.lower()
        await session.refresh(owner)
        assert owner.email == "owner@example.com"

    async def test_the_address_of_somebody_deactivated(
        self, people: People, owner: User, create_user: CreateUser
    ) -> None:
        await create_user("anna", is_active=False)
        assert said(await people.ask(owner, "anna@example.com")) == (202, None)
        assert heads(await people.letters()) == [("owner@example.com", TO_THE_OLD)]

    async def test_another_spelling_of_ones_own(self, people: People, session: AsyncSession, owner: User) -> None:
        requested = await people.request(owner, "Owner@Example.COM")
        await session.refresh(owner)
        assert owner.email == "owner@example.com"
        response = await people.confirm(requested.confirm)
        await session.refresh(owner)
        assert said(response) == (200, user_read(owner))
        assert owner.email == "Owner@Example.COM"

    async def test_by_patch(self, people: People, session: AsyncSession, owner: User, stranger: User) -> None:
        """It is the same change, and an answer that still has the old address, whether the new one is free or taken."""
        before = user_read(owner)
        for email, subject in (("new@example.com", TO_THE_NEW), (stranger.email, TO_THE_OWNER)):
            body = {"email": email, "current_password": PASSWORD}
            response = await (await people.as_user(owner)).patch("/users/me", json=body)
            assert said(response) == (200, before)
            assert heads(await people.letters()) == [("owner@example.com", TO_THE_OLD), (email, subject)]
        body = {"email": "new@example.com", "current_password": "x"}
        assert said(await (await people.as_user(owner)).patch("/users/me", json=body)) == CURRENT_PASSWORD_BAD


class TestConfirmEmail:
    async def test_nothing(self, client: httpx2.AsyncClient) -> None:
        assert problems(await client.post("/auth/confirm-email", json={})) == (422, [("missing", ["body", "token"])])

    @pytest.mark.parametrize("token", JUNK_TOKENS.values(), ids=JUNK_TOKENS.keys())
    async def test_junk(self, people: People, token: str) -> None:
        assert said(await people.confirm(token)) == CONFIRM_BAD

    async def test_too_old(
        self, people: People, session: AsyncSession, owner: User, clock: time_machine.Traveller
    ) -> None:
        requested = await people.request(owner, "new@example.com")
        clock.shift(timedelta(minutes=60))
        assert said(await people.confirm(requested.confirm)) == CONFIRM_BAD
        await session.refresh(owner)
        assert owner.email == "owner@example.com"

    async def test_taken_meanwhile(self, people: People, session: AsyncSession, owner: User) -> None:
        requested = await people.request(owner, "new@example.com")
        body = {"email": "NEW@example.com", "password": NEW_PASSWORD}
        assert (await people.client.post("/auth/register", json=body)).status_code == 201
        assert said(await people.confirm(requested.confirm)) == CONFIRM_BAD
        await session.refresh(owner)
        assert (owner.email, owner.is_verified) == ("owner@example.com", True)
        assert await people.signs_in("new@example.com", NEW_PASSWORD)

    async def test_of_somebody_deactivated(self, people: People, session: AsyncSession, owner: User) -> None:
        requested = await people.request(owner, "new@example.com")
        owner.is_active = False
        await session.commit()
        assert said(await people.confirm(requested.confirm)) == CONFIRM_BAD

    async def test_a_token(self, people: People, session: AsyncSession, owner: User) -> None:
        """By anyone who has it: the address is the account's, and verified."""
        requested = await people.request(owner, "New@Example.com")
        response = await people.confirm(requested.confirm)
        await session.refresh(owner)
        assert said(response) == (200, user_read(owner))
        assert (owner.email, owner.is_verified) == ("New@Example.com", True)
        assert await people.signs_in("new@example.com")
        assert not await people.signs_in("owner@example.com")
        assert said(await people.confirm(requested.confirm)) == CONFIRM_BAD

    async def test_in_its_last_minute(self, people: People, owner: User, clock: time_machine.Traveller) -> None:
        requested = await people.request(owner, "new@example.com")
        clock.shift(timedelta(minutes=59))
        assert (await people.confirm(requested.confirm)).status_code == 200

    async def test_of_two_that_were_asked_for(self, people: People, session: AsyncSession, owner: User) -> None:
        """One that is used ends the other."""
        first = await people.request(owner, "first@example.com")
        second = await people.request(owner, "second@example.com")
        assert (await people.confirm(first.confirm)).status_code == 200
        assert said(await people.confirm(second.confirm)) == CONFIRM_BAD
        await session.refresh(owner)
        assert owner.email == "first@example.com"

    async def test_what_was_mailed_before_dies(self, people: People, create_user: CreateUser) -> None:
        user = await create_user("anna")
        await people.client.post("/auth/forgot-password", json={"email": user.email})
        await people.client.post("/auth/request-verify-token", json={"email": user.email})
        reset, verify = [letter.token for letter in await people.letters()]
        await people.change(user, "new@example.com")
        response = await people.client.post("/auth/reset-password", json={"token": reset, "password": NEW_PASSWORD})
        assert said(response) == (400, {"detail": "RESET_PASSWORD_BAD_TOKEN"})
        response = await people.client.post("/auth/verify", json={"token": verify})
        assert said(response) == (400, {"detail": "VERIFY_USER_BAD_TOKEN"})


@pytest.mark.parametrize("purpose", ["verify", "reset-password", "confirm-email", "undo-change-email"])
async def test_a_token_is_good_for_its_purpose_alone(
    people: People, session: AsyncSession, owner: User, stranger: User, purpose: str
) -> None:
    """And trying it elsewhere does not use it up."""
    before = user_read(owner)
    await people.client.post("/auth/request-verify-token", json={"email": stranger.email})
    await people.client.post("/auth/forgot-password", json={"email": owner.email})
    verify, reset = [letter.token for letter in await people.letters()]
    requested = await people.request(owner, "new@example.com")
    tokens = {
        "verify": verify,
        "reset-password": reset,
        "confirm-email": requested.confirm,
        "undo-change-email": requested.undo,
    }
    refusals = {
        "verify": (400, {"detail": "VERIFY_USER_BAD_TOKEN"}),
        "reset-password": (400, {"detail": "RESET_PASSWORD_BAD_TOKEN"}),
        "confirm-email": CONFIRM_BAD,
        "undo-change-email": UNDO_BAD,
    }
    access = (await people.as_user(owner)).headers["Authorization"].removeprefix("Bearer ")

    async def use(path: str, token: str) -> httpx2.Response:
        body = {"token": token, **({"password": NEW_PASSWORD} if path == "reset-password" else {})}
        return await people.client.post(f"/auth/{path}", json=body)

    answers = {path: said(await use(path, tokens[purpose])) for path in refusals if path != purpose}
    assert answers == {path: refusal for path, refusal in refusals.items() if path != purpose}
    assert said(await use(purpose, access)) == refusals[purpose]
    response = await people.client.get("/users/me", headers={"Authorization": f"Bearer {tokens[purpose]}"})
    assert said(response) == (401, UNAUTHORIZED)
    await session.refresh(owner)
    assert user_read(owner) == before
    assert (await use(purpose, tokens[purpose])).status_code == 200
