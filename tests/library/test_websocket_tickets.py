"""Tickets for WebSockets: one connection, soon, in the session that asked; over a real server, and in the database."""

import asyncio
import hashlib
from collections.abc import AsyncIterator
from datetime import timedelta
from typing import Any

import httpx2
import pytest
import time_machine
from sqlalchemy import select

from fastapi_users_sqlmodel.authentication import BearerRefreshTransport, SessionBackend, Sessions
from fastapi_users_sqlmodel.exceptions import (
    InvalidResetPasswordToken,
    InvalidVerifyToken,
    SessionNotExists,
    UserNotExists,
)
from tests.library.accounts import NEW_PASSWORD, PASSWORD, Accounts, open_accounts
from tests.library.models import Models
from tests.programs import Programs
from tests.server import Server, start_server

ANNA = "anna@example.com"
PAGE, ELSEWHERE = "https://app.example.com", "https://evil.example.com"
SECRET = "seven grey herons sleep above an old canal"

both_forms = pytest.mark.parametrize(
    ("form", "kind"), [("sqlalchemy-uuid", "async"), ("sqlmodel-int", "sync")], indirect=True
)


async def nobody_asks() -> Any:
    raise AssertionError


backend = SessionBackend[Any, Any]("jwt", BearerRefreshTransport("login"), Sessions(SECRET), nobody_asks)


@pytest.fixture
async def accounts(models: Models, url: str, kind: str) -> AsyncIterator[Accounts]:
    async with open_accounts(models, url, kind) as accounts:
        yield accounts


@pytest.fixture
async def others(models: Models, url: str, kind: str) -> AsyncIterator[Accounts]:
    """A manager of another request."""
    async with open_accounts(models, url, kind) as accounts:
        yield accounts


async def sign_in(accounts: Accounts, user: Any) -> None:
    """Begin a session, which is this manager's from then on."""
    strategy = backend.strategy(accounts.manager)
    assert await strategy.read_token(await strategy.write_token(user), accounts.manager)
    await accounts.manager.release()


async def anna(accounts: Accounts) -> Any:
    """Return Anna, and hold no lock."""
    user = await accounts.manager.user_db.get_by_email(ANNA)
    await accounts.manager.release()
    return user


async def whose(accounts: Accounts, ticket: str) -> Any:
    user = await accounts.manager.use_websocket_ticket(ticket)
    await accounts.manager.release()
    return user.email if user is not None else None


@both_forms
class TestTicket:
    async def test_is_good_once(self, accounts: Accounts, others: Accounts) -> None:
        await sign_in(accounts, await accounts.user())
        current = accounts.manager.current_session
        ticket = await accounts.manager.issue_websocket_ticket(await anna(accounts))
        assert others.manager.current_session is None
        assert await whose(others, ticket) == ANNA
        assert others.manager.current_session == current
        assert [await whose(others, ticket) for _ in range(2)] == [None, None]
        assert accounts.tokens() == []

    async def test_only_its_hash_is_stored(self, accounts: Accounts) -> None:
        await sign_in(accounts, await accounts.user())
        ticket = await accounts.manager.issue_websocket_ticket(await anna(accounts))
        with accounts.stores.outside.connect() as connection:
            [row] = connection.execute(select(accounts.tables.tokens)).all()
        assert row.hash == hashlib.sha256(f"websocket:{ticket}".encode()).hexdigest()
        assert ticket not in str(row)
        assert row.session_id == accounts.manager.current_session.id  # type: ignore[union-attr]  # It has one

    @pytest.mark.parametrize(("seconds", "expected"), [(29, ANNA), (30, None), (3600, None)])
    async def test_is_good_for_30_seconds(self, accounts: Accounts, seconds: int, expected: str | None) -> None:
        with time_machine.travel(0, tick=False) as clock:
            clock.move_to(1_800_000_000)
            await sign_in(accounts, await accounts.user())
            ticket = await accounts.manager.issue_websocket_ticket(await anna(accounts))
            clock.shift(timedelta(seconds=seconds))
            assert await whose(accounts, ticket) == expected

    @pytest.mark.parametrize("how", ["logout", "others", "deactivated", "password", "deleted"])
    async def test_ends_with_its_session(self, accounts: Accounts, others: Accounts, how: str) -> None:
        """And with the password, although that session lives."""
        user = await accounts.user()
        await sign_in(accounts, user)
        manager = accounts.manager
        ticket = await manager.issue_websocket_ticket(user)
        if how == "logout":
            await manager.end_current_session(user)
        elif how == "others":
            await others.manager.end_other_sessions(await anna(others))
        elif how == "deactivated":
            await others.manager.user_db.update(await anna(others), {"is_active": False})
        elif how == "password":
            await manager.change_password(user, PASSWORD, NEW_PASSWORD)
            assert await manager.is_session_alive(manager.current_session.id)  # type: ignore[union-attr]  # It has one
        else:
            await manager.delete(user)
        await accounts.manager.release()
        await others.manager.release()
        assert await whose(others, ticket) is None

    async def test_of_another_session_lives_on(self, accounts: Accounts, others: Accounts) -> None:
        user = await accounts.user()
        await sign_in(accounts, user)
        ticket = await accounts.manager.issue_websocket_ticket(user)
        await sign_in(others, await anna(others))
        await others.manager.end_current_session(await anna(others))
        await others.manager.release()
        assert await whose(others, ticket) == ANNA

    async def test_is_worth_nothing_elsewhere(self, accounts: Accounts) -> None:
        user = await accounts.user()
        await sign_in(accounts, user)
        manager = accounts.manager
        ticket = await manager.issue_websocket_ticket(user)
        assert await backend.strategy(manager).read_token(ticket, manager) is None
        with pytest.raises(InvalidVerifyToken):
            await manager.verify(ticket)
        with pytest.raises(InvalidResetPasswordToken):
            await manager.reset_password(ticket, NEW_PASSWORD)
        await manager.forgot_password(user)
        assert await whose(accounts, manager.token(next(letter.kind for letter in manager.letters))) is None
        for nonsense in ("", "x", "\0" * 43, "é" * 43, "x" * 43, ticket + "=", ticket.swapcase()):
            assert await whose(accounts, nonsense) is None
        assert await whose(accounts, ticket) == ANNA

    async def test_without_a_session(self, accounts: Accounts) -> None:
        """A strategy without sessions has none that the connection could end with."""
        user = await accounts.user()
        with pytest.raises(SessionNotExists):
            await accounts.manager.issue_websocket_ticket(user)
        assert accounts.tokens() == []

    async def test_of_somebody_deactivated_meanwhile(self, accounts: Accounts, others: Accounts) -> None:
        user = await accounts.user()
        await sign_in(accounts, user)
        await accounts.manager.release()
        await others.manager.user_db.update(await anna(others), {"is_active": False})
        await others.manager.release()
        with pytest.raises(UserNotExists):
            await accounts.manager.issue_websocket_ticket(user)

    async def test_fifty_of_a_session_live(self, accounts: Accounts, others: Accounts) -> None:
        """The newest; and those of another session of the same user are not pushed out."""
        user = await accounts.user()
        await sign_in(others, await anna(others))
        other = await others.manager.issue_websocket_ticket(await anna(others))
        await others.manager.release()
        await sign_in(accounts, user)
        tickets = [await accounts.manager.issue_websocket_ticket(user) for _ in range(52)]
        assert len(accounts.tokens()) == 51
        good = [await whose(accounts, ticket) == ANNA for ticket in tickets]
        assert good == [False] * 2 + [True] * 50
        assert await whose(accounts, other) == ANNA


