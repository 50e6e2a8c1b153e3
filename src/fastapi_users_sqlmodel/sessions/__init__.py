"""Sessions in the database: their lifetimes, their tokens, and how they end."""

from fastapi_users_sqlmodel.sessions._rows import SessionInfo, SessionLifetimes, purge

__all__ = ["SessionInfo", "SessionLifetimes", "purge"]
