"""The audit trail, for those who may read it; the library writes it."""

import uuid
from typing import Any

from app.crud.base import BAD_CURSOR, Collection, Page, Rows
from app.models import User
from fastapi_users_sqlmodel import AuditEventKind, audit_events

MAX_BIG_INTEGER = 2**63 - 1


class AuditEvents(Collection):
    """The security events, on one session."""

    async def list(
        self, page: Page, *, user_id: uuid.UUID | None = None, kind: AuditEventKind | None = None
    ) -> Rows[Any]:
        """Read a page of all events, or of a user's, or of a kind, newest first."""
        statement = audit_events(User)
        table = statement.get_final_froms()[0]
        if user_id is not None:
            statement = statement.where(table.c.user_id == user_id)
        if kind is not None:
            statement = statement.where(table.c.kind == kind)
        return await self.read_page(statement, page, key=table.c.id, parse=_key, newest_first=True, entities=False)

    async def list_own(self, page: Page, user: User) -> Rows[Any]:
        """Read a page of what a user is told about the account, newest first."""
        statement = audit_events(User, of=user.id)
        key = statement.get_final_froms()[0].c.id
        return await self.read_page(statement, page, key=key, parse=_key, newest_first=True, entities=False)


def _key(text: str) -> int:
    number = int(text)
    if not 0 <= number <= MAX_BIG_INTEGER:
        raise ValueError(BAD_CURSOR)
    return number
