"""What the database refuses is an answer that names the field, and never a 500."""

import json
import uuid
from collections.abc import AsyncIterator
from typing import Any

import pytest
from fastapi import FastAPI
from fastapi_users.authentication import AuthenticationBackend, BearerTransport, JWTStrategy
from fastapi_users.exceptions import UserAlreadyExists
from httpx2 import ASGITransport, AsyncClient, Response
from sqlalchemy import (
    CheckConstraint,
    ForeignKey,
    Index,
    String,
    Text,
    UniqueConstraint,
    create_engine,
    func,
    select,
)
from sqlalchemy.dialects.postgresql import ExcludeConstraint
from sqlalchemy.ext.asyncio import AsyncSession, create_async_engine
from sqlalchemy.orm import DeclarativeBase, Mapped, mapped_column, relationship
from sqlmodel import col

from fastapi_users_sqlmodel import (
    FastAPIUsers,
    SQLAlchemyBaseOAuthAccountTableUUID,
    SQLAlchemyBaseUserTableUUID,
    SQLAlchemyUserDatabase,
    schemas,
)
from fastapi_users_sqlmodel.engines import async_url, prepare_sqlite, sync_url
from fastapi_users_sqlmodel.exceptions import FieldsNotAllowed, ValueAlreadyExists, ValueRefused
from tests.library.accounts import HASH, PASSWORD, Manager
from tests.library.stores import new_account

# Sent as ASCII, in which a lone surrogate can be written.
JSON = {"content-type": "application/json"}
ANNA, BERTA, ROOT = "anna@example.com", "berta@example.com", "root@example.com"
FIELDS = {"phone", "street", "town", "age", "team_id", "nickname", "code", "biography", "shoe_size", "seat"}


class Base(DeclarativeBase):
    pass


class Team(Base):
    __tablename__ = "team"
    id: Mapped[int] = mapped_column(primary_key=True)


class OAuthAccount(SQLAlchemyBaseOAuthAccountTableUUID, Base):
    pass


class User(SQLAlchemyBaseUserTableUUID, Base):
    phone: Mapped[str | None] = mapped_column("telephone", String(20), unique=True)
    street: Mapped[str | None] = mapped_column(String(20))
    town: Mapped[str | None] = mapped_column(String(20))
    code: Mapped[str | None] = mapped_column(String(20))
    age: Mapped[int | None]
    team_id: Mapped[int | None] = mapped_column(ForeignKey("team.id"))
    nickname: Mapped[str] = mapped_column(String(20))
    seat: Mapped[int | None]
    biography: Mapped[str | None] = mapped_column(Text, deferred=True)
    # FastAPI Users' documentation says so.
    oauth_accounts: Mapped[list[OAuthAccount]] = relationship("OAuthAccount", lazy="joined")
    __table_args__ = (
        UniqueConstraint("street", "town"),
        CheckConstraint("age > 0 AND age < 200", name="right_age"),
        CheckConstraint("length(town) > 1"),
        ExcludeConstraint(("seat", "="), using="btree", name="one_seat").ddl_if(dialect="postgresql"),
    )


Index("ix_user_code", func.lower(User.code), unique=True)


class UserManager(Manager):
    registration_fields = Manager.registration_fields | FIELDS
    own_fields = Manager.own_fields | FIELDS
    superuser_fields = Manager.superuser_fields | FIELDS


class ConcealingManager(UserManager):
    conceal_accounts = True


class Fields(schemas.CreateUpdateDictModel):
    phone: str | None = None
    street: str | None = None
    town: str | None = None
    code: str | None = None
    age: int | None = None
    team_id: int | None = None
    nickname: str | None = None
    biography: str | None = None
    shoe_size: int | None = None
    seat: int | None = None


class UserRead(schemas.BaseUser[uuid.UUID], schemas.BaseOAuthAccountMixin):
    phone: str | None


class UserCreate(Fields, schemas.BaseUserCreate):
    pass


class UserUpdate(Fields, schemas.BaseUserUpdate):
    pass


