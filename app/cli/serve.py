"""Serve, on the database as it is or after filling it."""

import asyncio
import socket
from contextlib import suppress
from typing import Annotated, Any

import typer
import uvicorn

from app import db
from app.cli.accounts import SamplePassword, fill_and_print, require_sample_data_allowed, sample_data
from app.cli.database import require_schema
from app.cli.program import fail, program
from app.core.settings import settings


@program.command()
def serve(
    *,
    with_sample_data: Annotated[bool, typer.Option("--sample-data", help="Create the sample data first.")] = False,
    password: SamplePassword = None,
) -> None:
    """Serve on HOST and PORT; an embedded SQLite database is brought to head first."""
    _require_free_port()
    options: dict[str, Any] = {
        "host": settings.host,
        "port": settings.port,
        "workers": settings.processes,
        "log_config": None,
        "log_level": settings.log_level.lower(),
        # uvicorn formats an access line even if the level drops it.
        "access_log": settings.log_level in {"DEBUG", "INFO"},
        # TRUSTED_PROXIES decides, and FORWARDED_ALLOW_IPS is ignored.
        "proxy_headers": False,
        "timeout_graceful_shutdown": 10,
        "h11_max_incomplete_event_size": 64 * 1024,
    }
    if settings.in_memory and with_sample_data:
        require_sample_data_allowed(password)
        with suppress(KeyboardInterrupt):
            asyncio.run(_fill_and_serve(uvicorn.Server(uvicorn.Config("app.app:app", **options)), password))
        return
    if with_sample_data:
        sample_data(password=password)
    elif not settings.in_memory:
        require_schema()
    uvicorn.run("app.app:app", **options)


async def _fill_and_serve(server: uvicorn.Server, password: str | None) -> None:
    """Fill a database in memory and serve it, in one event loop: its one connection lives there."""
    async with db.engine.connect() as connection:
        await connection.run_sync(db.upgrade)
    async with db.async_session_maker() as session, session.begin():
        await fill_and_print(session, password)
    await server.serve()
    if not server.started:
        raise typer.Exit(1)


def _require_free_port() -> None:
    """End with a sentence if the port is taken; uvicorn would log it after the database has been changed."""
    family = socket.AF_INET6 if ":" in settings.host else socket.AF_INET
    try:
        socket.create_server((settings.host, settings.port), family=family).close()
    except OSError as error:
        # The rest repeats the address.
        reason = str(error.strerror).partition(" (while")[0]
        fail(f"Nobody can listen on {settings.host}, port {settings.port}: {reason}.")
