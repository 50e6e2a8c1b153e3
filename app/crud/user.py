"""Users, to read; the user manager changes them."""

import uuid

from fastapi_users.exceptions import InvalidID, UserNotExists
from sqlalchemy import bindparam, select
from sqlmodel import col

from app.core.errors import NotFound
from app.crud.base import Collection
from app.crud.pages import Listing, Page, Rows, columns, table_of
from app.models import User
from app.schemas import UserRead
from fastapi_users_sqlmodel._statements import fetch

_ID = select(col(User.id)).where(col(User.id) == bindparam("user_id"))
_ALL = Listing(UserRead, select(*columns(User, UserRead)), key=table_of(User).c.id)


class UserNotFound(NotFound, translates=(InvalidID, UserNotExists)):
    """There is no such user."""


class Users(Collection):
    """The users, on one session."""

    async def require(self, user_id: uuid.UUID) -> None:
        """Look whether there is a user.

        Raises:
            UserNotFound: There is none.
        """
        if not await fetch(self.session, _ID, {"user_id": user_id}):
            raise UserNotFound(user_id)

    async def list(self, page: Page) -> Rows:
        """Read a page of all users."""
        return await self.read_page(_ALL, page)
