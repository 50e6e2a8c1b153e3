"""The tables; importing this registers all of them, in one metadata."""

from app.models.base import Base, TableModel
from app.models.base import TableModel as SQLModel
from app.models.item import Item
from app.models.mail import OutgoingMail
from app.models.post import Post
from app.models.user import AccessToken, OAuthAccount, User
from app.models.user_group import UserGroup

__all__ = [
    "AccessToken",
    "Base",
    "Item",
    "OAuthAccount",
    "OutgoingMail",
    "Post",
    "SQLModel",
    "TableModel",
    "User",
    "UserGroup",
]
