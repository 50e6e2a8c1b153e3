"""Sessions through the strategies of their backends, on every kind of store; stock strategies; WebSockets."""

import asyncio
import time
from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from dataclasses import dataclass, field
from datetime import timedelta
from typing import Annotated, Any

import pytest
import time_machine
from fastapi import Depends, FastAPI, WebSocket, WebSocketDisconnect
from fastapi_users.exceptions import InvalidResetPasswordToken, InvalidVerifyToken, UserNotExists
from sqlalchemy import Engine, QueuePool, create_engine, make_url, select
from sqlalchemy.ext.asyncio import AsyncEngine, create_async_engine
from sqlalchemy.orm import Session
from sqlmodel import Session as SyncSession
from sqlmodel.ext.asyncio.session import AsyncSession
from starlette.requests import HTTPConnection

from fastapi_users_sqlmodel import (
    FastAPIUsers,
    LetterKind,
    SQLAlchemyUserDatabase,
    SQLModelUserDatabase,
)
from fastapi_users_sqlmodel.authentication import (
    AccessToken,
    BearerRefreshTransport,
    BearerSessionStrategy,
    CookieSessionStrategy,
    SessionBackend,
    SessionCookieTransport,
    Sessions,
)
from fastapi_users_sqlmodel.engines import async_url, prepare_sqlite, sync_url
from fastapi_users_sqlmodel.exceptions import (
    InvalidChangeEmailToken,
    SessionNotExists,
)
from tests.library.accounts import NEW_PASSWORD, PASSWORD, Accounts, Manager, open_accounts
from tests.library.models import Models

SECRET = "seven grey herons sleep above an old canal"
ANNA = "anna@example.com"
OURS = "https://app.example.com"
CHECK_EVERY = timedelta(milliseconds=50)

both_forms = pytest.mark.parametrize(
    ("form", "kind"), [("sqlalchemy-uuid", "async"), ("sqlmodel-int", "sync")], indirect=True
)
integer_ids = pytest.mark.parametrize(("form", "kind"), [("sqlmodel-int", "sync")], indirect=True)
async_forms = pytest.mark.parametrize("form", ["sqlalchemy-uuid", "sqlmodel-int"], indirect=True)


async def nobody_asks() -> Manager:
    raise AssertionError


sessions = Sessions(SECRET)
bearer = SessionBackend[Any, Any]("jwt", BearerRefreshTransport("auth/jwt/login"), sessions, nobody_asks)
cookie = SessionBackend[Any, Any]("cookie", SessionCookieTransport("https://example.com"), sessions, nobody_asks)


def bearer_strategy(accounts: Accounts, connection: HTTPConnection | None = None) -> BearerSessionStrategy[Any, Any]:
    strategy = bearer.strategy(accounts.manager, connection)
    assert isinstance(strategy, BearerSessionStrategy)
    return strategy


def cookie_strategy(accounts: Accounts, connection: HTTPConnection | None = None) -> CookieSessionStrategy[Any, Any]:
    strategy = cookie.strategy(accounts.manager, connection)
    assert isinstance(strategy, CookieSessionStrategy)
    return strategy


async def sign_in(accounts: Accounts, user: Any) -> AccessToken:
    token = await bearer_strategy(accounts).write_token(user)
    assert isinstance(token, AccessToken)
    return token


def sent(**headers: str) -> HTTPConnection:
    """Make a connection with headers."""
    raw = [(name.replace("_", "-").encode(), value.encode()) for name, value in headers.items()]
    return HTTPConnection({"type": "http", "headers": raw, "client": ("192.0.2.1", 50000)})


def rows(accounts: Accounts, *columns: str) -> list[tuple[Any, ...]]:
    """Say what another connection sees of the sessions."""
    table = accounts.tables.sessions
    with accounts.stores.outside.connect() as connection:
        return [tuple(row) for row in connection.execute(select(*(table.c[name] for name in columns)))]


async def who(strategy: Any, token: str | None, accounts: Accounts) -> Any:
    """Say whose token it is."""
    user = await strategy.read_token(token, accounts.manager)
    return user.email if user is not None else None


