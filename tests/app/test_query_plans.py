"""How the databases find what is asked for most: by an index, and in its order, however many rows there are."""

import uuid
from collections.abc import AsyncIterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any, NamedTuple

import httpx2
import pytest
from sqlalchemy import (
    ColumnElement,
    Connection,
    ForeignKeyConstraint,
    String,
    Table,
    and_,
    cast,
    insert,
    literal,
    or_,
    select,
)
from sqlalchemy.ext.asyncio import AsyncEngine

from app import db
from app.models import Base, User
from app.users import UserManager
from fastapi_users_sqlmodel import Throttle
from tests.app.conftest import Ground, form, strategy
from tests.app.databases import connected
from tests.app.plans import plans
from tests.app.wired import Statement, client_of, next_page, statements, wired

TABLES = Base.metadata.tables

USERS = 5000
# In each group but one.
MEMBERS = 100
LARGE_GROUP, LARGE = 1, 500
# So many rows of each kind has everybody, and so many one of them.
ROWS, ROWS_OF_READER = 4, 100


class Ask(NamedTuple):
    """A request, the indexes that lead to what it asks for, and the tables of which a few rows may be sorted."""

    who: str
    route: str
    indexes: set[str]
    sorted: frozenset[str] = frozenset()
    is_next_page: bool = False
    json: dict[str, str] | None = None
    data: dict[str, str] | None = None


WHO_ASKS = {"pk_user_session", "pk_user"}
SIGN_IN = {"pk_user", "ix_user_audit_event_user_id_network", "ix_user_session_user_id"}
OWN_EVENTS = {"ix_user_audit_event_user_id_id"}
# A user has a hundred sessions at most.
SESSIONS = frozenset({"user_session"})

ASKS = {
    "oneself": Ask("reader", "GET /users/me", WHO_ASKS),
    "oneself by cookie": Ask("reader by cookie", "GET /users/me", WHO_ASKS),
    "signing in by e-mail": Ask(
        "nobody", "POST /auth/jwt/login", SIGN_IN | {"ix_user_email_canonical"}, SESSIONS, data=form("0@example.com")
    ),
    "signing in by username": Ask(
        "nobody", "POST /auth/jwt/login", SIGN_IN | {"ix_user_username"}, SESSIONS, data=form("user-0")
    ),
    "refreshing": Ask("nobody", "POST /auth/jwt/refresh", WHO_ASKS, json={"refresh_token": "{refresh_token}"}),
    "sessions": Ask("reader", "GET /auth/sessions", WHO_ASKS | {"ix_user_session_user_id"}, SESSIONS),
    "posts": Ask("nobody", "GET /posts", {"pk_post"}),
    "posts at depth 10,000": Ask("nobody", "GET /posts?skip=9980&limit=20", {"pk_post"}, is_next_page=True),
    "a post": Ask("nobody", "GET /posts/100", {"pk_post"}),
    "posts of a user": Ask("nobody", "GET /users/{reader}/posts?limit=20", {"pk_user", "ix_post_author_id_post_id"}),
    # As many as the longest page: rather than look each up in order, PostgreSQL may fetch all and sort them.
    "a group": Ask("nobody", "GET /user-groups/2/users", {"ix_user_group_id_user_id"}, frozenset({"user"})),
    "a large group": Ask("nobody", "GET /user-groups/1/users?limit=20", {"ix_user_group_id_user_id"}),
    "a large group as a member": Ask(
        "reader", "GET /user-groups/1/users?limit=20", WHO_ASKS | {"ix_user_group_id_user_id"}
    ),
    "items": Ask("reader", "GET /items?limit=20", WHO_ASKS | {"ix_item_user_id_item_id"}),
    "all items": Ask("superuser", "GET /items", WHO_ASKS | {"pk_item"}),
    "users": Ask("superuser", "GET /users", WHO_ASKS),
    "changing a user as a superuser": Ask(
        "superuser",
        "PATCH /users/{reader}",
        WHO_ASKS | {"ix_user_is_superuser"},
        frozenset({"user"}),
        json={"name": "Reader"},
    ),
    "own events": Ask("reader", "GET /users/me/audit-events?limit=20", WHO_ASKS | OWN_EVENTS),
    "all events": Ask("superuser", "GET /audit-events?limit=20", WHO_ASKS | {"pk_user_audit_event"}),
    "events of a kind that there is none of": Ask(
        "superuser", "GET /audit-events?kind=delete", WHO_ASKS | {"ix_user_audit_event_kind_id"}
    ),
    "events of a user": Ask("superuser", "GET /audit-events?user_id={reader}&limit=20", WHO_ASKS | OWN_EVENTS),
}
# The page after the first one, of all that have one.
ASKS |= {
    f"{name}, next page": ask._replace(is_next_page=True)
    for name, ask in ASKS.items()
    if not ask.is_next_page and ("limit=20" in ask.route or name in {"posts", "a group", "all items", "users"})
}


