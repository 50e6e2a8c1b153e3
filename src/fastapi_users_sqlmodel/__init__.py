"""FastAPI Users, at home in SQLModel: every public name."""

from fastapi_users_sqlmodel.bridge import NAMING_CONVENTION, rel, share_registry
from fastapi_users_sqlmodel.checks import check_models, model_problems
from fastapi_users_sqlmodel.database._integrity import is_foreign_key_violation, unique_violation
from fastapi_users_sqlmodel.database.access_tokens import SQLAlchemyAccessTokenDatabase, SQLModelAccessTokenDatabase
from fastapi_users_sqlmodel.database.users import SQLAlchemyUserDatabase, SQLModelUserDatabase
from fastapi_users_sqlmodel.identity import canonical_email
from fastapi_users_sqlmodel.tables.sqlalchemy import (
    SQLAlchemyBaseAccessTokenTable,
    SQLAlchemyBaseAccessTokenTableUUID,
    SQLAlchemyBaseOAuthAccountTable,
    SQLAlchemyBaseOAuthAccountTableUUID,
    SQLAlchemyBaseUserTable,
    SQLAlchemyBaseUserTableUUID,
)
from fastapi_users_sqlmodel.tables.sqlmodel import (
    SQLModelBaseAccessTokenTable,
    SQLModelBaseAccessTokenTableUUID,
    SQLModelBaseOAuthAccountTable,
    SQLModelBaseOAuthAccountTableUUID,
    SQLModelBaseUserTable,
    SQLModelBaseUserTableUUID,
)

# The names of the earlier SQLModel adapter, so that its users move by changing an import.
SQLModelUserDatabaseAsync = SQLAlchemyUserDatabase
SQLModelAccessTokenDatabaseAsync = SQLAlchemyAccessTokenDatabase
SQLModelBaseUserDB = SQLModelBaseUserTableUUID
SQLModelBaseOAuthAccount = SQLModelBaseOAuthAccountTableUUID
SQLModelBaseAccessToken = SQLModelBaseAccessTokenTableUUID

__all__ = [
    "NAMING_CONVENTION",
    "SQLAlchemyAccessTokenDatabase",
    "SQLAlchemyBaseAccessTokenTable",
    "SQLAlchemyBaseAccessTokenTableUUID",
    "SQLAlchemyBaseOAuthAccountTable",
    "SQLAlchemyBaseOAuthAccountTableUUID",
    "SQLAlchemyBaseUserTable",
    "SQLAlchemyBaseUserTableUUID",
    "SQLAlchemyUserDatabase",
    "SQLModelAccessTokenDatabase",
    "SQLModelAccessTokenDatabaseAsync",
    "SQLModelBaseAccessToken",
    "SQLModelBaseAccessTokenTable",
    "SQLModelBaseAccessTokenTableUUID",
    "SQLModelBaseOAuthAccount",
    "SQLModelBaseOAuthAccountTable",
    "SQLModelBaseOAuthAccountTableUUID",
    "SQLModelBaseUserDB",
    "SQLModelBaseUserTable",
    "SQLModelBaseUserTableUUID",
    "SQLModelUserDatabase",
    "SQLModelUserDatabaseAsync",
    "canonical_email",
    "check_models",
    "is_foreign_key_violation",
    "model_problems",
    "rel",
    "share_registry",
    "unique_violation",
]
