"""Every error of an account: FastAPI Users' exceptions, ours, and the status and code with which a route answers them.

    FastAPIUsersException         FastAPI Users' family; its own classes are importable from here too
    fastapi.HTTPException
    └── APIError                  knows its status, its code and its documentation; FastAPI answers it without a handler
        ├── BadRequest 400        RegisterUserAlreadyExists, InvalidCurrentPassword, …
        ├── Unauthorized 401      RefreshBadToken
        ├── Forbidden 403         NotSuperuser, LoginNotFresh
        ├── NotFound 404          SessionNotFound
        ├── Conflict 409          LastSuperuser, UserInUse
        ├── TooManyRequests 429
        └── ServiceUnavailable 503
    fastapi.RequestValidationError
    └── FieldsNotAllowed 422      ValueRefused

An exception with one answer on every route is an `APIError` itself. Where each route has a code of its own, as for
`UserAlreadyExists`, the route declares an `APIError` that translates the exception.
"""

import re
from collections.abc import Iterable
from http import HTTPStatus
from typing import Any, ClassVar

from fastapi import HTTPException
from fastapi.exceptions import RequestValidationError
from fastapi_users.exceptions import *  # noqa: F403  # Importers of FastAPI Users' module find its names here too
from fastapi_users.exceptions import (
    FastAPIUsersException,
    InvalidID,
    InvalidPasswordException,
    InvalidResetPasswordToken,
    InvalidVerifyToken,
    UserAlreadyExists,
    UserAlreadyVerified,
    UserInactive,
    UserNotExists,
)

# The headers of a status, where the error has no other values for them.
HEADERS = {401: {"WWW-Authenticate": "Bearer"}, 429: {"Retry-After": "60"}, 503: {"Retry-After": "1"}}
PASSWORD_REASON = "Password should be at least 8 characters"  # noqa: S105  # An example
VALUE_REASON = "already exists: phone"


class UsernameAlreadyExists(FastAPIUsersException):
    """The username is taken."""


class InvalidChangeEmailToken(FastAPIUsersException):
    """The token that confirms or undoes a change of the address is unknown, used, or too old."""


class SessionNotExists(FastAPIUsersException):
    """There is no such session, or it is over."""


class ValueAlreadyExists(FastAPIUsersException):
    """Another user has a value that is unique, or a combination of values; `fields` has the names of the attributes.

    An e-mail address is `UserAlreadyExists`, a username `UsernameAlreadyExists`.
    """

    def __init__(self, fields: Iterable[str]) -> None:
        self.fields = tuple(fields)
        super().__init__(*self.fields)
        self.reason = f"already exists: {', '.join(self.fields)}"


class FieldsNotAllowed(FastAPIUsersException, RequestValidationError):
    """Fields of the request with values that cannot be set; answered as FastAPI's own validation errors are."""

    def __init__(self, fields: Iterable[str], reason: str = "cannot be set here", *, where: str = "body") -> None:
        self.fields = tuple(fields)
        self.reason = reason
        self.message = f"{', '.join(self.fields)}: {reason}"
        problems = [{"type": "value_error", "loc": (where, name), "msg": reason} for name in self.fields]
        RequestValidationError.__init__(self, problems)

    def __str__(self) -> str:
        return self.message


class ValueRefused(FieldsNotAllowed):
    """The database refuses a value: a check, NOT NULL, a foreign key, or its length or range."""


class APIError(HTTPException):
    """An error that is answered with `{"detail": code}`; its arguments are for the log.

    A class that sets `status` is a kind of errors, and its code is the standard phrase of the status. The code of the
    others comes from their names: `SessionNotFound` has SESSION_NOT_FOUND.

    Args (of a subclass):
        status: The status of a kind.
        code: A code that differs from the name.
        reason: An example of a reason, for errors whose detail is `{"code": …, "reason": …}`.
        translates: The exceptions that a route which declares this error answers with it.
    """

    status: ClassVar[int]
    code: ClassVar[str]
    example: ClassVar[Any]
    translates: ClassVar[tuple[type[Exception], ...]]

    def __init_subclass__(
        cls,
        *,
        status: int | None = None,
        code: str | None = None,
        reason: str | None = None,
        translates: tuple[type[Exception], ...] = (),
    ) -> None:
        if status is not None:
            cls.status = status
        name = HTTPStatus(status).phrase if status else re.sub(r"(?<!^)(?=[A-Z])", "_", cls.__name__).upper()
        cls.code = code or name
        cls.example = {"code": cls.code, "reason": reason} if reason else cls.code
        cls.translates = translates

    def __init__(self, *args: Any, reason: str | None = None, headers: dict[str, str] | None = None) -> None:
        detail = self.code if reason is None else {"code": self.code, "reason": reason}
        super().__init__(self.status, detail, headers or HEADERS.get(self.status))
        self.args = args

    def __str__(self) -> str:
        return Exception.__str__(self)


