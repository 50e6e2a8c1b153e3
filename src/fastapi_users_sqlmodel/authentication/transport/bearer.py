"""FastAPI Users' transport by header."""

from fastapi_users.authentication.transport.bearer import BearerResponse, BearerTransport

__all__ = ["BearerResponse", "BearerTransport"]
