"""Groups of users: bodies of requests and responses."""

from app.models.user_group import UserGroupBase
from app.schemas.base import Changes, Input, Row


class UserGroupCreate(UserGroupBase, Input):
    """A new group; only its members and superusers see it unless it is public."""


class UserGroupUpdate(UserGroupBase, Changes):
    """Changes of a group."""


class UserGroupRead(UserGroupBase, Row):
    """A group."""
