"""What FastAPI Users calls `fastapi_users.db`: the store of users, and the columns of its tables."""

from fastapi_users_sqlmodel.database.users import SQLAlchemyUserDatabase
from fastapi_users_sqlmodel.db.base import BaseUserDatabase, UserDatabaseDependency
from fastapi_users_sqlmodel.tables.sqlalchemy import (
    SQLAlchemyBaseOAuthAccountTable,
    SQLAlchemyBaseOAuthAccountTableUUID,
    SQLAlchemyBaseUserTable,
    SQLAlchemyBaseUserTableUUID,
)

__all__ = [
    "BaseUserDatabase",
    "SQLAlchemyBaseOAuthAccountTable",
    "SQLAlchemyBaseOAuthAccountTableUUID",
    "SQLAlchemyBaseUserTable",
    "SQLAlchemyBaseUserTableUUID",
    "SQLAlchemyUserDatabase",
    "UserDatabaseDependency",
]
