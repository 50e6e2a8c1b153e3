"""Users, to read; the user manager changes them."""

import uuid

from sqlalchemy import select
from sqlmodel import col

from app.core.errors import BadRequest, Conflict, NotFound
from app.crud.base import Collection, Page, Rows
from app.models import User


class UserNotFound(NotFound):
    """There is no such user."""


class UpdateUserEmailAlreadyExists(BadRequest):
    """The address belongs to another user."""


class UpdateUserUsernameAlreadyExists(BadRequest):
    """The username belongs to another user."""


class LastSuperuser(Conflict):
    """Without this one, nobody could administer the service."""


class Users(Collection):
    """The users, on one session."""

    async def find(self, user_id: uuid.UUID) -> User | None:
        """Find a user by id."""
        return await self.session.scalar(select(User).where(col(User.id) == user_id))

    async def get(self, user_id: uuid.UUID) -> User:
        """Read a user.

        Raises:
            UserNotFound: There is none.
        """
        if (user := await self.find(user_id)) is None:
            raise UserNotFound(user_id)
        return user

    async def list(self, page: Page) -> Rows[User]:
        """Read a page of all users."""
        return await self.read_page(select(User), page, key=User.id, parse=uuid.UUID)
