"""FastAPI Users' transports."""

from fastapi_users_sqlmodel.authentication.transport.base import Transport, TransportLogoutNotSupportedError
from fastapi_users_sqlmodel.authentication.transport.bearer import BearerTransport
from fastapi_users_sqlmodel.authentication.transport.cookie import CookieTransport

__all__ = ["BearerTransport", "CookieTransport", "Transport", "TransportLogoutNotSupportedError"]
