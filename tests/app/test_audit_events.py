"""/users/me/audit-events and /audit-events: who reads what, in which order, and how far."""

import re
from collections.abc import Sequence

import httpx2
import pytest
from sqlalchemy.ext.asyncio import AsyncConnection

from app.models import User
from fastapi_users_sqlmodel import AuditEventKind
from tests.app.audit import event, seen, write
from tests.app.conftest import PASSWORD, form
from tests.app.fixture_types import AsUser, From
from tests.app.shapes import FORBIDDEN, UNAUTHORIZED, UNKNOWN_USER, problems, said


class TestListMine:
    async def test_nobody(self, client: httpx2.AsyncClient) -> None:
        assert said(await client.get("/users/me/audit-events?limit=x")) == (401, UNAUTHORIZED)

    @pytest.mark.parametrize("path", ["/users/me/audit-events", "/users/me/audit-events/"])
    async def test_nothing_has_happened(self, as_user: AsUser, owner: User, path: str) -> None:
        assert said(await (await as_user(owner)).get(path)) == (200, [])

    async def test_ones_own_alone(
        self, client: httpx2.AsyncClient, as_user: AsUser, owner: User, stranger: User, superuser: User
    ) -> None:
        """Not those of others, nor of nobody, a superuser neither."""
        for name in ("owner", "stranger", "nobody", "nobody@example.com"):
            await client.post("/auth/jwt/login", data=form(name))
        path = "/users/me/audit-events"
        assert seen(await (await as_user(owner)).get(path)) == [event("login", owner)]
        assert seen(await (await as_user(stranger)).get(path)) == [event("login", stranger)]
        assert seen(await (await as_user(superuser)).get(path)) == []

    async def test_newest_first(self, client: httpx2.AsyncClient, as_user: AsUser, owner: User) -> None:
        for password in (PASSWORD, "x", PASSWORD):
            await client.post("/auth/jwt/login", data=form("owner", password))
        response = await (await as_user(owner)).get("/users/me/audit-events")
        assert seen(response) == [event("login", owner), event("login_failed", owner), event("login", owner)]
        ids = [row["id"] for row in response.json()]
        assert ids == sorted(ids, reverse=True)
        assert "link" not in response.headers

    async def test_the_network_of_a_superuser_is_theirs(
        self, as_user: AsUser, superuser: User, owner: User, from_network: From
    ) -> None:
        """Nor is their request shown to whom they changed; that they did it is."""
        headers = dict((await as_user(superuser)).headers) | {"X-Request-ID": "theirs"}
        response = await from_network("198.51.100.7", **headers).patch(f"/users/{owner.id}", json={"name": "New"})
        assert response.status_code == 200
        said_to = {"actor_id": str(superuser.id), "details": {"fields": ["name"]}}
        response = await (await as_user(owner)).get("/users/me/audit-events")
        assert seen(response) == [event("update", owner, **said_to, network=None)]
        assert response.json()[0]["request_id"] is None
        response = await (await as_user(superuser)).get("/audit-events")
        assert seen(response) == [event("update", owner, **said_to, network="198.51.100.7")]
        assert response.json()[0]["request_id"] == "theirs"

    async def test_what_a_superuser_does_to_themselves(self, as_user: AsUser, superuser: User) -> None:
        client = await as_user(superuser)
        assert (await client.patch(f"/users/{superuser.id}", json={"name": "New"})).status_code == 200
        for path in ("/users/me/audit-events", "/audit-events"):
            assert seen(await client.get(path)) == [event("update", superuser, details={"fields": ["name"]})]


