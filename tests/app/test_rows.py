"""Rows that are written as they were read are what the route's shape would have written, to the byte."""

from decimal import Decimal
from typing import Any

import httpx2
import pytest
from fastapi.routing import APIRoute
from pydantic import TypeAdapter
from sqlmodel.ext.asyncio.session import AsyncSession

from app.api.router import routers
from app.models import Item, Post, User
from tests.app.fixture_types import AsUser, CreateGroup

SHAPES: dict[str, TypeAdapter[Any]] = {
    f"{method} {route.path}": TypeAdapter(route.response_model)
    for router in routers
    for route in router.routes
    if isinstance(route, APIRoute) and route.response_model is not None
    for method in route.methods or ()
}


@pytest.fixture
async def world(session: AsyncSession, owner: User, stranger: User, create_group: CreateGroup) -> dict[str, Any]:
    group = await create_group("Ärzte", owner, stranger)
    post = Post(title="Ein \N{SNOWMAN}", content='"quoted"\n\u2028', author_id=owner.id)
    items = [
        Item(title="Lamp", price=Decimal("0.10"), user_id=owner.id),
        Item(title="Desk", description="<b>", price=Decimal("9999999999.99"), user_id=owner.id),
    ]
    session.add_all([post, *items])
    await session.commit()
    return {"group_id": group.id, "post_id": post.id, "id": owner.id}


@pytest.mark.parametrize(
    ("route", "who"),
    [
        ("/users", "superuser"),
        ("/users/me/audit-events", "owner"),
        ("/audit-events", "superuser"),
        ("/users/{id}/posts", "owner"),
        ("/user-groups", "owner"),
        ("/user-groups/{group_id}/users", "owner"),
        ("/user-groups/{group_id}/users", "superuser"),
        ("/items", "owner"),
        ("/items", "superuser"),
        ("/posts", "stranger"),
        ("/posts/{post_id}", "stranger"),
    ],
)
async def test_what_is_read(
    world: dict[str, Any], as_user: AsUser, superuser: User, owner: User, stranger: User, route: str, who: str
) -> None:
    client = await as_user({"superuser": superuser, "owner": owner, "stranger": stranger}[who])
    # Something has happened to somebody.
    await client.patch("/users/me", json={"name": "Another name"})
    assert_in_shape(f"GET {route}", await client.get(route.format(**world)))


async def test_what_is_created(as_user: AsUser, owner: User) -> None:
    client = await as_user(owner)
    response = await client.post("/items", json={"title": " Lamp ", "price": "19.9"})
    assert_in_shape("POST /items", response)
    assert response.json() == (await client.get("/items")).json()[0]


def assert_in_shape(route: str, response: httpx2.Response) -> None:
    shape = SHAPES[route]
    assert response.is_success
    assert response.headers["content-type"] == "application/json"
    assert response.json()
    assert shape.dump_json(shape.validate_json(response.content)) == response.content
