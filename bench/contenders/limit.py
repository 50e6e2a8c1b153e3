"""The limit: what one would write by hand for these routes alone, with Starlette, PyJWT and asyncpg's pool as it comes.

It answers the same bytes as the service and makes the same checks. What the service does beyond that, such as keeping
an audit trail or picking a client's request id, it does not do.
"""

import base64
import json
import uuid
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import UTC, datetime
from decimal import Decimal, InvalidOperation
from typing import Any
from urllib.parse import urlencode

import asyncpg  # type: ignore[import-untyped]  # It has no stubs
import uvicorn
from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import JSONResponse
from starlette.routing import Route

from app.core.settings import settings
from bench.contenders.limit_tokens import login, read_access, refresh, unauthorized

LARGEST_PRICE = Decimal("9999999999.99")

VIEWER = """
SELECT u.id, u.name, u.username, u.email, u.is_active, u.is_superuser, u.is_verified, u.group_id,
       u.created_at, u.updated_at
FROM user_session AS s JOIN "user" AS u ON u.id = s.user_id
WHERE s.id = $1 AND u.id = $2 AND s.transport = 'bearer' AND s.idle_expires_at > $3 AND u.is_active
"""
MEMBERS_AFTER = """
SELECT id, name, username, email FROM "user" WHERE group_id = $1 AND is_active AND id > $2 ORDER BY id LIMIT $3
"""
MEMBERS_FROM = """
SELECT id, name, username, email FROM "user" WHERE group_id = $1 AND is_active ORDER BY id LIMIT $2 OFFSET $3
"""
ITEMS_AFTER = """
SELECT id, title, description, price, user_id, created_at FROM item WHERE user_id = $1 AND id > $2
ORDER BY id LIMIT $3
"""
ITEMS_FROM = """
SELECT id, title, description, price, user_id, created_at FROM item WHERE user_id = $1 ORDER BY id LIMIT $2 OFFSET $3
"""
NEW_ITEM = """
INSERT INTO item (title, description, price, user_id, created_at) VALUES ($1, $2, $3, $4, $5)
RETURNING id, title, description, price, user_id, created_at
"""
POST = "SELECT id, title, content, author_id, created_at FROM post WHERE id = $1"


async def read_viewer(connection: Any, request: Request) -> Any:
    """Read who asks, if the session lives.

    Raises:
        HTTPException: It does not.
    """
    viewer = await connection.fetchrow(VIEWER, *read_access(request), datetime.now(UTC))
    if viewer is None:
        raise unauthorized()
    return viewer


def in_utc(moment: datetime) -> str:
    """Write a time as RFC 3339 does."""
    return moment.isoformat().replace("+00:00", "Z")


def paged(request: Request, rows: list[Any], limit: int, shown: list[dict[str, Any]]) -> JSONResponse:
    """Answer with a page, and tell where the next one is; `rows` has one more if there is one."""
    if len(rows) <= limit:
        return JSONResponse(shown)
    cursor = base64.urlsafe_b64encode(str(shown[-1]["id"]).encode()).decode().rstrip("=")
    kept = {name: value for name, value in request.query_params.items() if name not in {"skip", "after"}}
    link = f'<{request.url.path}?{urlencode({**kept, "after": cursor})}>; rel="next"'
    return JSONResponse(shown, headers={"Link": link})


def page_of(request: Request) -> tuple[int, int, str | None]:
    """Read limit, skip and cursor.

    Raises:
        HTTPException: They make no sense.
    """
    params = request.query_params
    try:
        limit, skip, after = int(params.get("limit", "50")), int(params.get("skip", "0")), params.get("after")
        if not (1 <= limit <= 100 and 0 <= skip <= 10_000) or (after is not None and "skip" in params):
            raise HTTPException(422)
        cursor = base64.urlsafe_b64decode(after + "=" * (-len(after) % 4)).decode() if after is not None else None
    except ValueError as error:
        raise HTTPException(422) from error
    return limit, skip, cursor


async def read_me(request: Request) -> JSONResponse:
    """GET /users/me."""
    async with request.app.state.pool.acquire() as connection:
        user = await read_viewer(connection, request)
    return JSONResponse(
        {
            **dict(user),
            "id": str(user["id"]),
            "created_at": in_utc(user["created_at"]),
            "updated_at": in_utc(user["updated_at"]),
        }
    )


