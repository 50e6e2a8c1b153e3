"""FastAPI Users' own strategies in our routers: who is signed in, what a logout ends, and what ends their tokens."""

from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Any

import pytest
from fastapi_users.authentication.strategy import db as upstream
from sqlalchemy import ForeignKey, String
from sqlalchemy.orm import DeclarativeBase, Mapped, mapped_column

from fastapi_users_sqlmodel import LetterKind, SQLAlchemyBaseAccessTokenTable
from fastapi_users_sqlmodel.exceptions import LoginNotFresh
from tests.library.accounts import NEW_PASSWORD, PASSWORD
from tests.library.models import Models
from tests.library.stock_app import ANNA, BACKENDS, Stock, open_stock

pytestmark = pytest.mark.parametrize("form", ["sqlalchemy-uuid", "sqlmodel-int"], indirect=True)

BERTA = "berta@example.com"


@pytest.fixture
async def stock(models: Models, url: str) -> AsyncIterator[Stock]:
    async with open_stock(models, url) as stock:
        yield stock


class TestLogout:
    @pytest.mark.parametrize("signed_in", BACKENDS)
    async def test_takes_its_own_tokens_alone(self, stock: Stock, signed_in: str) -> None:
        """What another backend's logout answers is that nobody is signed in, and so the token lives."""
        headers = await stock.sign_in(signed_in)
        for other in BACKENDS:
            if other != signed_in:
                assert await stock.post(f"/auth/{other}/logout", headers) == 401, other
                assert await stock.lives(headers)
        assert await stock.post(f"/auth/{signed_in}/logout", headers) == 204
        # A JWT cannot be taken back, which check_security says.
        assert await stock.lives(headers) is (signed_in == "jwt")
        assert (stock.tokens(), stock.sessions()) == (0, 0)

    async def test_with_two_tokens(self, stock: Stock) -> None:
        """The one of this backend ends, whatever else the request brings."""
        cookie, bearer = await stock.sign_in("cookie"), await stock.sign_in("session")
        assert await stock.post("/auth/cookie/logout", cookie | bearer) == 204
        assert [await stock.lives(headers) for headers in (cookie, bearer)] == [False, True]

    @pytest.mark.parametrize("name", BACKENDS)
    async def test_of_nobody(self, stock: Stock, name: str) -> None:
        for headers in ({}, {"Authorization": "Bearer x"}, {"Cookie": "session=x"}):
            assert await stock.post(f"/auth/{name}/logout", headers) == 401

    @pytest.mark.parametrize("name", BACKENDS)
    async def test_unverified(self, models: Models, url: str, name: str) -> None:
        """FastAPI Users refuses them where signing in asks for it; a session can always be ended."""
        async with open_stock(models, url, requires_verification=True) as stock:
            user = await stock.user()
            await stock.accounts.manager.user_db.update(user, {"is_verified": True})
            headers = await stock.sign_in(name)
            await stock.accounts.manager.user_db.update(user, {"is_verified": False})
            assert await stock.post(f"/auth/{name}/logout", headers) == (204 if name == "session" else 403)


class TestCurrentUser:
    @pytest.mark.parametrize("name", BACKENDS)
    async def test_deactivated(self, stock: Stock, name: str) -> None:
        """By the database alone, so that the tokens are still there."""
        headers = await stock.sign_in(name)
        user = await stock.user()
        await stock.accounts.manager.user_db.update(user, {"is_active": False})
        for path, expected in {
            "/me": (401, None),
            "/with-token": (401, None),
            "/anyone": (200, None),
            # A session ends with its user; a stock token does what the app has asked for.
            "/even-deactivated": (401, None) if name == "session" else (200, ANNA),
        }.items():
            response = await stock.client.get(path, headers=headers)
            email = response.json().get("email") if response.json() else None
            assert (response.status_code, email) == expected, path

    @pytest.mark.parametrize("name", BACKENDS)
    async def test_active(self, stock: Stock, name: str) -> None:
        headers = await stock.sign_in(name)
        for path in ("/me", "/with-token", "/anyone", "/even-deactivated"):
            assert (await stock.client.get(path, headers=headers)).json()["email"] == ANNA


