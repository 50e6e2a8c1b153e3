"""FastAPI Users' main object, which hands out our routers."""

from collections.abc import AsyncIterator, Callable, Coroutine, Sequence
from datetime import timedelta
from typing import Any, Generic

import fastapi_users
from fastapi import APIRouter, Depends, WebSocket
from fastapi_users import schemas
from fastapi_users.authentication import AuthenticationBackend
from fastapi_users.manager import UserManagerDependency
from fastapi_users.models import ID, UP
from pydantic import BaseModel

from fastapi_users_sqlmodel.authentication import Authenticator, SessionBackend
from fastapi_users_sqlmodel.exceptions import APIError, NotFound
from fastapi_users_sqlmodel.routers._oauth import warn_of_oauth
from fastapi_users_sqlmodel.routers.account import get_account_router
from fastapi_users_sqlmodel.routers.auth import get_auth_router, get_login_router
from fastapi_users_sqlmodel.routers.register import get_register_router
from fastapi_users_sqlmodel.routers.reset import get_reset_password_router
from fastapi_users_sqlmodel.routers.sessions import get_refresh_router, get_sessions_router
from fastapi_users_sqlmodel.routers.users import get_users_router
from fastapi_users_sqlmodel.routers.verify import get_verify_router
from fastapi_users_sqlmodel.websockets import OpenUserManager, get_websocket_user


