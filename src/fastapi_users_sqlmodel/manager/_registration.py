"""Register: an address gets one account, also with simultaneous requests."""

import time
from typing import TYPE_CHECKING, Any

from fastapi import Request
from fastapi_users import schemas
from fastapi_users.exceptions import UserAlreadyExists
from fastapi_users.models import ID, UP
from sqlalchemy.exc import DBAPIError

from fastapi_users_sqlmodel import tokens
from fastapi_users_sqlmodel.audit import AuditEventKind
from fastapi_users_sqlmodel.database._refusals import already_exists, raise_explained, taken_besides_email
from fastapi_users_sqlmodel.exceptions import FieldsNotAllowed
from fastapi_users_sqlmodel.manager import _work as work
from fastapi_users_sqlmodel.manager._letters import LetterKind
from fastapi_users_sqlmodel.throttling import client_network

if TYPE_CHECKING:
    from fastapi_users_sqlmodel.manager import BaseUserManager as Manager


async def register(
    manager: "Manager[UP, ID]", user_create: schemas.BaseUserCreate, request: Request | None = None
) -> UP | None:
    """Create a user who registers.

    Returns:
        The user; None with `conceal_accounts`, whether the address was free or taken.

    Raises: as `create`, and
        TooManyRequests: This network has registered, or asked for e-mails, too often.
        UserAlreadyExists: The address is taken, and `conceal_accounts` is off.
    """
    began = time.monotonic()
    throttle, network = manager.throttle if request is not None else None, client_network(request)
    if throttle is not None:
        await throttle.require_mail_from(network)
    try:
        user = await manager.create(user_create, safe=True, request=request)
    except BaseException as error:
        if isinstance(error, UserAlreadyExists) and manager.conceal_accounts:
            await _notify_owner(manager, user_create.email)
        else:
            if throttle is not None:
                await throttle.give_back_mail_from(network)
            raise
    if not manager.conceal_accounts:
        return user
    await manager.release()
    await work.wait_for_answer_time(began)
    return None


async def create(
    manager: "Manager[UP, ID]",
    user_create: schemas.BaseUserCreate,
    safe: bool = False,  # noqa: FBT001, FBT002  # FastAPI Users' signature
    request: Request | None = None,
) -> UP:
    """Create a user; constraints of the database refuse a taken address or username.

    Raises:
        FieldsNotAllowed: A field is null where the column takes none; or, with `safe`, is not in
            `registration_fields`.
        UserAlreadyExists: The address has an account, or an undo token reserves it.
        UsernameAlreadyExists: The username is taken.
        ValueAlreadyExists: A value of another unique column is taken, or several together.
        ValueRefused: A constraint, or the type of its column, refuses a value.
        InvalidPasswordException: The password is refused.
        TooManyRequests: With `safe` and a request: its network has registered too often.
        HashingQueueFullError: Too many passwords wait to be hashed.
    """
    # A schema may override these methods.
    make_values: Any = user_create.create_update_dict if safe else user_create.create_update_dict_superuser
    values: dict[str, Any] = make_values()
    password = values.pop("password")
    if safe and (unknown := values.keys() - manager.registration_fields - {"email"}):
        raise FieldsNotAllowed(sorted(unknown))
    work.require_values(manager, values)
    if safe and manager.throttle is not None and request is not None:
        # Also for a taken address, and never given back: its hash costs as much.
        await manager.throttle.require_registration(client_network(request))
    await manager.validate_password(password, user_create)
    await manager.release()
    values["hashed_password"] = await manager.password_hasher.hash(password)
    async with manager.user_db.transaction():
        user = await _insert(manager, values)
        if await manager.user_db.ask(tokens.is_reserved, user.email):
            raise UserAlreadyExists
        await work.record(manager, AuditEventKind.REGISTER, request, user_id=user.id, email=user.email)
        await manager.on_register(user, request)
        manager.user_db.after_commit(lambda: manager.on_after_register(user, request))
    return user


async def _insert(manager: "Manager[UP, ID]", values: dict[str, Any]) -> UP:
    try:
        return await manager.user_db.create(values)
    except UserAlreadyExists:
        await _require_free(manager, values)
        raise
    except DBAPIError as error:  # Raised by a store that overrides `create`.
        raise_explained(error, manager.user_db.user_table, values)


async def _require_free(manager: "Manager[UP, ID]", values: dict[str, Any]) -> None:
    """Refuse other taken values as for a free address: the database names only one of several constraints."""
    if taken := await manager.user_db.run(taken_besides_email, manager.user_db.user_table, values):
        raise already_exists(taken)


async def _notify_owner(manager: "Manager[UP, ID]", email: str) -> None:
    owner = await manager.user_db.find_by_email(email)
    await manager.release()
    if owner is not None and owner.is_active and await manager.may_mail_to(owner.email, LetterKind.ALREADY_REGISTERED):
        async with manager.user_db.transaction():
            await manager.queue_letter(LetterKind.ALREADY_REGISTERED, owner.email, user=owner)
