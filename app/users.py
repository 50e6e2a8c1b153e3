"""Who the users are and how they prove it: the FastAPI Users configuration."""

import uuid
from collections.abc import Mapping
from datetime import timedelta
from typing import Annotated, Any, Self, cast

from fastapi import Depends, Request
from fastapi_users.exceptions import InvalidID, UserNotExists
from sqlmodel.ext.asyncio.session import AsyncSession

from app.core.settings import settings
from app.crud.outbox import Outbox
from app.crud.user_group import UserGroupNotFound
from app.db import get_async_session, pause
from app.models import User
from app.schemas import UserAdminUpdate, UserBase, UserCreate, UserUpdate
from fastapi_users_sqlmodel import (
    BaseUserManager,
    BearerRefreshTransport,
    FastAPIUsers,
    LetterKind,
    PasswordHelper,
    SessionBackend,
    SessionCookieTransport,
    SessionLifetimes,
    Sessions,
    SQLAlchemyUserDatabase,
    Throttle,
    UUIDIDMixin,
)
from fastapi_users_sqlmodel.exceptions import ValueRefused
from fastapi_users_sqlmodel.identity import parse_uuid

SessionDep = Annotated[AsyncSession, Depends(get_async_session, scope="function")]

# Scripts hash with it in their own thread, requests in others, so many at once.
password_helper = PasswordHelper()


class UserManager(UUIDIDMixin, BaseUserManager[User, uuid.UUID]):
    """The life of an account, in the transaction of its request, with mail in the outbox."""

    throttle = (
        Throttle(settings.redis_url.get_secret_value() if settings.redis_url else None) if settings.throttling else None
    )
    conceal_accounts = settings.conceal_accounts
    # For the routes of the service as well as for those of the library.
    registration_fields = own_fields = frozenset(UserBase.model_fields)
    superuser_fields = frozenset(UserAdminUpdate.model_fields)

    def __init__(self, user_db: SQLAlchemyUserDatabase[User, uuid.UUID], session: AsyncSession) -> None:
        super().__init__(user_db, password_helper)
        self.session = session

    def parse_id(self, value: Any) -> uuid.UUID:
        """Return the id of a path or token.

        Raises:
            InvalidID: It is no UUID in the spelling of RFC 9562.
        """
        if (user_id := parse_uuid(str(value))) is None:
            raise InvalidID
        return user_id

    async def release(self) -> None:
        """Commit the request's transaction, which is ours, and go on in another one."""
        await pause(self.session)

    async def apply(self, user: User, changes: Mapping[str, Any]) -> User:
        """Write changes that are allowed.

        Raises:
            UserGroupNotFound: There is no such group.
        """
        try:
            return await super().apply(user, changes)
        except ValueRefused as error:
            if "group_id" not in error.fields:
                raise
            raise UserGroupNotFound(changes.get("group_id")) from error

    async def take_out(self, user_id: uuid.UUID, group_id: int, *, by: User, request: Request | None = None) -> None:
        """Take a user out of a group, as a superuser.

        Raises:
            UserNotExists: There is no such user in this group.
            NotSuperuser: `by` is no superuser.
        """
        async with self.user_db.transaction():
            user, _ = await self.lock_to_administer(user_id, by)
            if user.group_id != group_id:
                raise UserNotExists
            await self.update_by_superuser(by, user_id, {"group_id": None}, request)

    async def queue_letter(
        self, kind: LetterKind, to: str | None, *, user: User | None, token: str | None = None
    ) -> None:
        """Put a letter into the outbox."""
        await Outbox(self.session).put(kind, to, name=user.name if user is not None else None, token=token)

    async def on_register(self, user: User, request: Request | None = None) -> None:
        """Ask the new user to verify the address.

        Counted by itself, so that nobody who asks for other mail to a free address keeps this one from its owner; and
        counted all the same: whoever registers, leaves and registers again writes a letter with every round.
        """
        if await self.may_mail_to(user.email, "registration"):
            await self.request_verify(user, request)


# The schemas that are written to the table of users; `check_models` compares them with its columns.
WRITTEN = {User: (UserCreate, UserUpdate, UserAdminUpdate)}


class ScriptUserManager(UserManager):
    """The manager for scripts: it works in the script's own transaction, and sends no e-mail about new accounts."""

    release = BaseUserManager.release

    @classmethod
    def on(cls, session: AsyncSession) -> Self:
        """Return a manager on a session whose transaction has been begun."""
        return cls(SQLAlchemyUserDatabase(session, User), session)

    async def on_register(self, user: User, request: Request | None = None) -> None:
        """Send no e-mail: a script says itself whether the address is verified."""


async def get_user_db(session: SessionDep) -> SQLAlchemyUserDatabase[User, uuid.UUID]:
    """Hand over the store of users on the request's session."""
    return SQLAlchemyUserDatabase(session, User)


async def get_user_manager(
    user_db: Annotated[SQLAlchemyUserDatabase[User, uuid.UUID], Depends(get_user_db)],
) -> UserManager:
    """Hand over the user manager of the request."""
    return UserManager(user_db, cast("AsyncSession", user_db.session))


_secret, *_previous = settings.keys_for("sessions")
sessions = Sessions(
    _secret,
    previous=tuple(_previous),
    issuer=settings.public_url,
    # Each setting has a default: a shorter REFRESH_TOKEN_LIFETIME alone shortens the others too.
    lifetimes=SessionLifetimes(
        access_token=timedelta(seconds=min(settings.access_token_lifetime, settings.refresh_token_lifetime)),
        refresh_token=timedelta(seconds=settings.refresh_token_lifetime),
        idle=timedelta(seconds=min(settings.session_idle_lifetime, settings.refresh_token_lifetime)),
    ),
)
cookie_transport = SessionCookieTransport(settings.public_url, max_age=sessions.lifetimes.refresh_token)

auth_backend = SessionBackend[User, uuid.UUID](
    "jwt", BearerRefreshTransport(tokenUrl="auth/jwt/login"), sessions, get_user_manager
)
cookie_backend = SessionBackend[User, uuid.UUID]("cookie", cookie_transport, sessions, get_user_manager)
fastapi_users = FastAPIUsers[User, uuid.UUID](get_user_manager, [auth_backend, cookie_backend])

current_active_user = fastapi_users.current_user(active=True)
current_verified_user = fastapi_users.current_user(active=True, verified=True)
current_superuser = fastapi_users.current_user(active=True, superuser=True)
current_user_if_any = fastapi_users.current_user(active=True, optional=True)
