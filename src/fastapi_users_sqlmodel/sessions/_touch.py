"""Record that a session is used, where the connection may write."""

import uuid
from datetime import UTC, datetime, timedelta

from sqlalchemy import Connection, Table, func, select, update
from sqlalchemy.exc import OperationalError

from fastapi_users_sqlmodel.tables._accounts import AccountTables


def touch(
    connection: Connection, tables: AccountTables, session_id: uuid.UUID, expires_at: datetime, idle: timedelta
) -> None:
    """Record that a session is used, so that it lives on; a connection that may not write records nothing."""
    if not _may_update(connection, tables.sessions):
        return
    now = datetime.now(UTC)
    statement = (
        update(tables.sessions)
        .where(tables.sessions.c.id == session_id)
        .values(last_seen_at=now, idle_expires_at=min(now + idle, expires_at))
    )
    try:
        connection.execute(statement)
    except OperationalError as error:
        # On SQLite a statement that is refused leaves its transaction as it was.
        if not getattr(error.orig, "sqlite_errorname", "").startswith("SQLITE_READONLY"):
            raise


def _may_update(connection: Connection, table: Table) -> bool:
    """Ask PostgreSQL beforehand: a statement that it refuses would end the caller's transaction."""
    if connection.dialect.name != "postgresql":
        return True
    name = connection.dialect.identifier_preparer.format_table(table)
    may_update = func.has_table_privilege(name, "UPDATE")
    return bool(connection.scalar(select(may_update & (func.current_setting("transaction_read_only") == "off"))))
