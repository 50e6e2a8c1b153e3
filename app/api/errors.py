"""Answer every error in FastAPI Users' dialect, and document the answers that no route declares."""

import logging
from collections.abc import Mapping
from http import HTTPStatus
from typing import Any

from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse
from starlette.exceptions import HTTPException
from starlette.routing import Match

from app.core.errors import APIError, Forbidden, ServiceUnavailable
from app.db import DATABASE_AWAY
from fastapi_users_sqlmodel.csrf import SAFE_METHODS
from fastapi_users_sqlmodel.exceptions import HEADERS
from fastapi_users_sqlmodel.routers.errors import responses

log = logging.getLogger(__name__)


class ContentTooLarge(APIError, status=413):
    """The body is too large."""


def _generic(error: type[APIError]) -> dict[str, Any]:
    response = responses(error)[error.status]
    schema = {"$ref": f"#/components/schemas/{response.pop('model').__name__}"}
    response["content"]["application/json"]["schema"] = schema
    return response


def _document(openapi: dict[str, Any]) -> None:
    """Document what middleware and handlers answer on every route: 403, 413, 503; and 422 without values."""
    for path in openapi["paths"].values():
        for method, operation in path.items():
            if method.upper() not in SAFE_METHODS:
                operation["responses"].setdefault("403", _generic(Forbidden))
                operation["responses"].setdefault("413", _generic(ContentTooLarge))
            if operation.get("tags") != ["health"]:
                operation["responses"].setdefault("503", _generic(ServiceUnavailable))
    problem = openapi["components"]["schemas"]["ValidationError"]
    problem["properties"] = {name: problem["properties"][name] for name in ("type", "loc", "msg")}
    problem["additionalProperties"] = False


async def _on_http_exception(request: Request, error: Exception) -> JSONResponse:
    assert isinstance(error, HTTPException)  # noqa: S101
    if isinstance(error, APIError):
        log.info("%s %s", error.code, error.args)
    elif error.status_code == HTTPStatus.BAD_REQUEST:
        # FastAPI answers 422 for invalid JSON, but Starlette raises 400 for a body that does not have its content type.
        return _respond(422, [{"type": "body_invalid", "loc": ["body"], "msg": "The body cannot be read"}])
    elif error.status_code == HTTPStatus.METHOD_NOT_ALLOWED:
        # Starlette lists only the methods of the first route with this path; RFC 9110, 15.5.6 requires all of them.
        return _respond(error.status_code, error.detail, {"Allow": ", ".join(_allowed_methods(request))})
    return _respond(error.status_code, error.detail, error.headers)


def _allowed_methods(request: Request) -> list[str]:
    def is_served(method: str) -> bool:
        scope = {**request.scope, "method": method}
        return any(route.matches(scope)[0] is Match.FULL for route in request.app.router.routes)

    served = [method for method in ("DELETE", "GET", "PATCH", "POST", "PUT") if is_served(method)]
    # A middleware answers HEAD as GET.
    return sorted([*served, "HEAD"]) if "GET" in served else served


async def _on_validation_error(_request: Request, error: Exception) -> JSONResponse:
    assert isinstance(error, RequestValidationError)  # noqa: S101
    # Without the values, which may be passwords. The name of a field may contain lone surrogates, which have no UTF-8.
    lines = [{key: line[key] for key in ("type", "loc", "msg")} for line in error.errors()]
    return _respond(422, [{**line, "loc": [_encodable(part) for part in line["loc"]]} for line in lines])


async def _on_lost_connection(_request: Request, error: Exception) -> JSONResponse:
    log.error("the database did not answer: %s", type(error).__name__, exc_info=error)
    return _respond(503, HTTPStatus(503).phrase)


async def _on_unexpected(request: Request, error: Exception) -> JSONResponse:
    _remove_row(error)
    # No middleware sees this answer, so it gets the request's id here.
    return _respond(500, HTTPStatus(500).phrase, {"X-Request-ID": request.state.request_id})


def _remove_row(error: BaseException | None) -> None:
    """Remove the columns of a refused row, such as a hash, from PostgreSQL's error: the server logs the traceback."""
    while error is not None:
        if hasattr(error, "sqlstate"):
            error.detail = None  # type: ignore[attr-defined]  # asyncpg's attribute; it is not installed everywhere
        error = error.__cause__ or error.__context__


def _encodable(part: object) -> object:
    return part.encode(errors="replace").decode() if isinstance(part, str) else part


def _respond(status: int, detail: Any, headers: Mapping[str, str] | None = None) -> JSONResponse:
    return JSONResponse({"detail": detail}, status_code=status, headers={**HEADERS.get(status, {}), **(headers or {})})


def add_exception_handlers(app: FastAPI) -> None:
    """Register the handlers, and complete the OpenAPI document with their answers."""
    describe = app.openapi

    def openapi() -> dict[str, Any]:
        described = describe()
        _document(described)
        return described

    app.openapi = openapi  # type: ignore[method-assign]  # As FastAPI's documentation says: "Extending OpenAPI"
    app.add_exception_handler(HTTPException, _on_http_exception)
    app.add_exception_handler(RequestValidationError, _on_validation_error)
    for lost in DATABASE_AWAY:
        app.add_exception_handler(lost, _on_lost_connection)
    app.add_exception_handler(Exception, _on_unexpected)