@pytest.fixture
async def accounts(models: Models, url: str, kind: str) -> AsyncIterator[Accounts]:
    async with open_accounts(models, url, kind) as accounts:
        yield accounts


@pytest.fixture
async def others(models: Models, url: str, kind: str) -> AsyncIterator[Accounts]:
    """A manager of another request."""
    async with open_accounts(models, url, kind) as accounts:
        yield accounts


def test_a_short_secret() -> None:
    for secrets in (("x" * 31, ()), (SECRET, ("x" * 31,))):
        with pytest.raises(ValueError, match="shorter than 32 bytes"):
            Sessions(secrets[0], previous=secrets[1])


@both_forms
class TestBearer:
    async def test_reads_what_it_wrote(self, accounts: Accounts, others: Accounts) -> None:
        user = await accounts.user()
        token = await sign_in(accounts, user)
        assert await who(bearer_strategy(others), token, others) == ANNA
        session = others.manager.current_session
        assert session is not None
        assert rows(accounts, "id", "user_id", "transport") == [(session.id, user.id, "bearer")]
        assert session.user_id == user.id
        assert token.expires_in == 3600

    @pytest.mark.parametrize("token", [None, "", "x", "é", "\0", "a.b.c", "x" * 8192])
    async def test_reads_nothing_else(self, accounts: Accounts, token: str | None) -> None:
        assert await who(bearer_strategy(accounts), token, accounts) is None
        assert accounts.manager.current_session is None

    async def test_records_who_has_signed_in(self, accounts: Accounts) -> None:
        user = await accounts.user()
        await bearer_strategy(accounts, sent(user_agent="A browser/1.0")).write_token(user)
        await bearer_strategy(accounts).write_token(user)
        assert set(rows(accounts, "ip_address", "user_agent")) == {("192.0.2.1", "A browser/1.0"), (None, None)}

    async def test_refreshes(self, accounts: Accounts, others: Accounts) -> None:
        first = await sign_in(accounts, await accounts.user())
        second = await bearer_strategy(others).refresh(first.refresh_token)
        assert second is not None
        assert second.refresh_token != first.refresh_token
        for token in (first, second):
            assert await who(bearer_strategy(others), token, others) == ANNA
        assert rows(accounts, "generation") == [(1,)]

    async def test_whoever_has_lost_the_answer_gets_it_again(self, accounts: Accounts, others: Accounts) -> None:
        first = await sign_in(accounts, await accounts.user())
        again = [await bearer_strategy(one).refresh(first.refresh_token) for one in (accounts, others, accounts)]
        assert len({token.refresh_token for token in again if token is not None}) == 1
        assert None not in again
        assert rows(accounts, "generation") == [(1,)]

    async def test_is_given_again_for_ten_seconds_and_then_it_is_a_replay(
        self, accounts: Accounts, others: Accounts
    ) -> None:
        with time_machine.travel("2030-01-01T00:00:00Z", tick=False) as clock:
            first = await sign_in(accounts, await accounts.user())
            second = await bearer_strategy(accounts).refresh(first.refresh_token)
            clock.shift(9.9)
            again = await bearer_strategy(others).refresh(first.refresh_token)
            assert again is not None
            assert second is not None
            assert again.refresh_token == second.refresh_token
            clock.shift(0.1)
            assert await bearer_strategy(others).refresh(first.refresh_token) is None
        assert rows(accounts, "id") == []
        assert accounts.events() == ["refresh_token_replayed"]

    async def test_a_replayed_one_ends_the_session(self, accounts: Accounts, others: Accounts) -> None:
        """And says so in the audit trail, which is committed."""
        first = await sign_in(accounts, await accounts.user())
        second = await bearer_strategy(accounts).refresh(first.refresh_token)
        assert second is not None
        third = await bearer_strategy(accounts).refresh(second.refresh_token)
        assert third is not None
        assert await bearer_strategy(others).refresh(first.refresh_token) is None
        assert rows(accounts, "id") == []
        assert accounts.events() == ["refresh_token_replayed"]
        assert await bearer_strategy(others).refresh(third.refresh_token) is None
        assert await who(bearer_strategy(others), third, others) is None

    @pytest.mark.parametrize("token", ["", "x", "A" * 91, "é" * 91, "x" * 8192])
    async def test_refreshes_nothing_else(self, accounts: Accounts, token: str) -> None:
        await sign_in(accounts, await accounts.user())
        assert await bearer_strategy(accounts).refresh(token) is None
        assert len(rows(accounts, "id")) == 1

    async def test_of_somebody_deactivated(self, accounts: Accounts, others: Accounts) -> None:
        user = await accounts.user()
        token = await sign_in(accounts, user)
        await accounts.manager.user_db.update(user, {"is_active": False})
        assert await who(bearer_strategy(others), token, others) is None
        assert await bearer_strategy(others).refresh(token.refresh_token) is None

    async def test_ends(self, accounts: Accounts, others: Accounts) -> None:
        user = await accounts.user()
        ended, lives = await sign_in(accounts, user), await sign_in(accounts, user)
        strategy = bearer_strategy(others)
        read = await strategy.read_token(ended, others.manager)
        async with others.manager.user_db.transaction():
            await strategy.destroy_token(ended, read)
        assert await who(bearer_strategy(accounts), ended, accounts) is None
        assert await bearer_strategy(accounts).refresh(ended.refresh_token) is None
        assert await who(bearer_strategy(accounts), lives, accounts) == ANNA
        await accounts.manager.release()
        with pytest.raises(SessionNotExists):
            async with others.manager.user_db.transaction():
                await strategy.destroy_token(ended, read)

    async def test_ending_it_commits_on_a_plain_session(self, accounts: Accounts) -> None:
        """As beginning it does, and as FastAPI Users' strategies do: there may be nobody else who commits."""
        token = await sign_in(accounts, await accounts.user())
        strategy = bearer_strategy(accounts)
        await strategy.destroy_token(token, await strategy.read_token(token, accounts.manager))
        await accounts.stores.run(Session.rollback)
        assert rows(accounts, "id") == []

    async def test_another_key_or_issuer(self, accounts: Accounts) -> None:
        token = await sign_in(accounts, await accounts.user())
        for strangers in (Sessions(SECRET.upper()), Sessions(SECRET, issuer="https://other.example.com")):
            backend = SessionBackend[Any, Any]("jwt", BearerRefreshTransport("x"), strangers, nobody_asks)
            assert await who(backend.strategy(accounts.manager), token, accounts) is None
        rotated = SessionBackend[Any, Any](
            "jwt", BearerRefreshTransport("x"), Sessions(SECRET.upper(), previous=(SECRET,)), nobody_asks
        ).strategy(accounts.manager)
        assert await who(rotated, token, accounts) == ANNA
        assert isinstance(rotated, BearerSessionStrategy)
        child = await rotated.refresh(token.refresh_token)
        assert child is not None
        assert await who(bearer_strategy(accounts), child, accounts) is None
        assert await who(rotated, child, accounts) == ANNA


