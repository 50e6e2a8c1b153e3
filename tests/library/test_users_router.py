"""What a project may choose of the users router: schemas, errors, and the router that gets the routes."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import pytest
from fastapi import APIRouter, FastAPI
from fastapi.testclient import TestClient
from fastapi_users.exceptions import InvalidID, UserNotExists
from pydantic import BaseModel

from fastapi_users_sqlmodel.exceptions import Forbidden, NotFound, NotSuperuser
from fastapi_users_sqlmodel.routers.errors import ErrorRoute
from fastapi_users_sqlmodel.routers.users import get_users_router


class UserPublic(BaseModel):
    id: int


class UserRead(UserPublic):
    email: str


class UserUpdate(BaseModel):
    email: str


class UserAdminUpdate(UserUpdate):
    team_id: int


class MemberNotFound(NotFound, translates=(InvalidID, UserNotExists)):
    """There is no such member."""


class TeamNotFound(NotFound):
    """There is no such team."""


@dataclass(frozen=True)
class User:
    id: int
    is_superuser: bool = False
    email: str = "x@example.com"


ANNA, ROOT = User(1), User(2, is_superuser=True)


class Manager:
    """A manager of two users, with the methods that the router calls."""

    def parse_id(self, value: str) -> int:
        if not value.isdecimal():
            raise InvalidID
        return int(value)

    async def get(self, user_id: int) -> User:
        for user in (ANNA, ROOT):
            if user.id == user_id:
                return user
        raise UserNotExists

    async def update_by_superuser(self, superuser: User, user_id: int, changes: dict[str, Any], _: object) -> User:
        user = await self.get(user_id)
        if not superuser.is_superuser:
            raise NotSuperuser
        if changes.get("team_id", 1) != 1:
            raise TeamNotFound(changes["team_id"])
        return user


class SignedIn:
    """An authenticator that knows who is signed in."""

    def __init__(self, user: User) -> None:
        self.user = user

    def current_user(self, *, superuser: bool = False, **_: bool) -> Callable[[], User]:
        def current() -> User:
            if superuser and not self.user.is_superuser:
                raise Forbidden
            return self.user

        return current


def client_of(user: User, **options: Any) -> TestClient:
    authenticator: Any = SignedIn(user)
    app = FastAPI()
    router = get_users_router(Manager, UserRead, UserUpdate, authenticator, **options)
    app.include_router(router, prefix="" if router.prefix else "/users")
    return TestClient(app)


CHOSEN: dict[str, Any] = {
    "user_admin_update_schema": UserAdminUpdate,
    "user_public_schema": UserPublic,
    "not_found": MemberNotFound,
    "update_errors": [TeamNotFound],
}


@pytest.mark.parametrize(
    ("user", "path", "status", "body"),
    [
        (ANNA, "1", 200, {"id": 1, "email": "x@example.com"}),
        (ANNA, "2", 200, {"id": 2}),
        (ROOT, "1", 200, {"id": 1, "email": "x@example.com"}),
        (ANNA, "3", 404, {"detail": "MEMBER_NOT_FOUND"}),
        (ROOT, "x", 404, {"detail": "MEMBER_NOT_FOUND"}),
    ],
)
def test_users_read_each_other(user: User, path: str, status: int, body: Any) -> None:
    answer = client_of(user, **CHOSEN).get(f"/users/{path}")
    assert (answer.status_code, answer.json()) == (status, body)


@pytest.mark.parametrize(
    ("user", "path", "body", "status", "detail"),
    [
        # Whether there is a user is no secret here, so an unknown id comes before a missing right.
        (ANNA, "3", {"email": "y", "team_id": 1}, 404, "MEMBER_NOT_FOUND"),
        (ANNA, "2", {"email": "y", "team_id": 1}, 403, "Forbidden"),
        (ROOT, "1", {"email": "y", "team_id": 9}, 404, "TEAM_NOT_FOUND"),
    ],
)
def test_a_superuser_changes(user: User, path: str, body: dict[str, Any], status: int, detail: str) -> None:
    answer = client_of(user, **CHOSEN).patch(f"/users/{path}", json=body)
    assert (answer.status_code, answer.json()) == (status, {"detail": detail})


@pytest.mark.parametrize(("user", "path", "status"), [(ANNA, "1", 403), (ANNA, "x", 403), (ROOT, "x", 404)])
def test_by_default_only_superusers_read_users(user: User, path: str, status: int) -> None:
    answer = client_of(user).get(f"/users/{path}")
    assert (answer.status_code, answer.json()["detail"]) == (status, {403: "Forbidden", 404: "Not Found"}[status])


def test_the_schemas_and_errors_are_documented() -> None:
    router = APIRouter(prefix="/users", route_class=ErrorRoute)
    app = client_of(ROOT, router=router, **CHOSEN).app
    assert isinstance(app, FastAPI)
    paths = app.openapi()["paths"]
    bodies = {path: paths[path]["patch"]["requestBody"]["content"]["application/json"]["schema"] for path in paths}
    assert bodies == {
        "/users/me": {"$ref": "#/components/schemas/UserUpdate"},
        "/users/{id}": {"$ref": "#/components/schemas/UserAdminUpdate"},
    }
    answers = paths["/users/{id}"]["patch"]["responses"]["404"]["content"]["application/json"]["examples"]
    assert answers.keys() == {"MEMBER_NOT_FOUND", "TEAM_NOT_FOUND"}
    assert "403" not in paths["/users/{id}"]["get"]["responses"]
