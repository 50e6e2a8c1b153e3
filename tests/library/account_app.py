"""An app of all routers, as its author would write it, with FastAPI Users' own strategies."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Annotated, Any

from fastapi import Depends, FastAPI, Request
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse
from fastapi_users.authentication import AuthenticationBackend, BearerTransport, CookieTransport, JWTStrategy
from fastapi_users.authentication.strategy.db import DatabaseStrategy
from httpx2 import ASGITransport, AsyncClient
from sqlmodel.ext.asyncio.session import AsyncSession

from fastapi_users_sqlmodel import FastAPIUsers, SQLAlchemyAccessTokenDatabase, SQLAlchemyUserDatabase, schemas
from tests.library.accounts import Accounts, Manager
from tests.library.models import Models
from tests.library.stores import open_stores


class UserRead(schemas.BaseUser[Any]):
    username: str | None = None


class UserCreate(schemas.BaseUserCreate):
    username: str | None = None
    id: Any = None


class UserUpdate(schemas.BaseUserUpdate):
    username: str | None = None
    id: Any = None


@dataclass(frozen=True)
class Service:
    """The app, a client of it, and the accounts that it works on; each request has a session of its own."""

    app: FastAPI
    client: AsyncClient
    accounts: Accounts
    managers: list[Manager]

    async def sign_in(self, email: str, password: str) -> dict[str, str]:
        """Return the header that says who one is."""
        answer = await self.client.post("/auth/jwt/login", data={"username": email, "password": password})
        return {"Authorization": f"Bearer {answer.json()['access_token']}"}

    def token(self, kind: Any) -> str:
        """Return the token of the newest letter of a kind."""
        letters = [letter for manager in self.managers for letter in manager.letters]
        return next(letter.token for letter in reversed(letters) if letter.kind is kind and letter.token)


async def without_values(_: Request, error: Exception) -> JSONResponse:
    # FastAPI's own answer repeats what was sent, a lone surrogate too, which cannot be rendered.
    assert isinstance(error, RequestValidationError)
    problems = [{name: problem[name] for name in ("loc", "msg", "type")} for problem in error.errors()]
    return JSONResponse({"detail": problems}, status_code=422)


@asynccontextmanager
async def open_service(
    models: Models, url: str, manager_class: type[Manager] = Manager, *, requires_verification: bool = False
) -> AsyncIterator[Service]:
    async with open_stores(models, url, "async") as stores:
        assert isinstance(stores.session, AsyncSession)
        engine = stores.session.bind
        managers: list[Manager] = []

        async def get_async_session() -> AsyncIterator[AsyncSession]:
            async with AsyncSession(engine, expire_on_commit=False) as session:
                yield session

        async def get_user_manager(session: Annotated[AsyncSession, Depends(get_async_session)]) -> Manager:
            managers.append(manager_class(SQLAlchemyUserDatabase(session, models.user)))
            return managers[-1]

        async def get_database_strategy(
            session: Annotated[AsyncSession, Depends(get_async_session)],
        ) -> DatabaseStrategy[Any, Any, Any]:
            return DatabaseStrategy(SQLAlchemyAccessTokenDatabase(session, models.access_token))

        def get_jwt_strategy() -> JWTStrategy[Any, Any]:
            return JWTStrategy("a secret of thirty-two characters", lifetime_seconds=3600)

        bearer = AuthenticationBackend[Any, Any]("jwt", BearerTransport("auth/jwt/login"), get_jwt_strategy)
        cookie = AuthenticationBackend[Any, Any]("cookie", CookieTransport("session"), get_database_strategy)
        users = FastAPIUsers[Any, Any](get_user_manager, [bearer, cookie])
        app = FastAPI(exception_handlers={RequestValidationError: without_values})
        app.include_router(users.get_auth_router(bearer, requires_verification), prefix="/auth/jwt")
        app.include_router(users.get_auth_router(cookie, requires_verification), prefix="/auth/cookie")
        app.include_router(users.get_register_router(UserRead, UserCreate), prefix="/auth")
        app.include_router(users.get_verify_router(UserRead), prefix="/auth")
        app.include_router(users.get_reset_password_router(), prefix="/auth")
        app.include_router(users.get_account_router(UserRead), prefix="/auth")
        app.include_router(users.get_users_router(UserRead, UserUpdate, requires_verification), prefix="/users")
        transport = ASGITransport(app, client=("192.0.2.1", 50000))
        async with AsyncClient(transport=transport, base_url="https://example.com") as client:
            yield Service(app, client, Accounts(manager_class(stores.users), stores), managers)
