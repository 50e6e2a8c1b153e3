"""The recipes of docs/recipes.md, each applied to the app of the quick start as the page says, and used over HTTP."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import httpx2
import pytest
import sqlalchemy as sa
from websockets.asyncio.client import connect
from websockets.exceptions import ConnectionClosed, InvalidStatus

from fastapi_users_sqlmodel.engines import sync_url
from tests.documents import recipes
from tests.library.alembic_project import INI, MAKO
from tests.outside.project import SECRET, Outside

RECIPES = recipes()
ANNA = {"email": "anna@example.com", "password": "correct horse battery"}
BERT = {"email": "bert@example.com", "password": "correct horse battery"}

pytestmark = pytest.mark.parametrize(
    "database_url", ["sqlite", pytest.param("postgresql", marks=pytest.mark.thorough)], indirect=True
)


@asynccontextmanager
async def following(outside: Outside, url: str, recipe: str) -> AsyncIterator[httpx2.AsyncClient]:
    """Apply a recipe, migrate, serve, and yield a client; nothing may have failed in the app at the end."""
    outside.programs.set(DATABASE_URL=url, SECRET_KEY=SECRET)
    outside.write({"alembic.ini": INI, "alembic/script.py.mako": MAKO, **RECIPES[recipe]})
    (outside.folder / "alembic" / "versions").mkdir()
    revision = ["revision", "--autogenerate", "-m", "First"]
    out = await asyncio.to_thread(outside.migrate_in_one, revision, ["upgrade", "head"], ["check"])
    assert "No new upgrade operations detected." in out
    server = await asyncio.to_thread(outside.serve)
    async with server.client() as client:
        yield client
    server.stop_silently()


async def login(
    client: httpx2.AsyncClient, user: dict[str, str], name: str | None = None, *, prefix: str = "/auth/jwt"
) -> httpx2.Response:
    form = {"username": name or user["email"], "password": user["password"]}
    return await client.post(f"{prefix}/login", data=form)


async def bearer(
    client: httpx2.AsyncClient, user: dict[str, str], name: str | None = None, *, prefix: str = "/auth/jwt"
) -> dict[str, str]:
    answer = await login(client, user, name, prefix=prefix)
    assert answer.status_code == 200, answer.text
    return {"Authorization": f"Bearer {answer.json()['access_token']}"}


async def test_usernames(outside: Outside, outside_url: str) -> None:
    async with following(outside, outside_url, "Usernames") as client:
        registered = await client.post("/auth/register", json={**ANNA, "username": "Anna"})
        assert (registered.status_code, registered.json()["username"]) == (201, "anna")
        taken = await client.post("/auth/register", json={**BERT, "username": "ANNA"})
        assert (taken.status_code, taken.json()) == (400, {"detail": "REGISTER_USERNAME_ALREADY_EXISTS"})
        assert (await client.post("/auth/register", json={**BERT, "username": "b@b"})).status_code == 422
        headers = await bearer(client, ANNA, "anna")
        renamed = await client.patch("/users/me", json={"username": "ann"}, headers=headers)
        assert (renamed.status_code, renamed.json()["username"]) == (200, "ann")


async def test_phone_numbers(outside: Outside, outside_url: str) -> None:
    async with following(outside, outside_url, "Phone numbers") as client:
        assert (await client.post("/auth/register", json={**ANNA, "phone": "+15550100"})).status_code == 201
        reason = "already exists: phone"
        taken = await client.post("/auth/register", json={**BERT, "phone": "+15550100"})
        assert taken.json() == {"detail": {"code": "REGISTER_VALUE_ALREADY_EXISTS", "reason": reason}}
        assert (await client.post("/auth/register", json=BERT)).status_code == 201
        headers = await bearer(client, BERT)
        taken = await client.patch("/users/me", json={"phone": "+15550100"}, headers=headers)
        assert taken.json() == {"detail": {"code": "UPDATE_USER_VALUE_ALREADY_EXISTS", "reason": reason}}
        assert (await client.patch("/users/me", json={"phone": "+15550101"}, headers=headers)).status_code == 200


async def test_soft_delete(outside: Outside, outside_url: str) -> None:
    async with following(outside, outside_url, "Soft delete") as client:
        assert (await client.post("/auth/register", json=ANNA)).status_code == 201
        headers = await bearer(client, ANNA)
        assert (await client.get("/users/me", headers=headers)).status_code == 200
        assert (await client.post("/leave", headers=headers)).status_code == 204
        assert (await client.get("/users/me", headers=headers)).status_code == 401
        assert (await login(client, ANNA)).status_code == 400
        assert (await client.post("/auth/register", json=ANNA)).status_code == 400


async def test_tenants(outside: Outside, outside_url: str) -> None:
    async with following(outside, outside_url, "Tenants") as client:
        engine = sa.create_engine(sync_url(outside_url))
        with engine.begin() as connection:
            connection.execute(sa.text("INSERT INTO tenant (host) VALUES ('one.example'), ('two.example')"))
        engine.dispose()
        one, two = {"Host": "one.example"}, {"Host": "two.example"}
        assert (await client.post("/auth/register", json=ANNA)).status_code == 404
        assert (await client.post("/auth/register", json=ANNA, headers=one)).status_code == 201
        form = {"username": ANNA["email"], "password": ANNA["password"]}
        assert (await client.post("/auth/jwt/login", data=form, headers=two)).status_code == 400
        token = (await client.post("/auth/jwt/login", data=form, headers=one)).json()["access_token"]
        bearer = {"Authorization": f"Bearer {token}"}
        assert (await client.get("/users/me", headers={**one, **bearer})).status_code == 200
        assert (await client.get("/users/me", headers={**two, **bearer})).status_code == 401


async def test_two_tables_of_users(outside: Outside, outside_url: str) -> None:
    async with following(outside, outside_url, "Two tables of users") as client:
        hired = await asyncio.to_thread(outside.python, str(outside.folder / "hire.py"), *BERT.values())
        assert (hired.status, hired.err) == (0, "")
        assert (await client.post("/auth/register", json=BERT)).status_code == 201
        staff, customer = await bearer(client, BERT, prefix="/staff/auth"), await bearer(client, BERT)
        assert (await client.get("/staff/users/me", headers=staff)).status_code == 200
        assert (await client.get("/users/me", headers=customer)).status_code == 200
        assert (await client.get("/staff/users/me", headers=customer)).status_code == 401
        assert (await client.get("/users/me", headers=staff)).status_code == 401


async def test_read_only_sessions_for_gets(outside: Outside, outside_url: str) -> None:
    async with following(outside, outside_url, "Read-only sessions for GETs") as client:
        assert (await client.post("/auth/register", json=ANNA)).status_code == 201
        headers = await bearer(client, ANNA)
        assert (await client.post("/notes", params={"text": "Hello"}, headers=headers)).status_code == 201
        assert [note["text"] for note in (await client.get("/notes", headers=headers)).json()] == ["Hello"]


async def test_websockets_from_a_browser(outside: Outside, outside_url: str) -> None:
    async with following(outside, outside_url, "WebSockets from a browser") as client:
        assert (await client.post("/auth/register", json=ANNA)).status_code == 201
        assert (await client.post("/auth/websocket-ticket")).status_code == 401
        headers = await bearer(client, ANNA)
        issued = await client.post("/auth/websocket-ticket", headers=headers)
        assert (issued.status_code, issued.json()["expires_in"]) == (201, 30)
        url = f"ws://{client.base_url.netloc.decode()}/ws"
        with pytest.raises(InvalidStatus, match="HTTP 403"):
            await connect(url)
        with_ticket = f"{url}?ticket={issued.json()['ticket']}"
        async with connect(with_ticket) as socket:
            assert await socket.recv() == "Hello anna@example.com"
            with pytest.raises(InvalidStatus, match="HTTP 403"):
                await connect(with_ticket)
            assert (await client.post("/auth/jwt/logout", headers=headers)).status_code == 204
            with pytest.raises(ConnectionClosed) as closed:
                await asyncio.wait_for(socket.recv(), 30)
        assert closed.value.rcvd is not None
        assert closed.value.rcvd.code == 1008
