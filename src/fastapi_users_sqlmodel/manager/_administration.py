"""Change and delete accounts as a superuser or in a script; the last active superuser always stays."""

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from fastapi import Request
from fastapi_users import schemas
from fastapi_users.exceptions import UserAlreadyExists, UserNotExists
from fastapi_users.models import ID, UP

from fastapi_users_sqlmodel import audit, tokens
from fastapi_users_sqlmodel.audit import AuditEventKind, Origin
from fastapi_users_sqlmodel.exceptions import FieldsNotAllowed, InvalidCurrentPassword, LastSuperuser, NotSuperuser
from fastapi_users_sqlmodel.identity import canonical_email, typed_email
from fastapi_users_sqlmodel.manager import _work as work
from fastapi_users_sqlmodel.manager._letters import LetterKind
from fastapi_users_sqlmodel.manager._signing_in import require_current_password
from fastapi_users_sqlmodel.tokens import MORTAL, Purpose

if TYPE_CHECKING:
    from fastapi_users_sqlmodel.manager import BaseUserManager as Manager


async def update(
    manager: "Manager[UP, ID]",
    user_update: schemas.BaseUserUpdate,
    user: UP,
    safe: bool = False,  # noqa: FBT001, FBT002  # FastAPI Users' signature
    request: Request | None = None,
) -> UP:
    """Change a user: with `safe`, like `update_own`; otherwise every field of the schema, for scripts.

    Raises: with `safe`, as `update_own`; otherwise as `update_by_superuser` without `NotSuperuser`, and
        InvalidPasswordException: The new password is refused.
    """
    changes = user_update.model_dump(exclude_unset=True, exclude={"id", "oauth_accounts"})
    if safe:
        return await manager.update_own(user, changes, request)
    changes.pop("current_password", None)
    if changes.get("password", "") is None:
        del changes["password"]  # As in FastAPI Users: null is like not sent.
    work.require_values(manager, changes)
    if "password" in changes:
        await manager.validate_password(changes["password"], user)
        await manager.release()
        changes["hashed_password"] = await manager.password_hasher.hash(changes.pop("password"))
    return await _update_by(manager, None, user.id, changes, request)


async def update_by_superuser(
    manager: "Manager[UP, ID]", superuser: UP, user_id: ID, changes: Mapping[str, Any], request: Request | None = None
) -> UP:
    """Change a user as a superuser.

    A new e-mail address is not verified, unless `changes` has `is_verified`; the old address gets an e-mail.

    Raises:
        FieldsNotAllowed: A field is not in `superuser_fields`, such as a password, or is null where the column takes
            none; or the e-mail is the superuser's own, which `update_own` changes with the current password.
        UserNotExists: There is no such user.
        NotSuperuser: `superuser` is none, or not any more.
        LastSuperuser: No active superuser would be left.
        UserAlreadyExists: The address is taken.
        UsernameAlreadyExists: The username is taken.
    """
    if unknown := changes.keys() - manager.superuser_fields:
        raise FieldsNotAllowed(sorted(unknown))
    work.require_values(manager, changes)
    is_own = user_id == superuser.id and superuser.is_superuser
    if is_own and typed_email(changes.get("email", superuser.email)) != superuser.email:
        raise FieldsNotAllowed(["email"], "you change your own with the current password")
    return await _update_by(manager, superuser, user_id, dict(changes), request)


async def _update_by(
    manager: "Manager[UP, ID]", superuser: UP | None, user_id: ID, changes: dict[str, Any], request: Request | None
) -> UP:
    actor_id = superuser.id if superuser is not None else None
    async with manager.user_db.transaction():
        user, is_last = await manager.lock_to_administer(user_id, superuser)
        if is_last and not (changes.get("is_superuser", True) and changes.get("is_active", True)):
            raise LastSuperuser
        previous, flags = user.email, {name: getattr(user, name) for name in work.FLAGS}
        is_new_email = "email" in changes and canonical_email(changes["email"]) != canonical_email(previous)
        if is_new_email:
            if await manager.user_db.ask(tokens.is_reserved, changes["email"], besides=user_id):
                raise UserAlreadyExists
            changes = {"is_verified": False, **changes}
        changed = await work.differing(manager, user, changes)
        user = await manager.apply(user, changes)
        await work.record_update(manager, user, changed, request, actor_id=actor_id)
        # That a new address is not verified is no event of its own.
        told = {"is_verified"} if is_new_email else set[str]()
        turned = {name: getattr(user, name) for name in flags.keys() - told if getattr(user, name) != flags[name]}
        if turned:
            await work.record(
                manager, AuditEventKind.CHANGE_ROLE, request, user_id=user.id, actor_id=actor_id, details=turned
            )
        if is_new_email:
            await work.record(
                manager, AuditEventKind.CHANGE_EMAIL, request, user_id=user.id, actor_id=actor_id, email=user.email
            )
            await manager.on_change_email(user, previous, request)
            await manager.queue_letter(LetterKind.EMAIL_CHANGED, previous, user=user)
            manager.user_db.after_commit(lambda: manager.on_after_change_email(user, previous, request))
        if is_new_email or not user.is_active or (flags["is_superuser"] and not user.is_superuser):
            await (work.end_others(manager, user.id) if user.is_active else work.end_sessions(manager, user.id))
        if is_new_email or not user.is_active:
            # No earlier token is good any more, not even one that undoes a change of the address.
            await manager.user_db.ask(tokens.revoke, user.id, tuple(Purpose))
        if "hashed_password" in changes:
            await manager.user_db.ask(tokens.revoke, user.id, MORTAL)
            await work.end_others(manager, user.id)
            await work.record(manager, AuditEventKind.CHANGE_PASSWORD, request, user_id=user.id, actor_id=actor_id)
            await manager.on_change_password(user, request)
        manager.user_db.after_commit(lambda: manager.on_after_update(user, changes, request))
    return user


