"""Say a failure in FastAPI Users' dialect: a code under `detail`, documented on its route."""

from collections.abc import Callable, Coroutine, Iterator, Mapping
from contextlib import contextmanager
from http import HTTPStatus
from typing import Any

from fastapi import HTTPException, Request, Response
from fastapi.exceptions import RequestValidationError
from fastapi.routing import APIRoute
from fastapi_users.exceptions import FastAPIUsersException, InvalidPasswordException
from fastapi_users.router.common import ErrorModel

from fastapi_users_sqlmodel.exceptions import FieldsNotAllowed, LoginNotFresh, NotSuperuser, ValueAlreadyExists
from fastapi_users_sqlmodel.passwords import HashingQueueFullError
from fastapi_users_sqlmodel.throttling import TooManyRequests

# FastAPI Users' own codes are in its ErrorCode; these are those that it has no word for.
REGISTER_USERNAME_ALREADY_EXISTS = "REGISTER_USERNAME_ALREADY_EXISTS"
UPDATE_USER_USERNAME_ALREADY_EXISTS = "UPDATE_USER_USERNAME_ALREADY_EXISTS"
REGISTER_VALUE_ALREADY_EXISTS = "REGISTER_VALUE_ALREADY_EXISTS"
UPDATE_USER_VALUE_ALREADY_EXISTS = "UPDATE_USER_VALUE_ALREADY_EXISTS"
CURRENT_PASSWORD_BAD = "CURRENT_PASSWORD_BAD"
CONFIRM_EMAIL_BAD_TOKEN = "CONFIRM_EMAIL_BAD_TOKEN"
UNDO_CHANGE_EMAIL_BAD_TOKEN = "UNDO_CHANGE_EMAIL_BAD_TOKEN"
LAST_SUPERUSER = "LAST_SUPERUSER"
USER_IN_USE = "USER_IN_USE"
REFRESH_BAD_TOKEN = "REFRESH_BAD_TOKEN"
SESSION_NOT_FOUND = "SESSION_NOT_FOUND"
FRESH_LOGIN_REQUIRED = "FRESH_LOGIN_REQUIRED"

# Every other code is a 400.
_STATUSES = {
    REFRESH_BAD_TOKEN: HTTPStatus.UNAUTHORIZED,
    FRESH_LOGIN_REQUIRED: HTTPStatus.FORBIDDEN,
    SESSION_NOT_FOUND: HTTPStatus.NOT_FOUND,
    LAST_SUPERUSER: HTTPStatus.CONFLICT,
    USER_IN_USE: HTTPStatus.CONFLICT,
}

# Codes that come with a reason.
_PASSWORD_REASON = "Password should be at least 8 characters"
_REASONS = {
    "REGISTER_INVALID_PASSWORD": _PASSWORD_REASON,
    "RESET_PASSWORD_INVALID_PASSWORD": _PASSWORD_REASON,
    "UPDATE_USER_INVALID_PASSWORD": _PASSWORD_REASON,
    REGISTER_VALUE_ALREADY_EXISTS: "already exists: phone",
    UPDATE_USER_VALUE_ALREADY_EXISTS: "already exists: phone",
}


class DiscreetRoute(APIRoute):
    """A route that says what is wrong with a field, and never repeats the value: it may be a password."""

    def get_route_handler(self) -> Callable[[Request], Coroutine[Any, Any, Response]]:
        """Return FastAPI's handler, and leave only this of what it complains about."""
        handle = super().get_route_handler()

        async def handle_discreetly(request: Request) -> Response:
            try:
                return await handle(request)
            except RequestValidationError as error:
                problems = [{key: problem[key] for key in ("type", "loc", "msg")} for problem in error.errors()]
                raise RequestValidationError(problems) from None

        return handle_discreetly


@contextmanager
def said(meanings: Mapping[type[FastAPIUsersException], str | int]) -> Iterator[None]:
    """Translate what a manager raises into this route's words: a code, which is a 400, or a status alone.

    What every route says alike needs no entry: 422 for a field, 403, 429 and 503.
    """
    try:
        yield
    except (InvalidPasswordException, ValueAlreadyExists) as error:
        detail = {"code": meanings[type(error)], "reason": error.reason}
        raise HTTPException(400, detail) from error
    except FieldsNotAllowed as error:
        problems = [{"type": "value_error", "loc": ("body", name), "msg": error.reason} for name in error.fields]
        raise RequestValidationError(problems) from error
    except NotSuperuser as error:
        raise HTTPException(403) from error
    except LoginNotFresh as error:
        raise HTTPException(403, FRESH_LOGIN_REQUIRED) from error
    except TooManyRequests as error:
        raise HTTPException(429, headers={"Retry-After": str(error.retry_after_seconds)}) from error
    except HashingQueueFullError as error:
        raise HTTPException(503, headers={"Retry-After": str(error.retry_after_seconds)}) from error
    except tuple(meanings) as error:
        meaning = next(meanings[kind] for kind in type(error).__mro__ if kind in meanings)
        if isinstance(meaning, int):
            headers = {"WWW-Authenticate": "Bearer"} if meaning == HTTPStatus.UNAUTHORIZED else None
            raise HTTPException(meaning, headers=headers) from error
        raise HTTPException(_STATUSES.get(meaning, HTTPStatus.BAD_REQUEST), meaning) from error


def responses(*codes: str, statuses: tuple[int, ...] = ()) -> dict[int | str, dict[str, Any]]:
    """Document the codes of a route, and statuses that say their standard phrase."""
    examples: dict[int, dict[str, Any]] = {}
    for code in codes:
        said_with = int(_STATUSES.get(code, HTTPStatus.BAD_REQUEST))
        summary = code.replace("_", " ").capitalize()
        examples.setdefault(said_with, {})[code] = {"summary": summary, "value": _example(code)}
    for status in statuses:
        phrase = HTTPStatus(status).phrase
        examples.setdefault(status, {})[phrase] = {"summary": phrase, "value": {"detail": phrase}}
    return {
        status: {
            "model": ErrorModel,
            "description": HTTPStatus(status).phrase,
            "content": {"application/json": {"examples": same}},
            **_headers(status),
        }
        for status, same in examples.items()
    }


def _example(code: str) -> dict[str, Any]:
    return {"detail": {"code": code, "reason": _REASONS[code]} if code in _REASONS else code}


def _headers(status: int) -> dict[str, Any]:
    name = {401: "WWW-Authenticate", 429: "Retry-After", 503: "Retry-After"}.get(status)
    return {"headers": {name: {"required": True, "schema": {"type": "string"}}}} if name else {}
