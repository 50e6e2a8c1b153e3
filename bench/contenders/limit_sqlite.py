"""The limit of what reads on SQLite: by hand, on the standard library's driver, in the event loop's own thread.

It answers the same bytes as the service and makes the same checks; who writes meanwhile would hold it up.
"""

import sqlite3
import uuid
from contextlib import closing
from datetime import UTC, datetime
from typing import Any

import uvicorn
from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import JSONResponse
from starlette.routing import Route

from app.core.settings import settings
from bench.contenders.limit import MEMBERS_AFTER, MEMBERS_FROM, POST, VIEWER, page_of, paged
from bench.contenders.limit_tokens import read_access, unauthorized


class Database:
    """The file, asked in the statements of the limit, whose `$1` SQLite knows as a name."""

    def __init__(self, connection: sqlite3.Connection) -> None:
        self._connection = connection
        connection.row_factory = sqlite3.Row
        connection.execute("PRAGMA busy_timeout = 5000")

    def fetch(self, sql: str, *values: Any) -> list[Any]:
        """Read rows."""
        named = {str(number): _as_stored(value) for number, value in enumerate(values, 1)}
        return self._connection.execute(sql, named).fetchall()

    def fetchrow(self, sql: str, *values: Any) -> Any:
        """Read a row, if there is one."""
        return next(iter(self.fetch(sql, *values)), None)


def _as_stored(value: Any) -> Any:
    if isinstance(value, uuid.UUID):
        return value.hex
    return value.replace(tzinfo=None).isoformat(" ") if isinstance(value, datetime) else value


def _uuid(digits: str) -> str:
    return f"{digits[:8]}-{digits[8:12]}-{digits[12:16]}-{digits[16:20]}-{digits[20:]}"


def _in_utc(moment: str) -> str:
    # The service leaves out the fraction of a second that is none.
    return f"{moment.replace(' ', 'T').removesuffix('.000000')}Z"


def read_viewer(request: Request) -> Any:
    """Read who asks, if the session lives.

    Raises:
        HTTPException: It does not.
    """
    viewer = request.app.state.database.fetchrow(VIEWER, *read_access(request), datetime.now(UTC))
    if viewer is None:
        raise unauthorized()
    return viewer


async def read_me(request: Request) -> JSONResponse:
    """GET /users/me."""
    user = dict(read_viewer(request))
    flags = {name: bool(value) for name, value in user.items() if name.startswith("is_")}
    times = {name: _in_utc(user[name]) for name in ("created_at", "updated_at")}
    return JSONResponse({**user, **flags, **times, "id": _uuid(user["id"])})


async def list_members(request: Request) -> JSONResponse:
    """GET /user-groups/{id}/users, for members: whoever is in a group need not be told that it exists."""
    group_id, (limit, skip, after) = request.path_params["group_id"], page_of(request)
    database: Database = request.app.state.database
    if read_viewer(request)["group_id"] != group_id:
        raise HTTPException(404, "USER_GROUP_NOT_FOUND")
    if after is not None:
        rows = database.fetch(MEMBERS_AFTER, group_id, uuid.UUID(after), limit + 1)
    else:
        rows = database.fetch(MEMBERS_FROM, group_id, limit + 1, skip)
    shown = [
        {"id": _uuid(row["id"]), "name": row["name"], "username": row["username"], "email": row["email"]}
        for row in rows[:limit]
    ]
    return paged(request, rows, limit, shown)


async def read_post(request: Request) -> JSONResponse:
    """GET /posts/{id}."""
    row = request.app.state.database.fetchrow(POST, request.path_params["post_id"])
    if row is None:
        raise HTTPException(404, "POST_NOT_FOUND")
    return JSONResponse({**dict(row), "author_id": _uuid(row["author_id"]), "created_at": _in_utc(row["created_at"])})


app = Starlette(
    routes=[
        Route("/users/me", read_me),
        Route("/user-groups/{group_id:int}/users", list_members),
        Route("/posts/{post_id:int}", read_post),
    ]
)

if __name__ == "__main__":
    with closing(sqlite3.connect(settings.database.database or "", isolation_level=None)) as connection:
        app.state.database = Database(connection)
        uvicorn.run(app, port=settings.port, log_config=None, log_level="error", access_log=False, proxy_headers=False)
