"""/items: one's own things, all things for superusers."""

from decimal import Decimal
from typing import Any

import httpx2
import pytest
from sqlmodel import select
from sqlmodel.ext.asyncio.session import AsyncSession

from app.models import Item, User
from tests.app.fixture_types import AsUser
from tests.app.shapes import UNAUTHORIZED, item_read, problems, said, user_read

NOT_FOUND = (404, {"detail": "ITEM_NOT_FOUND"})
UNKNOWN = ["0", "2147483647", "2147483648", "9223372036854775808", "9" * 1000]
NOT_AN_ID = ["x", "+1", "-1", "\uff11", "1_0", "1.0", "%201", "%00"]

JSON = {"content-type": "application/json"}
# As they stand in the body, and as they come back.
PRICES = {
    "0": "0.00",
    "-0": "0.00",
    "-0.0": "0.00",
    '"-0"': "0.00",
    "1": "1.00",
    "1.5": "1.50",
    '"1.5"': "1.50",
    '" 1.50 "': "1.50",
    "0.01": "0.01",
    "0.1": "0.10",
    "0.29": "0.29",
    "19.90": "19.90",
    "1e3": "1000.00",
    "1E+3": "1000.00",
    '"1e3"': "1000.00",
    "9999999999.99": "9999999999.99",
    '"9999999999.99"': "9999999999.99",
    "8589934592.07": "8589934592.07",
}
NOT_A_PRICE = [
    "null",
    "true",
    "[]",
    "{}",
    '""',
    '"x"',
    '"0x10"',
    '"1,5"',
    "NaN",
    '"NaN"',
    '"sNaN"',
    "Infinity",
    "-Infinity",
    '"Infinity"',
    "-1",
    "-0.01",
    '"-0.01"',
    "1.001",
    '"1.001"',
    '"1.500"',
    '"1_000"',
    '"\uff11"',
    '"0.00000000000000000000000000000000000000000000000001"',
    '"1.00000000000000000000000000000000000000000000000001"',
    "0.30000000000000004",
    "10000000000",
    "9999999999.991",
    '"9999999999.995"',
    "1e300",
    "1e999",
    '"1e400000000"',
    '"1e-400000000"',
    "1" * 1000,
    f'"{"1" * 100_000}"',
]
WRONG_VALUES: list[tuple[str, Any, str]] = [
    ("title", "", "string_too_short"),
    ("title", " \t\n\u3000", "string_too_short"),
    ("title", "a" * 201, "string_too_long"),
    ("title", None, "string_type"),
    ("title", 1, "string_type"),
    ("title", "a\0b", "value_error"),
    ("description", "", "string_too_short"),
    ("description", "\n", "string_too_short"),
    ("description", "a" * 10_001, "string_too_long"),
    ("description", 1, "string_type"),
    ("description", "a\0b", "value_error"),
    ("id", 1, "extra_forbidden"),
    ("user_id", "00000000-0000-4000-8000-000000000000", "extra_forbidden"),
    ("owner", {}, "extra_forbidden"),
    ("created_at", "2020-01-01T00:00:00Z", "extra_forbidden"),
]


@pytest.fixture
async def item(session: AsyncSession, owner: User) -> Item:
    """An item of `owner`."""
    item = Item(title="Lamp", description="Gives light.", price=Decimal("19.90"), user_id=owner.id)
    session.add(item)
    await session.commit()
    return item


@pytest.fixture
async def item_of_stranger(session: AsyncSession, stranger: User) -> Item:
    item = Item(title="Chair", price=Decimal(0), user_id=stranger.id)
    session.add(item)
    await session.commit()
    return item


class TestList:
    async def test_nobody(self, client: httpx2.AsyncClient, item: Item) -> None:
        assert said(await client.get("/items")) == (401, UNAUTHORIZED)

    @pytest.mark.parametrize("path", ["/items", "/items/"])
    async def test_owner(self, as_user: AsUser, owner: User, item: Item, item_of_stranger: Item, path: str) -> None:
        response = await (await as_user(owner)).get(path)
        assert said(response) == (200, [item_read(item)])
        assert "link" not in response.headers

    async def test_superuser(self, as_user: AsUser, superuser: User, item: Item, item_of_stranger: Item) -> None:
        expected = sorted([item_read(item), item_read(item_of_stranger)], key=lambda item: item["id"])
        assert said(await (await as_user(superuser)).get("/items")) == (200, expected)