@both_forms
class TestCookie:
    async def test_reads_what_it_wrote(self, accounts: Accounts, others: Accounts) -> None:
        user = await accounts.user()
        token = await cookie_strategy(accounts).write_token(user)
        assert await who(cookie_strategy(others), token, others) == ANNA
        assert rows(accounts, "user_id", "transport") == [(user.id, "cookie")]
        assert token not in str(rows(accounts, "secret_hash"))

    @pytest.mark.parametrize("token", [None, "", "x", "é", "\0", "A" * 64, "x" * 8192])
    async def test_reads_nothing_else(self, accounts: Accounts, token: str | None) -> None:
        assert await who(cookie_strategy(accounts), token, accounts) is None

    async def test_beside_a_bearer_token(self, accounts: Accounts) -> None:
        token = await cookie_strategy(accounts).write_token(await accounts.user())
        assert await who(cookie_strategy(accounts, sent(authorization="bearer x")), token, accounts) is None
        assert await who(cookie_strategy(accounts, sent(authorization="Basic x")), token, accounts) == ANNA

    async def test_is_not_the_other_one(self, accounts: Accounts) -> None:
        user = await accounts.user()
        tokens = await sign_in(accounts, user), await cookie_strategy(accounts).write_token(user)
        assert await who(cookie_strategy(accounts), tokens[0], accounts) is None
        assert await who(bearer_strategy(accounts), tokens[1], accounts) is None
        assert await bearer_strategy(accounts).refresh(tokens[1]) is None

    async def test_signing_in_again_ends_the_one_before(self, accounts: Accounts) -> None:
        user = await accounts.user()
        first, elsewhere = [await cookie_strategy(accounts).write_token(user) for _ in range(2)]
        again = cookie_strategy(accounts, sent(cookie=f"__Host-session={first}"))
        second = await again.write_token(user)
        assert await who(cookie_strategy(accounts), first, accounts) is None
        for token in (second, elsewhere):
            assert await who(cookie_strategy(accounts), token, accounts) == ANNA

    async def test_ends(self, accounts: Accounts, others: Accounts) -> None:
        token = await cookie_strategy(accounts).write_token(await accounts.user())
        strategy = cookie_strategy(others)
        read = await strategy.read_token(token, others.manager)
        async with others.manager.user_db.transaction():
            await strategy.destroy_token(token, read)
        assert await who(cookie_strategy(accounts), token, accounts) is None
        assert rows(accounts, "id") == []


