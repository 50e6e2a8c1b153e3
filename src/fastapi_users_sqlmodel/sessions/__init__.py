"""Who is signed in, since when, and how that ends."""

from fastapi_users_sqlmodel.sessions._rows import SessionInfo, SessionLifetimes, purge

__all__ = ["SessionInfo", "SessionLifetimes", "purge"]
