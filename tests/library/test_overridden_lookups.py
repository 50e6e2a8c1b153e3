"""A project's own `get` and `get_by_email` decide which users there are, on every way to a user."""

import uuid
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated, Any

import pytest
from fastapi import FastAPI, Header, WebSocket, WebSocketException
from fastapi_users.authentication import AuthenticationBackend, BearerTransport, JWTStrategy
from fastapi_users.exceptions import UserNotExists
from httpx2 import ASGITransport, AsyncClient, Response
from sqlalchemy import ForeignKey, String, create_engine, update
from sqlalchemy.ext.asyncio import AsyncSession, create_async_engine
from sqlalchemy.orm import DeclarativeBase, Mapped, mapped_column
from sqlmodel import col

from fastapi_users_sqlmodel import (
    BearerRefreshTransport,
    FastAPIUsers,
    LetterKind,
    SessionBackend,
    SessionCookieTransport,
    Sessions,
    SQLAlchemyBaseOAuthAccountTableUUID,
    SQLAlchemyBaseUserTableUUID,
    SQLAlchemyUserDatabase,
)
from fastapi_users_sqlmodel.engines import async_url, prepare_sqlite, sync_url
from tests.conftest import CreateDatabase
from tests.library.account_app import UserRead, UserUpdate
from tests.library.accounts import HASH, NEW_PASSWORD, PASSWORD, Letter, Manager
from tests.library.stores import new_account

ANNA, ROOT = "anna@example.com", "root@example.com"
OURS = "https://example.com"


class Base(DeclarativeBase):
    pass


class User(SQLAlchemyBaseUserTableUUID, Base):
    username: Mapped[str | None] = mapped_column(String(32), unique=True)
    is_deleted: Mapped[bool] = mapped_column(default=False)
    tenant: Mapped[str] = mapped_column(String(32), default="north")


class OAuthAccount(SQLAlchemyBaseOAuthAccountTableUUID, Base):
    user_id: Mapped[uuid.UUID] = mapped_column(ForeignKey("user.id", ondelete="CASCADE"))


class SoftDelete(SQLAlchemyUserDatabase[User, uuid.UUID]):
    """Whoever is marked as deleted is not there."""

    async def get(self, id: uuid.UUID) -> User | None:  # noqa: A002  # FastAPI Users' name
        return _unless_deleted(await super().get(id))

    async def get_by_email(self, email: str) -> User | None:
        return _unless_deleted(await super().get_by_email(email))


class Tenants(SQLAlchemyUserDatabase[User, uuid.UUID]):
    """Users of one tenant."""

    tenant = ""

    async def get(self, id: uuid.UUID) -> User | None:  # noqa: A002  # FastAPI Users' name
        return self._if_here(await super().get(id))

    async def get_by_email(self, email: str) -> User | None:
        return self._if_here(await super().get_by_email(email))

    def _if_here(self, user: User | None) -> User | None:
        return user if user is not None and user.tenant == self.tenant else None


class SoftDeleteInManager(Manager):
    """The same, overridden where FastAPI Users' routes and strategies look users up."""

    async def get(self, id: uuid.UUID) -> User:  # noqa: A002  # FastAPI Users' name
        return _or_raise(_unless_deleted(await super().get(id)))

    async def get_by_email(self, user_email: str) -> User:
        return _or_raise(_unless_deleted(await super().get_by_email(user_email)))


def _unless_deleted(user: User | None) -> User | None:
    return None if user is not None and user.is_deleted else user


def _or_raise(user: User | None) -> User:
    if user is None:
        raise UserNotExists
    return user