@both_forms
@pytest.mark.parametrize("make", [bearer_strategy, cookie_strategy])
class TestBetweenPasswordAndSession:
    """Whoever signs in has been looked at; what happens before the session begins counts."""

    async def test_nothing(self, accounts: Accounts, make: Callable[[Accounts], Any]) -> None:
        user = await accounts.user()
        assert await who(make(accounts), await make(accounts).write_token(user), accounts) == ANNA

    async def test_the_password_is_changed(
        self, accounts: Accounts, others: Accounts, make: Callable[[Accounts], Any]
    ) -> None:
        user = await accounts.user()
        await others.manager.change_password(await others.reload(user.id), PASSWORD, NEW_PASSWORD)
        with pytest.raises(UserNotExists):
            await make(accounts).write_token(user)
        assert rows(accounts, "id") == []

    async def test_the_user_is_deactivated(
        self, accounts: Accounts, others: Accounts, make: Callable[[Accounts], Any]
    ) -> None:
        user = await accounts.user()
        await others.manager.user_db.update(await others.reload(user.id), {"is_active": False})
        with pytest.raises(UserNotExists):
            await make(accounts).write_token(user)
        assert rows(accounts, "id") == []

    async def test_the_user_is_deleted(
        self, accounts: Accounts, others: Accounts, make: Callable[[Accounts], Any]
    ) -> None:
        user = await accounts.user()
        await others.manager.delete(await others.reload(user.id))
        with pytest.raises(UserNotExists):
            await make(accounts).write_token(user)
        assert rows(accounts, "id") == []


