"""Sessions for what only reads: no transaction, nothing written, and a connection no longer than a statement takes."""

from fastapi_users_sqlmodel.reading._fetch import fetch, fetch_sync, without_greenlets
from fastapi_users_sqlmodel.reading._sessions import (
    BriefSession,
    ReadOnlySession,
    ReadSession,
    SyncBriefSession,
    has_connection,
    reading,
)

__all__ = [
    "BriefSession",
    "ReadOnlySession",
    "ReadSession",
    "SyncBriefSession",
    "fetch",
    "fetch_sync",
    "has_connection",
    "reading",
    "without_greenlets",
]
