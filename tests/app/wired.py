"""The service in this process on a database of the test's choice, wired as in production, and what it asks for."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, NamedTuple

import httpx2
import pytest
from sqlalchemy import event
from sqlalchemy.ext.asyncio import AsyncEngine

from app import db
from app.app import app
from app.core.settings import Settings, settings
from app.models import User
from app.users import UserManager, auth_backend, cookie_backend
from fastapi_users_sqlmodel import SQLAlchemyUserDatabase, testing
from fastapi_users_sqlmodel.engines import autocommit_options
from tests.app.conftest import BASE_URL

# They begin and end a transaction, and ask for nothing.
CONTROL = ("BEGIN", "SAVEPOINT", "RELEASE", "ROLLBACK", "COMMIT")


class Statement(NamedTuple):
    """What was sent to a database, as its driver got it."""

    text: str
    parameters: Any


@contextmanager
def wired(url: str) -> Iterator[AsyncEngine]:
    """Let the service's own dependency and sessions work on this database, and yield the engine under all of them.

    What reads holds no transaction, and what writes is committed.
    """
    database_url = Settings(database_url=url).database_url
    engine = db.create_app_engine(settings.model_copy(update={"database_url": database_url}))
    autocommit_engine = engine.execution_options(**autocommit_options(engine.sync_engine))
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(db, "engine", engine)
        patch.setattr(db, "autocommit_engine", autocommit_engine)
        patch.setitem(db.async_session_maker.kw, "bind", engine)
        patch.setitem(db.autocommit_session_maker.kw, "bind", autocommit_engine)
        yield engine


@contextmanager
def statements(engine: AsyncEngine) -> Iterator[list[Statement]]:
    """Yield a list of what is asked for through this engine, and through those that are this one with options."""
    sent: list[Statement] = []

    def note(_connection: Any, _cursor: Any, text: str, parameters: Any, *_rest: Any) -> None:
        if not text.startswith(CONTROL):
            sent.append(Statement(text, parameters))

    event.listen(engine.sync_engine, "before_cursor_execute", note)
    try:
        yield sent
    finally:
        event.remove(engine.sync_engine, "before_cursor_execute", note)


async def client_of(user: User | None, *, transport: str = "bearer") -> httpx2.AsyncClient:
    """Make a client of the service that is signed in as a user, or is nobody, and comes from its own pages."""
    headers = {"Sec-Fetch-Site": "same-origin"}
    if user is not None:
        backend: Any = cookie_backend if transport == "cookie" else auth_backend
        async with db.async_session_maker() as session:
            manager = UserManager(SQLAlchemyUserDatabase(session, User), session)
            headers |= await testing.as_user(user, backend, backend.strategy(manager))
    return httpx2.AsyncClient(transport=httpx2.ASGITransport(app), base_url=BASE_URL, headers=headers)


def next_page(response: httpx2.Response) -> str | None:
    """Return where the Link header leads, if there is one."""
    link = response.headers.get("link")
    return link.partition(">")[0].removeprefix("<") if link is not None else None
