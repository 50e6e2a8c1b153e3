"""The audit trail, for those who may read it; the library writes it."""

import uuid
from typing import Any, cast

from sqlalchemy import BindParameter, Select, Table, bindparam

from app.crud.base import Collection
from app.crud.pages import Listing, Page, Rows
from app.models import User
from app.schemas import AuditEventRead
from fastapi_users_sqlmodel import AuditEventKind, audit_events


def _listing(statement: Select[Any]) -> Listing:
    table = cast("Table", statement.get_final_froms()[0])
    # The statement's columns, not the table's: a reader who may not see all of an event gets NULLs instead.
    shown = statement.with_only_columns(*[statement.selected_columns[name] for name in AuditEventRead.model_fields])
    return Listing(AuditEventRead, shown, key=table.c.id, newest_first=True)


_OWN = _listing(audit_events(User, of=bindparam("user_id")))
_WANTED: dict[str, BindParameter[Any]] = {
    "user_id": bindparam("user_id"),
    # The kind is a literal in the statement: with a parameter, PostgreSQL walks through the newest events, and for a
    # rare kind through all of them.
    "kind": bindparam("kind", literal_execute=True),
}
_BY = {
    frozenset(names): _listing(audit_events(User).filter_by(**{name: _WANTED[name] for name in names}))
    for names in ((), ("user_id",), ("kind",), ("user_id", "kind"))
}


class AuditEvents(Collection):
    """The security events, on one session."""

    async def list(self, page: Page, *, user_id: uuid.UUID | None = None, kind: AuditEventKind | None = None) -> Rows:
        """Read a page of all events, or of a user's, or of a kind, newest first."""
        wanted = {name: value for name, value in (("user_id", user_id), ("kind", kind)) if value is not None}
        return await self.read_page(_BY[frozenset(wanted)], page, **wanted)

    async def list_own(self, page: Page, user: User) -> Rows:
        """Read a page of what a user is told about the account, newest first."""
        return await self.read_page(_OWN, page, user_id=user.id)
