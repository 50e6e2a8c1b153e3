"""What FastAPI Users has under this name: the helper that hashes passwords."""

from fastapi_users.password import PasswordHelperProtocol

from fastapi_users_sqlmodel.passwords import PasswordHelper

__all__ = ["PasswordHelper", "PasswordHelperProtocol"]
