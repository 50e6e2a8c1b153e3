"""/audit-events: what has happened to accounts, for superusers."""

import uuid

from app.api.deps import AuditEventsDep, CurrentSuperuser, PagerDep
from app.api.prefixed import PrefixedRouter
from app.api.rows import RowsResponse
from app.core.errors import Forbidden, Unauthorized
from app.schemas import AuditEventRead
from fastapi_users_sqlmodel import AuditEventKind
from fastapi_users_sqlmodel.routers.errors import responses

router = PrefixedRouter(prefix="/audit-events", tags=["audit-events"])


@router.get("", response_model=list[AuditEventRead], responses=responses(Unauthorized, Forbidden))
async def list_audit_events(
    _superuser: CurrentSuperuser,
    events: AuditEventsDep,
    pager: PagerDep,
    user_id: uuid.UUID | None = None,
    kind: AuditEventKind | None = None,
) -> RowsResponse:
    """List the security events, newest first, of everybody or of one user, of every kind or of one."""
    return pager.send(await events.list(pager.page, user_id=user_id, kind=kind))
