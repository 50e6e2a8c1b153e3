"""Say a failure in HTTP, in FastAPI Users' dialect."""

import logging
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from http import HTTPStatus
from typing import Any

from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse
from fastapi_users.exceptions import FastAPIUsersException, InvalidPasswordException
from pydantic import BaseModel
from sqlalchemy.exc import InterfaceError, OperationalError
from sqlalchemy.exc import TimeoutError as PoolTimeoutError
from starlette.exceptions import HTTPException
from starlette.routing import Match

from app.core.errors import AppError, InvalidPassword
from fastapi_users_sqlmodel.exceptions import FieldsNotAllowed
from fastapi_users_sqlmodel.passwords import HashingQueueFullError
from fastapi_users_sqlmodel.throttling import TooManyRequests

log = logging.getLogger(__name__)

RETRY_AFTER_SECONDS = 1

# What a failure of this status says beside its body.
HEADERS = {
    401: {"WWW-Authenticate": "Bearer"},
    429: {"Retry-After": "60"},
    503: {"Retry-After": str(RETRY_AFTER_SECONDS)},
}


class Error(BaseModel):
    """What a client reads when something went wrong."""

    detail: str


class PasswordProblem(BaseModel):
    """Why a password is refused."""

    code: str
    reason: str


class PasswordError(BaseModel):
    """What a client reads when a password is refused, or something else went wrong."""

    detail: PasswordProblem | str


def responses(*errors: type[AppError], statuses: tuple[int, ...] = ()) -> dict[int | str, dict[str, Any]]:
    """Document the failures of an endpoint, one response for each status, and statuses that say their phrase alone."""
    documented: dict[int | str, dict[str, Any]] = {status: _generic(status) for status in statuses}
    for status in sorted({error.status for error in errors}):
        same = [error for error in errors if error.status == status]
        refused = any(issubclass(error, InvalidPassword) for error in same)
        examples = {error.code: {"summary": error.__doc__, "value": {"detail": _example(error)}} for error in same}
        documented[status] = {
            "model": PasswordError if refused else Error,
            "description": HTTPStatus(status).phrase,
            "content": {"application/json": {"examples": examples}},
            **_documented_headers(status),
        }
    return documented


def _documented_headers(status: int) -> dict[str, Any]:
    named = {name: {"required": True, "schema": {"type": "string"}} for name in HEADERS.get(status, {})}
    return {"headers": named} if named else {}


def _generic(status: int) -> dict[str, Any]:
    phrase = HTTPStatus(status).phrase
    body = {"schema": {"$ref": "#/components/schemas/Error"}, "example": {"detail": phrase}}
    return {"description": phrase, "content": {"application/json": body}, **_documented_headers(status)}


def _document(openapi: dict[str, Any]) -> None:
    """Add what no endpoint says of itself: from another site, too large, no database; and a 422 without values."""
    for path in openapi["paths"].values():
        for method, operation in path.items():
            if method not in {"get", "head", "options"}:
                operation["responses"].setdefault("403", _generic(403))
                operation["responses"].setdefault("413", _generic(413))
            if operation.get("tags") != ["health"]:
                operation["responses"].setdefault("503", _generic(503))
    problem = openapi["components"]["schemas"]["ValidationError"]
    problem["properties"] = {name: problem["properties"][name] for name in ("type", "loc", "msg")}
    problem["additionalProperties"] = False


def _example(error: type[AppError]) -> Any:
    return (error("Password should be at least 8 characters") if issubclass(error, InvalidPassword) else error()).detail


type Meanings = Mapping[type[FastAPIUsersException], type[AppError]]


@contextmanager
def said_as(meanings: Meanings) -> Iterator[None]:
    """Translate FastAPI Users' exceptions into this endpoint's words."""
    try:
        yield
    except InvalidPasswordException as error:
        meaning = meanings[InvalidPasswordException]
        raise meaning(error.reason) from error
    except tuple(meanings) as error:
        raise next(meanings[kind] for kind in type(error).__mro__ if kind in meanings) from error


async def _on_app_error(_request: Request, error: Exception) -> JSONResponse:
    assert isinstance(error, AppError)  # noqa: S101  # The handler's signature cannot say it
    log.info("%s %s", error.code, error.args)
    return _say(error.status, error.detail)