@dataclass
class House:
    """An app on a store or a manager of a project's own, its client, and what it has mailed."""

    client: AsyncClient
    users: FastAPIUsers[Any, Any]
    open_manager: Callable[..., Any]
    session: Callable[[], AsyncSession]
    managers: list[Manager] = field(default_factory=list)

    async def add(self, email: str, **columns: Any) -> uuid.UUID:
        async with self.session() as session:
            user = User(email=email, hashed_password=HASH, **columns)
            session.add(user)
            await session.commit()
            return user.id

    async def hide(self, email: str = ANNA) -> None:
        async with self.session() as session:
            await session.execute(update(User).where(col(User.email) == email).values(is_deleted=True, tenant="south"))
            await session.commit()

    @property
    def letters(self) -> list[Letter]:
        return [letter for manager in self.managers for letter in manager.letters]

    def token(self, kind: LetterKind) -> str:
        return next(letter.token for letter in reversed(self.letters) if letter.kind is kind and letter.token)

    async def sign_in(self, username: str = ANNA, backend: str = "jwt") -> Response:
        data = {"username": username, "password": PASSWORD}
        return await self.client.post(f"/auth/{backend}/login", data=data)

    async def bearer(self, username: str = ANNA, backend: str = "jwt") -> dict[str, str]:
        return {"authorization": f"Bearer {(await self.sign_in(username, backend)).json()['access_token']}"}

    async def me(self, headers: dict[str, str] | None = None) -> int:
        return (await self.client.get("/users/me", headers=headers or {})).status_code

    async def post(self, path: str, **body: str) -> tuple[int, Any]:
        answer = await self.client.post(f"/auth/{path}", json=body)
        return answer.status_code, answer.json()


@asynccontextmanager
async def open_house(
    url: str, store: type[SQLAlchemyUserDatabase[Any, Any]], manager: type[Manager]
) -> AsyncIterator[House]:
    outside = create_engine(sync_url(url))
    Base.metadata.create_all(outside)
    outside.dispose()
    engine = create_async_engine(async_url(url))
    prepare_sqlite(engine)
    managers: list[Manager] = []

    def session() -> AsyncSession:
        return AsyncSession(engine, expire_on_commit=False)

    async def get_user_manager(x_tenant: Annotated[str, Header()] = "north") -> AsyncIterator[Manager]:
        async with session() as one:
            users = store(one, User, OAuthAccount)
            if isinstance(users, Tenants):
                users.tenant = x_tenant
            managers.append(manager(users))
            yield managers[-1]

    def get_jwt_strategy() -> JWTStrategy[Any, Any]:
        return JWTStrategy("a secret of thirty-two characters", lifetime_seconds=3600)

    sessions = Sessions("seven grey herons sleep above an old canal")
    bearer = SessionBackend[Any, Any]("jwt", BearerRefreshTransport("x"), sessions, get_user_manager)
    cookie = SessionBackend[Any, Any]("cookie", SessionCookieTransport(OURS), sessions, get_user_manager)
    stock = AuthenticationBackend[Any, Any]("stock", BearerTransport("x"), get_jwt_strategy)
    users = FastAPIUsers[Any, Any](get_user_manager, [bearer, cookie, stock])
    app = FastAPI()
    for backend in (bearer, cookie, stock):
        app.include_router(users.get_auth_router(backend), prefix=f"/auth/{backend.name}")
    app.include_router(users.get_refresh_router(bearer), prefix="/auth/jwt")
    app.include_router(users.get_verify_router(UserRead), prefix="/auth")
    app.include_router(users.get_reset_password_router(), prefix="/auth")
    app.include_router(users.get_account_router(UserRead), prefix="/auth")
    app.include_router(users.get_sessions_router(), prefix="/auth")
    app.include_router(users.get_users_router(UserRead, UserUpdate), prefix="/users")
    try:
        async with AsyncClient(transport=ASGITransport(app), base_url=OURS) as client:
            yield House(client, users, asynccontextmanager(get_user_manager), session, managers)
    finally:
        await engine.dispose()


