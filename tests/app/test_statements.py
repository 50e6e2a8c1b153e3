"""How many statements every route sends to the database: as many as the table says, however many rows there are."""

import uuid
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from functools import partial
from typing import Any
from unittest.mock import Mock

import httpx2
import pytest
from fastapi.routing import iter_route_contexts
from sqlalchemy import Table, update
from sqlalchemy.ext.asyncio import AsyncEngine

from app import db
from app.app import app
from app.models import Base, User, UserGroup
from app.users import UserManager
from fastapi_users_sqlmodel import SQLAlchemyUserDatabase, Throttle, _statements, tokens
from fastapi_users_sqlmodel.tokens import Purpose
from tests.app.conftest import Ground, strategy
from tests.app.shapes import UNAUTHORIZED, said
from tests.app.statements import STATEMENTS, Ask, Refresh
from tests.app.wired import client_of, next_page, statements, wired

# SQLite and PostgreSQL are sent the same statements.
ROUTES = {
    f"{method} {context.path}"
    for context in iter_route_contexts(app.router.routes)
    for method in context.methods or ()
    # The pages of the documentation alone answer a HEAD, as a GET.
    if method != "HEAD"
}


def parameters(route: str) -> set[str]:
    """Return the names of the parameters that OpenAPI knows of a route."""
    method, path = route.lower().split(" ")
    operation = app.openapi()["paths"].get(path, {}).get(method, {})
    return {parameter["name"] for parameter in operation.get("parameters", [])}


ASKS = [
    pytest.param(route, ask, id=f"{route} {ask.who} {ask.status}") for route, asks in STATEMENTS.items() for ask in asks
]
READS = [each for each in ASKS if str(each.values[0]).startswith("GET ")]
PAGED = [
    pytest.param(route, ask, id=f"{route} {ask.who}")
    for route, asks in STATEMENTS.items()
    for ask in asks
    if ask.status == 200 and "after" in parameters(route)
]
# For whom there is nothing without signing in.
SIGNED_IN = {route: asks[0] for route, asks in STATEMENTS.items() if all(ask.who != "nobody" for ask in asks)}
ONESELF = {"GET /users/me", "GET /authenticated-route"}

type Send = Callable[[], Awaitable[httpx2.Response]]

TABLES = Base.metadata.tables
SESSIONS: Table = TABLES["user_session"]


@dataclass(frozen=True)
class World:
    """What stands in the database: some people, and so many rows of everything that hangs on one of them."""

    rows: int
    users: dict[str, User]
    # Ids, by what a path may say instead.
    names: dict[str, str]
    clients: dict[str, httpx2.AsyncClient] = field(default_factory=dict)

    async def client(self, who: str) -> httpx2.AsyncClient:
        if who not in self.clients:
            name, _, transport = who.partition(" by ")
            self.clients[who] = await client_of(self.users.get(name), transport=transport or "bearer")
        return self.clients[who]

    async def prepare(self, route: str, ask: Ask, *, who: str | None = None) -> Send:
        """Return what sends a request as whoever asks, or as somebody else."""
        json = ask.json and {
            name: await self.token(value) if isinstance(value, Purpose | Refresh) else value
            for name, value in ask.json.items()
        }
        client = await self.client(who or ask.who)
        return partial(client.request, route.partition(" ")[0], self.path(route, ask), json=json, data=ask.data)

    async def token(self, what: Purpose | Refresh) -> str:
        """Get a token of the member's, as from a letter or from signing in."""
        member = self.users["member"]
        async with db.async_session_maker() as session, session.begin():
            if isinstance(what, Refresh):
                signed_in: Any = await strategy(session).write_token(member)
                return str(signed_in.refresh_token)
            store = SQLAlchemyUserDatabase[User, uuid.UUID](session, User)
            email = "new@example.com" if what is Purpose.CHANGE_EMAIL else member.email
            return await store.ask(tokens.issue, what, member.id, email=email, lifetime=timedelta(hours=1))

    def path(self, route: str, ask: Ask) -> str:
        names = {**self.names, "me": self.names.get(ask.who, "")}
        return route.partition(" ")[2].format(**{name: names.get(value, value) for name, value in ask.where.items()})


