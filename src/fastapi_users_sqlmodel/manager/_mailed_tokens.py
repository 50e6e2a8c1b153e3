"""Verify an address and reset a password, with tokens that were sent by mail."""

import time
from collections.abc import Awaitable, Callable
from contextlib import suppress
from datetime import timedelta
from typing import Generic

from fastapi import Request
from fastapi_users.exceptions import (
    InvalidResetPasswordToken,
    InvalidVerifyToken,
    UserAlreadyVerified,
    UserInactive,
    UserNotExists,
)
from fastapi_users.models import ID, UP

from fastapi_users_sqlmodel import tokens
from fastapi_users_sqlmodel.audit import AuditEventKind
from fastapi_users_sqlmodel.identity import canonical_email, typed_email
from fastapi_users_sqlmodel.manager._base import LetterKind, wait_for_the_beat
from fastapi_users_sqlmodel.manager._sessions import SignedIn
from fastapi_users_sqlmodel.tokens import MORTAL, Purpose


class MailedTokens(SignedIn[UP, ID], Generic[UP, ID]):
    """What is proved with a letter."""

    async def request_verification(self, email: str, request: Request | None = None) -> None:
        """Send a token to verify an address; whether there is such an account, neither the answer nor its time tells.

        Raises:
            TooManyRequests: Too many mails were asked for from this network.
        """
        await self._mail_if_known(email, request, Purpose.VERIFY)

    async def request_verify(self, user: UP, request: Request | None = None) -> None:
        """Send a user a token to verify the address.

        Raises:
            UserInactive: The user is deactivated.
            UserAlreadyVerified: There is nothing to verify.
            UserNotExists: The user was deleted meanwhile.
        """
        async with self.user_db.transaction():
            user = await self._lock_or_raise(user.id)
            if not user.is_active:
                raise UserInactive
            if user.is_verified:
                raise UserAlreadyVerified
            await self._mail_token(user, user.email, request, Purpose.VERIFY)

    async def verify(self, token: str, request: Request | None = None) -> UP:
        """Verify the address that a token was sent to, and use it up.

        Raises:
            InvalidVerifyToken: It is unknown, used, or too old, or not for the present address.
            UserAlreadyVerified: There is nothing to verify.
        """
        async with self.user_db.transaction():
            user, issued = await self._use(Purpose.VERIFY, token, InvalidVerifyToken)
            if canonical_email(user.email) != issued.email_canonical:
                raise InvalidVerifyToken
            if user.is_verified:
                raise UserAlreadyVerified
            user = await self.apply(user, {"is_verified": True})
            await self._record(AuditEventKind.VERIFY, request, user_id=user.id, email=user.email)
            self.user_db.after_commit(lambda: self.on_after_verify(user, request))
        return user

    async def request_reset_password(self, email: str, request: Request | None = None) -> None:
        """Send a token to reset a forgotten password; nothing tells whether there is such an account.

        Raises:
            TooManyRequests: Too many mails were asked for from this network.
        """
        await self._mail_if_known(email, request, Purpose.RESET_PASSWORD)

    async def forgot_password(self, user: UP, request: Request | None = None) -> None:
        """Send a user a token to reset the password.

        Raises:
            UserInactive: The user is deactivated.
            UserNotExists: The user was deleted meanwhile.
        """
        async with self.user_db.transaction():
            user = await self._lock_or_raise(user.id)
            if not user.is_active:
                raise UserInactive
            await self._mail_token(user, user.email, request, Purpose.RESET_PASSWORD)

    async def reset_password(self, token: str, password: str, request: Request | None = None) -> UP:
        """Set a new password, and use the token up: of several who come at once, one does. It signs nobody in.

        Raises:
            InvalidResetPasswordToken: The token is unknown, used, or too old, or the account deactivated.
            InvalidPasswordException: The password is refused; the token stays good.
            TooManyRequests: There were too many resets of this account within an hour; the token stays good.
            HashingQueueFullError: Too many wait already; the token stays good.
        """
        issued = await self.user_db.ask(tokens.find, Purpose.RESET_PASSWORD, token)
        known = await self.user_db.find(issued.user_id) if issued is not None else None
        # For whoever is refused too: on SQLite a look may take the lock.
        await self.release()
        if known is None or not known.is_active:
            raise InvalidResetPasswordToken
        await self.validate_password(password, known)
        if self.throttle is not None and request is not None:
            # One token, sent many times at once, would be hashed as often before the first one uses it up.
            await self.throttle.require_reset(self._account(known))
        hashed_password = await self.password_hasher.hash(password)
        async with self.user_db.transaction():
            user, issued = await self._use(Purpose.RESET_PASSWORD, token, InvalidResetPasswordToken)
            if canonical_email(user.email) != issued.email_canonical:
                raise InvalidResetPasswordToken
            user = await self._set_password(user, hashed_password, AuditEventKind.RESET_PASSWORD, request)
            self.user_db.after_commit(lambda: self._after_reset(user, request))
        return user

    async def _after_reset(self, user: UP, request: Request | None) -> None:
        await self._forgive(user, request)
        await self.on_after_reset_password(user, request)

    async def _set_password(self, user: UP, hashed_password: str, kind: AuditEventKind, request: Request | None) -> UP:
        user = await self.apply(user, {"hashed_password": hashed_password})
        await self.user_db.ask(tokens.revoke, user.id, MORTAL)
        await self._end_other_sessions(user.id)
        await self._record(kind, request, user_id=user.id)
        await self.on_change_password(user, request)
        await self.queue_letter(LetterKind.PASSWORD_CHANGED, user.email, user=user)
        return user

    async def _mail_if_known(self, email: str, request: Request | None, purpose: Purpose) -> None:
        began = time.monotonic()
        if not await self._may_mail(email, purpose, request):
            return
        own = self._overridden(purpose)
        async with self.user_db.transaction():
            user = await self.user_db.lock_by_email(email)
            is_wanted = user is not None and user.is_active and not (purpose is Purpose.VERIFY and user.is_verified)
            if not is_wanted or own is None:
                await self._mail_token(user if is_wanted else None, email, request, purpose)
        if is_wanted and own is not None:
            with suppress(UserInactive, UserAlreadyVerified, UserNotExists):
                await own(user, request)
        await self.release()
        await wait_for_the_beat(began)

    def _overridden(self, purpose: Purpose) -> Callable[..., Awaitable[None]] | None:
        """Return the project's own `request_verify` or `forgot_password`, which FastAPI Users' routes call."""
        is_verify = purpose is Purpose.VERIFY
        method = self.request_verify if is_verify else self.forgot_password
        ours = MailedTokens.request_verify if is_verify else MailedTokens.forgot_password
        return method if getattr(method, "__func__", None) is not ours else None

    async def _mail_token(self, user: UP | None, email: str, request: Request | None, purpose: Purpose) -> None:
        """Issue a token and queue its letter; for nobody the same work is done, and nothing comes of it."""
        kind, letter, seconds, hook = {
            Purpose.VERIFY: (
                AuditEventKind.REQUEST_VERIFY,
                LetterKind.VERIFY,
                self.verification_token_lifetime_seconds,
                self.on_after_request_verify,
            ),
            Purpose.RESET_PASSWORD: (
                AuditEventKind.FORGOT_PASSWORD,
                LetterKind.RESET_PASSWORD,
                self.reset_password_token_lifetime_seconds,
                self.on_after_forgot_password,
            ),
        }[purpose]
        user_id, stored = (user.id, user.email) if user is not None else (None, None)
        token = await self._issue(purpose, user_id, stored or typed_email(email), timedelta(seconds=seconds))
        await self._record(kind, request, user_id=user_id)
        await self.queue_letter(letter, stored, user=user, token=token)
        if user is not None:
            self.user_db.after_commit(lambda: hook(user, token, request))
