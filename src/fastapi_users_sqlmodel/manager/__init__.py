"""The life of an account: what a user may change, and what that ends."""

from typing import Generic

from fastapi_users.manager import (
    RESET_PASSWORD_TOKEN_AUDIENCE,
    VERIFY_USER_TOKEN_AUDIENCE,
    IntegerIDMixin,
    UserManagerDependency,
    UUIDIDMixin,
)
from fastapi_users.models import ID, UP

from fastapi_users_sqlmodel.manager._administration import Administration
from fastapi_users_sqlmodel.manager._base import LetterKind
from fastapi_users_sqlmodel.manager._changes import UndoneEmailChange
from fastapi_users_sqlmodel.manager._registration import Registrations
from fastapi_users_sqlmodel.manager._sign_in import SignIn

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


class BaseUserManager(Registrations[UP, ID], Administration[UP, ID], Generic[UP, ID]):
    """FastAPI Users' manager, with its holes closed; each operation is one transaction.

    On a plain session an operation commits; a transaction that was opened explicitly it leaves to whoever opened it.
    Hooks named `on_after_…` run after that commit. Hooks named `on_…` run inside the transaction: what one of them
    raises undoes it all. Passwords are hashed in threads while, on a plain session, no connection is held.
    """
