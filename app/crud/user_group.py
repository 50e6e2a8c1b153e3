"""Groups of users, and who is in them; who may see a group is in the question."""

import uuid
from typing import Any

from sqlalchemy import ColumnElement, Select, and_, or_, select, true
from sqlmodel import col

from app.core.errors import Conflict, Forbidden, NotFound
from app.crud.base import Collection, Page, Rows, integer_key
from app.models import User, UserGroup
from app.models.base import MAX_INTEGER


class UserGroupNotFound(NotFound):
    """There is no such group, or not for this person."""


class UserGroupNameTaken(Conflict):
    """Another group has this name."""


class UserGroups(Collection):
    """The groups, on one session."""

    async def list(self, page: Page, *, seen_by: User | None) -> Rows[UserGroup]:
        """Read a page of the groups that somebody, or nobody in particular, may see."""
        statement = select(UserGroup).where(_visible(seen_by))
        return await self.read_page(statement, page, key=UserGroup.id, parse=integer_key)

    async def get(self, group_id: int, *, seen_by: User | None) -> UserGroup:
        """Read a group.

        Raises:
            UserGroupNotFound: There is none, or none that `seen_by` may know of.
        """
        statement = select(UserGroup).where(col(UserGroup.id) == group_id, _visible(seen_by))
        group = await self.session.scalar(statement) if group_id <= MAX_INTEGER else None
        if group is None:
            raise UserGroupNotFound(group_id)
        return group

    async def members(self, group_id: int, page: Page, *, seen_by: User | None) -> tuple[Rows[Any], bool]:
        """Read a page of a group's members, only the columns that are shown, and whether they are shown in full.

        Raises:
            UserGroupNotFound: There is none, or none that `seen_by` may know of.
        """
        await self.get(group_id, seen_by=seen_by)
        in_full = seen_by is not None and (seen_by.is_superuser or seen_by.group_id == group_id)
        columns: list[Any] = [User.id, User.name, *([User.username, User.email] if in_full else [])]
        statement: Select[Any] = select(*columns).where(col(User.group_id) == group_id)
        if seen_by is None or not seen_by.is_superuser:
            statement = statement.where(col(User.is_active))
        return await self.read_page(statement, page, key=User.id, parse=uuid.UUID, entities=False), in_full

    async def create(self, name: str, *, is_public: bool, by: User) -> UserGroup:
        """Create a group.

        Raises:
            Forbidden: `by` is no superuser.
            UserGroupNameTaken: Another group has this name.
        """
        if not by.is_superuser:
            raise Forbidden(by.id)
        group = UserGroup(name=name, is_public=is_public)
        async with self.refused_as(unique={"name": UserGroupNameTaken}, table=UserGroup):
            self.session.add(group)
        return group

    async def lock_to_administer(self, group_id: int, *, by: User) -> UserGroup:
        """Read a group that nobody else changes until this transaction ends.

        Raises:
            UserGroupNotFound: There is none, or none that `by` may know of.
            Forbidden: `by` is no superuser.
        """
        group = await self.get(group_id, seen_by=by)
        if not by.is_superuser:
            raise Forbidden(by.id, group_id)
        statement = select(UserGroup).where(col(UserGroup.id) == group_id).with_for_update()
        if (await self.session.scalar(statement.execution_options(populate_existing=True))) is None:
            raise UserGroupNotFound(group_id)
        return group

    async def update(self, group_id: int, changes: dict[str, Any], *, by: User) -> UserGroup:
        """Change a group.

        Raises:
            UserGroupNotFound: There is none, or none that `by` may know of.
            Forbidden: `by` is no superuser.
            UserGroupNameTaken: Another group has this name.
        """
        group = await self.lock_to_administer(group_id, by=by)
        async with self.refused_as(unique={"name": UserGroupNameTaken}, table=UserGroup):
            group.sqlmodel_update(changes)
        return group

    async def delete(self, group_id: int, *, by: User) -> None:
        """Delete a group; its users stay, without a group.

        Raises:
            UserGroupNotFound: There is none, or none that `by` may know of.
            Forbidden: `by` is no superuser.
        """
        await self.session.delete(await self.lock_to_administer(group_id, by=by))
        await self.session.flush()


def _visible(viewer: User | None) -> ColumnElement[bool]:
    if viewer is None:
        return and_(col(UserGroup.is_public))
    if viewer.is_superuser:
        return true()
    return or_(col(UserGroup.is_public), col(UserGroup.id) == viewer.group_id)
