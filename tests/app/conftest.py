"""The service on both databases: each test on one connection, in a transaction that is rolled back."""

import uuid
from collections.abc import AsyncIterator, Iterator, Mapping
from contextlib import ExitStack
from socket import socket
from typing import Any, NamedTuple

import httpx2
import pytest
from fastapi_users.authentication import Strategy
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine, async_sessionmaker
from sqlmodel.ext.asyncio.session import AsyncSession
from starlette.requests import HTTPConnection

from fastapi_users_sqlmodel import SQLAlchemyUserDatabase, testing
from tests.postgres import postgres_database
from tests.programs import Programs, open_programs

# Neither `.env` nor the developer's environment decides what is tested; and nothing of this reaches other tests.
with pytest.MonkeyPatch.context() as environment:
    environment.setenv("ENVIRONMENT", "development")
    environment.setenv("DATABASE_URL", "sqlite://")
    environment.setenv("SECRET_KEY", "for tests alone, and as long as a secret key has to be")
    environment.setenv("PUBLIC_URL", "http://localhost:8000")
    environment.setenv("ALLOWED_ORIGINS", "https://app.example.com")
    environment.setenv("ACCESS_TOKEN_LIFETIME", "3600")
    # What is limited has tests of its own; in all others, everybody comes from one address.
    environment.setenv("THROTTLING", "off")

    from app import db
    from app.app import app
    from app.core.settings import settings
    from app.mail.console import Console
    from app.models import User, UserGroup
    from app.services.dispatcher import deliver_all
    from app.users import UserManager, auth_backend, password_helper
    from tests.app.databases import migrated
    from tests.app.fixture_types import AsUser, Connect, CreateGroup, CreateUser, From, GetSession, Letter, Letters

BASE_URL = "http://localhost:8000"
PASSWORD = "correct horse battery staple"


def strategy(session: AsyncSession) -> Strategy[User, uuid.UUID]:
    """Return what signs in without a password."""
    return auth_backend.strategy(UserManager(SQLAlchemyUserDatabase(session, User), session))


def form(username: str, password: str = PASSWORD) -> dict[str, str]:
    """Return the form that signs in."""
    return {"username": username, "password": password}


def session_on(connection: AsyncConnection, **options: Any) -> AsyncSession:
    """Make a session that works in savepoints of a connection's transaction, which the test rolls back."""
    return AsyncSession(connection, expire_on_commit=False, join_transaction_mode="create_savepoint", **options)


@pytest.fixture(scope="session", params=["sqlite", "postgresql"])
def service_url(request: pytest.FixtureRequest) -> Iterator[str]:
    """Of the database of the service's tests."""
    with ExitStack() as databases:
        if request.param == "sqlite":
            yield "sqlite+aiosqlite://"
        else:
            # Asked for here and not in the signature, so that a run on SQLite alone starts no server.
            url = databases.enter_context(postgres_database(request.getfixturevalue("postgres_url")))
            yield url.replace("postgresql://", "postgresql+asyncpg://")


class Ground(NamedTuple):
    """What real services are started on: their programs, and a database at head; `env` has our key."""

    programs: Programs
    database_url: str
    env: Mapping[str, str]


@pytest.fixture(scope="module", params=["sqlite", "postgresql"])
def ground(
    request: pytest.FixtureRequest, interpreter: socket, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Ground]:
    folder = tmp_path_factory.mktemp("ground")
    with ExitStack() as opened:
        if request.param == "sqlite":
            url = f"sqlite:///{folder}/test.db"
        else:
            url = opened.enter_context(postgres_database(request.getfixturevalue("postgres_url")))
        programs = opened.enter_context(open_programs(interpreter, folder / "programs"))
        # The same key as here, so that nobody needs to sign in first.
        env = {"SECRET_KEY": settings.secret_key.get_secret_value(), "LOG_LEVEL": "WARNING"}
        yield Ground(programs, migrated(url), env)


@pytest.fixture(scope="session")
async def engine(service_url: str) -> AsyncIterator[AsyncEngine]:
    """Return the engine of the service on a database that its migrations have made."""
    engine = db.create_app_engine(settings.model_copy(update={"database_url": service_url}))
    async with engine.begin() as connection:
        await connection.run_sync(db.upgrade)
    yield engine
    await engine.dispose()


@pytest.fixture
async def connection(engine: AsyncEngine) -> AsyncIterator[AsyncConnection]:
    """Return the connection of the test; whatever happens on it is rolled back."""
    async with engine.connect() as connection, connection.begin() as transaction:
        yield connection
        await transaction.rollback()


