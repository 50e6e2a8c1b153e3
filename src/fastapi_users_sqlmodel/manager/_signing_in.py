"""Sign in, and verify the current password: attempts are counted, and every path computes one hash."""

from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Generic

from fastapi import Request
from fastapi.security import OAuth2PasswordRequestForm
from fastapi_users.models import ID, UP

from fastapi_users_sqlmodel import audit
from fastapi_users_sqlmodel.audit import AuditEventKind
from fastapi_users_sqlmodel.exceptions import InvalidCurrentPassword, UserNotVerified
from fastapi_users_sqlmodel.identity import canonical_email
from fastapi_users_sqlmodel.manager import _work as work
from fastapi_users_sqlmodel.passwords import HashingQueueFullError, Verified
from fastapi_users_sqlmodel.throttling import Reservation, client_network

if TYPE_CHECKING:
    from fastapi_users_sqlmodel.manager import BaseUserManager as Manager

# The attribute of the credentials that holds the attempt. An overridden `authenticate` passes the credentials on, and
# nothing else.
_ATTEMPT = "_fastapi_users_sqlmodel_attempt"


@dataclass(frozen=True, slots=True)
class SignIn(Generic[UP]):
    """A successful sign-in.

    Attributes:
        user: The user, locked until the transaction has ended.
        after_response: Replaces a weak hash. Call it after the response, so that the client does not wait for it.
        begun: The result of `begin`.
    """

    user: UP
    after_response: Callable[[], Awaitable[None]] | None = None
    begun: Any = None


async def authenticate(manager: "Manager[UP, ID]", credentials: OAuth2PasswordRequestForm) -> UP | None:
    """Return the active user with this e-mail or username and this password; None if there is none.

    Every path computes one hash and runs the same statements, and a refusal takes as long as the slowest accepted
    scheme (`PasswordHelper`). When `sign_in` calls this, `sign_in` counts and records the attempt and replaces a weak
    hash. A direct call is not counted; it records the attempt and replaces a weak hash before it returns.
    """
    attempt: _Attempt[UP, ID] | None = getattr(credentials, _ATTEMPT, None)
    if attempt is not None:
        return await attempt.verify()
    by_itself = _Attempt(manager, credentials, authenticate=lambda given: authenticate(manager, given))
    signed_in = await by_itself.run()
    if signed_in is not None and signed_in.after_response is not None:
        await signed_in.after_response()
    return signed_in.user if signed_in is not None else None


async def sign_in(  # noqa: PLR0913  # Each is a fact about the sign-in
    manager: "Manager[UP, ID]",
    credentials: OAuth2PasswordRequestForm,
    request: Request | None = None,
    *,
    requires_verification: bool = False,
    begin: Callable[[UP], Awaitable[Any]] | None = None,
    begins_inside: bool = True,
) -> SignIn[UP] | None:
    """Sign in the user that `authenticate` returns; return None if it returns none.

    The attempt is counted before the password is verified. It is recorded in a transaction that locks the user.

    Args:
        manager: The manager of this request.
        credentials: The e-mail or the username, and the password.
        request: The source of the attempt; without a request nothing is counted.
        requires_verification: Whether to refuse users whose address is not verified.
        begin: Begins the session of the user; the result is `SignIn.begun`.
        begins_inside: Whether `begin` is called inside that transaction. Otherwise it is called before; if the user is
            refused then, all sessions and tokens of the user end.

    Raises:
        UserNotVerified: The credentials are right, and the address is not verified.
        TooManyRequests: Too many attempts have failed lately.
        HashingQueueFullError: Too many passwords wait to be hashed.
    """
    attempt = _Attempt(manager, credentials, manager.authenticate, request, requires_verification, begin, begins_inside)
    return await attempt.run()


