"""What FastAPI Users has no exception for: the same family, the same way to catch them."""

from collections.abc import Iterable

from fastapi_users.exceptions import *  # noqa: F403  # Whoever changes an import finds FastAPI Users' own here too
from fastapi_users.exceptions import FastAPIUsersException


class UsernameAlreadyExists(FastAPIUsersException):
    """The username is taken."""


class UserNotVerified(FastAPIUsersException):
    """The password is right, and the address is not verified yet."""


class InvalidCurrentPassword(FastAPIUsersException):
    """The current password is another one."""


class InvalidChangeEmailToken(FastAPIUsersException):
    """The token that confirms or undoes a change of the address is unknown, used, or too old."""


class SessionNotExists(FastAPIUsersException):
    """There is no such session, or it is over."""


class LoginNotFresh(FastAPIUsersException):
    """It is too long ago that the password was proved in this session."""


class LastSuperuser(FastAPIUsersException):
    """Without this one, nobody could administer the service."""


class UserInUse(FastAPIUsersException):
    """The user cannot be deleted: rows point to the user, and their foreign key does not let the user go."""


class NotSuperuser(FastAPIUsersException):
    """Whoever would change somebody else is no superuser, or not any more."""


class FieldsNotAllowed(FastAPIUsersException):
    """Fields that this person cannot set in this way; the manager's allow-lists say which can be."""

    def __init__(self, fields: Iterable[str], reason: str = "cannot be set here") -> None:
        self.fields = tuple(fields)
        super().__init__(f"{', '.join(self.fields)}: {reason}")
        self.reason = reason


class ValueRefused(FieldsNotAllowed):
    """The database refuses a value: a check, NOT NULL, what it points to, or its length or range."""


class ValueAlreadyExists(FastAPIUsersException):
    """Another user has this value, or these together, and it is unique; `fields` says in which attributes.

    An e-mail address is `UserAlreadyExists`, a username `UsernameAlreadyExists`.
    """

    def __init__(self, fields: Iterable[str]) -> None:
        self.fields = tuple(fields)
        super().__init__(*self.fields)
        self.reason = f"already exists: {', '.join(self.fields)}"


class TooManyRequests(FastAPIUsersException):
    """A limit is reached; answer 429 with `Retry-After`."""

    def __init__(self, retry_after_seconds: int) -> None:
        self.retry_after_seconds = max(1, retry_after_seconds)
        super().__init__(self.retry_after_seconds)


class SecurityWarning(UserWarning):
    """The app works, and something about it is less safe than this library can make it; the message says what."""
