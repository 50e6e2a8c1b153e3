"""Apps of others, in small: each is migrated, served and used over HTTP, and does what is special about it.

tests/examples proves what the account routes promise, on FastAPI Users' own example in the repository's environment.
This file adds what that example has not, from the wheel: other ids, strategies, tables, inheritance, stores, sessions.
The shapes are those of public projects; no line is theirs.
"""

import asyncio
import uuid
from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from pathlib import Path
from typing import Any

import httpx2
import psycopg
import pytest

from tests.library.alembic_project import INI, MAKO
from tests.outside.project import SECRET, Outside

APPS = Path(__file__).parent / "apps"
ANNA, BERT = "anna@example.com", "bert@example.com"
PASSWORD, WRONG = "correct horse battery", "not this horse at all"
ENV = """\
from apps.{name} import Base
from apps.db import DATABASE_URL
from fastapi_users_sqlmodel.migrations import run_migrations

run_migrations(Base.metadata, url=DATABASE_URL{options})
"""

thorough = pytest.mark.thorough
SQLITE_FIRST = ["sqlite", pytest.param("postgresql", marks=thorough)]
POSTGRESQL_FIRST = ["postgresql", pytest.param("sqlite", marks=thorough)]
POSTGRESQL = ["postgresql"]


def on(databases: list[Any]) -> pytest.MarkDecorator:
    """Run on these databases; one of two is left to the long run."""
    return pytest.mark.parametrize("database_url", databases, indirect=True)


type Start = Callable[..., AbstractAsyncContextManager[httpx2.AsyncClient]]


@pytest.fixture
def start(outside: Outside, outside_url: str) -> Start:
    """Return a context manager that migrates an app, serves it, and yields a client; nothing may have failed in it."""
    outside.programs.set(DATABASE_URL=outside_url, SECRET_KEY=SECRET)

    @asynccontextmanager
    async def start(name: str, options: str = "") -> AsyncIterator[httpx2.AsyncClient]:
        env = ENV.format(name=name, options=options)
        outside.write({f"apps/{part}.py": (APPS / f"{part}.py").read_text() for part in ("db", "parts", name)})
        outside.write({"alembic.ini": INI, "alembic/env.py": env, "alembic/script.py.mako": MAKO})
        (outside.folder / "alembic" / "versions").mkdir()
        out = await asyncio.to_thread(
            outside.migrate_in_one, ["revision", "--autogenerate", "-m", "First"], ["upgrade", "head"], ["check"]
        )
        assert "No new upgrade operations detected." in out
        server = await asyncio.to_thread(outside.serve, f"apps.{name}:app")
        async with server.client() as client:
            yield client
        server.stop_silently()

    return start


async def register(client: httpx2.AsyncClient, prefix: str = "", email: str = ANNA, **fields: Any) -> dict[str, Any]:
    body = {"email": email, "password": PASSWORD, **fields}
    answer = await client.post(f"{prefix}/auth/register", json=body)
    assert answer.status_code == 201, answer.text
    user: dict[str, Any] = answer.json()
    return user


async def login(
    client: httpx2.AsyncClient, prefix: str = "", email: str = ANNA, password: str = PASSWORD
) -> httpx2.Response:
    return await client.post(f"{prefix}/auth/login", data={"username": email, "password": password})


async def bearer(client: httpx2.AsyncClient, prefix: str = "", email: str = ANNA) -> dict[str, str]:
    answer = await login(client, prefix, email)
    assert answer.status_code == 200, answer.text
    return {"Authorization": f"Bearer {answer.json()['access_token']}"}


@on(SQLITE_FIRST)
async def test_string_ids_and_cookies_and_accounts_at_a_provider(start: Start) -> None:
    async with start("string_ids") as client:
        anna = await register(client)
        assert (anna["id"][:4], anna["oauth_accounts"]) == ("usr_", [])
        assert (await login(client)).status_code == 204
        assert (await client.get("/users/me")).json()["id"] == anna["id"]
        account = {"provider": "github", "token": "1", "id": "17", "email": BERT}
        bert = (await client.post("/provider", json=account)).json()
        assert [each["account_id"] for each in bert["oauth_accounts"]] == ["17"]
        again = await client.post("/provider", json={**account, "token": "2"})
        assert (again.json()["id"], len(again.json()["oauth_accounts"])) == (bert["id"], 1)
        assert (await client.post("/auth/logout")).status_code == 204
        assert (await client.get("/users/me")).status_code == 401


