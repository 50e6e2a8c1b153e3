"""Groups of users, and their members."""

from typing import Any

from sqlalchemy import ColumnElement, Select, and_, bindparam, or_, select, true
from sqlmodel import col

from app.core.errors import Conflict, Forbidden, NotFound
from app.crud.base import EVERYTHING, NOTHING, EditableCollection, Rule, fits
from app.crud.pages import Listing, Page, Rows, columns, table_of
from app.models import User, UserGroup
from app.schemas import UserGroupMember, UserGroupRead, UserPublic
from app.schemas.base import Schema
from fastapi_users_sqlmodel._statements import fetch

_GROUP = table_of(UserGroup)
_IS_PUBLIC = and_(col(UserGroup.is_public))
_IS_PUBLIC_OR_OWN = or_(col(UserGroup.is_public), col(UserGroup.id) == bindparam("own_group_id"))


class _Members(Listing):
    """The members of a group that the reader may see.

    The result has no row if the reader may not see the group, and one row of NULLs if the group has no members.
    """

    def __init__(self, shape: type[Schema], *, only_active: bool, visible: ColumnElement[bool]) -> None:
        members = select(*columns(User, shape)).where(col(User.group_id) == bindparam("group_id"))
        self._visible = visible
        super().__init__(
            shape,
            members.where(col(User.is_active)) if only_active else members,
            key=table_of(User).c.id,
        )

    def within(self, page: Select[Any]) -> Select[Any]:
        """Return one statement that reads the group and a page of its members."""
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
    """There is no such group, or the person may not see it."""


class UserGroupNameTaken(Conflict):
    """Another group has this name."""


class UserGroups(EditableCollection[UserGroup]):
    """The groups, on one session."""

    model, shape, not_found = UserGroup, UserGroupRead, UserGroupNotFound
    taken = {"name": UserGroupNameTaken}  # noqa: RUF012  # The base class says ClassVar

    def visible(self, viewer: User | None) -> Rule:
        """Return the rule for the public groups and the person's own; for all of them if the person is a superuser."""
        if viewer is None:
            return _IS_PUBLIC, {}
        return EVERYTHING if viewer.is_superuser else (_IS_PUBLIC_OR_OWN, {"own_group_id": viewer.group_id})

    def changeable(self, by: User) -> Rule:
        """Return the rule for all groups if the person is a superuser, and for none otherwise."""
        return EVERYTHING if by.is_superuser else NOTHING

    async def create(self, values: dict[str, Any], *, by: User) -> dict[str, Any]:
        """Create a group.

        Raises:
            Forbidden: `by` is no superuser.
            UserGroupNameTaken: Another group has this name.
        """
        if not by.is_superuser:
            raise Forbidden(by.id)
        return await super().create(values, by=by)

    async def members(self, group_id: int, page: Page, *, seen_by: User | None) -> Rows:
        """Read a page of a group's members with one statement. What the page shows depends on the reader.

        Raises:
            UserGroupNotFound: There is none, or `seen_by` may not see it.
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
        found = await fetch(self.session, statement, {**of_the_page, **values}) if fits(values["group_id"]) else ()
        if not found:
            raise UserGroupNotFound(values["group_id"])
        # A group without members is one row of NULLs.
        return members.answer(found if found[0][0] is not None else (), page)
