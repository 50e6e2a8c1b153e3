"""What else costs a hash is counted before it: registrations by their network, resets by their account."""

import asyncio
from collections.abc import AsyncIterator

import pytest

from fastapi_users_sqlmodel import LetterKind, Throttle, ThrottleLimits
from fastapi_users_sqlmodel.exceptions import UserAlreadyExists
from fastapi_users_sqlmodel.schemas import BaseUserCreate
from fastapi_users_sqlmodel.throttling import Limit, TooManyRequests
from tests.library.account_app import Service, open_service
from tests.library.accounts import NEW_PASSWORD, PASSWORD, Manager, counting, request
from tests.library.models import Models

pytestmark = pytest.mark.parametrize("form", ["sqlmodel-uuid", "sqlalchemy-int"], indirect=True)
ANNA = "anna@example.com"


@pytest.fixture
def conceal() -> bool:
    return False


@pytest.fixture
async def service(models: Models, url: str, conceal: bool) -> AsyncIterator[Service]:  # noqa: FBT001  # A fixture
    limits = ThrottleLimits(registrations_from_network=Limit(4, 60), changes_of_account=Limit(3, 60))
    attributes = {"throttle": Throttle(limits=limits), "conceal_accounts": conceal}
    async with open_service(models, url, type("Counted", (Manager,), attributes)) as service:
        yield service


async def register(service: Service, email: str, password: str = PASSWORD) -> int:
    answer = await service.client.post("/auth/register", json={"email": email, "password": password})
    if answer.status_code == 429:
        assert answer.json() == {"detail": "Too Many Requests"}
        assert 1 <= int(answer.headers["Retry-After"]) <= 60
    return answer.status_code


class TestRegistrations:
    @pytest.mark.parametrize(("conceal", "free", "taken"), [(False, 201, 400), (True, 202, 202)])
    async def test_free_and_taken_count_alike(self, service: Service, free: int, taken: int) -> None:
        await service.accounts.user()
        before = counting.count
        assert await register(service, ANNA) == taken
        assert await register(service, "new@example.com") == free
        assert await register(service, ANNA) == taken
        assert await register(service, ANNA) == taken
        assert counting.count == before + 4
        assert await register(service, ANNA) == 429
        assert await register(service, "other@example.com") == 429
        assert counting.count == before + 4
        assert service.accounts.stores.emails() == [ANNA, "new@example.com"]

    async def test_at_once(self, service: Service) -> None:
        await service.accounts.user()
        before = counting.count
        statuses = await asyncio.gather(*(register(service, ANNA) for _ in range(10)))
        assert sorted(statuses) == [400] * 4 + [429] * 6
        assert counting.count == before + 4

    async def test_a_refused_password_counts(self, service: Service) -> None:
        """Its strength is estimated, which costs time too."""
        for _ in range(4):
            assert await register(service, "new@example.com", "short") == 400
        assert await register(service, "new@example.com") == 429

    async def test_by_a_route_of_the_project(self, service: Service) -> None:
        """It calls `create`, as FastAPI Users' own router does; a script has no request and no limit."""
        await service.accounts.user()
        manager, taken = service.accounts.manager, BaseUserCreate(email=ANNA, password=PASSWORD)
        for _ in range(4):
            with pytest.raises(UserAlreadyExists):
                await manager.create(taken, safe=True, request=request())
        with pytest.raises(TooManyRequests):
            await manager.create(taken, safe=True, request=request())
        with pytest.raises(UserAlreadyExists):
            await manager.create(taken, safe=True, request=request("198.51.100.7"))
        await manager.create(BaseUserCreate(email="new@example.com", password=PASSWORD), safe=True)

    async def test_signing_in_is_counted_apart(self, service: Service) -> None:
        await service.accounts.user()
        for _ in range(5):
            await register(service, ANNA)
        assert "Authorization" in await service.sign_in(ANNA, PASSWORD)


class TestResets:
    async def reset(self, service: Service, token: str, password: str = NEW_PASSWORD) -> int:
        body = {"token": token, "password": password}
        return (await service.client.post("/auth/reset-password", json=body)).status_code

    async def test_a_bad_token_is_not_hashed_for(self, service: Service) -> None:
        before = counting.count
        for _ in range(10):
            assert await self.reset(service, "x" * 43) == 400
        assert counting.count == before

    async def test_one_token_many_times_at_once(self, service: Service) -> None:
        await service.accounts.user()
        await service.client.post("/auth/forgot-password", json={"email": ANNA})
        token, before = service.token(LetterKind.RESET_PASSWORD), counting.count
        statuses = await asyncio.gather(*(self.reset(service, token) for _ in range(12)))
        assert statuses.count(200) == 1
        assert set(statuses) <= {200, 400, 429}
        assert counting.count <= before + 3

    async def test_changing_the_password_uses_none_up(self, service: Service) -> None:
        """Whoever knows the password cannot keep its owner from a reset."""
        await service.accounts.user()
        me = await service.sign_in(ANNA, PASSWORD)
        body = {"current_password": PASSWORD, "new_password": PASSWORD}
        answers = [await service.client.post("/auth/change-password", json=body, headers=me) for _ in range(4)]
        assert [answer.status_code for answer in answers] == [204, 204, 204, 429]
        await service.client.post("/auth/forgot-password", json={"email": ANNA})
        assert await self.reset(service, service.token(LetterKind.RESET_PASSWORD)) == 200
