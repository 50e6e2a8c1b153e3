"""Change and delete other people's accounts, and one's own for good: never the last superuser."""

from collections.abc import Mapping
from typing import Any, Generic

from fastapi import Request
from fastapi_users import schemas
from fastapi_users.exceptions import (
    UserAlreadyExists,
    UserNotExists,
)
from fastapi_users.models import ID, UP

from fastapi_users_sqlmodel import audit, tokens
from fastapi_users_sqlmodel.audit import AuditEventKind, Origin
from fastapi_users_sqlmodel.exceptions import (
    FieldsNotAllowed,
    InvalidCurrentPassword,
    LastSuperuser,
    NotSuperuser,
)
from fastapi_users_sqlmodel.identity import canonical_email, typed_email
from fastapi_users_sqlmodel.manager._base import FLAGS, LetterKind
from fastapi_users_sqlmodel.manager._changes import Changes
from fastapi_users_sqlmodel.tokens import MORTAL, Purpose


class Administration(Changes[UP, ID], Generic[UP, ID]):
    """What a superuser or a script does to an account, and how it ends."""

    async def update(
        self,
        user_update: schemas.BaseUserUpdate,
        user: UP,
        safe: bool = False,  # noqa: FBT001, FBT002  # FastAPI Users' signature
        request: Request | None = None,
    ) -> UP:
        """Change a user: `safe` as the user alone may, with what is sent; else as a script may, with everything.

        Raises: as `update_own`; without `safe` as `update_by_superuser`, but for `NotSuperuser`, and
            InvalidPasswordException: The new password is refused.
        """
        changes = user_update.model_dump(exclude_unset=True, exclude={"id", "oauth_accounts"})
        if safe:
            return await self.update_own(user, changes, request)
        changes.pop("current_password", None)
        if changes.get("password", "") is None:
            del changes["password"]  # FastAPI Users takes it as not sent, too.
        self._require_values(changes)
        if "password" in changes:
            await self.validate_password(changes["password"], user)
            await self.release()
            changes["hashed_password"] = await self.password_hasher.hash(changes.pop("password"))
        return await self._update_by(None, user.id, changes, request)

    async def update_by_superuser(
        self, superuser: UP, user_id: ID, changes: Mapping[str, Any], request: Request | None = None
    ) -> UP:
        """Change a user as a superuser.

        A new e-mail is not verified, unless the same change says so, and the old address is told.

        Raises:
            FieldsNotAllowed: A field that is not in `superuser_fields`, such as a password, or is null where the
                column takes none; or their own e-mail, which `update_own` changes, with the current password.
            UserNotExists: There is no such user.
            NotSuperuser: Whoever asks is no superuser, or not any more.
            LastSuperuser: Nobody would be left to administer the service.
            UserAlreadyExists: The address is taken.
            UsernameAlreadyExists: The username is taken.
        """
        if unknown := changes.keys() - self.superuser_fields:
            raise FieldsNotAllowed(sorted(unknown))
        self._require_values(changes)
        is_own = user_id == superuser.id and superuser.is_superuser
        if is_own and typed_email(changes.get("email", superuser.email)) != superuser.email:
            raise FieldsNotAllowed(["email"], "you change your own with the current password")
        return await self._update_by(superuser, user_id, dict(changes), request)

    async def _update_by(
        self, superuser: UP | None, user_id: ID, changes: dict[str, Any], request: Request | None
    ) -> UP:
        actor_id = superuser.id if superuser is not None else None
        async with self.user_db.transaction():
            user, is_last = await self.lock_to_administer(user_id, superuser)
            if is_last and not (changes.get("is_superuser", True) and changes.get("is_active", True)):
                raise LastSuperuser
            previous, flags = user.email, {name: getattr(user, name) for name in FLAGS}
            is_new_email = "email" in changes and canonical_email(changes["email"]) != canonical_email(previous)
            if is_new_email:
                if await self.user_db.ask(tokens.is_reserved, changes["email"], besides=user_id):
                    raise UserAlreadyExists
                changes = {"is_verified": False, **changes}
            changed = await self._differing(user, changes)
            user = await self.apply(user, changes)
            await self._record_update(user, changed, request, actor_id=actor_id)
            # A new address is not verified, as a matter of course.
            told = {"is_verified"} if is_new_email else set[str]()
            turned = {name: getattr(user, name) for name in flags.keys() - told if getattr(user, name) != flags[name]}
            if turned:
                await self._record(
                    AuditEventKind.CHANGE_ROLE, request, user_id=user.id, actor_id=actor_id, details=turned
                )
            if is_new_email:
                await self._record(
                    AuditEventKind.CHANGE_EMAIL, request, user_id=user.id, actor_id=actor_id, email=user.email
                )
                await self.on_change_email(user, previous, request)
                await self.queue_letter(LetterKind.EMAIL_CHANGED, previous, user=user)
                self.user_db.after_commit(lambda: self.on_after_change_email(user, previous, request))
            if is_new_email or not user.is_active or (flags["is_superuser"] and not user.is_superuser):
                await (self._end_other_sessions(user.id) if user.is_active else self._end_sessions(user.id))
            if is_new_email or not user.is_active:
                # Whoever administers has the last word: nothing of before is good any more, undoing neither.
                await self.user_db.ask(tokens.revoke, user.id, tuple(Purpose))
            if "hashed_password" in changes:
                await self.user_db.ask(tokens.revoke, user.id, MORTAL)
                await self._end_other_sessions(user.id)
                await self._record(AuditEventKind.CHANGE_PASSWORD, request, user_id=user.id, actor_id=actor_id)
                await self.on_change_password(user, request)
            self.user_db.after_commit(lambda: self.on_after_update(user, changes, request))
        return user

    async def lock_to_administer(self, user_id: ID, superuser: UP | None) -> tuple[UP, bool]:
        """Lock a user whom a superuser, or a script, is about to change, and tell whether it is the last superuser.

        Raises:
            UserNotExists: There is no such user.
            NotSuperuser: Whoever asks is no superuser, or not any more.
            LoginNotFresh: They change somebody else, and their session has not seen the password lately.
        """
        if superuser is not None and not superuser.is_superuser:
            # Locks nobody.
            raise NotSuperuser if await self.user_db.find(user_id) is not None else UserNotExists
        user, superusers = await self.user_db.lock_to_administer(user_id)
        if user is None:
            raise UserNotExists
        if superuser is not None and superuser.id not in superusers:
            raise NotSuperuser
        if superuser is not None and superuser.id != user_id and self.current_session is not None:
            self.require_fresh_login()
        return user, superusers == {user_id}

    async def delete_account(self, user: UP, current_password: str, request: Request | None = None) -> None:
        """Delete a user who knows the password, and what hangs on the user.

        Raises:
            InvalidCurrentPassword: It is another one, or has been changed meanwhile.
            LastSuperuser: Nobody would be left to administer the service.
            TooManyRequests: Too many have failed lately.
            HashingQueueFullError: Too many wait already.
        """
        known_hash = user.hashed_password
        await self._require_current_password(user, current_password, request)
        await self._delete(user.id, None, request, known_hash=known_hash)

    async def delete_by_superuser(self, superuser: UP, user_id: ID, request: Request | None = None) -> None:
        """Delete a user as a superuser.

        Raises:
            UserNotExists: There is no such user.
            NotSuperuser: Whoever asks is no superuser, or not any more.
            LastSuperuser: Nobody would be left to administer the service.
            LoginNotFresh: Their session has not seen the password lately.
        """
        await self._delete(user_id, superuser, request)

    async def delete(self, user: UP, request: Request | None = None) -> None:
        """Delete a user.

        Raises:
            UserNotExists: Somebody else did.
            LastSuperuser: Nobody would be left to administer the service.
        """
        await self._delete(user.id, None, request)

    async def _delete(
        self, user_id: ID, superuser: UP | None, request: Request | None, *, known_hash: str | None = None
    ) -> None:
        async with self.user_db.transaction():
            user, is_last = await self.lock_to_administer(user_id, superuser)
            if known_hash is not None and not user.is_active:
                # Since the token was looked at, as if deleted.
                raise UserNotExists
            if known_hash is not None and user.hashed_password != known_hash:
                raise InvalidCurrentPassword
            if superuser is not None and self.current_session is not None:
                # The own account too.
                self.require_fresh_login()
            if is_last:
                raise LastSuperuser
            await self.on_before_delete(user, request)
            # SQLite as it comes lets rows that point to the user stay, and may give the id to the next one.
            await self.user_db.ask(tokens.revoke, user_id, tuple(Purpose))
            await self._end_sessions(user_id)
            await self.user_db.delete(user)
            actor_id = superuser.id if superuser is not None else None
            origin = Origin(request_id=Origin.of(request).request_id)
            await self.user_db.ask(audit.record, AuditEventKind.DELETE, origin, user_id=user_id, actor_id=actor_id)
            # This one too: whoever gets the id next has not been deleted.
            await self.user_db.ask(audit.erase, user_id)
            self.user_db.after_commit(lambda: self.on_after_delete(user, request))