@integer_ids
@pytest.mark.parametrize("prepared", [True, False], ids=["prepared", "as it comes"])
class TestTheNextUserOfAnId:
    """Whoever gets the id of somebody deleted gets nothing else; not on a SQLite either that knows no foreign keys."""

    @pytest.fixture
    async def accounts(self, models: Models, url: str, kind: str, prepared: bool) -> AsyncIterator[Accounts]:  # noqa: FBT001  # pytest hands it over
        async with open_accounts(models, url, kind, prepared=prepared) as accounts:
            yield accounts

    async def _replace(self, accounts: Accounts, user: Any) -> Any:
        user_id = user.id
        await accounts.manager.delete(user)
        await accounts.stores.run(Session.expunge_all)
        accounts.manager.current_session = None
        return await accounts.user("berta@example.com", id=user_id)

    async def test_no_session_is_revived(self, accounts: Accounts) -> None:
        user = await accounts.user()
        token = await sign_in(accounts, user)
        in_browser = await cookie_strategy(accounts).write_token(user)
        next_user = await self._replace(accounts, user)
        assert await who(bearer_strategy(accounts), token, accounts) is None
        assert await who(cookie_strategy(accounts), in_browser, accounts) is None
        assert await bearer_strategy(accounts).refresh(token.refresh_token) is None
        assert await accounts.manager.list_sessions(next_user) == []
        assert rows(accounts, "id") == []
        # Nor does a session of the next one let the old tokens in.
        new_token = await sign_in(accounts, next_user)
        assert await who(bearer_strategy(accounts), new_token, accounts) == "berta@example.com"
        assert await who(bearer_strategy(accounts), token, accounts) is None

    async def test_no_mailed_token_is_revived(self, accounts: Accounts) -> None:
        user, manager = await accounts.user(), accounts.manager
        await manager.forgot_password(user)
        await manager.request_verify(user)
        user = await manager.user_db.update(user, {"is_verified": True})
        await manager.request_change_email(user, "new@example.com", PASSWORD)
        next_user = await self._replace(accounts, user)
        refusals: dict[LetterKind, tuple[Any, type[Exception]]] = {
            LetterKind.RESET_PASSWORD: (
                lambda token: manager.reset_password(token, NEW_PASSWORD),
                InvalidResetPasswordToken,
            ),
            LetterKind.VERIFY: (manager.verify, InvalidVerifyToken),
            LetterKind.CONFIRM_EMAIL: (manager.confirm_email, InvalidChangeEmailToken),
            LetterKind.EMAIL_CHANGE_REQUESTED: (manager.undo_change_email, InvalidChangeEmailToken),
        }
        for kind, (use, refusal) in refusals.items():
            with pytest.raises(refusal):
                await use(manager.token(kind))
        after = await accounts.reload(next_user.id)
        assert (after.email, after.is_verified) == ("berta@example.com", False)


@dataclass
class Talk:
    """The server's and the client's side of one WebSocket."""

    to_app: asyncio.Queue[dict[str, Any]] = field(default_factory=asyncio.Queue)
    from_app: asyncio.Queue[Any] = field(default_factory=asyncio.Queue)
    is_over: bool = False
    task: asyncio.Task[None] | None = None

    def start(self, app: FastAPI, **headers: str) -> None:
        raw = [(name.encode(), value.encode()) for name, value in headers.items()]
        scope: dict[str, Any] = {
            "type": "websocket",
            "path": "/ws",
            "headers": raw,
            "query_string": b"",
            "subprotocols": [],
        }
        scope |= {"client": ("192.0.2.1", 50000), "scheme": "wss", "root_path": "", "state": {}}
        self.to_app.put_nowait({"type": "websocket.connect"})
        self.task = asyncio.create_task(app(scope, self.to_app.get, self._send))  # type: ignore[arg-type]  # Wider types

    async def _send(self, message: dict[str, Any]) -> None:
        if self.is_over:
            # As a server says it.
            raise OSError
        await self.from_app.put(message)
        if message["type"] == "websocket.close":
            self.leave(message["code"])

    def leave(self, code: int = 1001) -> None:
        """End the connection, from whatever side."""
        self.is_over = True
        self.to_app.put_nowait({"type": "websocket.disconnect", "code": code})

    def say(self, text: str) -> None:
        self.to_app.put_nowait({"type": "websocket.receive", "text": text})

    async def hear(self) -> dict[str, Any]:
        """Return the next message, which has to come."""
        message: dict[str, Any] = await asyncio.wait_for(self.from_app.get(), 10)
        return message

    async def end(self) -> None:
        """Wait until the endpoint and its dependencies are done."""
        assert self.task is not None
        await asyncio.wait_for(self.task, 10)


