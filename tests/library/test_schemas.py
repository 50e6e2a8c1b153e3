"""What FastAPI Users' methods of a schema return, with the schemas of this library."""

from typing import Any

import pytest

from fastapi_users_sqlmodel import schemas

REQUIRED = {"email": "anna@example.com", "password": "correct horse battery"}
FLAGS = {"is_superuser": True, "is_active": False, "is_verified": True}


class UserCreate(schemas.BaseUserCreate):
    id: int | None = None
    first_name: str | None = None


class UserUpdate(schemas.BaseUserUpdate):
    id: int | None = None
    first_name: str | None = None


@pytest.mark.parametrize(
    ("schema", "sent"),
    [
        (UserCreate, REQUIRED),
        (UserCreate, {**REQUIRED, "first_name": "Anna"}),
        (UserCreate, {**REQUIRED, "first_name": None}),
        (UserUpdate, {}),
        (UserUpdate, {"password": "another horse entirely"}),
        (UserUpdate, {"email": None, "first_name": "Anna"}),
    ],
)
def test_what_was_sent_without_the_id_and_for_oneself_without_the_flags(
    schema: type[UserCreate | UserUpdate], sent: dict[str, Any]
) -> None:
    # FastAPI Users does not say what its methods return.
    body: Any = schema.model_validate({**sent, **FLAGS, "id": 7})
    assert body.create_update_dict() == sent
    assert body.create_update_dict_superuser() == {**sent, **FLAGS}
    without_flags: Any = schema.model_validate(sent)
    assert without_flags.create_update_dict_superuser() == sent