async def list_members(request: Request) -> JSONResponse:
    """GET /user-groups/{id}/users, for members: whoever is in a group need not be told that it exists."""
    group_id, (limit, skip, after) = request.path_params["group_id"], page_of(request)
    async with request.app.state.pool.acquire() as connection:
        viewer = await read_viewer(connection, request)
        if viewer["group_id"] != group_id:
            raise HTTPException(404, "USER_GROUP_NOT_FOUND")
        if after is not None:
            rows = await connection.fetch(MEMBERS_AFTER, group_id, uuid.UUID(after), limit + 1)
        else:
            rows = await connection.fetch(MEMBERS_FROM, group_id, limit + 1, skip)
    shown = [
        {"id": str(row["id"]), "name": row["name"], "username": row["username"], "email": row["email"]}
        for row in rows[:limit]
    ]
    return paged(request, rows, limit, shown)


def as_item(row: Any) -> dict[str, Any]:
    """Show an item."""
    return {
        **dict(row),
        "price": str(row["price"]),
        "user_id": str(row["user_id"]),
        "created_at": in_utc(row["created_at"]),
    }


async def list_items(request: Request) -> JSONResponse:
    """GET /items."""
    limit, skip, after = page_of(request)
    async with request.app.state.pool.acquire() as connection:
        viewer = await read_viewer(connection, request)
        if after is not None:
            rows = await connection.fetch(ITEMS_AFTER, viewer["id"], int(after), limit + 1)
        else:
            rows = await connection.fetch(ITEMS_FROM, viewer["id"], limit + 1, skip)
    return paged(request, rows, limit, [as_item(row) for row in rows[:limit]])


def read_item(body: bytes) -> tuple[str, str | None, Decimal]:
    """Read a new item.

    Raises:
        HTTPException: It is none.
    """
    try:
        sent = json.loads(body)
        title, description, price = sent["title"].strip(), sent.get("description"), Decimal(str(sent["price"]))
    except (ValueError, KeyError, AttributeError, InvalidOperation) as error:
        raise HTTPException(422) from error
    if description is not None:
        description = str(description).strip()
    if not 1 <= len(title) <= 200 or not 0 <= price <= LARGEST_PRICE or price != round(price, 2):
        raise HTTPException(422)
    if (description is not None and not 1 <= len(description) <= 10_000) or "\0" in title + (description or ""):
        raise HTTPException(422)
    return title, description, price


async def create_item(request: Request) -> JSONResponse:
    """POST /items."""
    new = read_item(await request.body())
    async with request.app.state.pool.acquire() as connection, connection.transaction():
        viewer = await read_viewer(connection, request)
        row = await connection.fetchrow(NEW_ITEM, *new, viewer["id"], datetime.now(UTC))
    return JSONResponse(as_item(row), 201)


async def read_post(request: Request) -> JSONResponse:
    """GET /posts/{id}."""
    async with request.app.state.pool.acquire() as connection:
        row = await connection.fetchrow(POST, request.path_params["post_id"])
    if row is None:
        raise HTTPException(404, "POST_NOT_FOUND")
    shown = {**dict(row), "author_id": str(row["author_id"]), "created_at": in_utc(row["created_at"])}
    return JSONResponse(shown)


@asynccontextmanager
async def lifespan(app: Starlette) -> AsyncIterator[None]:
    """Open asyncpg's pool with its defaults, and close it."""
    url = settings.database.set(drivername="postgresql").render_as_string(hide_password=False)
    async with asyncpg.create_pool(url) as pool:
        app.state.pool = pool
        yield


app = Starlette(
    routes=[
        Route("/users/me", read_me),
        Route("/user-groups/{group_id:int}/users", list_members),
        Route("/items", list_items),
        Route("/items", create_item, methods=["POST"]),
        Route("/posts/{post_id:int}", read_post),
        Route("/auth/jwt/login", login, methods=["POST"]),
        Route("/auth/jwt/refresh", refresh, methods=["POST"]),
    ],
    lifespan=lifespan,
)

if __name__ == "__main__":
    # uvicorn chooses uvloop and httptools, as it does for the service.
    uvicorn.run(app, port=settings.port, log_config=None, log_level="error", access_log=False, proxy_headers=False)
