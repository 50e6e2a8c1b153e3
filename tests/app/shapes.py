"""What the service's answers look like, said a second time and without its help."""

from collections.abc import Sequence
from datetime import datetime
from typing import Any

import httpx2

from app.models import Item, Post, User, UserGroup

UNAUTHORIZED = {"detail": "Unauthorized"}
FORBIDDEN = {"detail": "Forbidden"}
UNKNOWN_USER = "00000000-0000-4000-8000-000000000000"


def user_public(user: User) -> dict[str, Any]:
    return {"id": str(user.id), "name": user.name}


def user_group_member(user: User) -> dict[str, Any]:
    return {**user_public(user), "username": user.username, "email": user.email}


def user_read(user: User) -> dict[str, Any]:
    return {
        **user_group_member(user),
        "is_active": user.is_active,
        "is_superuser": user.is_superuser,
        "is_verified": user.is_verified,
        "group_id": user.group_id,
        "created_at": rfc_3339(user.created_at),
        "updated_at": rfc_3339(user.updated_at),
    }


def user_group_read(group: UserGroup) -> dict[str, Any]:
    return {"id": group.id, "name": group.name, "is_public": group.is_public}


def item_read(item: Item) -> dict[str, Any]:
    return {
        "id": item.id,
        "title": item.title,
        "description": item.description,
        "price": f"{item.price:.2f}",
        "user_id": str(item.user_id),
        "created_at": rfc_3339(item.created_at),
    }


def post_read(post: Post) -> dict[str, Any]:
    return {
        "id": post.id,
        "title": post.title,
        "content": post.content,
        "author_id": str(post.author_id),
        "created_at": rfc_3339(post.created_at),
    }


def rfc_3339(time: datetime) -> str:
    assert time.tzinfo is not None
    return time.isoformat().replace("+00:00", "Z")


def said(response: httpx2.Response) -> tuple[int, Any]:
    """Return the whole answer: its status and its body."""
    return response.status_code, response.json() if response.content else None


def invalid(kind: str, location: Sequence[str | int], message: str) -> tuple[int, Any]:
    """Return the answer to a request with one thing wrong."""
    return 422, {"detail": [{"type": kind, "loc": list(location), "msg": message}]}


def problems(response: httpx2.Response) -> tuple[int, list[tuple[str, list[str | int]]]]:
    """Return the status and, for each thing that is wrong, its kind and its place; the words are pydantic's."""
    detail = response.json()["detail"]
    assert all(line.keys() == {"type", "loc", "msg"} for line in detail)
    return response.status_code, [(line["type"], line["loc"]) for line in detail]
