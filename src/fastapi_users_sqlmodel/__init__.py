"""FastAPI Users, at home in SQLModel: every public name."""

import uuid

from fastapi_users import InvalidID, InvalidPasswordException
from fastapi_users.manager import IntegerIDMixin, UUIDIDMixin

# Code that has imported the package alone finds its modules: `fastapi_users.db`, `…generics.GUID()` in old revisions.
from fastapi_users_sqlmodel import (
    db,  # noqa: F401
    exceptions,
    generics,  # noqa: F401
    jwt,  # noqa: F401
    models,
    openapi,  # noqa: F401
    password,  # noqa: F401
    router,  # noqa: F401
    schemas,
    types,  # noqa: F401
)
from fastapi_users_sqlmodel.access_token import SQLModelAccessTokenDatabaseAsync, SQLModelBaseAccessToken
from fastapi_users_sqlmodel.audit import AuditEventKind, audit_events
from fastapi_users_sqlmodel.authentication import (
    BearerRefreshTransport,
    SessionBackend,
    SessionCookieTransport,
    Sessions,
)
from fastapi_users_sqlmodel.bridge import NAMING_CONVENTION, rel, share_registry
from fastapi_users_sqlmodel.checks import check_models, model_problems
from fastapi_users_sqlmodel.csrf import CSRFMiddleware
from fastapi_users_sqlmodel.database._integrity import is_foreign_key_violation, unique_violation
from fastapi_users_sqlmodel.database._stale_emails import StaleEmail, stale_emails
from fastapi_users_sqlmodel.database.access_tokens import SQLAlchemyAccessTokenDatabase, SQLModelAccessTokenDatabase
from fastapi_users_sqlmodel.database.users import SQLAlchemyUserDatabase, SQLModelUserDatabase
from fastapi_users_sqlmodel.exceptions import SecurityWarning
from fastapi_users_sqlmodel.fastapi_users import FastAPIUsers
from fastapi_users_sqlmodel.identity import canonical_email
from fastapi_users_sqlmodel.manager import BaseUserManager, LetterKind
from fastapi_users_sqlmodel.passwords import PasswordHasher, PasswordHelper, PasswordPolicy
from fastapi_users_sqlmodel.secret_keys import secret_key_problem
from fastapi_users_sqlmodel.security import Finding, FindingCode, check_security
from fastapi_users_sqlmodel.sessions import SessionLifetimes
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
from fastapi_users_sqlmodel.throttling import Throttle, ThrottleLimits

# The SQLAlchemy adapter's name for it.
UUID_ID = uuid.UUID

# The names of the earlier SQLModel adapter, so that its users move by changing an import.
SQLModelUserDatabaseAsync = SQLAlchemyUserDatabase
SQLModelBaseUserDB = SQLModelBaseUserTableUUID
SQLModelBaseOAuthAccount = SQLModelBaseOAuthAccountTableUUID

__all__ = [
    "NAMING_CONVENTION",
    "UUID_ID",
    "AuditEventKind",
    "BaseUserManager",
    "BearerRefreshTransport",
    "CSRFMiddleware",
    "FastAPIUsers",
    "Finding",
    "FindingCode",
    "IntegerIDMixin",
    "InvalidID",
    "InvalidPasswordException",
    "LetterKind",
    "PasswordHasher",
    "PasswordHelper",
    "PasswordPolicy",
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
    "SecurityWarning",
    "SessionBackend",
    "SessionCookieTransport",
    "SessionLifetimes",
    "Sessions",
    "StaleEmail",
    "Throttle",
    "ThrottleLimits",
    "UUIDIDMixin",
    "audit_events",
    "canonical_email",
    "check_models",
    "check_security",
    "exceptions",
    "is_foreign_key_violation",
    "model_problems",
    "models",
    "rel",
    "schemas",
    "secret_key_problem",
    "share_registry",
    "stale_emails",
    "unique_violation",
]
