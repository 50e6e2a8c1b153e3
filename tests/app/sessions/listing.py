"""The sessions of a person, listed."""

import uuid
from datetime import UTC, datetime, timedelta
from typing import Any

import httpx2

from tests.app.conftest import form
from tests.app.shapes import UNAUTHORIZED, said

OVER = (401, UNAUTHORIZED)
SAME_ORIGIN = {"Sec-Fetch-Site": "same-origin"}


async def listed(client: httpx2.AsyncClient) -> list[dict[str, Any]]:
    """Return one's sessions, each of the right shape."""
    response = await client.get("/auth/sessions")
    assert response.status_code == 200
    for row in response.json():
        assert row.keys() == {"id", "created_at", "last_seen_at", "ip_address", "user_agent", "current"}
        assert str(uuid.UUID(row["id"])) == row["id"]
        for name in ("created_at", "last_seen_at"):
            assert row[name].endswith("Z")
            assert abs(datetime.now(UTC) - datetime.fromisoformat(row[name])) < timedelta(minutes=1)
    return [*response.json()]


async def current(client: httpx2.AsyncClient) -> dict[str, Any]:
    [session] = [row for row in await listed(client) if row["current"]]
    return session


async def log_in(client: httpx2.AsyncClient, name: str = "owner", **headers: str) -> str:
    """Sign in as a browser does, and return the cookie."""
    response = await client.post("/auth/cookie/login", data=form(name), headers={**SAME_ORIGIN, **headers})
    assert said(response) == (204, None)
    return response.cookies["session"]