class House:
    """An app, a client of it, and its sessions."""

    def __init__(self, url: str) -> None:
        self.engine = create_async_engine(async_url(url))
        prepare_sqlite(self.engine)
        self.manager: type[UserManager] = UserManager
        backend = AuthenticationBackend[Any, Any]("jwt", BearerTransport("x"), self._strategy)
        users = FastAPIUsers[Any, Any](self._get_user_manager, [backend])
        self.app = FastAPI()
        self.app.include_router(users.get_auth_router(backend), prefix="/auth")
        self.app.include_router(users.get_register_router(UserRead, UserCreate), prefix="/auth")
        self.app.include_router(users.get_users_router(UserRead, UserUpdate), prefix="/users")
        self.client = AsyncClient(transport=ASGITransport(self.app), base_url="https://example.com")

    def session(self) -> AsyncSession:
        return AsyncSession(self.engine, expire_on_commit=False)

    async def _get_user_manager(self) -> AsyncIterator[UserManager]:
        async with self.session() as session:
            yield self.manager(SQLAlchemyUserDatabase(session, User, OAuthAccount))

    @staticmethod
    def _strategy() -> JWTStrategy[Any, Any]:
        return JWTStrategy("0123456789abcdefghijklmnopqrstuvwxyz", lifetime_seconds=3600)

    async def add(self, email: str, **columns: Any) -> User:
        async with self.session() as session:
            user = User(email=email, hashed_password=HASH, nickname="x", **columns)
            session.add(user)
            await session.commit()
            return user

    async def register(self, email: str = BERTA, **fields: Any) -> Response:
        body = {"email": email, "password": PASSWORD, "nickname": "x", **fields}
        return await self.client.post("/auth/register", content=json.dumps(body), headers=JSON)

    async def patch(self, path: str, who: str, **fields: Any) -> Response:
        answer = await self.client.post("/auth/login", data={"username": who, "password": PASSWORD})
        headers = {"authorization": f"Bearer {answer.json()['access_token']}"}
        return await self.client.patch(f"/users/{path}", content=json.dumps(fields), headers=headers | JSON)

    async def count(self) -> int:
        async with self.session() as session:
            return await session.scalar(select(func.count()).select_from(User)) or 0


@pytest.fixture
async def house(database_url: str) -> AsyncIterator[House]:
    outside = create_engine(sync_url(database_url))
    Base.metadata.create_all(outside)
    outside.dispose()
    house = House(database_url)
    async with house.client:
        yield house
    await house.engine.dispose()


TAKEN: list[tuple[dict[str, Any], str]] = [
    ({"phone": "1"}, "phone"),
    ({"street": "Elm", "town": "Springwood"}, "street, town"),
    ({"code": "ABC"}, "code"),
]
REFUSED: list[tuple[dict[str, Any], str, str]] = [
    ({"age": -1}, "age", "is refused by a constraint of the database"),
    ({"town": "X"}, "town", "is refused by a constraint of the database"),
    ({"team_id": 99}, "team_id", "points to nothing that is there"),
    ({"nickname": None}, "nickname", "cannot be null"),
    ({"shoe_size": 42}, "shoe_size", "is no attribute of User"),
    ({"age": 2**63}, "age", "is too long or out of range"),
    ({"age": -(2**63) - 1}, "age", "is too long or out of range"),
    ({"phone": "a\0b"}, "phone", "must not contain NUL or a lone surrogate"),
    ({"phone": "\ud800"}, "phone", "must not contain NUL or a lone surrogate"),
]
ON_POSTGRESQL: list[tuple[dict[str, Any], str, str]] = [
    ({"phone": "1" * 21}, "phone", "is too long or out of range"),
    ({"age": 2**40}, "age", "is too long or out of range"),
]
FIRST = {"phone": "1", "street": "Elm", "town": "Springwood", "code": "abc", "seat": 1}


def expected(field: str, reason: str) -> tuple[int, Any]:
    return 422, {"detail": [{"type": "value_error", "loc": ["body", field], "msg": reason}]}


def said(answer: Response) -> tuple[int, Any]:
    return answer.status_code, answer.json()


@pytest.mark.parametrize(("fields", "names"), TAKEN)
async def test_a_value_that_is_taken(house: House, fields: dict[str, Any], names: str) -> None:
    await house.add(ANNA, **FIRST)
    root = await house.add(ROOT, is_superuser=True)
    taken = {"code": "REGISTER_VALUE_ALREADY_EXISTS", "reason": f"already exists: {names}"}
    assert said(await house.register(**fields)) == (400, {"detail": taken})
    assert await house.count() == 2
    taken["code"] = "UPDATE_USER_VALUE_ALREADY_EXISTS"
    assert said(await house.patch("me", ROOT, **fields)) == (400, {"detail": taken})
    assert said(await house.patch(str(root.id), ROOT, **fields)) == (400, {"detail": taken})
    assert (await house.patch("me", ROOT, phone="2")).json()["phone"] == "2"


@pytest.mark.parametrize("database_url", ["postgresql"], indirect=True)
async def test_a_value_that_an_exclusion_constraint_refuses(house: House) -> None:
    await test_a_value_that_is_taken(house, {"seat": 1}, "seat")


@pytest.mark.parametrize(("fields", "field", "reason"), REFUSED)
async def test_a_value_that_is_refused(house: House, fields: dict[str, Any], field: str, reason: str) -> None:
    root = await house.add(ROOT, is_superuser=True)
    assert said(await house.register(**fields)) == expected(field, reason)
    assert await house.count() == 1
    assert said(await house.patch("me", ROOT, **fields)) == expected(field, reason)
    assert said(await house.patch(str(root.id), ROOT, **fields)) == expected(field, reason)
    assert (await house.register(phone="2")).status_code == 201


