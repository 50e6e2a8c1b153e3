"""What every part of an account's life stands on: the settings, the hooks, and what several operations do alike."""

import asyncio
import time
import uuid
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from enum import StrEnum
from typing import Any, ClassVar, Generic, cast

from fastapi import Request, Response
from fastapi.requests import HTTPConnection
from fastapi_users import manager, schemas
from fastapi_users.exceptions import (
    InvalidPasswordException,
    UserNotExists,
)
from fastapi_users.models import ID, UP
from sqlalchemy.exc import DBAPIError
from sqlalchemy.orm import Session

from fastapi_users_sqlmodel import audit, tokens
from fastapi_users_sqlmodel.audit import AuditEventKind, Origin
from fastapi_users_sqlmodel.database._accounts import AccountStore
from fastapi_users_sqlmodel.database._refusals import raise_explained
from fastapi_users_sqlmodel.exceptions import FieldsNotAllowed
from fastapi_users_sqlmodel.identity import canonical_email, is_storable
from fastapi_users_sqlmodel.passwords import (
    PasswordHasher,
    PasswordHelper,
    PasswordPolicy,
)
from fastapi_users_sqlmodel.sessions import _rows as sessions
from fastapi_users_sqlmodel.sessions._access_tokens import end_access_tokens
from fastapi_users_sqlmodel.tables._accounts import account_tables
from fastapi_users_sqlmodel.throttling import Throttle, client_network
from fastapi_users_sqlmodel.tokens import IssuedToken, Purpose

# Seconds.
_ANSWERS_EVERY = 0.05

FLAGS = ("is_active", "is_superuser", "is_verified")


class LetterKind(StrEnum):
    """What a person is written about; the first five bring a token."""

    VERIFY = "verify"
    RESET_PASSWORD = "reset_password"
    CONFIRM_EMAIL = "confirm_email"
    # To a verified address: its token undoes the change.
    EMAIL_CHANGE_REQUESTED = "email_change_requested"
    # To the address that the account has back: its token resets the password.
    EMAIL_CHANGE_UNDONE = "email_change_undone"
    # The same as requested, to an address that was never verified and so has nothing to undo.
    EMAIL_CHANGE_NOTICE = "email_change_notice"
    # To the address that the account has lost again by an undo.
    EMAIL_REMOVED = "email_removed"
    EMAIL_CHANGED = "email_changed"
    PASSWORD_CHANGED = "password_changed"
    ALREADY_REGISTERED = "already_registered"
    EMAIL_TAKEN = "email_taken"


@dataclass(frozen=True, slots=True)
class CurrentSession:
    """The session that this request came in."""

    id: uuid.UUID
    user_id: Any
    # When its user has last shown the password.
    proved_at: datetime


@dataclass(frozen=True, slots=True)
class CurrentToken:
    """The token that this request came with."""

    user_id: Any
    token: str = field(repr=False)