def fill(connection: Connection, ids: dict[str, uuid.UUID], hashed_password: str) -> None:
    """Fill a database so that the planner has a choice."""
    groups = [LARGE_GROUP] * LARGE + [LARGE_GROUP + 1 + n // MEMBERS for n in range(USERS - LARGE)]
    user = {"hashed_password": hashed_password, "is_superuser": False}
    users = [
        user | {"id": uuid.uuid4(), "email": f"{n}@example.com", "username": f"user-{n}", "group_id": group}
        for n, group in enumerate(groups)
    ]
    users[0] |= {"id": ids["reader"]}
    users[1] |= {"id": ids["superuser"], "is_superuser": True}
    connection.execute(
        insert(TABLES["usergroup"]), [{"id": n, "name": f"{n}", "is_public": True} for n in sorted(set(groups))]
    )
    connection.execute(insert(TABLES["user"]), users)

    now, who = datetime.now(UTC), TABLES["user"].c
    first = select(literal(0).label("n")).cte("number", recursive=True)
    number = first.union_all(select(first.c.n + 1).where(first.c.n + 1 < ROWS_OF_READER))
    nth = number.c.n
    for name, rows, columns in (
        ("post", ROWS, {"title": "Hello", "content": "World", "author_id": who.id}),
        ("item", ROWS, {"title": "Lamp", "price": 1, "user_id": who.id}),
        (
            "user_audit_event",
            ROWS,
            {"kind": "login", "user_id": who.id, "network": literal("192.0.2.") + cast(nth, String)},
        ),
        (
            "user_token",
            1,
            {"hash": who.username, "purpose": "verify", "user_id": who.id, "expires_at": now}
            | {"email": who.email, "email_canonical": who.email_canonical},
        ),
        (
            "user_session",
            1,
            {"id": who.id, "user_id": who.id, "transport": "bearer", "method": "password", "generation": 0}
            | dict.fromkeys(("last_seen_at", "proved_at"), now)
            | dict.fromkeys(("idle_expires_at", "expires_at"), now + timedelta(days=1))
            | {"secret_hash": "x"},
        ),
    ):
        table = TABLES[name]
        values = [
            value if isinstance(value, ColumnElement) else literal(value, table.c[key].type)
            for key, value in columns.items()
        ]
        is_wanted = or_(nth < rows, and_(who.id == ids["reader"], literal(rows) > 1))
        everybody = select(*values).join_from(TABLES["user"], number, is_wanted).order_by(nth)
        connection.execute(insert(table).from_select([*columns], everybody))
    connection.exec_driver_sql("ANALYZE")


@dataclass(frozen=True)
class House:
    """The service on a full database, and who asks it."""

    engine: AsyncEngine
    clients: dict[str, httpx2.AsyncClient]
    names: dict[str, str]

    async def send(self, ask: Ask) -> list[Statement]:
        """Send a request that succeeds, and return what it has asked the database for."""
        method, _, path = ask.route.format(**self.names).partition(" ")
        client = self.clients[ask.who]
        if ask.is_next_page:
            path = next_page(await client.get(path)) or pytest.fail("there is no next page")
        json = ask.json and {name: value.format(**self.names) for name, value in ask.json.items()}
        with statements(self.engine) as sent:
            response = await client.request(method, path, json=json, data=ask.data)
        assert response.status_code == 200, response.text
        return sent


@pytest.fixture(scope="module")
async def house(ground: Ground, hashed_password: str) -> AsyncIterator[House]:
    ids = {"reader": uuid.uuid4(), "superuser": uuid.uuid4()}
    with connected(ground.database_url) as connection:
        fill(connection, ids, hashed_password)
    with wired(ground.database_url) as engine:
        async with db.async_session_maker() as session:
            reader, superuser = [await session.get_one(User, user_id) for user_id in ids.values()]
            token: Any = await strategy(session).write_token(reader)
        clients = {
            "nobody": await client_of(None),
            "reader": await client_of(reader),
            "reader by cookie": await client_of(reader, transport="cookie"),
            "superuser": await client_of(superuser),
        }
        yield House(engine, clients, {"reader": str(reader.id), "refresh_token": token.refresh_token})
        await engine.dispose()


@pytest.mark.parametrize("name", ASKS)
async def test_is_found_by_an_index_and_in_its_order(monkeypatch: pytest.MonkeyPatch, house: House, name: str) -> None:
    # As in production: whether a network is known is asked for as well.
    monkeypatch.setattr(UserManager, "throttle", Throttle())
    ask = ASKS[name]
    sent = await house.send(ask)
    async with house.engine.connect() as connection:
        found = {statement.text: await plans(connection, statement) for statement in sent}
    assert [
        (text, plan) for text, both in found.items() for plan in both if plan.whole or plan.sorted - ask.sorted
    ] == []
    assert {index for both in found.values() for plan in both for index in plan.indexes} == ask.indexes
    if ask.is_next_page:
        assert all(plan.is_entered for plan in found[sent[-1].text])


BAD = {
    "no index of an expression": """SELECT * FROM "user" WHERE lower(email) = '0@example.com'""",
    "no index of the column": "SELECT * FROM item WHERE title = 'Lamp' ORDER BY id",
    "another order": "SELECT * FROM post ORDER BY title LIMIT 50",
    "a list that is counted": "SELECT count(*) FROM user_audit_event",
    "an alternative without an index": "SELECT * FROM user_session WHERE transport = 'cookie' OR ip_address = ''",
}


@pytest.mark.parametrize("text", BAD.values(), ids=BAD)
async def test_what_is_found_in_another_way_is_refused(house: House, text: str) -> None:
    async with house.engine.connect() as connection:
        for plan in await plans(connection, Statement(text, ())):
            assert plan.whole or plan.sorted


KEYS = [
    key for table in Base.metadata.sorted_tables for key in table.constraints if isinstance(key, ForeignKeyConstraint)
]


@pytest.mark.parametrize("key", KEYS, ids=lambda key: str(key.name))
def test_a_foreign_key_is_indexed(key: ForeignKeyConstraint) -> None:
    """Or who deletes a row looks at every other one that might point to it."""
    table: Table = key.table
    indexed = [index.columns.keys() for index in table.indexes] + [table.primary_key.columns.keys()]
    assert any(columns[: len(key.column_keys)] == key.column_keys for columns in indexed)