@pytest.mark.parametrize("database_url", ["postgresql"], indirect=True)
@pytest.mark.parametrize(("fields", "field", "reason"), ON_POSTGRESQL)
async def test_a_value_that_does_not_fit(house: House, fields: dict[str, Any], field: str, reason: str) -> None:
    await test_a_value_that_is_refused(house, fields, field, reason)


async def test_a_taken_address_tells_nothing(house: House) -> None:
    """Beside another value that is taken, the answer is the same for a free address and a taken one."""
    house.manager = ConcealingManager
    await house.add(ANNA, **FIRST)
    for fields, _ in TAKEN[:2]:
        answers = [said(await house.register(email, **fields)) for email in (ANNA, BERTA)]
        assert answers[0] == answers[1]
        assert answers[0][0] == 400
    assert said(await house.register(ANNA)) == said(await house.register(BERTA)) == (202, None)


async def test_the_codes_are_documented(house: House) -> None:
    paths = house.app.openapi()["paths"]
    for path, method, code in (
        ("/auth/register", "post", "REGISTER_VALUE_ALREADY_EXISTS"),
        ("/users/me", "patch", "UPDATE_USER_VALUE_ALREADY_EXISTS"),
        ("/users/{id}", "patch", "UPDATE_USER_VALUE_ALREADY_EXISTS"),
    ):
        examples = paths[path][method]["responses"]["400"]["content"]["application/json"]["examples"]
        assert examples[code]["value"] == {"detail": {"code": code, "reason": "already exists: phone"}}


class TestTheStore:
    async def test_a_value_that_is_taken(self, house: House) -> None:
        await house.add(ANNA, **FIRST)
        berta = await house.add(BERTA)
        async with house.session() as session:
            store = SQLAlchemyUserDatabase[User, uuid.UUID](session, User, OAuthAccount)
            with pytest.raises(ValueAlreadyExists) as taken:
                await store.create({"email": ROOT, "hashed_password": HASH, "nickname": "x", "phone": "1"})
            assert (taken.value.fields, taken.value.reason) == (("phone",), "already exists: phone")
            with pytest.raises(UserAlreadyExists):
                await store.create({"email": ANNA.upper(), "hashed_password": HASH, "nickname": "x"})
            with pytest.raises(ValueRefused) as refused:
                await store.update(berta, {"age": 300, "phone": "2"})
            assert refused.value.fields == ("age",)
            assert isinstance(refused.value, FieldsNotAllowed)
            assert (berta.age, berta.phone) == (None, None)
            await store.update(berta, {"phone": "2"})


async def test_a_deferred_column(house: House) -> None:
    anna = await house.add(ANNA, biography="short", is_superuser=True)
    for path in ("me", str(anna.id)):
        assert (await house.patch(path, ANNA, biography=f"long, {path}")).status_code == 200
        async with house.session() as session:
            statement = select(User.biography).where(col(User.email) == ANNA)
            assert await session.scalar(statement) == f"long, {path}"


class TestAccountsAtProviders:
    async def test_come_with_every_answer(self, house: House) -> None:
        registered = await house.register(ANNA)
        assert (registered.status_code, registered.json()["oauth_accounts"]) == (201, [])
        assert (await house.patch("me", ANNA, phone="7")).json()["oauth_accounts"] == []

    async def test_in_the_same_order_each_time(self, house: House) -> None:
        await house.add(ANNA)
        names = ["google", "apple", "microsoft", "github"]
        async with house.session() as session:
            store = SQLAlchemyUserDatabase[User, uuid.UUID](session, User, OAuthAccount)
            anna = await store.get_by_email(ANNA)
            assert anna is not None
            for name in names:
                anna = await store.add_oauth_account(anna, new_account(name))
            assert [account.oauth_name for account in anna.oauth_accounts] == sorted(names)

    async def test_without_a_table_nothing_is_written(self, house: House) -> None:
        await house.add(ANNA)
        async with house.session() as session:
            store = SQLAlchemyUserDatabase[User, uuid.UUID](session, User, OAuthAccount)
            anna = await store.get_by_email(ANNA)
            assert anna is not None
            anna = await store.add_oauth_account(anna, new_account())
            [account] = anna.oauth_accounts
            bare = SQLAlchemyUserDatabase[User, uuid.UUID](session, User)
            with pytest.raises(NotImplementedError, match="without a table of OAuth accounts"):
                await bare.update_oauth_account(anna, account, {"access_token": "new"})
        async with house.session() as session:
            assert await session.scalar(select(col(OAuthAccount.access_token))) == "secret"
