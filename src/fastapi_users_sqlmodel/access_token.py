"""What the adapters have under this name: access tokens in the database."""

from fastapi_users_sqlmodel.database.access_tokens import SQLAlchemyAccessTokenDatabase, SQLModelAccessTokenDatabase
from fastapi_users_sqlmodel.tables.sqlalchemy import SQLAlchemyBaseAccessTokenTable, SQLAlchemyBaseAccessTokenTableUUID
from fastapi_users_sqlmodel.tables.sqlmodel import SQLModelBaseAccessTokenTableUUID

# The names of the earlier SQLModel adapter.
SQLModelAccessTokenDatabaseAsync = SQLAlchemyAccessTokenDatabase
SQLModelBaseAccessToken = SQLModelBaseAccessTokenTableUUID

__all__ = [
    "SQLAlchemyAccessTokenDatabase",
    "SQLAlchemyBaseAccessTokenTable",
    "SQLAlchemyBaseAccessTokenTableUUID",
    "SQLModelAccessTokenDatabase",
    "SQLModelAccessTokenDatabaseAsync",
    "SQLModelBaseAccessToken",
]
