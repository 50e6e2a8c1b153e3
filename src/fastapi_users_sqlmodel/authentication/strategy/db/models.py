"""What an access token is, as FastAPI Users has it."""

from fastapi_users.authentication.strategy.db.models import AP, AccessTokenProtocol

__all__ = ["AP", "AccessTokenProtocol"]
