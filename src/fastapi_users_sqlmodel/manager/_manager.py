"""The user manager: what a project sets and overrides, and the operations, which the other modules implement."""

from collections.abc import Mapping
from datetime import timedelta
from typing import Any, ClassVar, Generic, cast

from fastapi import Request, Response
from fastapi_users import manager, schemas
from fastapi_users.exceptions import InvalidPasswordException
from fastapi_users.models import ID, UP
from sqlalchemy.exc import DBAPIError

from fastapi_users_sqlmodel.database._lookups import AccountStore
from fastapi_users_sqlmodel.database._refusals import raise_explained
from fastapi_users_sqlmodel.identity import canonical_email
from fastapi_users_sqlmodel.manager import (
    _administration,
    _changes,
    _mailed_tokens,
    _registration,
    _sessions,
    _signing_in,
    _work,
)
from fastapi_users_sqlmodel.manager._letters import LetterKind
from fastapi_users_sqlmodel.manager._sessions import CurrentSession, CurrentToken
from fastapi_users_sqlmodel.passwords import PasswordHasher, PasswordHelper, PasswordPolicy
from fastapi_users_sqlmodel.throttling import Throttle


class BaseUserManager(manager.BaseUserManager[UP, ID], Generic[UP, ID]):
    """FastAPI Users' manager, with limits, sessions and an audit trail; each operation is one transaction.

    On a plain session, an operation commits. In a transaction that was opened explicitly, it flushes. Hooks named
    `on_after_…` run after the commit. Hooks named `on_…` run inside the transaction: an exception of theirs undoes it.
    On a plain session, no connection is held while a password is hashed.
    """

    # ---- Settings

    password_policy: ClassVar[PasswordPolicy] = PasswordPolicy()
    # None: nothing is counted.
    throttle: ClassVar[Throttle | None] = Throttle()
    # Whether registering gives the same answer for a free address and a taken one.
    conceal_accounts: ClassVar[bool] = False

    # The fields, beside e-mail and password, that people set when they register and later, and superusers for others.
    registration_fields: ClassVar[frozenset[str]] = frozenset({"username", "name"})
    own_fields: ClassVar[frozenset[str]] = frozenset({"username", "name"})
    superuser_fields: ClassVar[frozenset[str]] = frozenset({"email", *_work.FLAGS, "username", "name"})

    change_email_token_lifetime_seconds: int = 3600
    undo_change_email_token_lifetime_seconds: int = 7 * 24 * 3600
    # The time between asking for a ticket and opening the WebSocket.
    websocket_ticket_lifetime_seconds: int = 30
    # A superuser who changes others must have proved the password in this time; our sessions know it.
    fresh_login_within: ClassVar[timedelta] = timedelta(minutes=15)

    # ---- The present request

    user_db: AccountStore[UP, ID]
    # Set by our session strategies when they read a token.
    current_session: CurrentSession | None = None
    # Set by the authenticator, for strategies without sessions.
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
        # The store asks an overridden `get` or `get_by_email` on every path, sessions included.
        if getattr(self.get, "__func__", None) is not manager.BaseUserManager.get:
            user_db.get_of_manager = self.get
        if getattr(self.get_by_email, "__func__", None) is not manager.BaseUserManager.get_by_email:
            user_db.get_by_email_of_manager = self.get_by_email
        self.password_hasher: PasswordHasher = helper.hasher

    # ---- Decisions that a project may override

    async def validate_password(self, password: str, user: schemas.BaseUserCreate | UP) -> None:
        """Check a new password against `password_policy`.

        Raises:
            InvalidPasswordException: The policy refuses it; with the reason.
        """
        username = getattr(user, "username", None)
        if problem := self.password_policy.problem(password, email=user.email, username=username):
            raise InvalidPasswordException(problem)

    async def release(self) -> None:
        """Commit a plain session and return its connection to the pool, before slow work such as hashing.

        A transaction that was opened explicitly stays open. If your dependency opens one for each request, override
        this and commit it here.
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
        except DBAPIError as error:  # Raised by a store that overrides `update`.
            raise_explained(error, self.user_db.user_table, changes)

    async def queue_letter(
        self, kind: LetterKind, to: str | None, *, user: UP | None, token: str | None = None
    ) -> None:
        """Store an e-mail in an outbox, in the transaction; by default nothing is stored.

        Args:
            kind: The kind of the e-mail.
            to: The address; None for an e-mail that must not be sent. Store a row all the same, so that the time of the
                answer does not tell whether an account exists.
            user: The user that the e-mail is about; None likewise.
            token: The token in it.
        """

    async def may_mail_to(self, email: str, about: str) -> bool:
        """Count an e-mail to an address; return False, without counting, if too many were sent about the same."""
        address = _work.limits_key(self, "email", canonical_email(email))
        return self.throttle is None or await self.throttle.may_mail_to(address, about)

    # ---- Hooks, beside FastAPI Users' own

    async def on_register(self, user: UP, request: Request | None = None) -> None:
        """Run in the transaction in which a user registers."""

    async def on_failed_login(self, user: UP | None, request: Request | None = None) -> None:
        """Run in the transaction that records a failed sign-in; `user` is None if the name has no account."""

    async def on_change_password(self, user: UP, request: Request | None = None) -> None:
        """Run in the transaction in which a password is changed or reset."""

    async def on_change_email(self, user: UP, previous_email: str, request: Request | None = None) -> None:
        """Run in the transaction in which an e-mail address is changed or restored."""

    async def on_after_change_password(self, user: UP, request: Request | None = None) -> None:
        """Run after a user has changed the password."""

    async def on_after_request_change_email(
        self, user: UP, email: str, token: str | None, undo_token: str | None, request: Request | None = None
    ) -> None:
        """Run after a user has asked for a new address.

        Args:
            user: The user.
            email: The new address.
            token: Send it to `email`; None if that address has another account.
            undo_token: Send it to `user.email`; None if that address was never verified.
            request: The request.
        """

    async def on_after_change_email(self, user: UP, previous_email: str, request: Request | None = None) -> None:
        """Run after an e-mail address was changed or restored."""

    async def on_after_login(self, user: UP, request: Request | None = None, response: Response | None = None) -> None:
        """Run after a user has signed in and before `response` is sent."""

    # ---- Operations: functions of the modules beside this one, which get the manager as their first argument

    register = _registration.register
    create = _registration.create

    authenticate = _signing_in.authenticate
    sign_in = _signing_in.sign_in
    record_logout = _signing_in.record_logout

    list_sessions = _sessions.list_sessions
    is_session_alive = _sessions.is_session_alive
    end_session = _sessions.end_session
    end_other_sessions = _sessions.end_other_sessions
    end_current_session = _sessions.end_current_session
    reauthenticate = _sessions.reauthenticate
    require_fresh_login = _sessions.require_fresh_login
    record_replayed_refresh_token = _sessions.record_replayed_refresh_token
    issue_websocket_ticket = _sessions.issue_websocket_ticket
    use_websocket_ticket = _sessions.use_websocket_ticket

    request_verification = _mailed_tokens.request_verification
    request_verify = _mailed_tokens.request_verify
    verify = _mailed_tokens.verify
    request_reset_password = _mailed_tokens.request_reset_password
    forgot_password = _mailed_tokens.forgot_password
    reset_password = _mailed_tokens.reset_password

    update_own = _changes.update_own
    change_password = _changes.change_password
    request_change_email = _changes.request_change_email
    confirm_email = _changes.confirm_email
    undo_change_email = _changes.undo_change_email

    update = _administration.update
    delete = _administration.delete
    update_by_superuser = _administration.update_by_superuser
    delete_by_superuser = _administration.delete_by_superuser
    delete_account = _administration.delete_account
    lock_to_administer = _administration.lock_to_administer


_default_password_helper = PasswordHelper()
