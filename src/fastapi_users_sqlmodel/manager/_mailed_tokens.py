"""Verify an address and reset a password with tokens that are sent by e-mail."""

import time
from collections.abc import Awaitable, Callable
from contextlib import suppress
from datetime import timedelta
from typing import TYPE_CHECKING

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
from fastapi_users_sqlmodel.manager import _work as work
from fastapi_users_sqlmodel.manager._letters import LetterKind
from fastapi_users_sqlmodel.throttling import client_network
from fastapi_users_sqlmodel.tokens import MORTAL, Purpose

if TYPE_CHECKING:
    from fastapi_users_sqlmodel.manager import BaseUserManager as Manager


async def request_verification(manager: "Manager[UP, ID]", email: str, request: Request | None = None) -> None:
    """Send a token that verifies an address; neither the answer nor its time depends on whether it has an account.

    Raises:
        TooManyRequests: This network has asked for too many e-mails.
    """
    await _mail_if_known(manager, email, request, Purpose.VERIFY)


async def request_verify(manager: "Manager[UP, ID]", user: UP, request: Request | None = None) -> None:
    """Send a user a token that verifies the address.

    Raises:
        UserInactive: The user is deactivated.
        UserAlreadyVerified: The address is verified already.
        UserNotExists: The user was deleted meanwhile.
    """
    await _mail_to(manager, user, request, Purpose.VERIFY)


async def verify(manager: "Manager[UP, ID]", token: str, request: Request | None = None) -> UP:
    """Verify the address that a token was sent to, and use it up.

    Raises:
        InvalidVerifyToken: The token is unknown, used or too old, or was sent to another address.
        UserAlreadyVerified: The address is verified already.
    """
    async with manager.user_db.transaction():
        user, issued = await work.use_token(manager, Purpose.VERIFY, token, InvalidVerifyToken)
        if canonical_email(user.email) != issued.email_canonical:
            raise InvalidVerifyToken
        if user.is_verified:
            raise UserAlreadyVerified
        user = await manager.apply(user, {"is_verified": True})
        await work.record(manager, AuditEventKind.VERIFY, request, user_id=user.id, email=user.email)
        manager.user_db.after_commit(lambda: manager.on_after_verify(user, request))
    return user


async def request_reset_password(manager: "Manager[UP, ID]", email: str, request: Request | None = None) -> None:
    """Send a token that resets a password; neither the answer nor its time depends on whether there is an account.

    Raises:
        TooManyRequests: This network has asked for too many e-mails.
    """
    await _mail_if_known(manager, email, request, Purpose.RESET_PASSWORD)


async def forgot_password(manager: "Manager[UP, ID]", user: UP, request: Request | None = None) -> None:
    """Send a user a token that resets the password.

    Raises:
        UserInactive: The user is deactivated.
        UserNotExists: The user was deleted meanwhile.
    """
    await _mail_to(manager, user, request, Purpose.RESET_PASSWORD)


async def reset_password(manager: "Manager[UP, ID]", token: str, password: str, request: Request | None = None) -> UP:
    """Set a new password, and use the token up; of several simultaneous requests, one succeeds.

    Raises:
        InvalidResetPasswordToken: The token is unknown, used or too old, or the account is deactivated.
        InvalidPasswordException: The password is refused; the token stays good.
        TooManyRequests: The account had too many resets within an hour; the token stays good.
        HashingQueueFullError: Too many passwords wait to be hashed; the token stays good.
    """
    issued = await manager.user_db.ask(tokens.find, Purpose.RESET_PASSWORD, token)
    known = await manager.user_db.find(issued.user_id) if issued is not None else None
    # Also before a refusal: on SQLite a SELECT may hold the write lock.
    await manager.release()
    if known is None or not known.is_active:
        raise InvalidResetPasswordToken
    await manager.validate_password(password, known)
    if manager.throttle is not None and request is not None:
        # Many simultaneous requests with one token would each be hashed before the first uses the token up.
        await manager.throttle.require_reset(work.limits_key(manager, "id", known.id))
    hashed_password = await manager.password_hasher.hash(password)
    async with manager.user_db.transaction():
        user, issued = await work.use_token(manager, Purpose.RESET_PASSWORD, token, InvalidResetPasswordToken)
        if canonical_email(user.email) != issued.email_canonical:
            raise InvalidResetPasswordToken
        user = await set_password(manager, user, hashed_password, AuditEventKind.RESET_PASSWORD, request)
        manager.user_db.after_commit(lambda: _after_reset(manager, user, request))
    return user


