"""What an endpoint may ask for."""

import uuid
from collections.abc import Awaitable, Callable
from typing import Annotated
from urllib.parse import urlencode

from fastapi import Depends, Path, Query, Request
from pydantic import BeforeValidator, WithJsonSchema
from sqlmodel.ext.asyncio.session import AsyncSession

from app.api.rows import RowsResponse
from app.core.errors import FieldsNotAllowed
from app.crud.audit_event import AuditEvents
from app.crud.base import Collection
from app.crud.item import Items
from app.crud.pages import Page, Rows
from app.crud.post import Posts
from app.crud.user import Users
from app.crud.user_group import UserGroups
from app.db import one_statement
from app.models import User
from app.models.base import MAX_INTEGER
from app.users import (
    SessionDep,
    UserManager,
    current_active_user,
    current_superuser,
    current_user_if_any,
    get_user_manager,
)
from fastapi_users_sqlmodel.identity import parse_uuid

__all__ = [
    "ONE_STATEMENT",
    "AuditEventsDep",
    "CurrentSuperuser",
    "CurrentUser",
    "Id",
    "ItemsDep",
    "PagerDep",
    "PostsDep",
    "RequestDep",
    "SessionDep",
    "UserGroupsDep",
    "UserId",
    "UserManagerDep",
    "UsersDep",
    "Viewer",
    "on_session",
]

CurrentUser = Annotated[User, Depends(current_active_user)]
CurrentSuperuser = Annotated[User, Depends(current_superuser)]
Viewer = Annotated[User | None, Depends(current_user_if_any)]
UserManagerDep = Annotated[UserManager, Depends(get_user_manager)]
RequestDep = Request

# For `dependencies=` of a route that writes with one statement.
ONE_STATEMENT = Depends(one_statement)


def on_session[T: Collection](collection: type[T]) -> Callable[[AsyncSession], Awaitable[T]]:
    """Return the dependency on a collection. An alias that only one file of endpoints needs may stand in that file."""

    async def make(session: SessionDep) -> T:
        return collection(session)

    return make


AuditEventsDep = Annotated[AuditEvents, Depends(on_session(AuditEvents))]
ItemsDep = Annotated[Items, Depends(on_session(Items))]
PostsDep = Annotated[Posts, Depends(on_session(Posts))]
UserGroupsDep = Annotated[UserGroups, Depends(on_session(UserGroups))]
UsersDep = Annotated[Users, Depends(on_session(Users))]


def _plain_digits(value: object) -> object:
    """Let only decimal digits be a number, so that an id has one spelling; what no column holds is past every id."""
    if not (isinstance(value, str) and value.isascii() and value.isdigit()):
        raise ValueError("should be decimal digits")
    digits = value.lstrip("0") or "0"
    return int(digits) if len(digits) <= len(str(MAX_INTEGER)) else MAX_INTEGER + 1


Id = Annotated[
    int, BeforeValidator(_plain_digits), WithJsonSchema({"type": "integer", "minimum": 0, "maximum": MAX_INTEGER})
]


NOBODY = uuid.UUID(int=0)


def _uuid_or_nobody(value: object) -> uuid.UUID:
    """Return the UUID, or `NOBODY` for a text that is none: the answer is 404, after 401 and before 422."""
    return parse_uuid(str(value)) or NOBODY


UserId = Annotated[
    uuid.UUID,
    BeforeValidator(_uuid_or_nobody),
    Path(description="Anything else is nobody's id."),
    WithJsonSchema({"type": "string", "format": "uuid"}),
]


class Pager:
    """Which part of a list the client asks for, and how it is told where the next one is."""

    def __init__(self, page: Page, request: Request) -> None:
        self.page = page
        self._request = request

    def send(self, rows: Rows) -> RowsResponse:
        """Return the rows, with a Link header (RFC 8288) to the next page if there is one."""
        if rows.next is None:
            return RowsResponse(rows.rows)
        params = self._request.query_params
        kept = {name: value for name, value in params.items() if name not in {"skip", "after"}}
        query = urlencode({**kept, "after": rows.next})
        return RowsResponse(rows.rows, headers={"Link": f'<{self._request.scope["path"]}?{query}>; rel="next"'})


async def _pager(
    request: Request,
    limit: Annotated[int, Query(ge=1, le=100, description="How many rows.")] = 50,
    skip: Annotated[int | None, Query(ge=0, le=10_000, description="How many rows to leave out.")] = None,
    after: Annotated[
        str | None, Query(max_length=200, description="The cursor of a Link header, for deep reading; not with skip.")
    ] = None,
) -> Pager:
    if skip is not None and after is not None:
        raise FieldsNotAllowed(["after"], "not together with skip", where="query")
    return Pager(Page(limit=limit, skip=skip or 0, after=after), request)


PagerDep = Annotated[Pager, Depends(_pager)]
