"""Groups of users on the wire."""

from app.schemas.base import Input, Schema, ShortText, omittable


class UserGroupCreate(Input):
    """A new group; nobody but its members and superusers sees it unless it is public."""

    name: ShortText
    is_public: bool = False


class UserGroupUpdate(Input):
    """What may change about a group."""

    name: ShortText = omittable()
    is_public: bool = omittable()


class UserGroupRead(Schema):
    """A group."""

    id: int
    name: str
    is_public: bool
