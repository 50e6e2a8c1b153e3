"""Groups of users, and who is in them; who may see a group is in the question."""

import uuid
from typing import Any

from sqlalchemy import ColumnElement, Select, and_, bindparam, or_, select, true
from sqlmodel import col

from app.core.errors import Conflict, Forbidden, NotFound
from app.crud.base import Collection, Listing, Page, Rows, columns, integer_key, table_of
from app.models import User, UserGroup
from app.models.base import MAX_INTEGER
from app.schemas import UserGroupMember, UserGroupRead, UserPublic
from app.schemas.base import Schema
from fastapi_users_sqlmodel.reading import fetch

_GROUP = table_of(UserGroup)
_GROUPS = select(*columns(UserGroup, UserGroupRead))
_IS_PUBLIC = and_(col(UserGroup.is_public))
_IS_PUBLIC_OR_OWN = or_(col(UserGroup.is_public), col(UserGroup.id) == bindparam("own_group_id"))
_ALL = Listing(UserGroupRead, _GROUPS, key=_GROUP.c.id, parse=integer_key)
_PUBLIC = Listing(UserGroupRead, _GROUPS.where(_IS_PUBLIC), key=_GROUP.c.id, parse=integer_key)
_PUBLIC_OR_OWN = Listing(UserGroupRead, _GROUPS.where(_IS_PUBLIC_OR_OWN), key=_GROUP.c.id, parse=integer_key)


class _Members(Listing):
    """The members of a group that one may know of: no row where one may not, one without a member where nobody is."""

    def __init__(self, shape: type[Schema], *, only_active: bool, visible: ColumnElement[bool]) -> None:
        members = select(*columns(User, shape)).where(col(User.group_id) == bindparam("group_id"))
        self._visible = visible
        super().__init__(
            shape,
            members.where(col(User.is_active)) if only_active else members,
            key=table_of(User).c.id,
            parse=uuid.UUID,
        )

    def within(self, page: Select[Any]) -> Select[Any]:
        """Look at the group and at a page of its members at once."""
        members = page.subquery("members")
        return (
            select(*members.c)
            .select_from(_GROUP.outerjoin(members, true()))
            .where(_GROUP.c.id == bindparam("group_id"), self._visible)
            .order_by(members.c.id)
        )


_MEMBERS_OF_ANY = _Members(UserGroupMember, only_active=False, visible=true())
_MEMBERS = _Members(UserGroupMember, only_active=True, visible=_IS_PUBLIC_OR_OWN)
_MEMBERS_IN_PUBLIC = _Members(UserPublic, only_active=True, visible=_IS_PUBLIC_OR_OWN)


class UserGroupNotFound(NotFound):
    """There is no such group, or not for this person."""


class UserGroupNameTaken(Conflict):
    """Another group has this name."""


class UserGroups(Collection):
    """The groups, on one session."""

    async def list(self, page: Page, *, seen_by: User | None) -> Rows:
        """Read a page of the groups that somebody, or nobody in particular, may see."""
        if seen_by is None:
            return await self.read_page(_PUBLIC, page)
        if seen_by.is_superuser:
            return await self.read_page(_ALL, page)
        return await self.read_page(_PUBLIC_OR_OWN, page, own_group_id=seen_by.group_id)

    async def get(self, group_id: int, *, seen_by: User | None) -> UserGroup:
        """Read a group.

        Raises:
            UserGroupNotFound: There is none, or none that `seen_by` may know of.
        """
        statement = select(UserGroup).where(col(UserGroup.id) == group_id, _visible(seen_by))
        group: UserGroup | None = await self.find_one(statement) if group_id <= MAX_INTEGER else None
        if group is None:
            raise UserGroupNotFound(group_id)
        return group

    async def members(self, group_id: int, page: Page, *, seen_by: User | None) -> Rows:
        """Read a page of a group's members, as much of them as `seen_by` may see, in one statement.

        Raises:
            UserGroupNotFound: There is none, or none that `seen_by` may know of.
        """
        values: dict[str, Any] = {"group_id": group_id}
        if seen_by is not None and seen_by.is_superuser:
            return await self._read_members(_MEMBERS_OF_ANY, page, values)
        values["own_group_id"] = seen_by.group_id if seen_by is not None else None
        if values["own_group_id"] == group_id:
            return await self._read_members(_MEMBERS, page, values)
        return await self._read_members(_MEMBERS_IN_PUBLIC, page, values)

    async def _read_members(self, members: _Members, page: Page, values: dict[str, Any]) -> Rows:
        statement, of_the_page = members.question(page)
        known = values["group_id"] <= MAX_INTEGER
        found = await fetch(self.session, statement, {**of_the_page, **values}) if known else ()
        if not found:
            raise UserGroupNotFound(values["group_id"])
        # The group that nobody is in is a row as well, without a member.
        return members.answer(found if found[0][0] is not None else (), page)

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
