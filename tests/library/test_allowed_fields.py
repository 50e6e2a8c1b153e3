"""Which fields a person and a superuser may set: a field that no allow-list names is refused by the manager."""

from collections.abc import AsyncIterator
from typing import Any

import pytest

from fastapi_users_sqlmodel import schemas
from fastapi_users_sqlmodel.exceptions import FieldsNotAllowed
from tests.library.account_app import Service, open_service
from tests.library.accounts import HASH, NEW_PASSWORD, PASSWORD
from tests.library.models import Models

pytestmark = pytest.mark.parametrize("form", ["sqlalchemy-uuid", "sqlmodel-int"], indirect=True)
ANNA, ROOT = "anna@example.com", "root@example.com"
FORBIDDEN = [
    ("group_id", 1),
    ("group_id", None),
    pytest.param("hashed_password", HASH, id="hashed_password"),
    ("email_canonical", "x@example.com"),
]


class Open(schemas.CreateUpdateDictModel):
    """Fields that no allow-list names."""

    username: str | None = None
    group_id: int | None = None
    hashed_password: str | None = None
    email_canonical: str | None = None


class OpenCreate(Open, schemas.BaseUserCreate): ...


class OpenUpdate(Open, schemas.BaseUserUpdate): ...


@pytest.fixture
async def service(models: Models, url: str) -> AsyncIterator[Service]:
    async with open_service(models, url) as service:
        yield service


def refusal(name: str, message: str) -> dict[str, Any]:
    return {"detail": [{"loc": ["body", name], "msg": message, "type": "value_error"}]}


class TestRegister:
    @pytest.mark.parametrize(("name", "value"), FORBIDDEN)
    async def test_what_is_not_named_is_refused(self, service: Service, name: str, value: object) -> None:
        new = OpenCreate.model_validate({"email": ANNA, "password": PASSWORD, name: value})
        with pytest.raises(FieldsNotAllowed) as refused:
            await service.accounts.manager.create(new, safe=True)
        assert refused.value.fields == (name,)
        assert service.accounts.stores.emails() == []

    async def test_flags_and_id_have_no_effect(self, service: Service) -> None:
        body = {"email": ANNA, "password": PASSWORD, "is_superuser": True, "is_verified": True, "is_active": False}
        answer = await service.client.post("/auth/register", json={**body, "id": 7})
        assert answer.status_code == 201
        found = answer.json()
        assert found["id"] != 7
        assert (found["is_superuser"], found["is_verified"], found["is_active"]) == (False, False, True)


class TestOneself:
    @pytest.mark.parametrize(("name", "value"), FORBIDDEN)
    async def test_what_is_not_named_is_refused(self, service: Service, name: str, value: object) -> None:
        user = await service.accounts.user()
        changes = OpenUpdate.model_validate({"username": "anna", name: value})
        with pytest.raises(FieldsNotAllowed) as refused:
            await service.accounts.manager.update(changes, user, safe=True)
        assert refused.value.fields == (name,)
        assert service.accounts.column("username") is None

    @pytest.mark.parametrize("flag", ["is_superuser", "is_verified", "is_active"])
    async def test_a_flag_only_as_it_is(self, service: Service, flag: str) -> None:
        await service.accounts.user()
        me, now = await service.sign_in(ANNA, PASSWORD), flag == "is_active"
        for value in (now, None):
            assert (await service.client.patch("/users/me", json={flag: value}, headers=me)).status_code == 200
        answer = await service.client.patch("/users/me", json={flag: not now}, headers=me)
        assert (answer.status_code, answer.json()) == (422, refusal(flag, "you cannot change this about yourself"))
        assert service.accounts.column(flag) is now

    @pytest.mark.parametrize("body", [{"password": NEW_PASSWORD}, {"email": "new@example.com"}])
    async def test_needs_the_current_password(self, service: Service, body: dict[str, str]) -> None:
        await service.accounts.user()
        me = await service.sign_in(ANNA, PASSWORD)
        for extra in ({}, {"current_password": None}):
            answer = await service.client.patch("/users/me", json={**body, **extra}, headers=me)
            reason = "needed to change the password or the e-mail address"
            assert (answer.status_code, answer.json()) == (422, refusal("current_password", reason))
        answer = await service.client.patch("/users/me", json={**body, "current_password": "x"}, headers=me)
        assert (answer.status_code, answer.json()) == (400, {"detail": "CURRENT_PASSWORD_BAD"})
        answer = await service.client.patch("/users/me", json={**body, "current_password": PASSWORD}, headers=me)
        assert (answer.status_code, answer.json()["email"]) == (200, ANNA)

    async def test_null_changes_nothing_or_clears_what_may_be_empty(self, service: Service) -> None:
        await service.accounts.user(username="anna")
        me = await service.sign_in(ANNA, PASSWORD)
        for body in ({}, {"email": None}, {"password": None}, {"id": 7}):
            assert (await service.client.patch("/users/me", json=body, headers=me)).status_code == 200
        assert service.accounts.column("username") == "anna"
        assert (await service.client.patch("/users/me", json={"username": None}, headers=me)).status_code == 200
        assert service.accounts.column("username") is None
        assert service.accounts.column("hashed_password") == HASH


class TestASuperuser:
    @pytest.mark.parametrize(
        ("name", "value"), [*FORBIDDEN[:1], *FORBIDDEN[2:], ("password", NEW_PASSWORD), ("current_password", PASSWORD)]
    )
    async def test_what_is_not_named_is_refused(self, service: Service, name: str, value: object) -> None:
        user, root = await service.accounts.user(), await service.accounts.user(ROOT, is_superuser=True)
        with pytest.raises(FieldsNotAllowed) as refused:
            await service.accounts.manager.update_by_superuser(root, user.id, {"is_verified": True, name: value})
        assert refused.value.fields == (name,)
        assert service.accounts.column("is_verified") is False
        assert service.accounts.column("hashed_password") == HASH

    async def test_null_where_the_column_takes_none(self, service: Service) -> None:
        user, root = await service.accounts.user(), await service.accounts.user(ROOT, is_superuser=True)
        with pytest.raises(FieldsNotAllowed, match="is_active"):
            await service.accounts.manager.update_by_superuser(root, user.id, {"is_active": None, "username": None})

    async def test_the_last_one_stays(self, service: Service) -> None:
        user = await service.accounts.user(ROOT, is_superuser=True)
        root = await service.sign_in(ROOT, PASSWORD)
        last = (409, {"detail": "LAST_SUPERUSER"})
        for body in ({"is_superuser": False}, {"is_active": False}):
            answer = await service.client.patch(f"/users/{user.id}", json=body, headers=root)
            assert (answer.status_code, answer.json()) == last
        answer = await service.client.delete(f"/users/{user.id}", headers=root)
        assert (answer.status_code, answer.json()) == last
        answer = await service.client.post("/auth/delete-account", json={"current_password": PASSWORD}, headers=root)
        assert (answer.status_code, answer.json()) == last

    @pytest.mark.parametrize("user_id", ["0", "-1", str(2**31), str(2**63), str(10**30), "1" * 5000, "x", "%00"])
    async def test_an_id_of_nobody(self, service: Service, user_id: str) -> None:
        await service.accounts.user(ROOT, is_superuser=True)
        root = await service.sign_in(ROOT, PASSWORD)
        for method, body in (("GET", None), ("PATCH", {"is_active": False}), ("DELETE", None)):
            answer = await service.client.request(method, f"/users/{user_id}", json=body, headers=root)
            assert (answer.status_code, answer.json()) == (404, {"detail": "Not Found"})
