"""What the SQLAlchemy adapter has under this name: access tokens in the database."""

from fastapi_users_sqlmodel.database.access_tokens import SQLAlchemyAccessTokenDatabase
from fastapi_users_sqlmodel.tables.sqlalchemy import SQLAlchemyBaseAccessTokenTable, SQLAlchemyBaseAccessTokenTableUUID

__all__ = [
    "SQLAlchemyAccessTokenDatabase",
    "SQLAlchemyBaseAccessTokenTable",
    "SQLAlchemyBaseAccessTokenTableUUID",
]
