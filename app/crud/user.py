"""Users: who they are to whom, and what a superuser changes about them."""

import uuid
from typing import Any

from sqlalchemy import and_, or_, select, update
from sqlmodel import col

from app.core.errors import BadRequest, Conflict, Forbidden, NotFound
from app.crud.base import Collection, Page, Rows
from app.crud.user_group import UserGroupNotFound
from app.models import User
from fastapi_users_sqlmodel.identity import canonical_email


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

    async def find_by_username(self, username: str) -> User | None:
        """Find a user by the name that signs in."""
        return await self.session.scalar(select(User).where(col(User.username) == username))

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

    async def lock(self, user_id: uuid.UUID) -> User:
        """Read a user whom nobody else changes until this transaction ends.

        Raises:
            UserNotFound: There is none.
        """
        statement = select(User).where(col(User.id) == user_id).with_for_update()
        user = await self.session.scalar(statement.execution_options(populate_existing=True))
        if user is None:
            raise UserNotFound(user_id)
        return user

    async def lock_to_administer(self, user_id: uuid.UUID, *, by: User) -> tuple[User, bool]:
        """Lock a user whom `by` is about to change or delete, and tell whether it is the last active superuser.

        Every active superuser is locked with them, in one statement and in one order: two who would remove each other
        wait in line, the second one sees what the first did, and nobody waits for somebody who waits for them.

        Raises:
            UserNotFound: There is no such user.
            Forbidden: `by` is no superuser, or not any more.
        """
        if not by.is_superuser:
            await self.get(user_id)
            raise Forbidden(by.id, user_id)
        concerned = (
            select(User)
            .where(or_(and_(col(User.is_superuser), col(User.is_active)), col(User.id) == user_id))
            .order_by(col(User.id))
            .with_for_update()
            .execution_options(populate_existing=True)
        )
        result = await self.session.exec(concerned)  # type: ignore[call-overload]  # SQLAlchemy's select() as well
        users = {user.id: user for user in result.scalars()}
        if user_id not in users:
            raise UserNotFound(user_id)
        superusers = {user.id for user in users.values() if user.is_superuser and user.is_active}
        if by.id not in superusers:
            raise Forbidden(by.id, user_id)
        return users[user_id], superusers == {user_id}

    async def update(self, user_id: uuid.UUID, changes: dict[str, Any], *, by: User) -> User:
        """Change a user as a superuser; a new e-mail is not verified, unless the same change says so.

        Raises:
            UserNotFound: There is no such user.
            Forbidden: `by` is no superuser.
            LastSuperuser: Nobody would be left to administer the service.
            UpdateUserEmailAlreadyExists: The address is taken.
            UpdateUserUsernameAlreadyExists: The username is taken.
            UserGroupNotFound: There is no such group.
        """
        user, is_last = await self.lock_to_administer(user_id, by=by)
        if is_last and not (changes.get("is_superuser", True) and changes.get("is_active", True)):
            raise LastSuperuser(user_id)
        if "email" in changes and canonical_email(changes["email"]) != user.email_canonical:
            changes = {"is_verified": False, **changes}
        return await self.change(user, changes)

    async def change(self, user: User, changes: dict[str, Any]) -> User:
        """Write changes that are allowed, one by one.

        Raises:
            UpdateUserEmailAlreadyExists: The address is taken.
            UpdateUserUsernameAlreadyExists: The username is taken.
            UserGroupNotFound: There is no such group.
        """
        taken = {
            "email_canonical": UpdateUserEmailAlreadyExists,
            "username": UpdateUserUsernameAlreadyExists,
        }
        async with self.refused_as(unique=dict(taken), missing=UserGroupNotFound, table=User):
            for name, value in changes.items():
                setattr(user, name, value)
        return user

    async def upgrade_hash(self, user: User, upgraded: str) -> None:
        """Replace a hash by a stronger one of the same password, unless the password was changed meanwhile."""
        as_known = (col(User.id) == user.id, col(User.hashed_password) == user.hashed_password)
        await self.session.exec(update(User).where(*as_known).values(hashed_password=upgraded))

    async def move(self, user_id: uuid.UUID, group_id: int, *, by: User) -> None:
        """Move a user into a group, out of another one.

        Raises:
            UserNotFound: There is no such user.
            Forbidden: `by` is no superuser.
            UserGroupNotFound: The group was deleted meanwhile.
        """
        user, _ = await self.lock_to_administer(user_id, by=by)
        await self.change(user, {"group_id": group_id})

    async def take_out(self, user_id: uuid.UUID, group_id: int, *, by: User) -> None:
        """Take a user out of a group.

        Raises:
            UserNotFound: There is no such user in this group.
            Forbidden: `by` is no superuser.
        """
        user, _ = await self.lock_to_administer(user_id, by=by)
        if user.group_id != group_id:
            raise UserNotFound(user_id, group_id)
        await self.change(user, {"group_id": None})

    async def delete(self, user_id: uuid.UUID, *, by: User) -> None:
        """Delete a user, and what hangs on the user.

        Raises:
            UserNotFound: There is no such user.
            Forbidden: `by` is no superuser.
            LastSuperuser: Nobody would be left to administer the service.
        """
        user, is_last = await self.lock_to_administer(user_id, by=by)
        if is_last:
            raise LastSuperuser(user_id)
        await self.session.delete(user)
        await self.session.flush()
