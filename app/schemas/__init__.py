"""The bodies of requests and responses."""

from app.schemas.audit_event import AuditEventRead
from app.schemas.item import ItemCreate, ItemRead, ItemReadWithOwner, ItemUpdate
from app.schemas.post import PostCreate, PostRead, PostUpdate
from app.schemas.user import (
    UserAdminUpdate,
    UserBase,
    UserCreate,
    UserGroupMember,
    UserPublic,
    UserRead,
    UserReplace,
    UserUpdate,
)
from app.schemas.user_group import UserGroupCreate, UserGroupRead, UserGroupUpdate

__all__ = [
    "AuditEventRead",
    "ItemCreate",
    "ItemRead",
    "ItemReadWithOwner",
    "ItemUpdate",
    "PostCreate",
    "PostRead",
    "PostUpdate",
    "UserAdminUpdate",
    "UserBase",
    "UserCreate",
    "UserGroupCreate",
    "UserGroupMember",
    "UserGroupRead",
    "UserGroupUpdate",
    "UserPublic",
    "UserRead",
    "UserReplace",
    "UserUpdate",
]
