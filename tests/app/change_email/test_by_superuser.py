"""A superuser changes the address of another user."""

import pytest
from sqlmodel.ext.asyncio.session import AsyncSession

from app.models import User
from tests.app.change_email.conftest import CONFIRM_BAD, NEW_PASSWORD, UNDO_BAD, People, heads
from tests.app.fixture_types import CreateUser
from tests.app.shapes import said, user_read
from tests.spellings import SPELLINGS, TYPED


@pytest.mark.parametrize("method", ["PATCH", "PUT"])
class TestBySuperuser:
    async def test_a_taken_address(
        self,
        people: People,
        session: AsyncSession,
        superuser: User,
        owner: User,
        create_user: CreateUser,
        method: str,
    ) -> None:
        await create_user("jörg", email=TYPED)
        by_superuser = await people.as_user(superuser)
        for spelling in SPELLINGS:
            response = await by_superuser.request(method, f"/users/{owner.id}", json={"email": spelling})
            assert said(response) == (400, {"detail": "UPDATE_USER_EMAIL_ALREADY_EXISTS"})
        await session.refresh(owner)
        assert owner.email == "owner@example.com"
        assert await people.letters() == []

    async def test_a_free_address(
        self, people: People, session: AsyncSession, superuser: User, create_user: CreateUser, method: str
    ) -> None:
        """At once and unverified; the old address is told, without a way back; what was mailed before is dead."""
        user = await create_user("anna", is_verified=True)
        await people.client.post("/auth/forgot-password", json={"email": user.email})
        (reset,) = await people.letters()
        requested = await people.request(user, "wanted@example.com")
        by_superuser = await people.as_user(superuser)
        response = await by_superuser.request(method, f"/users/{user.id}", json={"email": "Berta@example.com"})
        await session.refresh(user)
        assert said(response) == (200, user_read(user))
        assert (user.email, user.is_verified) == ("Berta@example.com", False)
        (letter,) = await people.letters()
        assert heads([letter]) == [("anna@example.com", "Your e-mail address was changed")]
        assert "token=" not in letter.text
        assert said(await people.confirm(requested.confirm)) == CONFIRM_BAD
        assert said(await people.undo(requested.undo)) == UNDO_BAD
        body = {"token": reset.token, "password": NEW_PASSWORD}
        response = await people.client.post("/auth/reset-password", json=body)
        assert said(response) == (400, {"detail": "RESET_PASSWORD_BAD_TOKEN"})
