"""FastAPI Users' strategy of tokens in the database."""

from fastapi_users_sqlmodel.authentication.strategy.db.adapter import AccessTokenDatabase
from fastapi_users_sqlmodel.authentication.strategy.db.models import AP, AccessTokenProtocol
from fastapi_users_sqlmodel.authentication.strategy.db.strategy import DatabaseStrategy

__all__ = ["AP", "AccessTokenDatabase", "AccessTokenProtocol", "DatabaseStrategy"]