class FastAPIUsers(fastapi_users.FastAPIUsers[UP, ID], Generic[UP, ID]):
    """The same object, with FastAPI Users' routes hardened, and those that it has not."""

    authenticator: Authenticator[UP, ID]

    def __init__(
        self,
        get_user_manager: UserManagerDependency[UP, ID],
        auth_backends: Sequence[AuthenticationBackend[UP, ID]],
    ) -> None:
        super().__init__(get_user_manager, auth_backends)
        self.authenticator = Authenticator(auth_backends, get_user_manager)
        self.current_user = self.authenticator.current_user

    def get_register_router(
        self, user_schema: type[BaseModel], user_create_schema: type[schemas.UC], *, path: str = "/register"
    ) -> APIRouter:
        """Return a router with a route that registers."""
        return get_register_router(self.get_user_manager, user_schema, user_create_schema, path=path)

    def get_verify_router(self, user_schema: type[BaseModel]) -> APIRouter:
        """Return a router with routes that verify an address."""
        return get_verify_router(self.get_user_manager, user_schema)

    def get_reset_password_router(self) -> APIRouter:
        """Return a router with routes that reset a forgotten password."""
        return get_reset_password_router(self.get_user_manager)

    def get_auth_router(
        self,
        backend: AuthenticationBackend[UP, ID],
        requires_verification: bool = False,  # noqa: FBT001, FBT002  # FastAPI Users' signature
    ) -> APIRouter:
        """Return a router with routes that sign in and out with a backend."""
        return get_auth_router(backend, self.get_user_manager, self.authenticator, requires_verification)

    def get_login_router(
        self, backend: AuthenticationBackend[UP, ID], *, requires_verification: bool = False
    ) -> APIRouter:
        """Return a router with the route alone that signs in."""
        return get_login_router(backend, self.get_user_manager, requires_verification)

    def get_refresh_router(self, backend: SessionBackend[UP, ID]) -> APIRouter:
        """Return a router with the route that refreshes the tokens of a bearer backend."""
        return get_refresh_router(backend, self.get_user_manager)

    def get_sessions_router(self) -> APIRouter:
        """Return a router with routes that show and end one's sessions, prove the password, and issue tickets."""
        return get_sessions_router(self.get_user_manager, self.authenticator)

    def fresh_login(
        self,
        within: timedelta | None = None,
        *,
        verified: bool = False,
        superuser: bool = False,
    ) -> Callable[..., Coroutine[Any, Any, UP]]:
        """Return a dependency, as `current_user`, for what needs a password that was proved lately in this session.

        Otherwise the response is 403 `FRESH_LOGIN_REQUIRED`; the client then posts the password to `/reauthenticate`.

        Args:
            within: How lately; the manager's `fresh_login_within` if not given.
            verified: Whether the address has to be verified.
            superuser: Whether the user has to be a superuser.
        """
        current_user = self.authenticator.current_user(active=True, verified=verified, superuser=superuser)

        async def fresh_user(user: Any = Depends(current_user), manager: Any = Depends(self.get_user_manager)) -> UP:
            manager.require_fresh_login(within)
            return user  # type: ignore[no-any-return]  # FastAPI Users' dependency returns Any

        return fresh_user

    def websocket_user(  # Each is a word of its own
        self,
        open_user_manager: OpenUserManager,
        *,
        origins: Sequence[str],
        verified: bool = False,
        superuser: bool = False,
        check_every: timedelta = timedelta(seconds=1),
    ) -> Callable[[WebSocket], AsyncIterator[UP]]:
        """Return a dependency for WebSockets: the user of a ticket, a cookie or a bearer token of a session backend.

        A browser sends cookies with a handshake from any page, so a cookie counts from these origins alone (RFC 6455,
        10.2). A ticket, `?ticket=` from `POST …/websocket-ticket`, counts once, from any origin. Whoever is refused is
        answered before the connection is accepted. When the session ends, in whatever way and on whatever process, the
        connection is closed with 1008; the endpoint sees a disconnect.

        Args:
            open_user_manager: Opens a manager on a database session of its own, such as
                `contextlib.asynccontextmanager(get_user_manager)` over such a session; a connection may last for days,
                and holds none of the database's.
            origins: The pages that may connect with a cookie: URLs of which the origin counts.
            verified: Whether the address has to be verified.
            superuser: Whether the user has to be a superuser.
            check_every: How often one indexed statement asks whether the session lives.
        """
        return get_websocket_user(
            self.authenticator.backends,
            open_user_manager,
            origins=origins,
            verified=verified,
            superuser=superuser,
            check_every=check_every,
        )

    def get_oauth_router(self, *args: Any, **kwargs: Any) -> APIRouter:
        """Return FastAPI Users' OAuth router, with its arguments; a `SecurityWarning` lists its vulnerabilities."""
        warn_of_oauth(stacklevel=3)
        return super().get_oauth_router(*args, **kwargs)

    def get_oauth_associate_router(self, *args: Any, **kwargs: Any) -> APIRouter:
        """Return FastAPI Users' OAuth association router; a `SecurityWarning` lists its vulnerabilities."""
        warn_of_oauth(stacklevel=3)
        return super().get_oauth_associate_router(*args, **kwargs)

    def get_account_router(self, user_schema: type[BaseModel]) -> APIRouter:
        """Return a router with routes that change the password and the address, and delete the account."""
        return get_account_router(self.get_user_manager, self.authenticator, user_schema)

    def get_users_router(  # noqa: PLR0913  # Each is a choice of its own
        self,
        user_schema: type[BaseModel],
        user_update_schema: type[BaseModel],
        requires_verification: bool = False,  # noqa: FBT001, FBT002  # FastAPI Users' signature
        *,
        user_admin_update_schema: type[BaseModel] | None = None,
        user_public_schema: type[BaseModel] | None = None,
        not_found: type[NotFound] = NotFound,
        update_errors: Sequence[type[APIError]] = (),
        router: APIRouter | None = None,
    ) -> APIRouter:
        """Return a router for a user's own account, and for all accounts as a superuser; see `routers.users`."""
        return get_users_router(
            self.get_user_manager,
            user_schema,
            user_update_schema,
            self.authenticator,
            requires_verification,
            user_admin_update_schema=user_admin_update_schema,
            user_public_schema=user_public_schema,
            not_found=not_found,
            update_errors=update_errors,
            router=router,
        )