class TestServer:
    @pytest.fixture
    def server(self, request: pytest.FixtureRequest) -> Server:
        for name in ("uvicorn", "websockets"):
            pytest.importorskip(name, reason="the library itself needs no server")
        programs: Programs = request.getfixturevalue("programs")
        arguments = ("-m", "uvicorn", "tests.library.ticket_app:app", "--port", "{port}")
        database = f"sqlite:///{programs.folder}/test.db"
        return start_server(programs, *arguments, env={"DATABASE_URL": database}, until="/openapi.json")

    async def test_opens_a_websocket_once(self, server: Server) -> None:
        from websockets.asyncio.client import connect  # Not everywhere, as above
        from websockets.exceptions import ConnectionClosed, InvalidStatus

        address = server.url.replace("http", "ws") + "/ws"

        async def come(ticket: str, **options: Any) -> str | int:
            """Say who is greeted, or with which status one is refused."""
            try:
                async with connect(f"{address}?ticket={ticket}", **options) as talk:
                    return str(await talk.recv())
            except InvalidStatus as refusal:
                return refusal.response.status_code

        async with server.client() as client:
            me = await sign_in_over_http(client)
            path = "/auth/websocket-ticket"

            async def ask() -> str:
                answer = await client.post(path, headers=me)
                assert (answer.status_code, answer.headers["cache-control"]) == (201, "no-store")
                assert answer.json() == {"ticket": answer.json()["ticket"], "expires_in": 30}
                return str(answer.json()["ticket"])

            assert (await client.post(path)).status_code == 401
            # From any page: no browser adds it by itself.
            for options in ({}, {"origin": PAGE}, {"origin": ELSEWHERE}):
                ticket = await ask()
                assert [await come(ticket, **options) for _ in range(2)] == [ANNA, 403]
            # A ticket decides alone, and none stands beside another.
            ticket = await ask()
            assert await come("x", additional_headers=me) == 403
            assert await come(f"{ticket}&ticket={ticket}") == 403
            # It signs nobody in over HTTP.
            for headers in ({"Authorization": f"Bearer {ticket}"}, {"Cookie": f"session={ticket}"}, {}):
                assert (await client.get("/me", params={"ticket": ticket}, headers=headers)).status_code == 401
            # Of several who come at the same moment, one gets in.
            came = await asyncio.gather(*(come(ticket) for _ in range(8)))
            assert sorted(map(str, came)) == ["403"] * 7 + [ANNA]
            # And the connection ends with the session.
            async with connect(f"{address}?ticket={await ask()}") as talk:
                assert await talk.recv() == ANNA
                late = await ask()
                assert (await client.post("/auth/jwt/logout", headers=me)).status_code == 204
                with pytest.raises(ConnectionClosed) as closed:
                    await asyncio.wait_for(talk.recv(), 30)
            assert closed.value.rcvd is not None
            assert closed.value.rcvd.code == 1008
            assert await come(late) == 403
        server.stop_silently()


async def sign_in_over_http(client: httpx2.AsyncClient) -> dict[str, str]:
    password = {"password": PASSWORD}
    assert (await client.post("/auth/register", json={"email": ANNA, **password})).status_code == 201
    answer = await client.post("/auth/jwt/login", data={"username": ANNA, **password})
    return {"Authorization": f"Bearer {answer.json()['access_token']}"}