async def _on_http_exception(request: Request, error: Exception) -> JSONResponse:
    assert isinstance(error, HTTPException)  # noqa: S101
    detail: Any = error.detail
    if error.status_code == HTTPStatus.BAD_REQUEST and isinstance(detail, str) and not detail.isupper():
        # FastAPI and Starlette say so of a body that is none of its content type, in a sentence; the library's 400s are
        # codes. Of JSON that is none FastAPI says 422, and so do we of all the others.
        return _say(422, [{"type": "body_invalid", "loc": ["body"], "msg": "The body cannot be read"}])
    if error.status_code == HTTPStatus.METHOD_NOT_ALLOWED:
        # Starlette names the methods of the first route with this path alone (RFC 9110, 15.5.6 wants them all).
        return _say(error.status_code, error.detail, {"Allow": ", ".join(_allowed_methods(request))})
    return _say(error.status_code, error.detail, error.headers)


def _allowed_methods(request: Request) -> list[str]:
    def is_served(method: str) -> bool:
        scope = {**request.scope, "method": method}
        return any(route.matches(scope)[0] is Match.FULL for route in request.app.router.routes)

    served = [method for method in ("DELETE", "GET", "PATCH", "POST", "PUT") if is_served(method)]
    # HEAD is answered as GET, in a middleware.
    return sorted([*served, "HEAD"]) if "GET" in served else served


async def _on_validation_error(_request: Request, error: Exception) -> JSONResponse:
    assert isinstance(error, RequestValidationError)  # noqa: S101
    # Never the value: it may be a password. Nor what cannot be said in UTF-8: a field's name is the client's as well.
    lines = [{key: line[key] for key in ("type", "loc", "msg")} for line in error.errors()]
    return _say(422, [{**line, "loc": [_sayable(part) for part in line["loc"]]} for line in lines])


async def _on_database_away(_request: Request, error: Exception) -> JSONResponse:
    log.error("the database did not answer: %s", type(error).__name__, exc_info=error)
    return _say(503, HTTPStatus(503).phrase)


async def _on_too_many_passwords(_request: Request, _error: Exception) -> JSONResponse:
    return _say(503, HTTPStatus(503).phrase)


async def _on_too_many_requests(_request: Request, error: Exception) -> JSONResponse:
    assert isinstance(error, TooManyRequests)  # noqa: S101
    return _say(429, HTTPStatus(429).phrase, {"Retry-After": str(error.retry_after_seconds)})


async def _on_fields_not_allowed(_request: Request, error: Exception) -> JSONResponse:
    assert isinstance(error, FieldsNotAllowed)  # noqa: S101
    return _say(422, [{"type": "value_error", "loc": ["body", name], "msg": error.reason} for name in error.fields])


async def _on_unexpected(request: Request, error: Exception) -> JSONResponse:
    _forget_the_row(error)
    # This answer is made outside of every middleware, and says its request all the same.
    return _say(500, HTTPStatus(500).phrase, {"X-Request-ID": request.state.request_id})


def _forget_the_row(error: BaseException | None) -> None:
    """Take away what PostgreSQL tells of a row that it refuses, such as a hash: the server logs every traceback."""
    while error is not None:
        if hasattr(error, "sqlstate"):
            error.detail = None  # type: ignore[attr-defined]  # asyncpg's, which is not installed everywhere
        error = error.__cause__ or error.__context__


def _sayable(part: object) -> object:
    return part.encode(errors="replace").decode() if isinstance(part, str) else part


def _say(status: int, detail: Any, headers: Mapping[str, str] | None = None) -> JSONResponse:
    return JSONResponse({"detail": detail}, status_code=status, headers={**HEADERS.get(status, {}), **(headers or {})})


def add_exception_handlers(app: FastAPI) -> None:
    """Make the application say every failure in one dialect, and document it."""
    describe = app.openapi

    def openapi() -> dict[str, Any]:
        described = describe()
        _document(described)
        return described

    app.openapi = openapi  # type: ignore[method-assign]  # As FastAPI's documentation says: "Extending OpenAPI"
    app.add_exception_handler(AppError, _on_app_error)
    app.add_exception_handler(HTTPException, _on_http_exception)
    app.add_exception_handler(RequestValidationError, _on_validation_error)
    for away in (OperationalError, InterfaceError, PoolTimeoutError, ConnectionError):
        app.add_exception_handler(away, _on_database_away)
    app.add_exception_handler(HashingQueueFullError, _on_too_many_passwords)
    app.add_exception_handler(TooManyRequests, _on_too_many_requests)
    app.add_exception_handler(FieldsNotAllowed, _on_fields_not_allowed)
    app.add_exception_handler(Exception, _on_unexpected)
