"""The SQLAlchemy adapter's column types, for the revisions that import them: a table is still made as it was."""

import uuid
from datetime import UTC, datetime
from typing import Any

from sqlalchemy import CHAR, TIMESTAMP, Dialect, TypeDecorator, Uuid
from sqlalchemy.types import TypeEngine

__all__ = ["GUID", "TIMESTAMPAware", "now_utc"]


class GUID(TypeDecorator[uuid.UUID]):
    """A UUID: PostgreSQL's own type, and elsewhere CHAR(36) with hyphens.

    New tables take `sqlalchemy.Uuid`, as this library's do. Elsewhere than on PostgreSQL that is CHAR(32), in which a
    value of CHAR(36) is not found: `adopt_fastapi_users` converts the columns.
    """

    impl = CHAR
    cache_ok = True

    def load_dialect_impl(self, dialect: Dialect) -> TypeEngine[Any]:
        """Choose PostgreSQL's type or text."""
        return dialect.type_descriptor(Uuid() if dialect.name == "postgresql" else CHAR(36))

    def process_bind_param(self, value: uuid.UUID | str | None, dialect: Dialect) -> Any:
        """Take a UUID, or its text in any spelling."""
        if value is None:
            return None
        parsed = value if isinstance(value, uuid.UUID) else uuid.UUID(value)
        return parsed if dialect.name == "postgresql" else str(parsed)

    def process_result_value(self, value: Any, dialect: Dialect) -> uuid.UUID | None:  # noqa: ARG002
        """Return a UUID."""
        return value if value is None or isinstance(value, uuid.UUID) else uuid.UUID(value)


class TIMESTAMPAware(TypeDecorator[datetime]):
    """A TIMESTAMP; what another database than PostgreSQL returns without a zone is UTC."""

    impl = TIMESTAMP
    cache_ok = True

    def process_result_value(self, value: datetime | None, dialect: Dialect) -> datetime | None:
        """Return an aware time."""
        is_naive = value is not None and value.tzinfo is None and dialect.name != "postgresql"
        return value.replace(tzinfo=UTC) if value is not None and is_naive else value


def now_utc() -> datetime:
    """Return the present time, aware, in UTC."""
    return datetime.now(UTC)