@on(SQLITE_FIRST)
async def test_errors_without_an_exception_handler(start: Start) -> None:
    """Each error brings its status, code and headers, on the library's routes and on those of the app."""
    async with start("no_handlers") as client:
        anna = await register(client)
        me = await bearer(client)

        async def answer(method: str, path: str, body: dict[str, Any] | None = None) -> tuple[int, Any]:
            answer = await client.request(method, path, json=body, headers=me)
            assert answer.status_code != 401 or answer.headers["WWW-Authenticate"] == "Bearer"
            return answer.status_code, answer.json()["detail"]

        weak = {"code": "REGISTER_INVALID_PASSWORD", "reason": "Password should be at least 8 characters"}
        refused = {"type": "value_error", "loc": ["body", "shoe_size"], "msg": "cannot be set here"}
        change = {"current_password": WRONG, "new_password": PASSWORD}
        nobody = uuid.uuid4()
        assert await answer("POST", "/auth/register", {"email": BERT, "password": "short"}) == (400, weak)
        taken = {"email": ANNA, "password": PASSWORD}
        assert await answer("POST", "/auth/register", taken) == (400, "REGISTER_USER_ALREADY_EXISTS")
        assert await answer("POST", "/auth/verify", {"token": "x"}) == (400, "VERIFY_USER_BAD_TOKEN")
        assert await answer("POST", "/auth/change-password", change) == (400, "CURRENT_PASSWORD_BAD")
        assert await answer("DELETE", f"/users/{anna['id']}") == (403, "Forbidden")
        assert await answer("GET", "/payments") == (403, "FRESH_LOGIN_REQUIRED")
        assert await answer("POST", f"/promote/{anna['id']}") == (403, "Forbidden")
        assert await answer("POST", "/rename", {"shoe_size": "42"}) == (422, [refused])
        assert await answer("GET", f"/friends/{nobody}") == (404, "FRIEND_NOT_FOUND")
        paths = (await client.get("/openapi.json")).json()["paths"]
        documented = paths["/friends/{user_id}"]["get"]["responses"]["404"]["content"]["application/json"]
        assert documented["examples"] == {
            "FRIEND_NOT_FOUND": {"summary": "Nobody has this id.", "value": {"detail": "FRIEND_NOT_FOUND"}}
        }
        assert documented["schema"] == {"$ref": "#/components/schemas/ErrorModel"}


@on(SQLITE_FIRST)
async def test_integer_ids_and_tokens_in_the_database(start: Start) -> None:
    async with start("integer_ids") as client:
        anna = await register(client)
        one, stolen, other = [await bearer(client) for _ in range(3)]
        assert (await client.get("/users/me", headers=one)).json()["id"] == anna["id"] == 1
        assert (await client.post("/auth/logout", headers=one)).status_code == 204
        assert (await client.get("/users/me", headers=one)).status_code == 401
        change = {"password": WRONG, "current_password": PASSWORD}
        assert (await client.patch("/users/me", json=change, headers=other)).status_code == 200
        assert (await client.get("/users/me", headers=stolen)).status_code == 401
        assert (await client.get("/users/me", headers=other)).status_code == 200


@on(POSTGRESQL)
async def test_foreign_keys_of_postgresqls_own_type(start: Start) -> None:
    async with start("postgresql_uuids") as client:
        await register(client)
        headers = await bearer(client)
        assert (await client.post("/orders", headers=headers)).json() == 1
        assert (await client.post("/orders", headers=headers)).json() == 2


@on(POSTGRESQL)
async def test_users_in_a_schema(start: Start, database_url: str) -> None:
    with psycopg.connect(database_url) as connection:
        connection.execute("CREATE SCHEMA auth")
    async with start("in_a_schema", ", include_schemas=True") as client:
        anna = await register(client)
        assert (await client.get("/users/me", headers=await bearer(client))).json() == anna
    with psycopg.connect(database_url) as connection:
        assert connection.execute("SELECT email FROM auth.users").fetchall() == [(ANNA,)]


@on(POSTGRESQL_FIRST)
async def test_two_tables_of_users(start: Start) -> None:
    async with start("two_tables") as client:
        customer, staff = await register(client, "/customers"), await register(client, "/staff")
        assert customer["id"] == staff["id"] == 1
        headers = await bearer(client, "/customers")
        assert (await client.get("/customers/users/me", headers=headers)).status_code == 200
        assert (await client.get("/staff/users/me", headers=headers)).status_code == 401
        for _ in range(5):
            assert (await login(client, "/customers", password=WRONG)).status_code == 400
        assert (await login(client, "/customers")).status_code == 429
        # One of the two is locked out, the other one has the same id and is not.
        assert (await login(client, "/staff")).status_code == 200


@on(POSTGRESQL_FIRST)
async def test_accounts_that_are_joined_come_with_every_answer(start: Start) -> None:
    async with start("joined_accounts") as client:
        assert (await register(client))["oauth_accounts"] == []
        headers = await bearer(client)
        for name in ("google", "github", "microsoft"):
            linked = await client.post("/link", params={"name": name}, headers=headers)
            assert linked.status_code == 200, linked.text
        me = await client.get("/users/me", headers=headers)
        assert [each["oauth_name"] for each in me.json()["oauth_accounts"]] == ["github", "google", "microsoft"]
        changed = await client.patch("/users/me", json={}, headers=headers)
        assert (changed.status_code, changed.json()) == (200, me.json())


