"""An error brings its answer along, and a route translates what it declares."""

from typing import Any

import pytest
from fastapi import APIRouter, FastAPI
from fastapi.testclient import TestClient
from fastapi_users.exceptions import InvalidPasswordException, UserAlreadyExists, UserNotExists

from fastapi_users_sqlmodel.exceptions import (
    APIError,
    BadRequest,
    Conflict,
    FieldsNotAllowed,
    LastSuperuser,
    LoginNotFresh,
    NotFound,
    NotSuperuser,
    RegisterInvalidPassword,
    TooManyRequests,
    Unauthorized,
    UserNotVerified,
)
from fastapi_users_sqlmodel.passwords import HashingQueueFullError
from fastapi_users_sqlmodel.routers.errors import ErrorRoute, responses


class TeamNotFound(NotFound, translates=(UserNotExists,)):
    """There is no such team."""


class TeamNameTaken(Conflict):
    """Another team has this name."""


def client_of(error: Exception, *declared: type[APIError], route_class: Any = ErrorRoute) -> TestClient:
    """Return a client of an app whose route `/a/b/fail` raises an error, two routers deep."""
    inner, outer, app = APIRouter(route_class=route_class), APIRouter(), FastAPI()

    @inner.get("/fail", responses=responses(*declared))
    async def fail() -> None:
        raise error

    outer.include_router(inner, prefix="/b", responses={404: {"description": "Nothing"}, 418: {"description": "Tea"}})
    app.include_router(outer, prefix="/a", responses={400: {"description": "Wrong"}})
    return TestClient(app, raise_server_exceptions=False)


BEARER, SECOND = {"www-authenticate": "Bearer"}, {"retry-after": "1"}
REFUSED = {"type": "value_error", "loc": ["body", "phone"], "msg": "cannot be set here"}


@pytest.mark.parametrize("route_class", [ErrorRoute, ErrorRoute.__base__])
@pytest.mark.parametrize(
    ("error", "status", "detail", "headers"),
    [
        (TeamNameTaken("Blue"), 409, "TEAM_NAME_TAKEN", {}),
        (TeamNotFound(7), 404, "TEAM_NOT_FOUND", {}),
        (LastSuperuser(), 409, "LAST_SUPERUSER", {}),
        (LoginNotFresh(), 403, "FRESH_LOGIN_REQUIRED", {}),
        (NotSuperuser(), 403, "Forbidden", {}),
        (UserNotVerified(), 400, "LOGIN_USER_NOT_VERIFIED", {}),
        (BadRequest(), 400, "Bad Request", {}),
        (Unauthorized(), 401, "Unauthorized", BEARER),
        (TooManyRequests(7), 429, "Too Many Requests", {"retry-after": "7"}),
        (HashingQueueFullError(), 503, "Service Unavailable", SECOND),
        (FieldsNotAllowed(["phone"]), 422, [REFUSED], {}),
    ],
)
def test_an_error_is_answered_on_any_route(
    route_class: Any, error: Exception, status: int, detail: Any, headers: dict[str, str]
) -> None:
    answer = client_of(error, route_class=route_class).get("/a/b/fail")
    assert (answer.status_code, answer.json()) == (status, {"detail": detail})
    assert headers.items() <= answer.headers.items()


class Gone(UserNotExists):
    """A project's own."""


@pytest.mark.parametrize(
    ("error", "declared", "status", "detail"),
    [
        (UserNotExists(), [Unauthorized], 401, "Unauthorized"),
        (Gone(), [TeamNotFound], 404, "TEAM_NOT_FOUND"),
        # The higher status counts, whatever the order.
        (UserNotExists(), [TeamNotFound, Unauthorized], 404, "TEAM_NOT_FOUND"),
        (
            InvalidPasswordException("too short"),
            [RegisterInvalidPassword],
            400,
            {"code": "REGISTER_INVALID_PASSWORD", "reason": "too short"},
        ),
    ],
)
def test_an_error_route_translates(error: Exception, declared: list[type[APIError]], status: int, detail: Any) -> None:
    answer = client_of(error, *declared).get("/a/b/fail")
    assert (answer.status_code, answer.json()) == (status, {"detail": detail})


def test_what_is_not_declared_is_not_translated() -> None:
    assert client_of(UserAlreadyExists(), TeamNotFound).get("/a/b/fail").status_code == 500


def test_the_documentation() -> None:
    app = client_of(UserNotExists(), TeamNotFound, NotFound, Unauthorized, RegisterInvalidPassword).app
    assert isinstance(app, FastAPI)
    documented = app.openapi()["paths"]["/a/b/fail"]["get"]["responses"]
    assert documented.keys() == {"200", "400", "401", "404", "418"}
    examples = documented["404"]["content"]["application/json"]["examples"]
    assert examples == {
        "TEAM_NOT_FOUND": {"summary": "There is no such team.", "value": {"detail": "TEAM_NOT_FOUND"}},
        "Not Found": {"summary": NotFound.__doc__, "value": {"detail": "Not Found"}},
    }
    examples = documented["400"]["content"]["application/json"]["examples"]
    reason = "Password should be at least 8 characters"
    detail = {"code": "REGISTER_INVALID_PASSWORD", "reason": reason}
    assert examples["REGISTER_INVALID_PASSWORD"]["value"] == {"detail": detail}
    assert documented["401"]["headers"] == {"WWW-Authenticate": {"required": True, "schema": {"type": "string"}}}


def test_the_arguments_are_for_the_log() -> None:
    error = TeamNameTaken("Blue", 7)
    assert (error.args, str(error), error.detail) == (("Blue", 7), "('Blue', 7)", "TEAM_NAME_TAKEN")