class Line:
    """A small app with a WebSocket, and everybody who talks to it."""

    def __init__(self, user: Any, engine: Engine | AsyncEngine, **options: Any) -> None:
        self.user, self.engine = user, engine
        self.open = self.opened = 0
        self.asks = asyncio.Event()
        self.seen: list[int] = []
        self.talks: list[Talk] = []
        self.instead: Callable[[], AbstractAsyncContextManager[Any]] | None = None
        users = FastAPIUsers[Any, Any](nobody_asks, [bearer, cookie])
        who_is_there = users.websocket_user(
            self._open_user_manager, **{"origins": [f"{OURS}/"], "check_every": CHECK_EVERY, **options}
        )
        self.app = FastAPI()

        @self.app.websocket("/ws")
        async def echo(websocket: WebSocket, user: Annotated[Any, Depends(who_is_there)]) -> None:
            await websocket.accept()
            await websocket.send_text(user.email)
            try:
                while True:
                    await websocket.send_text(await websocket.receive_text())
            except WebSocketDisconnect as error:
                self.seen.append(error.code)

    @asynccontextmanager
    async def _open_user_manager(self) -> AsyncIterator[Manager]:
        if self.instead is not None:
            async with self.instead() as manager:
                yield manager
            return
        self.opened += 1
        self.open += 1
        self.asks.set()
        try:
            if isinstance(self.engine, AsyncEngine):
                async with AsyncSession(self.engine, expire_on_commit=False) as session:
                    yield Manager(SQLAlchemyUserDatabase(session, self.user))
            else:
                with SyncSession(self.engine, expire_on_commit=False) as sync_session:
                    yield Manager(SQLModelUserDatabase(sync_session, self.user))
        finally:
            self.open -= 1

    async def talk(self, **headers: str) -> Talk:
        talk = Talk()
        self.talks.append(talk)
        talk.start(self.app, **headers)
        return talk

    async def is_refused(self, **headers: str) -> bool:
        """Tell whether the connection is refused, before it is accepted: a server answers with 403."""
        talk = await self.talk(**headers)
        message = await talk.hear()
        if message["type"] == "websocket.close":
            await talk.end()
            return bool(message["code"] == 1008)
        assert (message["type"], (await talk.hear())["text"]) == ("websocket.accept", ANNA)
        talk.leave()
        await talk.end()
        return False

    async def accepted(self, **headers: str) -> Talk:
        talk = await self.talk(**headers)
        assert (await talk.hear())["type"] == "websocket.accept"
        assert (await talk.hear())["text"] == ANNA
        return talk


def watching() -> list[str]:
    """Say which tasks look at a session."""
    return [text for task in asyncio.all_tasks() if "_close_at_the_end" in (text := repr(task.get_coro()))]