class TestCreate:
    async def test_nobody(self, client: httpx2.AsyncClient) -> None:
        for body in ({"title": "Lamp", "price": 1}, {}, {"price": "x"}):
            assert said(await client.post("/items", json=body)) == (401, UNAUTHORIZED)

    async def test_nothing(self, as_user: AsUser, owner: User) -> None:
        response = await (await as_user(owner)).post("/items", json={})
        assert problems(response) == (422, [("missing", ["body", "title"]), ("missing", ["body", "price"])])

    @pytest.mark.parametrize(("field", "value", "kind"), WRONG_VALUES)
    async def test_a_wrong_value(self, as_user: AsUser, owner: User, field: str, value: Any, kind: str) -> None:
        body = {"title": "Lamp", "price": 1, field: value}
        response = await (await as_user(owner)).post("/items", json=body)
        assert problems(response) == (422, [(kind, ["body", field])])

    @pytest.mark.parametrize("price", NOT_A_PRICE, ids=lambda price: price[:20])
    async def test_a_wrong_price(self, as_user: AsUser, session: AsyncSession, owner: User, price: str) -> None:
        content = f'{{"title": "Lamp", "price": {price}}}'
        response = await (await as_user(owner)).post("/items", content=content, headers=JSON)
        status, [(_, location)] = problems(response)
        assert (status, location) == (422, ["body", "price"])
        assert (await session.exec(select(Item))).all() == []

    @pytest.mark.parametrize("price", PRICES)
    async def test_a_price(self, as_user: AsUser, session: AsyncSession, owner: User, price: str) -> None:
        """What goes in comes out, at once and later."""
        client = await as_user(owner)
        response = await client.post("/items", content=f'{{"title": "Lamp", "price": {price}}}', headers=JSON)
        item = (await session.exec(select(Item))).one()
        assert said(response) == (201, item_read(item))
        assert response.json()["price"] == PRICES[price]
        assert said(await client.get("/items")) == (200, [response.json()])

    @pytest.mark.parametrize("path", ["/items", "/items/"])
    async def test_the_least(self, as_user: AsUser, session: AsyncSession, owner: User, path: str) -> None:
        response = await (await as_user(owner)).post(path, json={"title": " Lamp ", "price": "19.9"})
        item = (await session.exec(select(Item))).one()
        expected = {
            "id": item.id,
            "title": "Lamp",
            "description": None,
            "price": "19.90",
            "user_id": str(owner.id),
            "created_at": response.json()["created_at"],
        }
        assert said(response) == (201, expected)
        assert expected == item_read(item)
        assert expected["created_at"].endswith("Z")

    async def test_the_most(self, as_user: AsUser, session: AsyncSession, owner: User) -> None:
        face = "\N{GRINNING FACE}"
        body = {"title": face * 200, "description": f" {face * 10_000}\n", "price": 9999999999.99}
        response = await (await as_user(owner)).post("/items", json=body)
        item = (await session.exec(select(Item))).one()
        assert said(response) == (201, item_read(item))
        assert (item.title, item.description) == (face * 200, face * 10_000)

    async def test_description_null(self, as_user: AsUser, owner: User) -> None:
        response = await (await as_user(owner)).post("/items", json={"title": "x", "price": 1, "description": None})
        assert (response.status_code, response.json()["description"]) == (201, None)


class TestRead:
    async def test_nobody(self, client: httpx2.AsyncClient, item: Item) -> None:
        for item_id in (item.id, *UNKNOWN, *NOT_AN_ID):
            assert said(await client.get(f"/items/{item_id}")) == (401, UNAUTHORIZED)

    async def test_stranger(self, as_user: AsUser, stranger: User, item: Item) -> None:
        assert said(await (await as_user(stranger)).get(f"/items/{item.id}")) == NOT_FOUND

    async def test_none(self, as_user: AsUser, superuser: User) -> None:
        client = await as_user(superuser)
        answers = {item_id: said(await client.get(f"/items/{item_id}")) for item_id in UNKNOWN}
        assert answers == dict.fromkeys(UNKNOWN, NOT_FOUND)

    async def test_not_an_id(self, as_user: AsUser, superuser: User) -> None:
        client = await as_user(superuser)
        answers = {item_id: problems(await client.get(f"/items/{item_id}")) for item_id in NOT_AN_ID}
        assert answers == dict.fromkeys(NOT_AN_ID, (422, [("value_error", ["path", "item_id"])]))

    @pytest.mark.parametrize("who", ["owner", "superuser"])
    async def test_who_may(self, as_user: AsUser, owner: User, superuser: User, item: Item, who: str) -> None:
        response = await (await as_user(owner if who == "owner" else superuser)).get(f"/items/{item.id}")
        assert said(response) == (200, {**item_read(item), "owner": user_read(owner)})


