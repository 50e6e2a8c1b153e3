"""Steps that several operations share; an operation is one unit of work, the `transaction()` of the store."""

import asyncio
import time
import uuid
from collections.abc import Callable, Iterable, Mapping
from datetime import timedelta
from typing import TYPE_CHECKING, Any

from fastapi import Request
from fastapi.requests import HTTPConnection
from fastapi_users.exceptions import UserNotExists
from fastapi_users.models import ID, UP
from sqlalchemy.orm import Session

from fastapi_users_sqlmodel import audit, tokens
from fastapi_users_sqlmodel.audit import AuditEventKind, Origin
from fastapi_users_sqlmodel.exceptions import FieldsNotAllowed
from fastapi_users_sqlmodel.identity import is_storable
from fastapi_users_sqlmodel.sessions import _rows as sessions
from fastapi_users_sqlmodel.sessions._access_tokens import end_access_tokens
from fastapi_users_sqlmodel.tables._accounts import account_tables
from fastapi_users_sqlmodel.throttling import client_network
from fastapi_users_sqlmodel.tokens import IssuedToken, Purpose

if TYPE_CHECKING:
    from fastapi_users_sqlmodel.manager import BaseUserManager as Manager

FLAGS = ("is_active", "is_superuser", "is_verified")
# In seconds.
_ANSWERS_EVERY = 0.05


def require_values(manager: "Manager[UP, ID]", changes: Mapping[str, Any]) -> None:
    """Refuse names that are no attribute of the model, and values that their columns cannot hold.

    Raises:
        FieldsNotAllowed: An attribute does not exist, or a value is null where the column takes none, has characters
            that no database stores, or is an integer of more than 64 bits.
    """
    user_table = manager.user_db.user_table
    columns = account_tables(user_table).user_columns

    def refuse(reason: str, names: Iterable[str]) -> None:
        if refused := sorted(names):
            raise FieldsNotAllowed(refused, reason)

    # `check_models(managers=…)` reports these at start-up.
    unknown = (name for name in changes if name != "password" and not hasattr(user_table, name))
    refuse(f"is no attribute of {user_table.__name__}", unknown)
    nulls = (name for name, value in changes.items() if value is None and name in columns)
    refuse("cannot be null", (name for name in nulls if not columns[name].nullable))
    texts = (name for name, value in changes.items() if isinstance(value, str) and not is_storable(value))
    refuse("must not contain NUL or a lone surrogate", texts)
    # SQLite's driver would raise an OverflowError.
    numbers = {name: value for name, value in changes.items() if isinstance(value, int)}
    refuse("is too long or out of range", (name for name, value in numbers.items() if not -(2**63) <= value < 2**63))


async def differing(manager: "Manager[UP, ID]", user: UP, changes: Mapping[str, Any]) -> dict[str, Any]:
    """Return the changes that differ from the present values; loads deferred columns."""

    def compare(_: Session) -> dict[str, Any]:
        return {name: value for name, value in changes.items() if getattr(user, name) != value}

    return await manager.user_db.run(compare)


async def lock_or_raise(manager: "Manager[UP, ID]", user_id: ID) -> UP:
    """Lock a user.

    Raises:
        UserNotExists: The user was deleted meanwhile.
    """
    if (user := await manager.user_db.lock(user_id)) is None:
        raise UserNotExists
    return user


async def issue_token(
    manager: "Manager[UP, ID]", purpose: Purpose, user_id: ID | None, email: str, lifetime: timedelta
) -> str:
    """Issue a token for a user, in the session of this request if that is this user's."""
    session_id = own_session_id(manager, user_id)
    return await manager.user_db.ask(
        tokens.issue, purpose, user_id, email=email, lifetime=lifetime, session_id=session_id
    )


async def use_token(
    manager: "Manager[UP, ID]", purpose: Purpose, token: str, refusal: Callable[[], Exception]
) -> tuple[UP, IssuedToken]:
    """Lock the user of a token and use the token up; every operation locks the user first, so none deadlocks.

    Raises:
        Exception: What `refusal` makes, if the token is not good or its user is not active.
    """
    issued = await manager.user_db.ask(tokens.find, purpose, token)
    user = await manager.user_db.lock(issued.user_id) if issued is not None else None
    if issued is None or user is None or not user.is_active:
        raise refusal()
    if not await manager.user_db.ask(tokens.use, purpose, token):
        raise refusal()
    return user, issued


def own_session_id(manager: "Manager[UP, ID]", user_id: ID | None) -> uuid.UUID | None:
    """Return the session of this request, if it is this user's."""
    current = manager.current_session
    return current.id if current is not None and current.user_id == user_id else None


async def end_sessions(
    manager: "Manager[UP, ID]", user_id: ID, *, besides: uuid.UUID | None = None, besides_token: str | None = None
) -> int:
    """End a user's sessions and tokens of `DatabaseStrategy`, all or all but one, and return how many ended."""
    ended = await manager.user_db.ask(sessions.end_all, user_id, besides=besides)
    return ended + await manager.user_db.ask(end_access_tokens, user_id, besides=besides_token)


async def end_others(manager: "Manager[UP, ID]", user_id: ID) -> int:
    """End a user's sessions and tokens of `DatabaseStrategy`, but those of this request; return how many ended."""
    current = manager.current_token
    own_token = current.token if current is not None and current.user_id == user_id else None
    return await end_sessions(manager, user_id, besides=own_session_id(manager, user_id), besides_token=own_token)


async def record(
    manager: "Manager[UP, ID]", kind: AuditEventKind, request: HTTPConnection | None, **event: Any
) -> None:
    """Write a row of the audit trail; `event` is the rest of `audit.record`."""
    await manager.user_db.ask(audit.record, kind, Origin.of(request), **event)


async def record_update(
    manager: "Manager[UP, ID]", user: UP, changes: Mapping[str, Any], request: Request | None, *, actor_id: Any = None
) -> None:
    """Write the names of the changed fields; the e-mail, the password and the flags have kinds of their own."""
    if fields := sorted(changes.keys() - {"email", "hashed_password", *FLAGS}):
        details = {"fields": fields}
        await record(manager, AuditEventKind.UPDATE, request, user_id=user.id, actor_id=actor_id, details=details)


def limits_key(manager: "Manager[UP, ID]", kind: str, name: object) -> str:
    """Name an account for the limits, with its table: several user tables may share one `Throttle`."""
    return f"{account_tables(manager.user_db.user_table).users.fullname}:{kind}:{name}"


async def may_mail(manager: "Manager[UP, ID]", email: str, purpose: Purpose, request: Request | None) -> bool:
    """Count an e-mail that a client asks for.

    Returns:
        Whether it may be sent; False if too many were sent to the address.

    Raises:
        TooManyRequests: Too many were asked for from this network.
    """
    if manager.throttle is not None and request is not None:
        await manager.throttle.require_mail_from(client_network(request))
    return request is None or await manager.may_mail_to(email, purpose)


async def wait_for_answer_time(began: float) -> None:
    """Wait until a multiple of 50 ms since `began`, so that the time of an answer tells less about its work.

    Args:
        began: The time of the monotonic clock, in seconds. No database connection should be held any more.
    """
    await asyncio.sleep(-(time.monotonic() - began) % _ANSWERS_EVERY)