async def change_password(stock: Stock, headers: dict[str, str]) -> None:
    body = {"current_password": PASSWORD, "new_password": NEW_PASSWORD}
    assert await stock.post("/auth/change-password", headers, **body) == 204


async def patch_password(stock: Stock, headers: dict[str, str]) -> None:
    body = {"current_password": PASSWORD, "password": NEW_PASSWORD}
    assert (await stock.client.patch("/users/me", json=body, headers=headers)).status_code == 200


async def end_others(stock: Stock, headers: dict[str, str]) -> None:
    assert (await stock.client.delete("/auth/sessions", headers=headers)).status_code == 204


async def reset(stock: Stock, headers: dict[str, str]) -> None:
    manager = stock.accounts.manager
    await manager.request_reset_password(ANNA)
    body = {"token": manager.token(LetterKind.RESET_PASSWORD), "password": NEW_PASSWORD}
    assert await stock.post("/auth/reset-password", {}, **body) == 200


async def confirm_email(stock: Stock, headers: dict[str, str]) -> None:
    manager = stock.accounts.manager
    user = await stock.user()
    await manager.request_change_email(user, "new@example.com", PASSWORD)
    assert await stock.post("/auth/confirm-email", {}, token=manager.token(LetterKind.CONFIRM_EMAIL)) == 200


async def _by_superuser(stock: Stock, **changes: Any) -> None:
    manager = stock.accounts.manager
    root = await stock.accounts.user("root@example.com", is_superuser=True)
    user = await stock.user()
    await manager.update_by_superuser(root, user.id, changes)


async def deactivate(stock: Stock, headers: dict[str, str]) -> None:
    await _by_superuser(stock, is_active=False)


async def new_email(stock: Stock, headers: dict[str, str]) -> None:
    await _by_superuser(stock, email="new@example.com")


async def demote(stock: Stock, headers: dict[str, str]) -> None:
    user = await stock.user()
    await stock.accounts.manager.user_db.update(user, {"is_superuser": True})
    await _by_superuser(stock, is_superuser=False)


async def delete(stock: Stock, headers: dict[str, str]) -> None:
    assert await stock.post("/auth/delete-account", headers, current_password=PASSWORD) == 204


# What is done, and whether the token that does it stays.
CAUSES: dict[Callable[[Stock, dict[str, str]], Awaitable[None]], bool] = {
    change_password: True,
    patch_password: True,
    end_others: True,
    reset: False,
    confirm_email: False,
    deactivate: False,
    new_email: False,
    demote: False,
    delete: False,
}


