"""GET /authenticated-route."""

import httpx2

from app.models import User
from tests.app.fixture_types import AsUser


async def test_nobody(client: httpx2.AsyncClient) -> None:
    response = await client.get("/authenticated-route")
    assert response.status_code == 401
    assert response.json() == {"detail": "Unauthorized"}
    assert response.headers["www-authenticate"] == "Bearer"


async def test_somebody(as_user: AsUser, owner: User) -> None:
    response = await (await as_user(owner)).get("/authenticated-route")
    assert response.status_code == 200
    assert response.json() == {"message": "Hello owner@example.com!"}