class TestListAll:
    async def test_nobody(self, client: httpx2.AsyncClient) -> None:
        for path in ("/audit-events", "/audit-events?kind=x"):
            assert said(await client.get(path)) == (401, UNAUTHORIZED)

    async def test_somebody(self, as_user: AsUser, owner: User) -> None:
        client = await as_user(owner)
        for path in ("/audit-events", f"/audit-events?user_id={owner.id}"):
            assert said(await client.get(path)) == (403, FORBIDDEN)

    @pytest.mark.parametrize(
        ("query", "place"),
        [
            ("user_id=x", ["query", "user_id"]),
            ("user_id=1", ["query", "user_id"]),
            ("user_id=", ["query", "user_id"]),
            (f"user_id={UNKNOWN_USER}0", ["query", "user_id"]),
            ("user_id=%00", ["query", "user_id"]),
            ("kind=x", ["query", "kind"]),
            ("kind=", ["query", "kind"]),
            ("kind=LOGIN", ["query", "kind"]),
            ("kind=login,logout", ["query", "kind"]),
            ("kind=%F0%9F%98%80", ["query", "kind"]),
            ("limit=0", ["query", "limit"]),
            ("limit=101", ["query", "limit"]),
            ("skip=-1", ["query", "skip"]),
            ("after=x", ["query", "after"]),
            ("after=%00", ["query", "after"]),
            ("after=LTE", ["query", "after"]),
            ("after=OTk5OTk5OTk5OTk5OTk5OTk5OTk5", ["query", "after"]),
            ("after=MQ&skip=1", ["query", "after"]),
        ],
    )
    async def test_malformed(self, as_user: AsUser, superuser: User, query: str, place: Sequence[str | int]) -> None:
        status, [(_, location)] = problems(await (await as_user(superuser)).get(f"/audit-events?{query}"))
        assert (status, location) == (422, place)

    @pytest.mark.parametrize("path", ["/audit-events", "/audit-events/"])
    async def test_everybodys(
        self, client: httpx2.AsyncClient, as_user: AsUser, superuser: User, owner: User, path: str
    ) -> None:
        """Also of a name that is nobody's, which is not kept: it may be a password."""
        for name in ("owner", "nobody@example.com", "nobody"):
            await client.post("/auth/jwt/login", data=form(name))
        response = await (await as_user(superuser)).get(path)
        assert seen(response) == [event("login_failed"), event("login_failed"), event("login", owner)]

    async def test_of_a_user_and_of_a_kind(
        self, client: httpx2.AsyncClient, as_user: AsUser, superuser: User, owner: User, stranger: User
    ) -> None:
        for name, password in (("owner", "x"), ("stranger", "x"), ("owner", PASSWORD), ("stranger", PASSWORD)):
            await client.post("/auth/jwt/login", data=form(name, password))
        all_of_it = await as_user(superuser)
        by_query = {
            "": 4,
            f"?user_id={owner.id}": 2,
            f"?user_id={str(owner.id).upper()}": 2,
            "?kind=login": 2,
            "?kind=login_failed": 2,
            "?kind=logout": 0,
            f"?user_id={owner.id}&kind=login": 1,
            f"?user_id={UNKNOWN_USER}": 0,
        }
        found = {query: len(seen(await all_of_it.get(f"/audit-events{query}"))) for query in by_query}
        assert found == by_query
        response = await all_of_it.get(f"/audit-events?user_id={owner.id}&kind=login")
        assert seen(response) == [event("login", owner)]

    async def test_every_kind_can_be_asked_for(self, as_user: AsUser, superuser: User) -> None:
        client = await as_user(superuser)
        for kind in AuditEventKind:
            assert said(await client.get(f"/audit-events?kind={kind}")) == (200, [])


class TestPages:
    @pytest.mark.parametrize("path", ["/users/me/audit-events", "/audit-events"])
    async def test_the_whole_list(
        self, as_user: AsUser, connection: AsyncConnection, superuser: User, path: str
    ) -> None:
        await write(connection, 25, user_id=superuser.id)
        client = await as_user(superuser)
        whole = [row["id"] for row in (await client.get(path)).json()]
        assert whole == sorted(whole, reverse=True)
        assert len(whole) == 25
        found: list[int] = []
        following: str | None = f"{path}?limit=10"
        while following is not None:
            response = await client.get(following)
            found += [row["id"] for row in response.json()]
            link = re.fullmatch(r'<(/[^<>]*[?&]after=[^<>]*)>; rel="next"', response.headers.get("link", ""))
            following = link and link[1]
            # What is new does not move what has been read.
            await write(connection, 1, user_id=superuser.id)
        assert found == whole

    async def test_a_filter_is_kept(
        self, as_user: AsUser, connection: AsyncConnection, superuser: User, owner: User
    ) -> None:
        for kind in ("login", "logout"):
            await write(connection, 3, user_id=owner.id, kind=kind)
            await write(connection, 3, user_id=superuser.id, kind=kind)
        client = await as_user(superuser)
        response = await client.get(f"/audit-events?user_id={owner.id}&kind=login&limit=2")
        assert len(response.json()) == 2
        link = response.headers["link"]
        assert link.startswith(f"</audit-events?user_id={owner.id}&kind=login&limit=2&after=")
        response = await client.get(link[1:].partition(">")[0])
        assert seen(response) == [event("login", owner, network=None)]
        assert "link" not in response.headers

    async def test_by_default_fifty(self, as_user: AsUser, connection: AsyncConnection, superuser: User) -> None:
        await write(connection, 51)
        client = await as_user(superuser)
        assert len((await client.get("/audit-events")).json()) == 50
        assert len((await client.get("/audit-events?skip=50")).json()) == 1
