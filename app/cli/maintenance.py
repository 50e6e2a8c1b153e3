"""Commands that look after the service: purge, check and openapi."""

import asyncio
import json
import sys
from itertools import islice
from pathlib import Path
from typing import Annotated

import typer
from sqlalchemy import Connection

from app import db
from app.cli.database import BEHIND, DatabaseProblem, ask_database, one_clear_sentence, require_schema
from app.cli.program import fail, program
from app.core.settings import settings
from app.models import Base, User
from app.users import WRITTEN, UserManager
from fastapi_users_sqlmodel import model_problems, stale_emails


@program.command()
def purge() -> None:
    """Delete sessions and tokens that have expired, and audit events older than AUDIT_RETENTION_DAYS."""
    from app.services import purge

    async def run() -> int:
        try:
            return await purge.purge(db.async_session_maker)
        finally:
            await db.engine.dispose()

    if settings.in_memory:
        fail("A database in memory is its server's alone, which purges it by itself.")
    require_schema()
    with one_clear_sentence():
        deleted = asyncio.run(run())
    typer.echo(f"Deleted rows: {deleted}.")


@program.command()
def check() -> None:
    """Check the settings, the models and the database, and say everything that is wrong."""
    wrong = model_problems(Base, schemas=WRITTEN, managers={User: UserManager})
    if not settings.in_memory:
        try:
            if ask_database(db.is_at_head):
                wrong += ask_database(_stale_emails)
            else:
                wrong.append(BEHIND.format(settings.shown_database))
        except DatabaseProblem as problem:
            wrong.append(str(problem))
    if wrong:
        fail("\n".join(wrong))
    typer.echo("All is well.")


def _stale_emails(connection: Connection) -> list[str]:
    found = list(islice(stale_emails(connection, User), 21))
    lines = [
        f"User {each.user_id} cannot sign in with the own e-mail address: its email_canonical is another one's. "
        "Assign the address again, or set email_canonical to canonical_email(email)."
        for each in found[:20]
    ]
    return [*lines, "There are more such users."] if len(found) > len(lines) else lines


@program.command()
def openapi(
    output: Annotated[Path | None, typer.Option(help="Where to write it; standard output if not given.")] = None,
) -> None:
    """Write the OpenAPI description of the service as JSON."""
    from app.app import app as service

    text = json.dumps(service.openapi(), indent=2, ensure_ascii=False) + "\n"
    if output is None:
        sys.stdout.write(text)
    else:
        output.write_text(text)