class TestTokensInTheDatabase:
    @pytest.mark.parametrize("cause", CAUSES, ids=lambda cause: cause.__name__)
    async def test_end_with_the_sessions(self, stock: Stock, cause: Any) -> None:
        await stock.accounts.user(BERTA)
        own, others = await stock.sign_in("cookie"), [await stock.sign_in(each) for each in ("cookie", "database")]
        session, berta = await stock.sign_in("session"), await stock.sign_in("database", BERTA)

        await cause(stock, own)

        assert await stock.lives(own) is CAUSES[cause]
        assert [await stock.lives(headers) for headers in (*others, session)] == [False, False, False]
        assert await stock.lives(berta)
        assert (stock.tokens(), stock.sessions()) == (2 if CAUSES[cause] else 1, 0)

    @pytest.mark.parametrize("name", BACKENDS)
    async def test_the_own_token_stays_whatever_the_strategy(self, stock: Stock, name: str) -> None:
        """Of FastAPI Users' own strategy too, and of a bearer token."""
        own, others = await stock.sign_in(name), [await stock.sign_in(each) for each in ("cookie", "database")]
        await change_password(stock, own)
        assert await stock.lives(own)
        assert [await stock.lives(headers) for headers in others] == [False, False]

    async def test_who_changes_somebody_else_keeps_the_own(self, stock: Stock) -> None:
        """A token of another user is nobody's to keep."""
        await stock.accounts.user(BERTA, is_superuser=True)
        berta, anna = await stock.sign_in("database", BERTA), await stock.sign_in("database")
        user = await stock.user()
        response = await stock.client.patch(f"/users/{user.id}", json={"is_active": False}, headers=berta)
        assert response.status_code == 200
        assert [await stock.lives(headers) for headers in (berta, anna)] == [True, False]

    async def test_a_rollback_ends_none(self, stock: Stock) -> None:
        headers = await stock.sign_in("database")
        manager = stock.accounts.manager
        user = await stock.user()

        async def end_and_fail() -> None:
            async with manager.user_db.transaction():
                await manager.end_other_sessions(user)
                raise LookupError

        with pytest.raises(LookupError):
            await end_and_fail()
        assert await stock.lives(headers)

    @pytest.mark.parametrize("when", ["before", "after"])
    async def test_a_login_that_overlaps_a_change(
        self, stock: Stock, monkeypatch: pytest.MonkeyPatch, when: str
    ) -> None:
        """The password was right, and is another one when the token is written: nobody gets it, and no row stays."""
        write_token = upstream.DatabaseStrategy.write_token

        async def overlapped(self: Any, user: Any) -> str:
            token = await write_token(self, user) if when == "after" else ""
            await reset(stock, {})
            return token or await write_token(self, user)

        monkeypatch.setattr(upstream.DatabaseStrategy, "write_token", overlapped)
        response = await stock.log_in("database")
        assert (response.status_code, response.json()) == (400, {"detail": "LOGIN_BAD_CREDENTIALS"})
        assert stock.tokens() == 0

    async def test_of_a_table_with_names_of_its_own(self, stock: Stock) -> None:
        """Every class over the base that points to these users, and no other one."""
        models = stock.accounts.stores.models
        user = await stock.user()
        key = models.user.__table__.c.id

        class Keys(SQLAlchemyBaseAccessTokenTable[Any]):
            __tablename__ = "api_key"
            user_id: Mapped[Any] = mapped_column("owner", key.type, ForeignKey(key, ondelete="CASCADE"))

        class Elsewhere(DeclarativeBase):
            pass

        class Incomplete(SQLAlchemyBaseAccessTokenTable[Any], Elsewhere):
            user_id: Mapped[Any] = mapped_column(String(32), ForeignKey("nowhere.id"))

        class Base(DeclarativeBase):
            metadata = models.metadata

        ApiKey = type("ApiKey", (Keys, Base), {})  # noqa: N806
        table: Any = ApiKey.__table__  # type: ignore[attr-defined]  # Mapped
        try:
            with stock.accounts.stores.outside.begin() as connection:
                table.create(connection)
                connection.execute(table.insert().values(token="x", owner=user.id))
            await stock.accounts.manager.end_other_sessions(user)
            assert stock.accounts.stores.count(table) == 0
        finally:
            with stock.accounts.stores.outside.begin() as connection:
                table.drop(connection, checkfirst=True)
            models.metadata.remove(table)
            Base.registry.dispose()
            Elsewhere.registry.dispose()


class TestBesideSessions:
    async def test_is_never_fresh(self, stock: Stock) -> None:
        """There is no session that would know; and none to prove the password in."""
        me = await stock.sign_in("jwt")
        response = await stock.client.get("/danger", headers=me)
        assert (response.status_code, response.json()) == (403, {"detail": "FRESH_LOGIN_REQUIRED"})
        assert await stock.post("/auth/reauthenticate", me, current_password=PASSWORD) == 401
        response = await stock.client.get("/auth/sessions", headers=me)
        assert (response.status_code, response.json()) == (200, [])

    async def test_one_that_is_read_last_leaves_the_session_alone(self, stock: Stock) -> None:
        jwt_, session = await stock.sign_in("jwt"), await stock.sign_in("session")
        assert (await stock.client.get("/danger", headers=session)).json()["email"] == ANNA
        for headers, is_current in ((jwt_, False), (session, True)):
            [listed] = (await stock.client.get("/auth/sessions", headers=headers)).json()
            assert listed["current"] is is_current

    async def test_a_superuser_needs_no_fresh_login(self, stock: Stock) -> None:
        """Who keeps FastAPI Users' strategies keeps what they could do; asked explicitly, nobody knows."""
        manager = stock.accounts.manager
        root = await stock.accounts.user("root@example.com", is_superuser=True)
        user = await stock.accounts.user(BERTA)
        await manager.update_by_superuser(root, user.id, {"username": "berta"})
        assert stock.accounts.column("username", BERTA) == "berta"
        with pytest.raises(LoginNotFresh):
            manager.require_fresh_login()
