"""Groups of users on the wire."""

from pydantic import StrictBool

from app.schemas.base import Input, Schema, ShortText, omittable


class UserGroupCreate(Input):
    """A new group; nobody but its members and superusers sees it unless it is public."""

    name: ShortText
    is_public: StrictBool = False


class UserGroupUpdate(Input):
    """What may change about a group."""

    name: ShortText = omittable()
    is_public: StrictBool = omittable()


class UserGroupRead(Schema):
    """A group."""

    id: int
    name: str
    is_public: bool