class BadRequest(APIError, status=400):
    """The request cannot be done as it is."""


class Unauthorized(APIError, status=401, translates=(UserNotExists, SessionNotExists)):
    """Nobody is signed in, or not any more."""


class Forbidden(APIError, status=403):
    """The user may not do it."""


class NotFound(APIError, status=404, translates=(InvalidID, UserNotExists)):
    """The thing is not there, or not for this user."""


class Conflict(APIError, status=409):
    """It contradicts what is stored."""


class TooManyRequests(APIError, FastAPIUsersException, status=429):
    """A limit is reached."""

    def __init__(self, retry_after_seconds: int = 60) -> None:
        self.retry_after_seconds = max(1, retry_after_seconds)
        super().__init__(self.retry_after_seconds, headers={"Retry-After": str(self.retry_after_seconds)})


class ServiceUnavailable(APIError, status=503):
    """The service cannot answer now."""


class RegisterUserAlreadyExists(BadRequest, translates=(UserAlreadyExists,)):
    """The e-mail address belongs to an account."""


class RegisterUsernameAlreadyExists(BadRequest, translates=(UsernameAlreadyExists,)):
    """The username belongs to an account."""


class RegisterValueAlreadyExists(BadRequest, translates=(ValueAlreadyExists,), reason=VALUE_REASON):
    """Another account has this value, which is unique."""


class RegisterInvalidPassword(BadRequest, translates=(InvalidPasswordException,), reason=PASSWORD_REASON):
    """The password is refused."""


class LoginBadCredentials(BadRequest, translates=(UserNotExists,)):
    """The name or the password is wrong, or the account is not active."""


class UserNotVerified(BadRequest, FastAPIUsersException, code="LOGIN_USER_NOT_VERIFIED"):
    """The password is right, and the address is not verified yet."""


class RefreshBadToken(Unauthorized):
    """The refresh token is unknown, used, or too old."""


class ResetPasswordBadToken(BadRequest, translates=(InvalidResetPasswordToken, UserNotExists, UserInactive)):
    """The token is unknown, used, or too old."""


class ResetPasswordInvalidPassword(BadRequest, translates=(InvalidPasswordException,), reason=PASSWORD_REASON):
    """The new password is refused."""


class VerifyUserBadToken(BadRequest, translates=(InvalidVerifyToken, UserNotExists)):
    """The token is unknown, used, or too old."""


class VerifyUserAlreadyVerified(BadRequest, translates=(UserAlreadyVerified,)):
    """The address is verified already."""


class InvalidCurrentPassword(BadRequest, FastAPIUsersException, code="CURRENT_PASSWORD_BAD"):
    """The current password is another one."""


class ConfirmEmailBadToken(BadRequest, translates=(InvalidChangeEmailToken,)):
    """The token is unknown, used, or too old, or the address belongs to an account by now."""


class UndoChangeEmailBadToken(BadRequest, translates=(InvalidChangeEmailToken,)):
    """The token is unknown, used, or too old."""


class SessionNotFound(NotFound, translates=(SessionNotExists,)):
    """There is no such session, or it is over."""


class LoginNotFresh(Forbidden, FastAPIUsersException, code="FRESH_LOGIN_REQUIRED"):
    """The password was proved too long ago in this session: POST /auth/reauthenticate, and try again."""


class NotSuperuser(Forbidden, FastAPIUsersException, code=Forbidden.code):
    """The user is no superuser, or not any more."""


class UpdateUserEmailAlreadyExists(BadRequest, translates=(UserAlreadyExists,)):
    """The e-mail address belongs to another user."""


class UpdateUserUsernameAlreadyExists(BadRequest, translates=(UsernameAlreadyExists,)):
    """The username belongs to another user."""


class UpdateUserValueAlreadyExists(BadRequest, translates=(ValueAlreadyExists,), reason=VALUE_REASON):
    """Another user has this value, which is unique."""


class UpdateUserInvalidPassword(BadRequest, translates=(InvalidPasswordException,), reason=PASSWORD_REASON):
    """The new password is refused."""


class LastSuperuser(Conflict, FastAPIUsersException):
    """The service would have no superuser left."""


class UserInUse(Conflict, FastAPIUsersException):
    """The user cannot be deleted: rows with a foreign key to the user forbid it."""


class SecurityWarning(UserWarning):
    """The app works, but a protection of this library is missing; the message names it."""
