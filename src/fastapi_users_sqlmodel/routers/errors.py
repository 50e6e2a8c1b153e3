"""Declare the errors of a route: documented in OpenAPI, and translated from the exceptions of the manager."""

from collections.abc import Callable, Coroutine
from http import HTTPStatus
from typing import Any

from fastapi import Request, Response
from fastapi.exceptions import RequestValidationError
from fastapi.routing import APIRoute
from fastapi_users.router.common import ErrorModel

from fastapi_users_sqlmodel.exceptions import HEADERS, APIError


class _Documented(dict[str, Any]):
    """The documentation of a status, with its errors as an attribute for `ErrorRoute`."""

    def __init__(self, status: int, errors: list[type[APIError]]) -> None:
        self.errors = errors
        examples = {error.code: {"summary": error.__doc__, "value": {"detail": error.example}} for error in errors}
        super().__init__(
            model=ErrorModel,
            description=HTTPStatus(status).phrase,
            content={"application/json": {"examples": examples}},
        )
        if names := HEADERS.get(status):
            self["headers"] = {name: {"required": True, "schema": {"type": "string"}} for name in names}


def responses(*errors: type[APIError]) -> dict[int | str, dict[str, Any]]:
    """Return a route's `responses`: its errors, by status. An `ErrorRoute` translates exceptions into them."""
    statuses = sorted({error.status for error in errors})
    return {status: _Documented(status, [error for error in errors if error.status == status]) for status in statuses}


class ErrorRoute(APIRoute):
    """A route that answers exceptions with the errors of its `responses`, and never repeats the value of a field.

    Where two errors translate the same exception, the one with the higher status counts.
    """

    def get_route_handler(self) -> Callable[[Request], Coroutine[Any, Any, Response]]:
        """Return FastAPI's handler, with the translation around it."""
        handle = super().get_route_handler()
        # FastAPI merges the `responses` of routers and routes into a new dictionary, and keeps its values.
        errors = [error for response in self.responses.values() for error in getattr(response, "errors", ())]
        by_status = sorted(errors, key=lambda error: error.status)
        translations = {exception: error for error in by_status for exception in error.translates}

        async def handle_errors(request: Request) -> Response:
            try:
                return await handle(request)
            except RequestValidationError as error:
                # Of a field the type, place and message are enough: its value may be a password.
                problems = [{key: problem[key] for key in ("type", "loc", "msg")} for problem in error.errors()]
                raise RequestValidationError(problems) from None
            except tuple(translations) as error:
                translation = next(translations[kind] for kind in type(error).__mro__ if kind in translations)
                raise translation(*error.args, reason=getattr(error, "reason", None)) from error

        return handle_errors
