"""The life of an account: register, sign in, change, delete; one module for each group of operations."""

from fastapi_users.manager import (
    RESET_PASSWORD_TOKEN_AUDIENCE,
    VERIFY_USER_TOKEN_AUDIENCE,
    IntegerIDMixin,
    UserManagerDependency,
    UUIDIDMixin,
)

from fastapi_users_sqlmodel.manager._changes import UndoneEmailChange
from fastapi_users_sqlmodel.manager._letters import LetterKind
from fastapi_users_sqlmodel.manager._manager import BaseUserManager
from fastapi_users_sqlmodel.manager._signing_in import SignIn

__all__ = [
    "RESET_PASSWORD_TOKEN_AUDIENCE",
    "VERIFY_USER_TOKEN_AUDIENCE",
    "BaseUserManager",
    "IntegerIDMixin",
    "LetterKind",
    "SignIn",
    "UUIDIDMixin",
    "UndoneEmailChange",
    "UserManagerDependency",
]
