"""Sign in, and prove again who one is: counted, one hash on every path, and as of now."""

from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Any, Generic

from fastapi import Request
from fastapi.security import OAuth2PasswordRequestForm
from fastapi_users.models import ID, UP, UserProtocol

from fastapi_users_sqlmodel import audit
from fastapi_users_sqlmodel.audit import AuditEventKind
from fastapi_users_sqlmodel.exceptions import (
    InvalidCurrentPassword,
    UserNotVerified,
)
from fastapi_users_sqlmodel.identity import canonical_email
from fastapi_users_sqlmodel.manager._base import AccountManager
from fastapi_users_sqlmodel.passwords import (
    HashingQueueFullError,
    Verified,
)
from fastapi_users_sqlmodel.throttling import Reservation, client_network


@dataclass(frozen=True, slots=True)
class SignIn(Generic[UP]):
    """Who has signed in, and what is left to do when the answer is sent: a stronger hash, which nobody waits for."""

    user: UP
    after_response: Callable[[], Awaitable[None]] | None = None


@dataclass(slots=True)
class _Attempt:
    """What a route tells `authenticate`, whose signature is FastAPI Users', and what that tells the route."""

    request: Request | None = None
    requires_verification: bool = False
    after_response: Callable[[], Awaitable[None]] | None = None


class SignIns(AccountManager[UP, ID], Generic[UP, ID]):
    """Who one is."""

    _attempt: _Attempt | None = None

    async def authenticate(self, credentials: OAuth2PasswordRequestForm) -> UP | None:
        """Find the active user of an e-mail or a username, if the password is theirs.

        Whoever it is or is not, one hash is computed, the same statements are run, and a refusal takes as long as the
        dearest accepted scheme (`PasswordHelper`). A weak hash is upgraded at once, or by the login route when the
        answer is sent.
        """
        attempt = self._attempt or _Attempt()
        user = await self._find_by_login(credentials.username)
        async with await self._reserve(user, credentials.username, attempt.request) as place:
            verified, user = await self._verify_as_of_now(credentials.password, user, place)
            known_hash = user.hashed_password if user is not None else ""
            is_right = verified.is_right and user is not None and user.is_active
            async with self.user_db.transaction():
                if is_right and user is not None:
                    # As of now: the password may have been changed while this one was being verified.
                    user = await self.user_db.lock(user.id)
                    is_right = user is not None and user.is_active and user.hashed_password == known_hash
                if not is_right:
                    place.keep()
                is_admitted = is_right and user is not None and (user.is_verified or not attempt.requires_verification)
                kind = AuditEventKind.LOGIN if is_admitted else AuditEventKind.LOGIN_FAILED
                await self._record(kind, attempt.request, user_id=user.id if user is not None else None)
                if not is_admitted:
                    await self.on_failed_login(user, attempt.request)
        if not is_admitted:
            # What has failed is an event too, and stays although the answer is an error.
            await self.release()
            await self.password_hasher.wait_to_refuse(verified)
        if not is_right or user is None:
            return None
        if verified.needs_upgrade:
            attempt.after_response = self._upgrade(user.id, known_hash, credentials.password)
            if attempt is not self._attempt:
                await attempt.after_response()
        return user

    async def sign_in(
        self,
        credentials: OAuth2PasswordRequestForm,
        request: Request | None = None,
        *,
        requires_verification: bool = False,
    ) -> SignIn[UP] | None:
        """Authenticate for a route, which knows the request; a project's own `authenticate` is asked as well.

        Raises:
            UserNotVerified: It is they, and their address is not verified.
            TooManyRequests: Too many have failed lately.
            HashingQueueFullError: Too many wait already.
        """
        self._attempt = attempt = _Attempt(request, requires_verification=requires_verification)
        try:
            user = await self.authenticate(credentials)
        finally:
            self._attempt = None
        if user is None or not user.is_active:
            return None
        if requires_verification and not user.is_verified:
            raise UserNotVerified
        return SignIn(user, attempt.after_response)

    def _upgrade(self, user_id: ID, known_hash: str, password: str) -> Callable[[], Awaitable[None]]:
        async def upgrade() -> None:
            try:
                upgraded = await self.password_hasher.hash(password)
            except HashingQueueFullError:
                return  # There will be another login.
            await self.user_db.upgrade_hash(user_id, known_hash, upgraded)
            await self.user_db.release()

        return upgrade

    async def _find_by_login(self, name: str) -> UP | None:
        if "@" in name:
            return await self.user_db.find_by_email(name)
        return await self.user_db.get_by_username(name)

    async def record_logout(self, user: UP, request: Request | None = None) -> None:
        """Record that a user has signed out."""
        async with self.user_db.transaction():
            await self._record(AuditEventKind.LOGOUT, request, user_id=user.id)

    async def _reserve(self, user: UP | None, name: str, request: Request | None) -> Reservation:
        """Count an attempt before it costs anything; the account is its id, whatever name was typed."""
        if self.throttle is None or request is None:
            await self.release()
            return Reservation()
        network = client_network(request)
        is_known = await self.user_db.ask(audit.knows_network, user.id if user is not None else None, network)
        await self.release()
        account = self._account(user) if user is not None else self._key("name", canonical_email(name))
        return await self.throttle.reserve_login(account=account, network=network, is_known_network=is_known)

    async def _verify_as_of_now(self, password: str, user: UP | None, place: Reservation) -> tuple[Verified, UP | None]:
        """Verify a password, and once more if the hash is another one by now: it may be a stronger one of the same."""
        verified = await self._verify(password, user, place)
        if not verified.is_right or user is None:
            return verified, user
        known_hash = user.hashed_password
        present = await self.user_db.reread(user.id)
        await self.release()
        if present is not None and present.hashed_password != known_hash:
            verified = await self._verify(password, present, place)
        return verified, present

    async def _verify(self, password: str, user: UP | None, place: Reservation) -> Verified:
        try:
            password.encode()
        except UnicodeEncodeError:
            # A form may hold a lone surrogate, no password does, and no hasher takes one: the same work for nobody.
            password, user = "", None
        verification = self.password_hasher.verify(password, user.hashed_password if user is not None else None)
        return await place.decide(verification, has_failed=lambda verified: not verified.is_right)

    async def _forgive(self, user: UP, request: Request | None) -> None:
        """Forget the failed logins of who has just shown to be the owner in another way."""
        if self.throttle is not None and request is not None:
            await self.throttle.forgive(account=self._account(user), network=client_network(request))

    async def _count_change(self, user: UP, request: Request | None) -> None:
        if self.throttle is not None and request is not None:
            await self.throttle.require_change(self._account(user))

    async def _require_current_password(self, user: UP, password: str, request: Request | None) -> None:
        """Verify that the user knows the password; a wrong one counts as a failed login does."""
        async with await self._reserve(user, "", request) as place:
            verified = await self._verify(password, user, place)
        if verified.is_right:
            return
        async with self.user_db.transaction():
            await self._record(AuditEventKind.LOGIN_FAILED, request, user_id=user.id)
            await self.on_failed_login(user, request)
        await self.release()
        raise InvalidCurrentPassword

    def _account(self, user: UserProtocol[Any]) -> str:
        return self._key("id", str(user.id))
