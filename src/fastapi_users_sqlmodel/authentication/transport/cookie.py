"""FastAPI Users' transport by cookie."""

from fastapi_users.authentication.transport.cookie import CookieTransport

__all__ = ["CookieTransport"]