async def make_world(hashed_password: str, rows: int) -> World:
    """Make the world anew."""
    now = datetime.now(UTC)
    ids = {name: uuid.uuid4() for name in ("member", "stranger", "superuser")}
    member = {"user_id": ids["member"]}

    def user(name: str, **columns: Any) -> dict[str, Any]:
        known = {"email": f"{name}@example.com", "username": name, "hashed_password": hashed_password}
        return {"id": ids.get(name) or uuid.uuid4(), **known, "group_id": None, "is_superuser": False, **columns}

    async with db.async_session_maker() as session, session.begin():
        connection = await session.connection()
        # And what hangs on them.
        for name in ("user", "usergroup", "user_audit_event", "mail"):
            await connection.execute(TABLES[name].delete())
        groups = {name: UserGroup(name=name, is_public=name != "private") for name in ("public", "private", "empty")}
        session.add_all([*groups.values(), *(UserGroup(name=f"{n}", is_public=True) for n in range(rows))])
        await session.flush()
        public, private = ({"group_id": groups[name].id} for name in ("public", "private"))
        hanging = {
            "user": [
                *(
                    user(name, is_superuser=name == "superuser", **(private if name == "member" else {}))
                    for name in ids
                ),
                *(user(f"public-{n}", **public) for n in range(rows)),
                *(user(f"private-{n}", **private) for n in range(rows)),
                *(user(f"superuser-{n}", is_superuser=True) for n in range(rows)),
            ],
            "item": [{"title": "Lamp", "price": 1, **member}] * rows,
            "post": [{"title": "Hello", "content": "World", "author_id": ids["member"]}] * rows,
            "oauth_account": [
                {"oauth_name": "x", "access_token": "x", "account_id": f"{n}", "account_email": "x", **member}
                for n in range(rows)
            ],
            "accesstoken": [{"token": f"{n}", **member} for n in range(rows)],
            "user_session": [
                {"id": uuid.uuid4(), "transport": "bearer", "method": "password", "secret_hash": "x", "generation": 0}
                | dict.fromkeys(("created_at", "last_seen_at", "proved_at"), now)
                | dict.fromkeys(("idle_expires_at", "expires_at"), now + timedelta(days=1))
                | member
                for _ in range(rows)
            ],
            "user_token": [
                {"hash": f"{purpose} {n}", "purpose": purpose, "email": "x", "email_canonical": "x", "expires_at": now}
                | member
                for purpose in Purpose
                for n in range(rows)
            ],
            "user_audit_event": [
                {"kind": "login", "user_id": ids["member"], "actor_id": ids[actor]}
                for actor in ("superuser", "member")
                for _ in range(rows)
            ],
        }
        for name, values in hanging.items():
            await connection.execute(TABLES[name].insert(), values)
        users = {name: await session.get_one(User, user_id) for name, user_id in ids.items()}
        names = {name: str(user_id) for name, user_id in ids.items()}
        names |= {name: str(group.id) for name, group in groups.items()}
        for name in ("item", "post"):
            names[name] = str(await connection.scalar(TABLES[name].select().limit(1)))
        names["session"] = str(hanging["user_session"][0]["id"])
    return World(rows, users, names)


@pytest.fixture(scope="module")
async def engine(ground: Ground) -> AsyncIterator[AsyncEngine]:
    with wired(ground.database_url) as engine:
        yield engine
        await engine.dispose()


@pytest.fixture(scope="module", params=[pytest.param(1, marks=pytest.mark.thorough), 30])
def rows(request: pytest.FixtureRequest) -> int:
    """Return how many rows a list has, or hang on what is deleted: nothing may cost a statement for each."""
    count: int = request.param
    return count


@pytest.fixture(scope="module")
def made() -> list[World]:
    """Return the world that the database holds, if nobody has changed it."""
    return []


@pytest.fixture
async def world(
    monkeypatch: pytest.MonkeyPatch, engine: AsyncEngine, made: list[World], rows: int, hashed_password: str
) -> World:
    # As in production: whoever is counted costs a statement too.
    monkeypatch.setattr(UserManager, "throttle", Throttle())
    if not made or made[0].rows != rows:
        made[:] = [await make_world(hashed_password, rows)]
    return made[0]


def test_every_route_is_counted() -> None:
    assert STATEMENTS.keys() == ROUTES
    assert len(ROUTES) > 40


@pytest.mark.parametrize(("route", "ask"), READS)
def test_a_read_takes_two_statements_at_most_and_one_of_oneself_one(route: str, ask: Ask) -> None:
    if route in ONESELF or "me" in ask.where.values():
        assert ask.statements == 1
    else:
        assert ask.statements <= 2


@pytest.mark.parametrize(("route", "ask"), ASKS)
async def test_statements(engine: AsyncEngine, world: World, made: list[World], route: str, ask: Ask) -> None:
    if not route.startswith("GET ") and ask.status < 400:
        made.clear()
    send = await world.prepare(route, ask)
    with statements(engine) as sent:
        response = await send()
    assert response.status_code == ask.status, response.text
    assert len(sent) == ask.statements, sent


@pytest.mark.parametrize(("route", "ask"), PAGED)
async def test_statements_of_each_page(engine: AsyncEngine, world: World, route: str, ask: Ask) -> None:
    """As many as for the first one."""
    client = await world.client(ask.who)
    following: str | None = f"{world.path(route, ask)}?limit=9"
    pages = 0
    while following is not None:
        with statements(engine) as sent:
            response = await client.get(following)
        assert response.status_code == 200
        assert len(sent) == ask.statements, sent
        following = next_page(response)
        pages += 1
    has_none = {ask.who, *ask.where.values()} & {"stranger", "empty"}
    assert pages > 3 or world.rows == 1 or has_none


@pytest.mark.parametrize(("route", "ask"), READS)
async def test_a_read_is_learned(
    engine: AsyncEngine, world: World, route: str, ask: Ask, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The second time, whatever was made once runs on the driver's connection."""
    send = await world.prepare(route, ask)
    first = await send()
    monkeypatch.setattr(_statements, "_execute", Mock(side_effect=AssertionError("It was run by SQLAlchemy.")))
    second = await send()
    assert second.status_code == first.status_code == ask.status
    if route != "GET /health/ready":
        assert second.text == first.text


@pytest.mark.parametrize("route", SIGNED_IN)
async def test_nobody_is_turned_away_without_a_statement(engine: AsyncEngine, world: World, route: str) -> None:
    send = await world.prepare(route, SIGNED_IN[route], who="nobody")
    with statements(engine) as sent:
        response = await send()
    assert said(response) == (401, UNAUTHORIZED)
    assert sent == []


async def test_that_a_session_is_used_is_recorded_every_five_minutes(
    engine: AsyncEngine, world: World, made: list[World]
) -> None:
    """With one more statement."""
    made.clear()
    send = await world.prepare("GET /users/me", STATEMENTS["GET /users/me"][0])
    async with db.async_session_maker() as session, session.begin():
        connection = await session.connection()
        await connection.execute(update(SESSIONS).values(last_seen_at=datetime.now(UTC) - timedelta(minutes=6)))
    for count in (2, 1):
        with statements(engine) as sent:
            response = await send()
        assert response.status_code == 200
        assert len(sent) == count, sent