@dataclass(slots=True)
class _Attempt(Generic[UP, ID]):
    """An attempt to sign in."""

    manager: "Manager[UP, ID]"
    credentials: OAuth2PasswordRequestForm
    authenticate: Callable[[OAuth2PasswordRequestForm], Awaitable[UP | None]]
    request: Request | None = None
    requires_verification: bool = False
    begin: Callable[[UP], Awaitable[Any]] | None = None
    begins_inside: bool = True

    username: str = field(init=False)
    # The user with this name, signed in or not.
    user: UP | None = field(init=False, default=None)
    place: Reservation = field(init=False)
    verified: Verified | None = field(init=False, default=None)
    is_right: bool = field(init=False, default=False)
    begun: Any = field(init=False, default=None)
    # The id of the user whose session has begun.
    begun_for: Any = field(init=False, default=None)

    async def run(self) -> SignIn[UP] | None:
        """Count, verify and record the attempt, and begin the session."""
        self.username = self.credentials.username
        self.user = await _find_by_login(self.manager, self.username)
        setattr(self.credentials, _ATTEMPT, self)
        try:
            async with await _reserve(self.manager, self.user, self.username, self.request) as self.place:
                is_admitted = await self._decide()
                if is_admitted is None:
                    await self.manager.release()
                    is_admitted = await self._decide(is_last_try=True)
        finally:
            delattr(self.credentials, _ATTEMPT)
        if not is_admitted:
            # Commits the row of the audit trail: the answer is an error.
            await self.manager.release()
            if self.verified is not None:
                await self.manager.password_hasher.wait_to_refuse(self.verified)
        if not self.is_right or self.user is None:
            return None
        if not is_admitted:
            raise UserNotVerified
        needs_upgrade = self.verified is not None and self.verified.needs_upgrade
        return SignIn(self.user, self._upgrade(self.user) if needs_upgrade else None, self.begun)

    async def verify(self) -> UP | None:
        """Verify the credentials against the user that was found; return the user if they are right."""
        if self.credentials.username != self.username:
            # An overridden `authenticate` has replaced the name. The attempt counts for the name that was sent.
            self.user = await _find_by_login(self.manager, self.credentials.username)
            await self.manager.release()
        self.verified = await _verify(self.manager, self.credentials.password, self.user, self.place)
        return self.user if self.verified.is_right and self.user is not None and self.user.is_active else None

    async def _decide(self, *, is_last_try: bool = False) -> bool | None:
        """Authenticate, lock the user, and record what came of it.

        Returns:
            Whether the user is signed in; None if another hash was stored meanwhile, which may be a stronger one of the
            same password: then try once more.
        """
        manager, user = self.manager, await self.authenticate(self.credentials)
        known_hash = user.hashed_password if user is not None else ""
        if user is not None and not self.begins_inside and self.begun_for is None and self._admits(user):
            await self._begin(user)
        async with manager.user_db.transaction():
            if user is not None:
                self.user = user = await manager.user_db.lock(user.id)
            if user is not None and user.hashed_password != known_hash and not is_last_try:
                return None
            self.is_right = user is not None and user.is_active and user.hashed_password == known_hash
            if not self.is_right:
                self.place.keep()
            is_admitted = self.is_right and user is not None and self._admits(user)
            kind = AuditEventKind.LOGIN if is_admitted else AuditEventKind.LOGIN_FAILED
            await work.record(manager, kind, self.request, user_id=self.user.id if self.user is not None else None)
            if not is_admitted:
                if self.begun_for is not None:
                    await work.end_sessions(manager, self.begun_for)
                await manager.on_failed_login(self.user, self.request)
            elif self.begins_inside and user is not None:
                await self._begin(user)
        return is_admitted

    def _admits(self, user: UP) -> bool:
        return user.is_verified or not self.requires_verification

    async def _begin(self, user: UP) -> None:
        if self.begin is not None:
            user_id = user.id
            self.begun = await self.begin(user)
            self.begun_for = user_id

    def _upgrade(self, user: UP) -> Callable[[], Awaitable[None]]:
        manager, password, user_id, known_hash = self.manager, self.credentials.password, user.id, user.hashed_password

        async def upgrade() -> None:
            try:
                upgraded = await manager.password_hasher.hash(password)
            except HashingQueueFullError:
                return  # The next sign-in tries again.
            await manager.user_db.upgrade_hash(user_id, known_hash, upgraded)
            await manager.user_db.release()

        return upgrade


async def require_current_password(
    manager: "Manager[UP, ID]", user: UP, password: str, request: Request | None
) -> None:
    """Verify the password of a user; a wrong one counts as a failed sign-in.

    Raises:
        InvalidCurrentPassword: It is another one.
        TooManyRequests: Too many attempts have failed lately.
        HashingQueueFullError: Too many passwords wait to be hashed.
    """
    async with await _reserve(manager, user, "", request) as place:
        verified = await _verify(manager, password, user, place)
    if verified.is_right:
        return
    async with manager.user_db.transaction():
        await work.record(manager, AuditEventKind.LOGIN_FAILED, request, user_id=user.id)
        await manager.on_failed_login(user, request)
    await manager.release()
    raise InvalidCurrentPassword


async def record_logout(manager: "Manager[UP, ID]", user: UP, request: Request | None = None) -> None:
    """Record that a user has signed out."""
    async with manager.user_db.transaction():
        await work.record(manager, AuditEventKind.LOGOUT, request, user_id=user.id)


async def _find_by_login(manager: "Manager[UP, ID]", name: str) -> UP | None:
    return await (manager.user_db.find_by_email if "@" in name else manager.user_db.get_by_username)(name)


async def _reserve(manager: "Manager[UP, ID]", user: UP | None, name: str, request: Request | None) -> Reservation:
    """Count an attempt before it costs anything; an account is its user id, whatever name was typed."""
    if manager.throttle is None or request is None:
        await manager.release()
        return Reservation()
    network = client_network(request)
    is_known = await manager.user_db.ask(audit.knows_network, user.id if user is not None else None, network)
    await manager.release()
    key = (
        work.limits_key(manager, "id", user.id)
        if user is not None
        else work.limits_key(manager, "name", canonical_email(name))
    )
    return await manager.throttle.reserve_login(account=key, network=network, is_known_network=is_known)


async def _verify(manager: "Manager[UP, ID]", password: str, user: UP | None, place: Reservation) -> Verified:
    try:
        password.encode()
    except UnicodeEncodeError:
        # A form may hold a lone surrogate, which no hasher takes: the same work is done without a hash.
        password, user = "", None
    verification = manager.password_hasher.verify(password, user.hashed_password if user is not None else None)
    return await place.decide(verification, has_failed=lambda verified: not verified.is_right)