@both_forms
class TestWebSocket:
    @pytest.fixture
    def options(self) -> dict[str, Any]:
        return {}

    @pytest.fixture
    async def line(self, models: Models, url: str, kind: str, options: dict[str, Any]) -> AsyncIterator[Line]:
        engine = create_engine(sync_url(url)) if kind == "sync" else create_async_engine(async_url(url))
        prepare_sqlite(engine)
        line = Line(models.user, engine, **options)
        try:
            yield line
            for talk in line.talks:
                if talk.task is not None and not talk.task.done():
                    talk.task.cancel()
                    await asyncio.wait([talk.task])
            assert watching() == []
            assert line.open == 0
            assert isinstance(engine.pool, QueuePool)
            assert engine.pool.checkedout() == 0
        finally:
            await engine.dispose() if isinstance(engine, AsyncEngine) else engine.dispose()

    async def _with_cookie(self, accounts: Accounts, **columns: Any) -> str:
        return f"__Host-session={await cookie_strategy(accounts).write_token(await accounts.user(**columns))}"

    async def _with_bearer(self, accounts: Accounts, **columns: Any) -> str:
        return f"Bearer {await sign_in(accounts, await accounts.user(**columns))}"

    async def test_nobody(self, line: Line, accounts: Accounts) -> None:
        attempts: list[dict[str, str]] = [
            {},
            {"origin": OURS},
            {"authorization": "Bearer x"},
            {"authorization": "Basic x"},
            {"cookie": "__Host-session=x", "origin": OURS},
            {"cookie": f"__Host-session={'A' * 64}", "origin": OURS},
        ]
        for headers in attempts:
            assert await line.is_refused(**headers)
        assert line.seen == []

    @pytest.mark.parametrize(
        "origin",
        [
            None,
            "",
            "null",
            "https://evil.example.com",
            "http://app.example.com",
            "https://app.example.com:8443",
            "https://app.example.com.evil.example.com",
            "https://app.example.com@evil.example.com",
            f"{OURS} https://evil.example.com",
        ],
    )
    async def test_a_cookie_from_a_foreign_page(self, line: Line, accounts: Accounts, origin: str | None) -> None:
        headers = {"cookie": await self._with_cookie(accounts), **({"origin": origin} if origin is not None else {})}
        assert await line.is_refused(**headers)
        assert not await line.is_refused(**{**headers, "origin": OURS})

    async def test_a_cookie_from_two_origins(self, line: Line, accounts: Accounts) -> None:
        cookie_header = (b"cookie", (await self._with_cookie(accounts)).encode())
        talk = Talk()
        line.talks.append(talk)
        talk.start(line.app)
        # Refused: it brought nothing. And now the same by hand, with a header twice.
        assert (await talk.hear())["code"] == 1008
        await talk.end()
        headers = [cookie_header, (b"origin", OURS.encode()), (b"origin", b"https://evil.example.com")]
        scope = {"type": "websocket", "path": "/ws", "headers": headers, "query_string": b"", "client": None}
        twice = Talk()
        twice.to_app.put_nowait({"type": "websocket.connect"})
        await asyncio.wait_for(line.app(scope, twice.to_app.get, twice._send), 10)  # type: ignore[arg-type]  # noqa: SLF001  # Wider types
        assert (await twice.hear())["code"] == 1008

    @pytest.mark.parametrize("origin", [OURS, "HTTPS://APP.EXAMPLE.COM", f"{OURS}:443"])
    async def test_a_cookie_from_our_page(self, line: Line, accounts: Accounts, origin: str) -> None:
        talk = await line.accepted(cookie=await self._with_cookie(accounts), origin=origin)
        talk.say("hello")
        assert (await talk.hear())["text"] == "hello"
        talk.leave()
        await talk.end()
        assert line.seen == [1001]

    @pytest.mark.parametrize("headers", [{}, {"origin": "https://evil.example.com"}], ids=str)
    async def test_a_bearer_token_from_wherever(self, line: Line, accounts: Accounts, headers: dict[str, str]) -> None:
        """No browser sends one with a handshake."""
        talk = await line.accepted(authorization=await self._with_bearer(accounts), **headers)
        talk.leave()
        await talk.end()

    async def test_a_cookie_beside_a_bearer_token(self, line: Line, accounts: Accounts) -> None:
        headers = {"cookie": await self._with_cookie(accounts), "origin": OURS}
        assert await line.is_refused(authorization="Bearer x", **headers)

    async def test_somebody_deactivated(self, line: Line, accounts: Accounts) -> None:
        user = await accounts.user()
        token = await sign_in(accounts, user)
        await accounts.manager.user_db.update(user, {"is_active": False})
        assert await line.is_refused(authorization=f"Bearer {token}")

    async def test_a_session_that_is_over(self, line: Line, accounts: Accounts) -> None:
        user = await accounts.user()
        token = await sign_in(accounts, user)
        await accounts.manager.end_other_sessions(user)
        assert await line.is_refused(authorization=f"Bearer {token}")

    @pytest.mark.parametrize(
        ("options", "flag"),
        [({"verified": True}, "is_verified"), ({"superuser": True}, "is_superuser")],
        ids=["verified", "superuser"],
    )
    async def test_who_is_not_enough(self, line: Line, accounts: Accounts, flag: str) -> None:
        token = await self._with_bearer(accounts)
        assert await line.is_refused(authorization=token)
        user = await accounts.manager.user_db.get_by_email(ANNA)
        await accounts.manager.user_db.update(user, {flag: True})
        assert not await line.is_refused(authorization=token)

    async def test_lives_as_long_as_its_session(self, line: Line, accounts: Accounts) -> None:
        """And holds no connection to the database meanwhile."""
        talk = await line.accepted(authorization=await self._with_bearer(accounts))
        for _ in range(5):
            line.asks.clear()
            await asyncio.wait_for(line.asks.wait(), 10)
        talk.say("still here")
        assert (await talk.hear())["text"] == "still here"
        talk.leave()
        await talk.end()

    @pytest.mark.parametrize("how", ["one", "others", "password", "deactivated", "deleted"])
    async def test_is_closed_when_the_session_ends(self, line: Line, accounts: Accounts, how: str) -> None:
        user = await accounts.user()
        token = await cookie_strategy(accounts).write_token(user)
        talk = await line.accepted(cookie=f"__Host-session={token}", origin=OURS)
        manager = accounts.manager
        if how == "one":
            [session] = await manager.list_sessions(user)
            await manager.end_session(user, session.id)
        elif how == "others":
            await manager.end_other_sessions(user)
        elif how == "password":
            await manager.change_password(user, PASSWORD, NEW_PASSWORD)
        elif how == "deactivated":
            await manager.user_db.update(user, {"is_active": False})
        else:
            await manager.delete(user)
        began = time.monotonic()
        message = await talk.hear()
        assert (message["type"], message["code"]) == ("websocket.close", 1008)
        # A busy machine is given its time; without the watching it would be for ever.
        assert time.monotonic() - began < CHECK_EVERY.total_seconds() + 2
        await talk.end()
        # The endpoint has seen a disconnect, and no exception.
        assert line.seen == [1008]

    async def test_of_several_one_is_closed(self, line: Line, accounts: Accounts) -> None:
        user = await accounts.user()
        tokens = [await sign_in(accounts, user) for _ in range(3)]
        talks = [await line.accepted(authorization=f"Bearer {token}") for token in tokens]
        strategy = bearer_strategy(accounts)
        read = await strategy.read_token(tokens[1], accounts.manager)
        async with accounts.manager.user_db.transaction():
            await strategy.destroy_token(tokens[1], read)
        assert (await talks[1].hear())["code"] == 1008
        await asyncio.sleep(3 * CHECK_EVERY.total_seconds())
        for talk in (talks[0], talks[2]):
            talk.say("still here")
            assert (await talk.hear())["text"] == "still here"
            talk.leave()
            await talk.end()

    async def test_who_goes_first_leaves_nothing(self, line: Line, accounts: Accounts) -> None:
        token = await self._with_bearer(accounts)
        talks = [await line.accepted(authorization=token) for _ in range(5)]
        assert len(watching()) == 5
        for talk in talks:
            talk.leave()
            await talk.end()
        assert watching() == []
        assert line.seen == [1001] * 5
        opened = line.opened
        await asyncio.sleep(3 * CHECK_EVERY.total_seconds())
        assert (line.opened, line.open) == (opened, 0)

    async def test_who_goes_while_it_is_looked_at(self, line: Line, accounts: Accounts) -> None:
        """The manager that asks is closed, too."""
        talk = await line.accepted(authorization=await self._with_bearer(accounts))
        line.asks.clear()
        await asyncio.wait_for(line.asks.wait(), 10)
        talk.leave()
        await talk.end()
        assert line.open == 0

    async def test_an_ended_session_of_who_has_gone(self, line: Line, accounts: Accounts) -> None:
        """Nobody is there to be told, and nothing fails."""
        user = await accounts.user()
        talk = await line.accepted(authorization=f"Bearer {await sign_in(accounts, user)}")
        talk.is_over = True
        await accounts.manager.end_other_sessions(user)
        await asyncio.sleep(3 * CHECK_EVERY.total_seconds())
        talk.leave()
        await talk.end()
        assert line.seen == [1001]

    async def test_the_database_goes_away(self, line: Line, accounts: Accounts, url: str, kind: str) -> None:
        """Nobody knows whether the session lives: the client is told to come again."""
        talk = await line.accepted(authorization=await self._with_bearer(accounts))
        line.instead = lambda: away(url, kind)
        message = await talk.hear()
        assert (message["type"], message["code"]) == ("websocket.close", 1011)
        await talk.end()
        assert line.seen == [1011]


@asynccontextmanager
async def away(url: str, kind: str) -> AsyncIterator[Manager]:
    """Open a manager on a database that is not there any more."""
    gone = make_url(url)
    if gone.get_backend_name() == "sqlite":
        gone = gone.set(database="/nowhere/test.db")
    else:
        gone = gone.set(host="127.0.0.1", port=1, query={})
    if kind == "sync":
        with create_engine(sync_url(gone)).connect():
            raise AssertionError
    else:
        async with create_async_engine(async_url(gone)).connect():
            raise AssertionError
    yield
