"""FastAPI Users' example with what it has no settings for, from the environment; not a line of it is changed.

DATABASE_URL is its database. LIMITS is `off`, or the Redis in which several processes count; without it they stay as
they are. NOTES is a folder in which every verification of a password is noted; while a file `hold` is in it, none goes
on.
"""

import os
import time
from collections.abc import AsyncIterator
from functools import cached_property
from pathlib import Path
from typing import Annotated, Any

from fastapi import Depends
from pwdlib import PasswordHash
from pwdlib.hashers.argon2 import Argon2Hasher
from sqlalchemy.ext.asyncio import create_async_engine

from examples.fastapi_users_documentation import db, users
from examples.fastapi_users_documentation.app import app
from fastapi_users_sqlmodel import PasswordHasher, PasswordHelper, Throttle
from fastapi_users_sqlmodel.engines import async_url
from fastapi_users_sqlmodel.passwords import Verified
from fastapi_users_sqlmodel.throttling import _redis

__all__ = ["app"]

NOTES = Path(os.environ["NOTES"])


def note(name: str) -> None:
    """Add a line, which processes may do at the same time."""
    with (NOTES / name).open("a") as notes:
        notes.write(f"{os.getpid()}\n")


class NotedHasher(PasswordHasher):
    async def verify(self, password: str, hashed_password: str | None) -> Verified:
        note("asked")
        return await super().verify(password, hashed_password)


class NotedHelper(PasswordHelper):
    def verify(self, password: str, hashed_password: str | None) -> Verified:
        note("computed")
        while (NOTES / "hold").exists():
            time.sleep(0.01)
        return super().verify(password, hashed_password)

    @cached_property
    def hasher(self) -> PasswordHasher:
        return NotedHasher(self)


# Cheap to compute: how many are computed is what matters here, and not how long that takes.
password_helper = NotedHelper(PasswordHash((Argon2Hasher(time_cost=1, memory_cost=8, parallelism=1),)))


async def get_user_manager(user_db: Annotated[Any, Depends(db.get_user_db)]) -> AsyncIterator[users.UserManager]:
    yield users.UserManager(user_db, password_helper)


app.dependency_overrides[users.get_user_manager] = get_user_manager

db.engine = create_async_engine(async_url(os.environ["DATABASE_URL"]))
db.async_session_maker.configure(bind=db.engine)

match os.environ.get("LIMITS"):
    case None:
        pass
    case "off":
        users.UserManager.throttle = None
    case redis_url:
        # A machine that is busy with other tests is not an outage.
        _redis._ANSWERS_WITHIN = 60  # noqa: SLF001
        users.UserManager.throttle = Throttle(redis_url)
