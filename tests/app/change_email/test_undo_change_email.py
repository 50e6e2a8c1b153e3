"""Take a change of the address back."""

from datetime import timedelta

import httpx2
import pytest
import time_machine
from sqlmodel.ext.asyncio.session import AsyncSession

from app.models import User
from tests.app.change_email.conftest import CONFIRM_BAD, NEW_PASSWORD, UNDO_BAD, People, heads
from tests.app.conftest import PASSWORD
from tests.app.fixture_types import CreateUser
from tests.app.shapes import problems, said, user_read
from tests.app.tokens import JUNK_TOKENS

TO_THE_UNVERIFIED = "Another e-mail address for your account"


class TestUndoChangeEmail:
    async def test_nothing(self, client: httpx2.AsyncClient) -> None:
        response = await client.post("/auth/undo-change-email", json={})
        assert problems(response) == (422, [("missing", ["body", "token"])])

    @pytest.mark.parametrize("token", JUNK_TOKENS.values(), ids=JUNK_TOKENS.keys())
    async def test_junk(self, people: People, token: str) -> None:
        assert said(await people.undo(token)) == UNDO_BAD

    async def test_seven_days_after(
        self, people: People, session: AsyncSession, owner: User, clock: time_machine.Traveller
    ) -> None:
        """They begin with the change, not with the letter."""
        requested = await people.request(owner, "new@example.com")
        clock.shift(timedelta(minutes=59))
        assert (await people.confirm(requested.confirm)).status_code == 200
        clock.shift(timedelta(days=7))
        assert said(await people.undo(requested.undo)) == UNDO_BAD
        clock.shift(timedelta(seconds=-1))
        assert (await people.undo(requested.undo)).status_code == 200
        await session.refresh(owner)
        assert owner.email == "owner@example.com"

    async def test_twice(self, people: People, session: AsyncSession, owner: User) -> None:
        undo = await people.change(owner, "new@example.com")
        assert (await people.undo(undo)).status_code == 200
        assert said(await people.undo(undo)) == UNDO_BAD
        await session.refresh(owner)
        assert owner.email == "owner@example.com"

    async def test_of_somebody_deleted(self, people: People, session: AsyncSession, owner: User) -> None:
        undo = await people.change(owner, "new@example.com")
        await session.delete(owner)
        await session.commit()
        assert said(await people.undo(undo)) == UNDO_BAD

    async def test_before_the_change(self, people: People, session: AsyncSession, owner: User) -> None:
        """It is called off."""
        requested = await people.request(owner, "new@example.com")
        response = await people.undo(requested.undo)
        await session.refresh(owner)
        [letter] = await people.letters()
        assert said(response) == (200, {**user_read(owner), "reset_password_token": letter.token})
        assert (owner.email, owner.is_verified) == ("owner@example.com", True)
        assert said(await people.confirm(requested.confirm)) == CONFIRM_BAD

    async def test_after_the_change(self, people: People, session: AsyncSession, owner: User) -> None:
        undo = await people.change(owner, "new@example.com")
        await people.letters()
        response = await people.undo(undo)
        await session.refresh(owner)
        # Whoever undoes it may be the thief, who still reads the old mailbox: the other one is told as well.
        restored, removed = await people.letters()
        assert said(response) == (200, {**user_read(owner), "reset_password_token": restored.token})
        assert response.headers["Cache-Control"] == "no-store"
        assert (owner.email, owner.is_verified) == ("owner@example.com", True)
        assert heads([restored, removed]) == [
            ("owner@example.com", "Choose a new password: your e-mail address is back"),
            ("new@example.com", "Your e-mail address was changed back"),
        ]
        assert f"/reset-password?token={restored.token}" in restored.text
        assert "token=" not in removed.text
        # Whoever changed it knows the password.
        assert not await people.signs_in("owner@example.com")
        assert not await people.signs_in("new@example.com")
        body = {"token": restored.token, "password": NEW_PASSWORD}
        assert said(await people.client.post("/auth/reset-password", json=body)) == (200, None)
        assert await people.signs_in("owner@example.com", NEW_PASSWORD)

    async def test_an_address_that_was_never_verified(
        self, people: People, session: AsyncSession, create_user: CreateUser
    ) -> None:
        """It may be somebody else's: it is told, cannot undo the change, and is free afterwards."""
        user = await create_user("victim", is_verified=False)
        await people.letters()
        assert said(await people.ask(user, "squatter@example.com")) == (202, None)
        told, asked = await people.letters()
        assert heads([told]) == [("victim@example.com", TO_THE_UNVERIFIED)]
        assert "token=" not in told.text
        assert (await people.confirm(asked.token)).status_code == 200
        body = {"email": "Victim@example.com", "password": NEW_PASSWORD}
        assert (await people.client.post("/auth/register", json=body)).status_code == 201

    async def test_after_another_change(self, people: People, session: AsyncSession, owner: User) -> None:
        """The first owner has the last word: what leads back to an address of a thief is dead."""
        first = await people.change(owner, "thief@example.com")
        second = await people.change(owner, "other@example.com")
        pending = await people.request(owner, "third@example.com")
        assert (await people.undo(first)).status_code == 200
        assert said(await people.undo(second)) == UNDO_BAD
        assert said(await people.undo(pending.undo)) == UNDO_BAD
        assert said(await people.confirm(pending.confirm)) == CONFIRM_BAD
        await session.refresh(owner)
        assert owner.email == "owner@example.com"

    async def test_after_the_password_was_changed_as_well(
        self, people: People, session: AsyncSession, owner: User
    ) -> None:
        """A thief has done what they could; the owner gets the account back with the old address alone."""
        undo = await people.change(owner, "thief@example.com")
        body = {"current_password": PASSWORD, "new_password": NEW_PASSWORD}
        assert (await (await people.as_user(owner)).post("/auth/change-password", json=body)).status_code == 204
        await people.client.post("/auth/forgot-password", json={"email": "thief@example.com"})
        *_, thiefs = await people.letters()
        assert (await people.undo(undo)).status_code == 200
        body = {"token": thiefs.token, "password": NEW_PASSWORD}
        response = await people.client.post("/auth/reset-password", json=body)
        assert said(response) == (400, {"detail": "RESET_PASSWORD_BAD_TOKEN"})
        await people.client.post("/auth/forgot-password", json={"email": "owner@example.com"})
        *_, letter = await people.letters()
        body = {"token": letter.token, "password": PASSWORD}
        assert said(await people.client.post("/auth/reset-password", json=body)) == (200, None)
        assert await people.signs_in("owner@example.com")

    async def test_nobody_takes_the_old_address_meanwhile(
        self, people: People, session: AsyncSession, owner: User, stranger: User, superuser: User
    ) -> None:
        undo = await people.change(owner, "new@example.com")
        body = {"email": "Owner@example.com", "password": NEW_PASSWORD}
        response = await people.client.post("/auth/register", json=body)
        assert said(response) == (400, {"detail": "REGISTER_USER_ALREADY_EXISTS"})
        by_superuser = await people.as_user(superuser)
        response = await by_superuser.patch(f"/users/{stranger.id}", json={"email": "Owner@example.com"})
        assert said(response) == (400, {"detail": "UPDATE_USER_EMAIL_ALREADY_EXISTS"})
        requested = await people.request(stranger, "Owner@example.com")
        assert said(await people.confirm(requested.confirm)) == CONFIRM_BAD
        assert (await people.undo(undo)).status_code == 200
