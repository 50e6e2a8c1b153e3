"""Security events: bodies of requests and responses."""

import uuid
from datetime import datetime
from typing import Any

from app.schemas.base import Schema
from fastapi_users_sqlmodel import AuditEventKind


class AuditEventRead(Schema):
    """What has happened to an account: when, who did it, and from where."""

    id: int
    kind: AuditEventKind
    user_id: uuid.UUID | None
    actor_id: uuid.UUID | None
    """Who has done it, if not the user."""
    email: str | None
    network: str | None
    request_id: str | None
    details: dict[str, Any] | None
    created_at: datetime