@pytest.fixture(params=["soft-delete", "tenants", "manager"])
async def house(request: pytest.FixtureRequest, tmp_path: Path) -> AsyncIterator[House]:
    store: Any = {"soft-delete": SoftDelete, "tenants": Tenants}.get(request.param, SQLAlchemyUserDatabase)
    # Nothing of it depends on the dialect: one database for each case is enough.
    url = f"sqlite:///{tmp_path}/test.db"
    if request.param == "tenants":
        create: CreateDatabase = request.getfixturevalue("create_database")
        url = create()
    async with open_house(url, store, SoftDeleteInManager if request.param == "manager" else Manager) as house:
        yield house


class TestSessions:
    async def test_a_bearer_token(self, house: House) -> None:
        await house.add(ANNA)
        headers = await house.bearer()
        assert await house.me(headers) == 200
        await house.hide()
        assert await house.me(headers) == 401

    async def test_a_cookie(self, house: House) -> None:
        await house.add(ANNA)
        assert (await house.sign_in(backend="cookie")).status_code == 204
        assert await house.me() == 200
        await house.hide()
        assert await house.me() == 401

    async def test_a_stock_token(self, house: House) -> None:
        await house.add(ANNA)
        headers = await house.bearer(backend="stock")
        assert await house.me(headers) == 200
        await house.hide()
        assert await house.me(headers) == 401

    async def test_a_refresh_token(self, house: House) -> None:
        await house.add(ANNA)
        tokens = (await house.sign_in()).json()
        refreshed = await house.post("jwt/refresh", refresh_token=tokens["refresh_token"])
        assert refreshed[0] == 200
        await house.hide()
        token = refreshed[1]["refresh_token"]
        refused = await house.post("jwt/refresh", refresh_token=token)
        assert refused == (401, {"detail": "REFRESH_BAD_TOKEN"})
        async with house.session() as session:
            await session.execute(update(User).values(is_deleted=False, tenant="north"))
            await session.commit()
        # It was not used up.
        assert (await house.post("jwt/refresh", refresh_token=token))[0] == 200

    async def test_a_websocket(self, house: House) -> None:
        await house.add(ANNA)
        headers = await house.bearer()
        assert await self._is_admitted(house, headers["authorization"])
        session_id = house.managers[-1].current_session.id  # type: ignore[union-attr]  # It is there
        async with house.open_manager() as manager:
            assert await manager.is_session_alive(session_id)
        await house.hide()
        assert not await self._is_admitted(house, headers["authorization"])
        async with house.open_manager() as manager:
            assert not await manager.is_session_alive(session_id)

    async def _is_admitted(self, house: House, authorization: str) -> bool:
        async def nothing(*_: Any) -> Any:
            raise AssertionError

        headers = [(b"authorization", authorization.encode())]
        scope = {"type": "websocket", "path": "/", "query_string": b"", "headers": headers}
        websocket_user = house.users.websocket_user(lambda: house.open_manager("north"), origins=[OURS])
        who: Any = websocket_user(WebSocket(scope, nothing, nothing))
        try:
            await anext(who)
        except WebSocketException:
            return False
        await who.aclose()
        return True


class TestSigningIn:
    @pytest.mark.parametrize("name", [ANNA, "anna"])
    @pytest.mark.parametrize("backend", ["jwt", "cookie", "stock"])
    async def test_by_email_and_username(self, house: House, name: str, backend: str) -> None:
        await house.add(ANNA, username="anna")
        assert (await house.sign_in(name, backend)).status_code in {200, 204}
        await house.hide()
        answer = await house.sign_in(name, backend)
        assert (answer.status_code, answer.json()) == (400, {"detail": "LOGIN_BAD_CREDENTIALS"})

    async def test_between_password_and_session(self, house: House) -> None:
        user_id = await house.add(ANNA)
        async with house.open_manager("north") as manager:
            user = await manager.user_db.get(user_id)
        await house.hide()
        async with house.open_manager("north") as manager:
            with pytest.raises(UserNotExists):
                await house.users.authenticator.backends[0].strategy(manager).write_token(user)  # type: ignore[attr-defined]  # A session backend's