class AccountManager(manager.BaseUserManager[UP, ID], Generic[UP, ID]):
    """What a subclass may set and do differently, and what the operations have in common."""

    password_policy: ClassVar[PasswordPolicy] = PasswordPolicy()
    # None: nothing is counted.
    throttle: ClassVar[Throttle | None] = Throttle()
    # Whether registering says the same for a free address and a taken one.
    conceal_accounts: ClassVar[bool] = False

    # What a person sets, beside e-mail and password, when registering and later; a superuser, for anybody.
    registration_fields: ClassVar[frozenset[str]] = frozenset({"username", "name"})
    own_fields: ClassVar[frozenset[str]] = frozenset({"username", "name"})
    superuser_fields: ClassVar[frozenset[str]] = frozenset({"email", *FLAGS, "username", "name"})

    change_email_token_lifetime_seconds: int = 3600
    undo_change_email_token_lifetime_seconds: int = 7 * 24 * 3600

    # How long a page has to open its WebSocket.
    websocket_ticket_lifetime_seconds: int = 30

    # How lately a superuser has to have shown the password to change others; the sessions of this library know.
    fresh_login_within: ClassVar[timedelta] = timedelta(minutes=15)

    user_db: AccountStore[UP, ID]
    # Set by the strategy that has read the request's token; a strategy without sessions sets none.
    current_session: CurrentSession | None = None
    # Set by the authenticator; strategies without sessions have nothing else that is this request's own.
    current_token: CurrentToken | None = None

    def __init__(self, user_db: Any, password_helper: PasswordHelper | None = None) -> None:
        if not isinstance(user_db, AccountStore):
            kind = f"{type(user_db).__module__}.{type(user_db).__qualname__}"
            raise TypeError(
                f"{type(self).__name__} works on a store of fastapi_users_sqlmodel, and was given a {kind}. In tests, "
                "take a SQLAlchemyUserDatabase on a SQLite database in memory: see fastapi_users_sqlmodel.testing"
            )
        helper = password_helper or _default_password_helper
        if not isinstance(helper, PasswordHelper):
            raise TypeError(f"{type(self).__name__} works with a PasswordHelper of fastapi_users_sqlmodel.passwords")
        super().__init__(cast("Any", user_db), helper)
        # Overridden here, they are asked on every path, sessions included, as those of the store are.
        if getattr(self.get, "__func__", None) is not manager.BaseUserManager.get:
            user_db.get_of_manager = self.get
        if getattr(self.get_by_email, "__func__", None) is not manager.BaseUserManager.get_by_email:
            user_db.get_by_email_of_manager = self.get_by_email
        self.password_hasher: PasswordHasher = helper.hasher

    async def validate_password(self, password: str, user: schemas.BaseUserCreate | UP) -> None:
        """Refuse what the policy refuses.

        Raises:
            InvalidPasswordException: With the reason.
        """
        username = getattr(user, "username", None)
        if problem := self.password_policy.problem(password, email=user.email, username=username):
            raise InvalidPasswordException(problem)

    def _require_attributes(self, names: Iterable[str]) -> None:
        """Refuse what an allow-list names and the model has not; `check_models(managers=…)` says so at start-up."""
        if unknown := sorted(name for name in names if not hasattr(self.user_db.user_table, name)):
            raise FieldsNotAllowed(unknown, f"is no attribute of {self.user_db.user_table.__name__}")

    def _require_values(self, changes: Mapping[str, Any]) -> None:
        """Refuse null where the column takes none, and values that no column holds: their fields are known only now.

        The schemas of FastAPI Users say null for what is not sent.
        """
        self._require_attributes(changes.keys() - {"password"})
        columns = account_tables(self.user_db.user_table).user_columns
        missing = [name for name, value in changes.items() if value is None and name in columns]
        if refused := sorted(name for name in missing if not columns[name].nullable):
            raise FieldsNotAllowed(refused, "cannot be null")
        texts = [name for name, value in changes.items() if isinstance(value, str) and not is_storable(value)]
        if texts:
            raise FieldsNotAllowed(sorted(texts), "must not contain NUL or a lone surrogate")
        # SQLite's driver raises an OverflowError of its own.
        numbers = [name for name, value in changes.items() if isinstance(value, int) and not -(2**63) <= value < 2**63]
        if numbers:
            raise FieldsNotAllowed(sorted(numbers), "is too long or out of range")

    async def release(self) -> None:
        """Commit what was done and give the connection back, before slow work such as hashing.

        On a plain session. A transaction that was opened explicitly stays, with its connection: who opens one for every
        request, as a dependency, overrides this and commits it here.
        """
        await self.user_db.release()

    async def apply(self, user: UP, changes: Mapping[str, Any]) -> UP:
        """Write changes that are allowed, in the transaction.

        Raises:
            UserAlreadyExists: The address is taken.
            UsernameAlreadyExists: The username is taken.
            ValueAlreadyExists: A value of another unique column is taken, or several together.
            ValueRefused: A constraint, or the type of its column, refuses a value.
        """
        try:
            return await self.user_db.update(user, dict(changes))
        except DBAPIError as error:  # Of a store that overrides it.
            raise_explained(error, self.user_db.user_table, changes)

    async def _differing(self, user: UP, changes: Mapping[str, Any]) -> dict[str, Any]:
        """Return what is not yet so; a deferred column is loaded for that."""

        def compare(_: Session) -> dict[str, Any]:
            return {name: value for name, value in changes.items() if getattr(user, name) != value}

        return await self.user_db.run(compare)

    async def queue_letter(
        self, kind: LetterKind, to: str | None, *, user: UP | None, token: str | None = None
    ) -> None:
        """Put a letter where it leaves from, in the transaction: a row of an outbox; by default there is none.

        Args:
            kind: What it is about.
            to: The address; None for a letter that nobody gets, which should take as long as one that leaves, so that
                time does not tell who has an account.
            user: Whom it is about; None likewise.
            token: What it brings.
        """

    async def on_register(self, user: UP, request: Request | None = None) -> None:
        """Do something in the transaction in which a user registers."""

    async def on_failed_login(self, user: UP | None, request: Request | None = None) -> None:
        """Do something in the transaction that records a failed login; `user` is None if the name is nobody's."""

    async def on_change_password(self, user: UP, request: Request | None = None) -> None:
        """Do something in the transaction in which a password is changed or reset."""

    async def on_change_email(self, user: UP, previous_email: str, request: Request | None = None) -> None:
        """Do something in the transaction in which an e-mail address is changed or given back."""

    async def on_after_change_password(self, user: UP, request: Request | None = None) -> None:
        """Do something after a user has changed the password."""

    async def on_after_request_change_email(
        self, user: UP, email: str, token: str | None, undo_token: str | None, request: Request | None = None
    ) -> None:
        """Do something after a user has asked for a new address.

        Send `token` there, unless it is None: then the address is another account's; and `undo_token` to `user.email`,
        unless it is None: then that address was never verified.
        """

    async def on_after_change_email(self, user: UP, previous_email: str, request: Request | None = None) -> None:
        """Do something after an e-mail address was changed or given back."""

    async def on_after_login(self, user: UP, request: Request | None = None, response: Response | None = None) -> None:
        """Do something after a user has signed in; what is set on the response is sent with it."""

    async def _issue(self, purpose: Purpose, user_id: ID | None, email: str, lifetime: timedelta) -> str:
        session_id = self._own_session_id(user_id)
        return await self.user_db.ask(
            tokens.issue, purpose, user_id, email=email, lifetime=lifetime, session_id=session_id
        )

    def _own_session_id(self, user_id: ID | None) -> uuid.UUID | None:
        """Return the session of this request, if it is this user's."""
        current = self.current_session
        return current.id if current is not None and current.user_id == user_id else None

    async def _end_sessions(self, user_id: ID, *, besides: uuid.UUID | None = None) -> int:
        """End a user's sessions, all or all but one, and all tokens of `DatabaseStrategy`; return how many."""
        ended = await self.user_db.ask(sessions.end_all, user_id, besides=besides)
        return ended + await self.user_db.ask(end_access_tokens, user_id)

    async def _end_other_sessions(self, user_id: ID) -> int:
        """End a user's sessions and tokens of `DatabaseStrategy` but the one of this request, if it is this user's."""
        current = self.current_token
        own_token = current.token if current is not None and current.user_id == user_id else None
        ended = await self.user_db.ask(sessions.end_all, user_id, besides=self._own_session_id(user_id))
        return ended + await self.user_db.ask(end_access_tokens, user_id, besides=own_token)

    async def _use(self, purpose: Purpose, token: str, refusal: Callable[[], Exception]) -> tuple[UP, IssuedToken]:
        """Lock the user of a token, and use it up: in this order, as everybody does, so that nobody waits in a ring."""
        issued = await self.user_db.ask(tokens.find, purpose, token)
        user = await self.user_db.lock(issued.user_id) if issued is not None else None
        if issued is None or user is None or not user.is_active:
            raise refusal()
        if not await self.user_db.ask(tokens.use, purpose, token):
            raise refusal()
        return user, issued

    async def _lock_or_raise(self, user_id: ID) -> UP:
        if (user := await self.user_db.lock(user_id)) is None:
            raise UserNotExists
        return user

    async def _record(self, kind: AuditEventKind, request: HTTPConnection | None, **event: Any) -> None:
        await self.user_db.ask(audit.record, kind, Origin.of(request), **event)

    async def _record_update(
        self, user: UP, changes: Mapping[str, Any], request: Request | None, *, actor_id: Any = None
    ) -> None:
        # The address and the flags have kinds of their own.
        if fields := sorted(changes.keys() - {"email", "hashed_password", *FLAGS}):
            await self._record(
                AuditEventKind.UPDATE, request, user_id=user.id, actor_id=actor_id, details={"fields": fields}
            )

    async def _require_mail_from(self, request: Request | None) -> None:
        if self.throttle is not None and request is not None:
            await self.throttle.require_mail_from(client_network(request))

    async def _give_back_mail_from(self, request: Request | None) -> None:
        if self.throttle is not None and request is not None:
            await self.throttle.give_back_mail_from(client_network(request))

    async def may_mail_to(self, email: str, about: str) -> bool:
        """Count a mail about something to an address, unless that would be too many: then it must not be sent."""
        address = self._key("email", canonical_email(email))
        return self.throttle is None or await self.throttle.may_mail_to(address, about)

    def _key(self, kind: str, name: str) -> str:
        """Name an account for the limits, with its table: several user tables may share one `Throttle`."""
        return f"{account_tables(self.user_db.user_table).users.fullname}:{kind}:{name}"

    async def _may_mail(self, email: str, purpose: Purpose, request: Request | None) -> bool:
        """Count a mail that somebody asks for: too many from a network are refused, too many to an address not sent."""
        await self._require_mail_from(request)
        return request is None or await self.may_mail_to(email, purpose)


async def wait_for_the_beat(began: float) -> None:
    """Let an answer come at a multiple of 50 ms: its work takes a little longer for somebody than for nobody.

    Args:
        began: The monotonic clock's time then. No connection should be held any more.
    """
    await asyncio.sleep(-(time.monotonic() - began) % _ANSWERS_EVERY)


_default_password_helper = PasswordHelper()
