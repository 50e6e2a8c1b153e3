"""What a store of access tokens is, as FastAPI Users has it."""

from fastapi_users.authentication.strategy.db.adapter import AccessTokenDatabase

__all__ = ["AccessTokenDatabase"]