@on(SQLITE_FIRST)
async def test_whom_the_stores_own_get_does_not_find_is_nobody(start: Start) -> None:
    async with start("soft_delete") as client:
        await register(client)
        tokens = (await login(client)).json()
        headers = {"Authorization": f"Bearer {tokens['access_token']}"}
        assert (await client.get("/users/me", headers=headers)).status_code == 200
        assert (await client.post("/leave", headers=headers)).status_code == 204
        assert (await client.get("/users/me", headers=headers)).status_code == 401
        refreshed = await client.post("/auth/refresh", json={"refresh_token": tokens["refresh_token"]})
        assert refreshed.status_code == 401
        refused = await login(client)
        assert (refused.status_code, refused.json()) == (400, {"detail": "LOGIN_BAD_CREDENTIALS"})
        assert (await client.post("/auth/forgot-password", json={"email": ANNA})).status_code == 202


@on(POSTGRESQL_FIRST)
async def test_a_unique_phone_and_a_deferred_biography(start: Start) -> None:
    async with start("unique_phone") as client:
        await register(client, phone="+15550100")
        taken = {"email": BERT, "password": PASSWORD, "phone": "+15550100"}
        assert (await client.post("/auth/register", json=taken)).status_code == 400
        await register(client, email=BERT, phone="+15550101")
        headers = await bearer(client, email=BERT)
        refused = await client.patch("/users/me", json={"phone": "+15550100"}, headers=headers)
        assert refused.status_code == 400, refused.text
        changed = await client.patch("/users/me", json={"biography": "Long."}, headers=headers)
        assert (changed.status_code, changed.json()["phone"]) == (200, "+15550101")
        assert (await client.get("/biography", headers=headers)).json() == "Long."


@on(SQLITE_FIRST)
async def test_admins_that_extend_users(start: Start) -> None:
    async with start("joined_admins") as client:
        await register(client)
        admin = await register(client, "/admins", email=BERT, department="IT")
        assert admin["department"] == "IT"
        headers = await bearer(client, "/admins", BERT)
        assert (await client.get("/admins/users/me", headers=headers)).json() == admin
        changed = await client.patch("/admins/users/me", json={"department": "HR"}, headers=headers)
        assert changed.json() == {**admin, "department": "HR"}
        # Admins are users; users are no admins.
        assert (await client.get("/users/me", headers=await bearer(client, email=BERT))).json()["id"] == admin["id"]
        assert (await login(client, "/admins")).status_code == 400
        both = await client.post("/auth/register", json={"email": BERT, "password": PASSWORD})
        assert (both.status_code, both.json()) == (400, {"detail": "REGISTER_USER_ALREADY_EXISTS"})


@on(POSTGRESQL_FIRST)
async def test_gets_on_a_session_that_cannot_write(start: Start) -> None:
    async with start("read_only_gets") as client:
        await sign_in_and_read_twice(client)


@on(POSTGRESQL)
async def test_gets_as_a_role_that_may_not_write(start: Start, outside: Outside, database_url: str) -> None:
    role = f"reader_{uuid.uuid4().hex}"
    with psycopg.connect(database_url, autocommit=True) as connection:
        connection.execute(f"CREATE ROLE {role}")
        # What the migrations make is readable for it, and no more.
        connection.execute(f"ALTER DEFAULT PRIVILEGES GRANT SELECT ON TABLES TO {role}")
        outside.programs.set(READER=role)
        try:
            async with start("read_only_gets") as client:
                await sign_in_and_read_twice(client)
        finally:
            connection.execute(f"DROP OWNED BY {role}")
            connection.execute(f"DROP ROLE {role}")


async def sign_in_and_read_twice(client: httpx2.AsyncClient) -> None:
    await register(client)
    headers = await bearer(client)
    assert (await client.get("/users/me", headers=headers)).status_code == 200
    await asyncio.sleep(2.1)
    # Its use would be recorded now.
    assert (await client.get("/users/me", headers=headers)).status_code == 200


@on(SQLITE_FIRST)
async def test_a_store_that_writes_by_itself(start: Start) -> None:
    async with start("own_store") as client:
        anna = await register(client, username="Anna")
        assert (await client.get("/profiles")).json() == 1
        headers = await bearer(client, email="ANNA")
        assert (await client.get("/users/me", headers=headers)).json() == anna
        twice = await client.post("/auth/register", json={"email": ANNA.upper(), "password": PASSWORD})
        assert (twice.status_code, twice.json()) == (400, {"detail": "REGISTER_USER_ALREADY_EXISTS"})
        assert (await client.get("/profiles")).json() == 1
