"""What a transport is, as FastAPI Users has it."""

from fastapi_users.authentication.transport.base import Transport, TransportLogoutNotSupportedError

__all__ = ["Transport", "TransportLogoutNotSupportedError"]