async def lock_to_administer(manager: "Manager[UP, ID]", user_id: ID, superuser: UP | None) -> tuple[UP, bool]:
    """Lock a user for a change by a superuser or, with None, by a script.

    Returns:
        The user, and whether it is the last active superuser.

    Raises:
        UserNotExists: There is no such user.
        NotSuperuser: `superuser` is none, or not any more.
        LoginNotFresh: The superuser changes another user, and has not proved the password lately in this session.
    """
    if superuser is not None and not superuser.is_superuser:
        # Without a lock.
        raise NotSuperuser if await manager.user_db.find(user_id) is not None else UserNotExists
    user, superusers = await manager.user_db.lock_to_administer(user_id)
    if user is None:
        raise UserNotExists
    if superuser is not None and superuser.id not in superusers:
        raise NotSuperuser
    if superuser is not None and superuser.id != user_id and manager.current_session is not None:
        manager.require_fresh_login()
    return user, superusers == {user_id}


async def delete_account(
    manager: "Manager[UP, ID]", user: UP, current_password: str, request: Request | None = None
) -> None:
    """Delete a user who knows the password, and the rows that belong to the user.

    Raises:
        InvalidCurrentPassword: The password is another one, or has been changed meanwhile.
        LastSuperuser: No active superuser would be left.
        TooManyRequests: Too many attempts have failed lately.
        HashingQueueFullError: Too many passwords wait to be hashed.
    """
    known_hash = user.hashed_password
    await require_current_password(manager, user, current_password, request)
    await _delete(manager, user.id, None, request, is_overridden=_is_delete_overridden(manager), known_hash=known_hash)


async def delete_by_superuser(
    manager: "Manager[UP, ID]", superuser: UP, user_id: ID, request: Request | None = None
) -> None:
    """Delete a user as a superuser.

    Raises:
        UserNotExists: There is no such user.
        NotSuperuser: `superuser` is none, or not any more.
        LastSuperuser: No active superuser would be left.
        LoginNotFresh: The superuser has not proved the password lately in this session.
    """
    await _delete(manager, user_id, superuser, request, is_overridden=_is_delete_overridden(manager))


async def delete(manager: "Manager[UP, ID]", user: UP, request: Request | None = None) -> None:
    """Delete a user. `delete_account` and `delete_by_superuser` call an overridden `delete`, which may keep the row.

    Raises:
        UserNotExists: The user was deleted meanwhile.
        LastSuperuser: No active superuser would be left.
    """
    await _delete(manager, user.id, None, request, is_overridden=False)


def _is_delete_overridden(manager: "Manager[UP, ID]") -> bool:
    return getattr(manager.delete, "__func__", None) is not delete


async def _delete(  # noqa: PLR0913  # Two of them are the conditions of one caller each
    manager: "Manager[UP, ID]",
    user_id: ID,
    superuser: UP | None,
    request: Request | None,
    *,
    is_overridden: bool,
    known_hash: str | None = None,
) -> None:
    async with manager.user_db.transaction():
        user, is_last = await manager.lock_to_administer(user_id, superuser)
        if known_hash is not None and not user.is_active:
            # Deactivated during this request: like deleted.
            raise UserNotExists
        if known_hash is not None and user.hashed_password != known_hash:
            raise InvalidCurrentPassword
        if superuser is not None and manager.current_session is not None:
            # Also for the own account.
            manager.require_fresh_login()
        if is_last:
            raise LastSuperuser
        if is_overridden:
            await manager.delete(user, request)
            return
        await manager.on_before_delete(user, request)
        # Without foreign keys, SQLite keeps these rows and may give the id to another user.
        await manager.user_db.ask(tokens.revoke, user_id, tuple(Purpose))
        await work.end_sessions(manager, user_id)
        await manager.user_db.delete(user)
        actor_id = superuser.id if superuser is not None else None
        origin = Origin(request_id=Origin.of(request).request_id)
        await manager.user_db.ask(audit.record, AuditEventKind.DELETE, origin, user_id=user_id, actor_id=actor_id)
        # The row above too: another user may get the id.
        await manager.user_db.ask(audit.erase, user_id)
        manager.user_db.after_commit(lambda: manager.on_after_delete(user, request))