class TestUpdate:
    async def test_nobody(self, client: httpx2.AsyncClient, item: Item) -> None:
        for item_id in (item.id, *UNKNOWN, *NOT_AN_ID):
            assert said(await client.patch(f"/items/{item_id}", json={"price": "x"})) == (401, UNAUTHORIZED)

    async def test_stranger(self, as_user: AsUser, session: AsyncSession, stranger: User, item: Item) -> None:
        before = item_read(item)
        for body in ({"title": "New"}, {}):
            assert said(await (await as_user(stranger)).patch(f"/items/{item.id}", json=body)) == NOT_FOUND
        await session.refresh(item)
        assert item_read(item) == before

    async def test_none(self, as_user: AsUser, superuser: User) -> None:
        client = await as_user(superuser)
        answers = {item_id: said(await client.patch(f"/items/{item_id}", json={})) for item_id in UNKNOWN}
        assert answers == dict.fromkeys(UNKNOWN, NOT_FOUND)

    @pytest.mark.parametrize(("field", "value", "kind"), [*WRONG_VALUES, ("price", None, "decimal_type")])
    async def test_a_wrong_value(
        self, as_user: AsUser, owner: User, item: Item, field: str, value: Any, kind: str
    ) -> None:
        response = await (await as_user(owner)).patch(f"/items/{item.id}", json={field: value})
        assert problems(response) == (422, [(kind, ["body", field])])

    async def test_nothing(self, as_user: AsUser, owner: User, item: Item) -> None:
        assert said(await (await as_user(owner)).patch(f"/items/{item.id}", json={})) == (200, item_read(item))

    @pytest.mark.parametrize("who", ["owner", "superuser"])
    async def test_who_may(
        self, as_user: AsUser, session: AsyncSession, owner: User, superuser: User, item: Item, who: str
    ) -> None:
        """It stays its owner's."""
        before = item_read(item)
        changes = {"title": " New ", "price": "0.5"}
        response = await (await as_user(owner if who == "owner" else superuser)).patch(
            f"/items/{item.id}", json=changes
        )
        assert said(response) == (200, {**before, "title": "New", "price": "0.50"})
        await session.refresh(item)
        assert item_read(item) == response.json()

    async def test_no_description(self, as_user: AsUser, owner: User, item: Item) -> None:
        before = item_read(item)
        response = await (await as_user(owner)).patch(f"/items/{item.id}", json={"description": None})
        assert said(response) == (200, {**before, "description": None})


class TestDelete:
    async def test_nobody(self, client: httpx2.AsyncClient, item: Item) -> None:
        for item_id in (item.id, *UNKNOWN, *NOT_AN_ID):
            assert said(await client.delete(f"/items/{item_id}")) == (401, UNAUTHORIZED)

    async def test_stranger(self, as_user: AsUser, owner: User, stranger: User, item: Item) -> None:
        assert said(await (await as_user(stranger)).delete(f"/items/{item.id}")) == NOT_FOUND
        assert (await (await as_user(owner)).get(f"/items/{item.id}")).status_code == 200

    async def test_none(self, as_user: AsUser, superuser: User) -> None:
        client = await as_user(superuser)
        answers = {item_id: said(await client.delete(f"/items/{item_id}")) for item_id in UNKNOWN}
        assert answers == dict.fromkeys(UNKNOWN, NOT_FOUND)

    @pytest.mark.parametrize("who", ["owner", "superuser"])
    async def test_who_may(
        self, as_user: AsUser, session: AsyncSession, owner: User, superuser: User, item: Item, who: str
    ) -> None:
        client = await as_user(owner if who == "owner" else superuser)
        assert said(await client.delete(f"/items/{item.id}")) == (204, None)
        assert said(await client.delete(f"/items/{item.id}")) == NOT_FOUND
        assert (await session.exec(select(Item))).all() == []