@pytest.fixture
async def session(connection: AsyncConnection) -> AsyncIterator[AsyncSession]:
    """Return the test's own session, beside those of the requests."""
    async with session_on(connection) as session:
        yield session


@pytest.fixture
def get_test_session(connection: AsyncConnection) -> GetSession:
    """Return what `app.db.get_async_session` is for the test: the same, on the test's connection."""

    async def get_session(request: HTTPConnection) -> AsyncIterator[AsyncSession]:
        if db.is_autocommit(request):
            async with session_on(connection, sync_session_class=db.AutocommitSession) as session:
                yield session
                await session.commit()
            return
        async with session_on(connection) as session:
            await session.begin()
            yield session
            await session.commit()

    return get_session


@pytest.fixture
def connect(get_test_session: GetSession) -> Iterator[Connect]:
    # An exception is the client's 500, as it would be outside; and nothing is opened that would have to be closed.
    transport = httpx2.ASGITransport(app, raise_app_exceptions=False)
    overrides = dict(app.dependency_overrides)
    app.dependency_overrides[db.get_async_session] = get_test_session
    hooks = {"response": [_refuse_hashes]}
    yield lambda **headers: httpx2.AsyncClient(
        transport=transport, base_url=BASE_URL, headers=headers, event_hooks=hooks
    )
    app.dependency_overrides = overrides


async def _refuse_hashes(response: httpx2.Response) -> None:
    # Of all the answers that the tests see, not one shows the hash of a password.
    await response.aread()
    assert b"$argon2" not in response.content
    assert b"$2b$" not in response.content


@pytest.fixture
def client(connect: Connect) -> httpx2.AsyncClient:
    """Return a client that is nobody."""
    return connect()


@pytest.fixture
def from_network(connect: Connect) -> From:
    """Return a function that makes a client in a network, with headers."""

    def make(address: str, **headers: str) -> httpx2.AsyncClient:
        transport = httpx2.ASGITransport(app, client=(address, 4711))
        return httpx2.AsyncClient(transport=transport, base_url=BASE_URL, headers=headers)

    return make


@pytest.fixture
def as_user(connect: Connect, session: AsyncSession) -> AsUser:
    async def sign_in(user: User, /) -> httpx2.AsyncClient:
        # As they are now: only who knows the present password signs in.
        await session.refresh(user)
        return connect(**await testing.as_user(user, auth_backend, strategy(session)))

    return sign_in


@pytest.fixture(scope="session", autouse=True)
def refused_at_once() -> Iterator[None]:
    """Let nobody wait to be refused: that has tests of its own, and services in other processes do wait."""

    async def wait_for_nothing(*_: object) -> None:
        pass

    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(password_helper.hasher, "wait_to_refuse", wait_for_nothing)
        yield


@pytest.fixture(scope="session")
def hashed_password() -> str:
    """Return the hash of PASSWORD, made once for the run."""
    return password_helper.hash(PASSWORD)


@pytest.fixture
def create_user(session: AsyncSession, hashed_password: str) -> CreateUser:
    async def create(name: str, /, **columns: Any) -> User:
        user = User(**{"email": f"{name}@example.com", "hashed_password": hashed_password, **columns})
        session.add(user)
        await session.commit()
        return user

    return create


@pytest.fixture
def create_group(session: AsyncSession) -> CreateGroup:
    async def create(name: str, /, *members: User, is_public: bool = False) -> UserGroup:
        group = UserGroup(name=name, is_public=is_public)
        session.add(group)
        await session.flush()
        for member in members:
            member.group_id = group.id
        await session.commit()
        return group

    return create


@pytest.fixture
def letters(connection: AsyncConnection, capsys: pytest.CaptureFixture[str]) -> Letters:
    """Return a function that lets the mail leave, and hands over what has left since it was called last."""
    session_maker = async_sessionmaker(
        connection, class_=AsyncSession, expire_on_commit=False, join_transaction_mode="create_savepoint"
    )

    async def empty_the_box() -> list[Letter]:
        await deliver_all(session_maker, Console())
        _, *printed = capsys.readouterr().out.split("\nTo: ")
        found = []
        for letter in printed:
            head, text = letter.split("\n\n", 1)
            to, subject = head.split("\nSubject: ")
            found.append(Letter(to, subject, text.strip()))
        return found

    return empty_the_box


@pytest.fixture
async def superuser(create_user: CreateUser) -> User:
    return await create_user("superuser", username="superuser", is_superuser=True, is_verified=True)


@pytest.fixture
async def owner(create_user: CreateUser) -> User:
    return await create_user("owner", username="owner", name="The Owner")


@pytest.fixture
async def stranger(create_user: CreateUser) -> User:
    return await create_user("stranger", username="stranger", name="A Stranger")
