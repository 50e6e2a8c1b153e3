"""Change the own account: a password or an address with the current password, an address once it is confirmed."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import timedelta
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, Generic, cast

from fastapi import Request
from fastapi_users.exceptions import UserAlreadyExists, UserNotExists
from fastapi_users.models import ID, UP

from fastapi_users_sqlmodel import tokens
from fastapi_users_sqlmodel.audit import AuditEventKind
from fastapi_users_sqlmodel.exceptions import FieldsNotAllowed, InvalidChangeEmailToken, InvalidCurrentPassword
from fastapi_users_sqlmodel.identity import canonical_email, typed_email
from fastapi_users_sqlmodel.manager import _work as work
from fastapi_users_sqlmodel.manager._letters import LetterKind
from fastapi_users_sqlmodel.manager._mailed_tokens import set_password
from fastapi_users_sqlmodel.manager._signing_in import require_current_password
from fastapi_users_sqlmodel.passwords import unusable_hash
from fastapi_users_sqlmodel.tokens import MORTAL, Purpose

if TYPE_CHECKING:
    from fastapi_users_sqlmodel.manager import BaseUserManager as Manager


@dataclass(frozen=True, slots=True)
class UndoneEmailChange(Generic[UP]):
    """A user with the restored address, and a token that resets the password."""

    user: UP
    reset_password_token: str


async def change_password(
    manager: "Manager[UP, ID]", user: UP, current_password: str, password: str, request: Request | None = None
) -> UP:
    """Change the password of a user who knows the current one.

    Raises:
        InvalidCurrentPassword: The current password is another one, or has been changed meanwhile.
        InvalidPasswordException: The new password is refused.
        TooManyRequests: Too many attempts have failed lately, or there were too many changes.
        HashingQueueFullError: Too many passwords wait to be hashed.
    """
    return await _update_own(manager, user, {"password": password}, current_password, request)


async def request_change_email(
    manager: "Manager[UP, ID]", user: UP, email: str, current_password: str, request: Request | None = None
) -> None:
    """Send a token to a new address, and a notice to the present one; `confirm_email` makes the change.

    Neither the answer nor its time depends on whether the new address is taken.

    Raises:
        InvalidCurrentPassword: The password is another one, or has been changed meanwhile.
        TooManyRequests: Too many attempts have failed lately, there were too many changes, or this network has asked
            for too many e-mails.
        HashingQueueFullError: Too many passwords wait to be hashed.
    """
    await _update_own(manager, user, {"email": email}, current_password, request)


async def confirm_email(manager: "Manager[UP, ID]", token: str, request: Request | None = None) -> UP:
    """Change the address to the one that a token was sent to; all sessions end but the one that asked for it.

    Raises:
        InvalidChangeEmailToken: The token is unknown, used or too old; the address is taken by now; or the former
            address was verified after the token was issued, so that its owner has no token to undo the change.
    """
    async with manager.user_db.transaction():
        user, issued = await work.use_token(manager, Purpose.CHANGE_EMAIL, token, InvalidChangeEmailToken)
        if await manager.user_db.ask(tokens.is_reserved, issued.email, besides=user.id):
            raise InvalidChangeEmailToken
        previous, was_verified = user.email, user.is_verified
        user = await _set_email(manager, user, issued.email, AuditEventKind.CHANGE_EMAIL, request)
        await work.end_sessions(manager, user.id, besides=issued.session_id)
        lifetime = timedelta(seconds=manager.undo_change_email_token_lifetime_seconds)
        can_undo = await manager.user_db.ask(tokens.extend_undo, user.id, email=previous, lifetime=lifetime)
        if was_verified and not can_undo:
            raise InvalidChangeEmailToken
    return user


async def undo_change_email(
    manager: "Manager[UP, ID]", token: str, request: Request | None = None
) -> UndoneEmailChange[UP]:
    """Restore the address before a change; a change that is not confirmed yet is cancelled.

    The change was asked for with the password. So the password no longer signs in, and all sessions end. The token that
    is returned, and sent to the restored address, resets the password. Undo tokens of later changes are revoked, so
    that a thief cannot undo this; those of earlier changes stay good.

    Raises:
        InvalidChangeEmailToken: The token is unknown, used, or too old.
    """
    async with manager.user_db.transaction():
        user, issued = await work.use_token(manager, Purpose.UNDO_CHANGE_EMAIL, token, InvalidChangeEmailToken)
        previous = user.email
        user = await _set_email(
            manager, user, issued.email, AuditEventKind.UNDO_CHANGE_EMAIL, request, hashed_password=unusable_hash()
        )
        await work.end_sessions(manager, user.id)
        await manager.on_change_password(user, request)
        lifetime = timedelta(seconds=manager.reset_password_token_lifetime_seconds)
        reset_token = await work.issue_token(manager, Purpose.RESET_PASSWORD, user.id, user.email, lifetime)
        await manager.queue_letter(LetterKind.EMAIL_CHANGE_UNDONE, user.email, user=user, token=reset_token)
        if canonical_email(previous) != issued.email_canonical:
            await manager.queue_letter(LetterKind.EMAIL_REMOVED, previous, user=user)
        await manager.user_db.ask(tokens.revoke_undo_since, user.id, issued.created_at)
    return UndoneEmailChange(user, reset_token)


async def update_own(
    manager: "Manager[UP, ID]", user: UP, changes: Mapping[str, Any], request: Request | None = None
) -> UP:
    """Change the fields of the own account that `own_fields` names, and `password` and `email`.

    A new password or e-mail needs `current_password` in `changes`. The e-mail changes when the new address is
    confirmed. The three flags may be in `changes` with their present values.

    Raises:
        FieldsNotAllowed: A field is not in `own_fields`, is null where the column takes none, or the current password
            is missing.
        InvalidCurrentPassword: The current password is another one, or has been changed meanwhile.
        InvalidPasswordException: The new password is refused.
        UsernameAlreadyExists: The username is taken.
        UserNotExists: The user was deleted or deactivated meanwhile.
        TooManyRequests: As in `request_change_email`.
        HashingQueueFullError: Too many passwords wait to be hashed.
    """
    changes = dict(changes)
    current_password = changes.pop("current_password", None)
    for name in work.FLAGS:
        if changes.pop(name, present := getattr(user, name)) not in {present, None}:
            raise FieldsNotAllowed([name], "you cannot change this about yourself")
    for name in ("password", "email"):
        if changes.get(name, "") is None:
            del changes[name]  # As in FastAPI Users: null is like not sent.
    if unknown := changes.keys() - manager.own_fields - {"password", "email"}:
        raise FieldsNotAllowed(sorted(unknown))
    work.require_values(manager, changes)
    same: dict[str, Any] = {}
    if "email" in changes and typed_email(changes["email"]) == user.email:
        same["email"] = changes.pop("email")
    if changes.keys() & {"password", "email"} and current_password is None:
        raise FieldsNotAllowed(["current_password"], "needed to change the password or the e-mail address")
    return await _update_own(manager, user, changes, current_password, request, same)


async def _update_own(  # noqa: PLR0913, PLR0917  # The account, and all parts of the change
    manager: "Manager[UP, ID]",
    user: UP,
    changes: dict[str, Any],
    current_password: str | None,
    request: Request | None,
    same: Mapping[str, Any] = MappingProxyType({}),
) -> UP:
    sent = dict(changes)
    password, email = changes.pop("password", None), changes.pop("email", None)
    known_hash = user.hashed_password
    needs_proof = password is not None or email is not None
    if password is not None:
        await manager.validate_password(password, user)
    if needs_proof:
        await require_current_password(manager, user, cast("str", current_password), request)
        if manager.throttle is not None and request is not None:
            await manager.throttle.require_change(work.limits_key(manager, "id", user.id))
    is_mailed = email is not None and await work.may_mail(manager, email, Purpose.CHANGE_EMAIL, request)
    hashed_password = await manager.password_hasher.hash(password) if password is not None else None
    async with manager.user_db.transaction():
        user = await work.lock_or_raise(manager, user.id)
        if not user.is_active:
            # Deactivated during this request: like deleted.
            raise UserNotExists
        if needs_proof and user.hashed_password != known_hash:
            # The password has been changed since it was verified.
            raise InvalidCurrentPassword
        if changes:
            changed = await work.differing(manager, user, changes)
            user = await manager.apply(user, changes)
            await work.record_update(manager, user, changed, request)
        if hashed_password is not None:
            user = await set_password(manager, user, hashed_password, AuditEventKind.CHANGE_PASSWORD, request)
            manager.user_db.after_commit(lambda: manager.on_after_change_password(user, request))
        if email is not None and is_mailed:
            await _ask_for_new_email(manager, user, typed_email(email), request)
        # As in FastAPI Users, also if no value differs. A new address alone is no update before it is confirmed.
        if sent.keys() != {"email"}:
            updated = {**_without_password(sent), **same}
            manager.user_db.after_commit(lambda: manager.on_after_update(user, updated, request))
    return user


async def _set_email(
    manager: "Manager[UP, ID]", user: UP, email: str, kind: AuditEventKind, request: Request | None, **columns: str
) -> UP:
    previous = user.email
    try:
        user = await manager.apply(user, {"email": email, "is_verified": True, **columns})
    except UserAlreadyExists as error:
        raise InvalidChangeEmailToken from error
    await manager.user_db.ask(tokens.revoke, user.id, MORTAL)
    await work.record(manager, kind, request, user_id=user.id, email=email)
    await manager.on_change_email(user, previous, request)
    manager.user_db.after_commit(lambda: manager.on_after_change_email(user, previous, request))
    return user


async def _ask_for_new_email(manager: "Manager[UP, ID]", user: UP, email: str, request: Request | None) -> None:
    lifetime = timedelta(seconds=manager.change_email_token_lifetime_seconds)
    undo_lifetime = lifetime + timedelta(seconds=manager.undo_change_email_token_lifetime_seconds)
    owner = await manager.user_db.find_by_email(email)
    taken_by = owner if owner is not None and owner.id != user.id else None
    token = await work.issue_token(manager, Purpose.CHANGE_EMAIL, user.id, email, lifetime)
    # Only for a verified address: an undo token reserves it, and an unverified one may be somebody else's.
    undo_token = (
        await work.issue_token(manager, Purpose.UNDO_CHANGE_EMAIL, user.id, user.email, undo_lifetime)
        if user.is_verified
        else None
    )
    await work.record(manager, AuditEventKind.REQUEST_CHANGE_EMAIL, request, user_id=user.id, email=email)
    kind = LetterKind.EMAIL_CHANGE_REQUESTED if undo_token is not None else LetterKind.EMAIL_CHANGE_NOTICE
    await manager.queue_letter(kind, user.email, user=user, token=undo_token)
    if taken_by is None:
        await manager.queue_letter(LetterKind.CONFIRM_EMAIL, email, user=user, token=token)
    else:
        to = taken_by.email if taken_by.is_active else None
        await manager.queue_letter(LetterKind.EMAIL_TAKEN, to, user=taken_by)
    mailed = token if taken_by is None else None
    manager.user_db.after_commit(
        lambda: manager.on_after_request_change_email(user, email, mailed, undo_token, request)
    )


def _without_password(changes: Mapping[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in changes.items() if name not in {"password", "email"}}
