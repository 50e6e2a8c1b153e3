"""Change one's own account: with the password what matters, the address when it is confirmed."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import timedelta
from types import MappingProxyType
from typing import Any, Generic, cast

from fastapi import Request
from fastapi_users.exceptions import UserAlreadyExists, UserNotExists
from fastapi_users.models import ID, UP

from fastapi_users_sqlmodel import tokens
from fastapi_users_sqlmodel.audit import AuditEventKind
from fastapi_users_sqlmodel.exceptions import (
    FieldsNotAllowed,
    InvalidChangeEmailToken,
    InvalidCurrentPassword,
)
from fastapi_users_sqlmodel.identity import canonical_email, typed_email
from fastapi_users_sqlmodel.manager._base import FLAGS, LetterKind
from fastapi_users_sqlmodel.manager._mailed_tokens import MailedTokens
from fastapi_users_sqlmodel.passwords import unusable_hash
from fastapi_users_sqlmodel.tokens import MORTAL, Purpose


@dataclass(frozen=True, slots=True)
class UndoneEmailChange(Generic[UP]):
    """A user who has the former address back, and the token that sets a new password."""

    user: UP
    reset_password_token: str


class Changes(MailedTokens[UP, ID], Generic[UP, ID]):
    """What a person may do to the own account."""

    async def change_password(
        self, user: UP, current_password: str, password: str, request: Request | None = None
    ) -> UP:
        """Change the password of a user who knows the present one.

        Raises:
            InvalidCurrentPassword: It is another one, or has been changed meanwhile.
            InvalidPasswordException: The new one is refused.
            TooManyRequests: Too many have failed lately, or too much was changed.
            HashingQueueFullError: Too many wait already.
        """
        return await self._update_own(user, {"password": password}, current_password, request)

    async def request_change_email(
        self, user: UP, email: str, current_password: str, request: Request | None = None
    ) -> None:
        """Send a token to a new address, and tell the old one; nothing changes before the new one is confirmed.

        Whether the new address is taken, neither the answer nor its time tells.

        Raises:
            InvalidCurrentPassword: The password is another one, or has been changed meanwhile.
            TooManyRequests: Too many have failed lately, or too much was changed, or too many mails were asked for
                from this network.
            HashingQueueFullError: Too many wait already.
        """
        await self._update_own(user, {"email": email}, current_password, request)

    async def confirm_email(self, token: str, request: Request | None = None) -> UP:
        """Make the address that a token was sent to the user's, and end all sessions but the one that asked for it.

        Raises:
            InvalidChangeEmailToken: It is unknown, used, or too old; or the address is taken by now; or the former
                address was verified after the token was asked for, so that its owner could not undo the change.
        """
        async with self.user_db.transaction():
            user, issued = await self._use(Purpose.CHANGE_EMAIL, token, InvalidChangeEmailToken)
            if await self.user_db.ask(tokens.is_reserved, issued.email, besides=user.id):
                raise InvalidChangeEmailToken
            previous, was_verified = user.email, user.is_verified
            user = await self._set_email(user, issued.email, AuditEventKind.CHANGE_EMAIL, request)
            await self._end_sessions(user.id, besides=issued.session_id)
            lifetime = timedelta(seconds=self.undo_change_email_token_lifetime_seconds)
            can_undo = await self.user_db.ask(tokens.extend_undo, user.id, email=previous, lifetime=lifetime)
            if was_verified and not can_undo:
                raise InvalidChangeEmailToken
        return user

    async def undo_change_email(self, token: str, request: Request | None = None) -> UndoneEmailChange[UP]:
        """Give an account back to the address that was told of a change; before it happened, call it off.

        Whoever asked for the change knew the password, so it does not sign in any more, and all sessions end; the token
        that is returned, and mailed to the restored address, sets a new one. Tokens of earlier changes stay good, those
        of later ones die: a thief cannot undo the undoing.

        Raises:
            InvalidChangeEmailToken: It is unknown, used, or too old.
        """
        async with self.user_db.transaction():
            user, issued = await self._use(Purpose.UNDO_CHANGE_EMAIL, token, InvalidChangeEmailToken)
            previous = user.email
            user = await self._set_email(
                user, issued.email, AuditEventKind.UNDO_CHANGE_EMAIL, request, hashed_password=unusable_hash()
            )
            await self._end_sessions(user.id)
            await self.on_change_password(user, request)
            lifetime = timedelta(seconds=self.reset_password_token_lifetime_seconds)
            reset_token = await self._issue(Purpose.RESET_PASSWORD, user.id, user.email, lifetime)
            await self.queue_letter(LetterKind.EMAIL_CHANGE_UNDONE, user.email, user=user, token=reset_token)
            if canonical_email(previous) != issued.email_canonical:
                await self.queue_letter(LetterKind.EMAIL_REMOVED, previous, user=user)
            await self.user_db.ask(tokens.revoke_undo_since, user.id, issued.created_at)
        return UndoneEmailChange(user, reset_token)

    async def update_own(self, user: UP, changes: Mapping[str, Any], request: Request | None = None) -> UP:
        """Change what a person may change about themselves.

        A new password or e-mail needs `current_password` beside it; the e-mail stays what it is until the new one is
        confirmed. The three flags may be sent as they are.

        Raises:
            FieldsNotAllowed: A field that is not in `own_fields`, or is null where the column takes none, or the
                current password is missing.
            InvalidCurrentPassword: It is another one, or has been changed meanwhile.
            InvalidPasswordException: The new password is refused.
            UsernameAlreadyExists: The username is taken.
            UserNotExists: The user was deleted or deactivated meanwhile.
            TooManyRequests: Too many have failed lately, or too many mails were asked for from this network.
            HashingQueueFullError: Too many wait already.
        """
        changes = dict(changes)
        current_password = changes.pop("current_password", None)
        for name in FLAGS:
            if changes.pop(name, present := getattr(user, name)) not in {present, None}:
                raise FieldsNotAllowed([name], "you cannot change this about yourself")
        for name in ("password", "email"):
            if changes.get(name, "") is None:
                del changes[name]  # FastAPI Users' schema says so for what is not changed.
        if unknown := changes.keys() - self.own_fields - {"password", "email"}:
            raise FieldsNotAllowed(sorted(unknown))
        self._require_values(changes)
        same: dict[str, Any] = {}
        if "email" in changes and typed_email(changes["email"]) == user.email:
            same["email"] = changes.pop("email")
        if changes.keys() & {"password", "email"} and current_password is None:
            raise FieldsNotAllowed(["current_password"], "needed to change the password or the e-mail address")
        return await self._update_own(user, changes, current_password, request, same)

    async def _update_own(
        self,
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
            await self.validate_password(password, user)
        if needs_proof:
            await self._require_current_password(user, cast("str", current_password), request)
            await self._count_change(user, request)
        may_mail = email is not None and await self._may_mail(email, Purpose.CHANGE_EMAIL, request)
        hashed_password = await self.password_hasher.hash(password) if password is not None else None
        async with self.user_db.transaction():
            user = await self._lock_or_raise(user.id)
            if not user.is_active:
                # Since the token was looked at, as if deleted.
                raise UserNotExists
            if needs_proof and user.hashed_password != known_hash:
                # Somebody changed it in the meantime: the current password is not what was typed.
                raise InvalidCurrentPassword
            if changes:
                changed = await self._differing(user, changes)
                user = await self.apply(user, changes)
                await self._record_update(user, changed, request)
            if hashed_password is not None:
                user = await self._set_password(user, hashed_password, AuditEventKind.CHANGE_PASSWORD, request)
                self.user_db.after_commit(lambda: self.on_after_change_password(user, request))
            if email is not None and may_mail:
                await self._ask_for_new_email(user, typed_email(email), request)
            # As FastAPI Users does, also if nothing is different; but another address has to be confirmed first.
            if sent.keys() != {"email"}:
                updated = {**_without_password(sent), **same}
                self.user_db.after_commit(lambda: self.on_after_update(user, updated, request))
        return user

    async def _set_email(
        self, user: UP, email: str, kind: AuditEventKind, request: Request | None, **columns: str
    ) -> UP:
        previous = user.email
        try:
            user = await self.apply(user, {"email": email, "is_verified": True, **columns})
        except UserAlreadyExists as error:
            raise InvalidChangeEmailToken from error
        await self.user_db.ask(tokens.revoke, user.id, MORTAL)
        await self._record(kind, request, user_id=user.id, email=email)
        await self.on_change_email(user, previous, request)
        self.user_db.after_commit(lambda: self.on_after_change_email(user, previous, request))
        return user

    async def _ask_for_new_email(self, user: UP, email: str, request: Request | None) -> None:
        lifetime = timedelta(seconds=self.change_email_token_lifetime_seconds)
        undo_lifetime = lifetime + timedelta(seconds=self.undo_change_email_token_lifetime_seconds)
        owner = await self.user_db.find_by_email(email)
        taken_by = owner if owner is not None and owner.id != user.id else None
        token = await self._issue(Purpose.CHANGE_EMAIL, user.id, email, lifetime)
        # Only what was verified: an undo token reserves the address, which may be somebody else's.
        undo_token = (
            await self._issue(Purpose.UNDO_CHANGE_EMAIL, user.id, user.email, undo_lifetime)
            if user.is_verified
            else None
        )
        await self._record(AuditEventKind.REQUEST_CHANGE_EMAIL, request, user_id=user.id, email=email)
        kind = LetterKind.EMAIL_CHANGE_REQUESTED if undo_token is not None else LetterKind.EMAIL_CHANGE_NOTICE
        await self.queue_letter(kind, user.email, user=user, token=undo_token)
        if taken_by is None:
            await self.queue_letter(LetterKind.CONFIRM_EMAIL, email, user=user, token=token)
        else:
            to = taken_by.email if taken_by.is_active else None
            await self.queue_letter(LetterKind.EMAIL_TAKEN, to, user=taken_by)
        said = token if taken_by is None else None
        self.user_db.after_commit(lambda: self.on_after_request_change_email(user, email, said, undo_token, request))


def _without_password(changes: Mapping[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in changes.items() if name not in {"password", "email"}}
