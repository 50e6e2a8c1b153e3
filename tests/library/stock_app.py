"""An app with FastAPI Users' strategies, as they and as ours are imported, beside one of our sessions."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Annotated, Any

import httpx2
from fastapi import Depends, FastAPI
from fastapi_users.authentication.strategy import db as upstream
from sqlalchemy import select
from sqlmodel.ext.asyncio.session import AsyncSession

from fastapi_users_sqlmodel import FastAPIUsers, SQLAlchemyAccessTokenDatabase, SQLAlchemyUserDatabase
from fastapi_users_sqlmodel.authentication import (
    AuthenticationBackend,
    BearerRefreshTransport,
    BearerTransport,
    CookieTransport,
    JWTStrategy,
    SessionBackend,
    Sessions,
)
from fastapi_users_sqlmodel.authentication.strategy.db import DatabaseStrategy
from tests.library.account_app import UserRead, UserUpdate
from tests.library.accounts import PASSWORD, Accounts, Manager
from tests.library.models import Models
from tests.library.stores import open_stores

ANNA = "anna@example.com"
SECRET = "seven grey herons sleep above an old canal"
# Named for what they have: a transport, and where their tokens stand.
BACKENDS = ("jwt", "cookie", "database", "session")


@dataclass(frozen=True)
class Stock:
    """The app, a client of it, the accounts, and the routers' options."""

    app: FastAPI
    client: httpx2.AsyncClient
    accounts: Accounts

    async def user(self) -> Any:
        """Return Anna, and hold no lock."""
        user = await self.accounts.manager.user_db.get_by_email(ANNA)
        await self.accounts.manager.release()
        return user

    async def log_in(self, backend: str, email: str = ANNA) -> httpx2.Response:
        self.client.cookies.clear()
        return await self.client.post(f"/auth/{backend}/login", data={"username": email, "password": PASSWORD})

    async def sign_in(self, backend: str, email: str = ANNA) -> dict[str, str]:
        """Return the header that a client of this backend sends."""
        response = await self.log_in(backend, email)
        assert response.is_success, response.text
        if backend == "cookie":
            token = response.cookies["session"]
            self.client.cookies.clear()
            return {"Cookie": f"session={token}"}
        return {"Authorization": f"Bearer {response.json()['access_token']}"}

    async def lives(self, headers: dict[str, str]) -> bool:
        """Tell whether a header still signs in."""
        status = (await self.client.get("/me", headers=headers)).status_code
        assert status in {200, 401}
        return status == 200

    async def post(self, path: str, headers: dict[str, str], **body: Any) -> int:
        return (await self.client.post(path, headers=headers, json=body or None)).status_code

    def tokens(self) -> int:
        """Say how many access tokens another connection sees."""
        return self.accounts.stores.count(self.accounts.stores.models.access_token)

    def sessions(self) -> int:
        with self.accounts.stores.outside.connect() as connection:
            return len(connection.execute(select(self.accounts.tables.sessions.c.id)).all())


@asynccontextmanager
async def open_stock(  # noqa: C901  # Its dependencies and routes, as an app has them
    models: Models, url: str, *, requires_verification: bool = False
) -> AsyncIterator[Stock]:
    async with open_stores(models, url, "async") as stores:
        assert isinstance(stores.session, AsyncSession)
        engine = stores.session.bind

        async def get_async_session() -> AsyncIterator[AsyncSession]:
            async with AsyncSession(engine, expire_on_commit=False) as session:
                yield session

        async def get_user_manager(session: Annotated[AsyncSession, Depends(get_async_session)]) -> Manager:
            return Manager(SQLAlchemyUserDatabase(session, models.user))

        async def get_database_strategy(
            session: Annotated[AsyncSession, Depends(get_async_session)],
        ) -> DatabaseStrategy[Any, Any, Any]:
            return DatabaseStrategy(SQLAlchemyAccessTokenDatabase(session, models.access_token))

        async def get_upstream_strategy(
            session: Annotated[AsyncSession, Depends(get_async_session)],
        ) -> upstream.DatabaseStrategy[Any, Any, Any]:
            return upstream.DatabaseStrategy(SQLAlchemyAccessTokenDatabase(session, models.access_token), 3600)

        def get_jwt_strategy() -> JWTStrategy[Any, Any]:
            return JWTStrategy(SECRET, lifetime_seconds=3600)

        backend = AuthenticationBackend[Any, Any]
        backends: dict[str, AuthenticationBackend[Any, Any]] = {
            "jwt": backend("jwt", BearerTransport("auth/jwt/login"), get_jwt_strategy),
            "cookie": backend("cookie", CookieTransport("session"), get_database_strategy),
            "database": backend("database", BearerTransport("auth/database/login"), get_upstream_strategy),
            "session": SessionBackend(
                "session", BearerRefreshTransport("auth/session/login"), Sessions(SECRET), get_user_manager
            ),
        }
        users = FastAPIUsers[Any, Any](get_user_manager, [*backends.values()])
        app = FastAPI()
        for name, each in backends.items():
            app.include_router(users.get_auth_router(each, requires_verification), prefix=f"/auth/{name}")
        app.include_router(users.get_sessions_router(), prefix="/auth")
        app.include_router(users.get_account_router(UserRead), prefix="/auth")
        app.include_router(users.get_reset_password_router(), prefix="/auth")
        app.include_router(users.get_users_router(UserRead, UserUpdate), prefix="/users")

        async def me(user: Annotated[Any, Depends(users.current_user())]) -> Any:
            return user

        async def anyone(user: Annotated[Any, Depends(users.current_user(optional=True))]) -> Any:
            return user

        async def even_deactivated(user: Annotated[Any, Depends(users.current_user(active=False))]) -> Any:
            return user

        async def with_token(
            user_token: Annotated[Any, Depends(users.authenticator.current_user_token())],
        ) -> Any:
            return user_token[0]

        async def danger(user: Annotated[Any, Depends(users.fresh_login())]) -> Any:
            return user

        for path, endpoint in {
            "/me": me,
            "/anyone": anyone,
            "/even-deactivated": even_deactivated,
            "/with-token": with_token,
            "/danger": danger,
        }.items():
            app.get(path, response_model=UserRead | None)(endpoint)

        accounts = Accounts(Manager(stores.users), stores)
        await accounts.user()
        transport = httpx2.ASGITransport(app, client=("192.0.2.1", 50000))
        async with httpx2.AsyncClient(transport=transport, base_url="https://example.com") as client:
            yield Stock(app, client, accounts)