async def _after_reset(manager: "Manager[UP, ID]", user: UP, request: Request | None) -> None:
    if manager.throttle is not None and request is not None:
        # The owner has come from this network.
        account = work.limits_key(manager, "id", user.id)
        await manager.throttle.forgive(account=account, network=client_network(request))
    await manager.on_after_reset_password(user, request)


async def set_password(
    manager: "Manager[UP, ID]", user: UP, hashed_password: str, kind: AuditEventKind, request: Request | None
) -> UP:
    user = await manager.apply(user, {"hashed_password": hashed_password})
    await manager.user_db.ask(tokens.revoke, user.id, MORTAL)
    await work.end_others(manager, user.id)
    await work.record(manager, kind, request, user_id=user.id)
    await manager.on_change_password(user, request)
    await manager.queue_letter(LetterKind.PASSWORD_CHANGED, user.email, user=user)
    return user


async def _mail_to(manager: "Manager[UP, ID]", user: UP, request: Request | None, purpose: Purpose) -> None:
    async with manager.user_db.transaction():
        user = await work.lock_or_raise(manager, user.id)
        if not user.is_active:
            raise UserInactive
        if purpose is Purpose.VERIFY and user.is_verified:
            raise UserAlreadyVerified
        await _mail_token(manager, user, user.email, request, purpose)


async def _mail_if_known(manager: "Manager[UP, ID]", email: str, request: Request | None, purpose: Purpose) -> None:
    began = time.monotonic()
    if not await work.may_mail(manager, email, purpose, request):
        return
    own = _overridden(manager, purpose)
    async with manager.user_db.transaction():
        user = await manager.user_db.lock_by_email(email)
        is_wanted = user is not None and user.is_active and not (purpose is Purpose.VERIFY and user.is_verified)
        if not is_wanted or own is None:
            await _mail_token(manager, user if is_wanted else None, email, request, purpose)
    if is_wanted and own is not None:
        with suppress(UserInactive, UserAlreadyVerified, UserNotExists):
            await own(user, request)
    await manager.release()
    await work.wait_for_answer_time(began)


def _overridden(manager: "Manager[UP, ID]", purpose: Purpose) -> Callable[..., Awaitable[None]] | None:
    """Return the `request_verify` or `forgot_password` of the project, if it overrides ours."""
    is_verify = purpose is Purpose.VERIFY
    method = manager.request_verify if is_verify else manager.forgot_password
    ours = request_verify if is_verify else forgot_password
    return method if getattr(method, "__func__", None) is not ours else None


async def _mail_token(
    manager: "Manager[UP, ID]", user: UP | None, email: str, request: Request | None, purpose: Purpose
) -> None:
    """Issue a token and queue its e-mail; without a user, the same statements run and no e-mail is sent."""
    kind, letter, seconds, hook = {
        Purpose.VERIFY: (
            AuditEventKind.REQUEST_VERIFY,
            LetterKind.VERIFY,
            manager.verification_token_lifetime_seconds,
            manager.on_after_request_verify,
        ),
        Purpose.RESET_PASSWORD: (
            AuditEventKind.FORGOT_PASSWORD,
            LetterKind.RESET_PASSWORD,
            manager.reset_password_token_lifetime_seconds,
            manager.on_after_forgot_password,
        ),
    }[purpose]
    user_id, stored = (user.id, user.email) if user is not None else (None, None)
    token = await work.issue_token(manager, purpose, user_id, stored or typed_email(email), timedelta(seconds=seconds))
    await work.record(manager, kind, request, user_id=user_id)
    await manager.queue_letter(letter, stored, user=user, token=token)
    if user is not None:
        manager.user_db.after_commit(lambda: hook(user, token, request))
