"""What an endpoint may ask for."""

import uuid
from collections.abc import Sequence
from typing import Annotated, Any
from urllib.parse import urlencode

from fastapi import Depends, Path, Query, Request, Response
from pydantic import BeforeValidator, WithJsonSchema

from app.core.errors import InvalidField
from app.crud.audit_event import AuditEvents
from app.crud.base import Page, Rows
from app.crud.item import Items
from app.crud.post import Posts
from app.crud.user import Users
from app.crud.user_group import UserGroups
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

__all__ = [
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
]

CurrentUser = Annotated[User, Depends(current_active_user)]
CurrentSuperuser = Annotated[User, Depends(current_superuser)]
Viewer = Annotated[User | None, Depends(current_user_if_any)]
UserManagerDep = Annotated[UserManager, Depends(get_user_manager)]
RequestDep = Request


async def _users(session: SessionDep) -> Users:
    return Users(session)


async def _user_groups(session: SessionDep) -> UserGroups:
    return UserGroups(session)


async def _items(session: SessionDep) -> Items:
    return Items(session)


async def _posts(session: SessionDep) -> Posts:
    return Posts(session)


async def _audit_events(session: SessionDep) -> AuditEvents:
    return AuditEvents(session)


UsersDep = Annotated[Users, Depends(_users)]
UserGroupsDep = Annotated[UserGroups, Depends(_user_groups)]
ItemsDep = Annotated[Items, Depends(_items)]
PostsDep = Annotated[Posts, Depends(_posts)]
AuditEventsDep = Annotated[AuditEvents, Depends(_audit_events)]


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
    """Take what is no UUID, or not in its one spelling (RFC 9562, section 4), for nobody's: who asks is known first."""
    text = str(value)
    try:
        found = uuid.UUID(text)
    except ValueError:
        return NOBODY
    return found if str(found) == text.lower() else NOBODY


UserId = Annotated[
    uuid.UUID,
    BeforeValidator(_uuid_or_nobody),
    Path(description="Anything else is nobody's id."),
    WithJsonSchema({"type": "string", "format": "uuid"}),
]


class Pager:
    """Which part of a list the client asks for, and how it is told where the next one is."""

    def __init__(self, page: Page, request: Request, response: Response) -> None:
        self.page = page
        self._request = request
        self._response = response

    def send(self, rows: Rows[Any]) -> Sequence[Any]:
        """Return the rows, with a Link header (RFC 8288) to the next page if there is one."""
        if rows.next is not None:
            params = self._request.query_params
            kept = {name: value for name, value in params.items() if name not in {"skip", "after"}}
            query = urlencode({**kept, "after": rows.next})
            self._response.headers["Link"] = f'<{self._request.scope["path"]}?{query}>; rel="next"'
        return rows.rows


async def _pager(
    request: Request,
    response: Response,
    limit: Annotated[int, Query(ge=1, le=100, description="How many rows.")] = 50,
    skip: Annotated[int | None, Query(ge=0, le=10_000, description="How many rows to leave out.")] = None,
    after: Annotated[
        str | None, Query(max_length=200, description="The cursor of a Link header, for deep reading; not with skip.")
    ] = None,
) -> Pager:
    if skip is not None and after is not None:
        raise InvalidField("after", "not together with skip", where="query")
    return Pager(Page(limit=limit, skip=skip or 0, after=after), request, response)


PagerDep = Annotated[Pager, Depends(_pager)]
