"""The family of failures that a client is told about; each names itself where it is raised."""

import re
from typing import Any, ClassVar


class AppError(Exception):
    """A failure with a status and a code for the client; its arguments are for the log alone."""

    status: ClassVar[int]
    code: ClassVar[str]

    def __init_subclass__(cls) -> None:
        # UserGroupNameTaken says USER_GROUP_NAME_TAKEN.
        cls.code = re.sub(r"(?<!^)(?=[A-Z])", "_", cls.__name__).upper()

    @property
    def detail(self) -> Any:
        """What the client reads under `detail`."""
        return self.code


class BadRequest(AppError):
    """The request cannot be done as it is."""

    status = 400


class Forbidden(AppError):
    """The person may not do it."""

    status = 403

    @property
    def detail(self) -> str:
        """Say the standard phrase: there is nothing to tell apart."""
        return "Forbidden"


class FreshLoginRequired(Forbidden):
    """Too long ago that the password was proved: POST /auth/reauthenticate, and try again."""

    @property
    def detail(self) -> str:
        """Say the code: the client asks for the password."""
        return self.code


class Unauthorized(AppError):
    """The person is not, or no longer, known."""

    status = 401

    @property
    def detail(self) -> str:
        """Say the standard phrase: there is nothing to tell apart."""
        return "Unauthorized"


class NotFound(AppError):
    """The thing is not there, or not for this person."""

    status = 404


class Conflict(AppError):
    """It contradicts what is stored."""

    status = 409


class InvalidPassword(BadRequest):
    """A password that the policy refuses, with the reason."""

    def __init__(self, reason: str) -> None:
        super().__init__(reason)
        self.reason = reason

    @property
    def detail(self) -> dict[str, str]:
        """Say the code and the reason, as FastAPI Users does."""
        return {"code": self.code, "reason": self.reason}


class InvalidField(AppError):
    """A field that is well-formed and yet cannot be taken, from this person or at this moment."""

    status = 422

    def __init__(self, field: str, message: str, *, where: str = "body") -> None:
        super().__init__(field, message)
        self.field, self.message, self.where = field, message, where

    @property
    def detail(self) -> list[dict[str, Any]]:
        """Say it in the shape of FastAPI's validation errors."""
        return [{"type": "value_error", "loc": [self.where, self.field], "msg": self.message}]