class TestMail:
    async def test_nothing_is_sent(self, house: House) -> None:
        await house.add(ANNA)
        await house.hide()
        assert (await house.post("forgot-password", email=ANNA))[0] == 202
        assert (await house.post("request-verify-token", email=ANNA))[0] == 202
        assert [letter for letter in house.letters if letter.to is not None] == []

    async def test_a_reset(self, house: House) -> None:
        await house.add(ANNA)
        await house.post("forgot-password", email=ANNA)
        token = house.token(LetterKind.RESET_PASSWORD)
        await house.hide()
        refused = await house.post("reset-password", token=token, password=NEW_PASSWORD)
        assert refused == (400, {"detail": "RESET_PASSWORD_BAD_TOKEN"})

    async def test_a_verification(self, house: House) -> None:
        await house.add(ANNA)
        await house.post("request-verify-token", email=ANNA)
        await house.hide()
        refused = await house.post("verify", token=house.token(LetterKind.VERIFY))
        assert refused == (400, {"detail": "VERIFY_USER_BAD_TOKEN"})

    async def test_a_change_of_address(self, house: House) -> None:
        await house.add(ANNA, is_verified=True)
        body = {"new_email": "anna@example.org", "current_password": PASSWORD}
        answer = await house.client.post("/auth/change-email", json=body, headers=await house.bearer())
        assert answer.status_code == 202
        await house.hide()
        confirmed = await house.post("confirm-email", token=house.token(LetterKind.CONFIRM_EMAIL))
        assert confirmed == (400, {"detail": "CONFIRM_EMAIL_BAD_TOKEN"})
        undone = await house.post("undo-change-email", token=house.token(LetterKind.EMAIL_CHANGE_REQUESTED))
        assert undone == (400, {"detail": "UNDO_CHANGE_EMAIL_BAD_TOKEN"})


class TestAdministration:
    async def test_a_user_who_is_not_there(self, house: House) -> None:
        await house.add(ROOT, is_superuser=True)
        user_id = await house.add(ANNA)
        headers = await house.bearer(ROOT)
        await house.hide()
        for method, body in (("GET", None), ("PATCH", {"username": "x"}), ("DELETE", None)):
            answer = await house.client.request(method, f"/users/{user_id}", headers=headers, json=body)
            assert answer.status_code == 404, method

    async def test_a_superuser_who_is_not_there_is_not_one_who_is_left(self, house: House) -> None:
        root_id = await house.add(ROOT, is_superuser=True)
        await house.add(ANNA, is_superuser=True)
        headers = await house.bearer(ROOT)
        await house.hide()
        answer = await house.client.delete(f"/users/{root_id}", headers=headers)
        assert (answer.status_code, answer.json()) == (409, {"detail": "LAST_SUPERUSER"})


async def test_an_account_at_a_provider(house: House) -> None:
    await house.add(ANNA)
    async with house.open_manager("north") as manager:
        store = manager.user_db
        await store.add_oauth_account(await store.get_by_email(ANNA), new_account())
        assert await store.get_by_oauth_account("google", "7") is not None
    await house.hide()
    async with house.open_manager("north") as manager:
        assert await manager.user_db.get_by_oauth_account("google", "7") is None


class Aliases(SQLAlchemyUserDatabase[User, uuid.UUID]):
    """Finds an address with a tag by the one without, and counts how often it is asked."""

    async def get_by_email(self, email: str) -> User | None:
        name, _, domain = email.partition("@")
        return await super().get_by_email(f"{name.partition('+')[0]}@{domain}")


async def test_what_finds_more_is_believed_too(tmp_path: Path) -> None:
    async with open_house(f"sqlite:///{tmp_path}/test.db", Aliases, Manager) as house:
        await house.add(ANNA)
        assert (await house.sign_in("anna+list@example.com")).status_code == 200
        await house.post("forgot-password", email="anna+list@example.com")
        assert [letter.to for letter in house.letters] == [ANNA]
