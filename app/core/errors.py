"""The kinds of errors of the service: the library's, which the errors of each noun extend.

`class UserGroupNameTaken(Conflict)` at the top of a crud file is answered with 409 and USER_GROUP_NAME_TAKEN.
"""

from fastapi_users_sqlmodel.exceptions import (
    APIError,
    Conflict,
    FieldsNotAllowed,
    Forbidden,
    LoginNotFresh,
    NotFound,
    ServiceUnavailable,
    Unauthorized,
)

__all__ = [
    "APIError",
    "Conflict",
    "FieldsNotAllowed",
    "Forbidden",
    "LoginNotFresh",
    "NotFound",
    "ServiceUnavailable",
    "Unauthorized",
]
