"""What a list says of security events, and some of another time."""

from datetime import UTC, datetime, timedelta
from typing import Any

import httpx2
from sqlalchemy import Table
from sqlalchemy.ext.asyncio import AsyncConnection

from app.models import User

NEW_PASSWORD = "wrong horse, other battery"
AUDIT_EVENTS: Table = User.metadata.tables["user_audit_event"]
TOKENS: Table = User.metadata.tables["user_token"]
# What the tests come from, unless they say otherwise.
HERE = "127.0.0.1"


def event(kind: str, user: User | None = None, **more: Any) -> dict[str, Any]:
    """Return what a list says of an event, but for its number, time and request."""
    nothing = {"user_id": str(user.id) if user is not None else None, "actor_id": None, "email": None}
    return {"kind": kind, **nothing, "network": HERE, "details": None, **more}


def seen(response: httpx2.Response) -> list[dict[str, Any]]:
    """Return the events of a list as `event` says them; the rest is as it has to be."""
    assert response.status_code == 200
    for row in response.json():
        assert row.keys() == {
            "id", "kind", "user_id", "actor_id", "email", "network", "request_id", "details", "created_at"
        }  # fmt: skip
        assert row["created_at"].endswith("Z")
        assert abs(datetime.now(UTC) - datetime.fromisoformat(row["created_at"])) < timedelta(minutes=1)
    return [
        {name: value for name, value in row.items() if name not in {"id", "request_id", "created_at"}}
        for row in response.json()
    ]


async def write(connection: AsyncConnection, count: int, **columns: Any) -> None:
    """Write events of another time behind the service's back."""
    row = {"kind": "login", "created_at": datetime.now(UTC), **columns}
    await connection.execute(AUDIT_EVENTS.insert(), [row] * count)


async def kinds_of(client: httpx2.AsyncClient, path: str) -> list[str]:
    return [row["kind"] for row in seen(await client.get(path))]
