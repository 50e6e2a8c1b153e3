"""Commands for the people who run the service: python -m app.cli --help."""

import asyncio
import json
import logging
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated, NoReturn

import typer
from rich.console import Console
from sqlalchemy.exc import InterfaceError, OperationalError

from app import db
from app.core.settings import settings
from app.models import Base, User
from app.sample_data import fill
from fastapi_users_sqlmodel import model_problems, unique_violation

app = typer.Typer(no_args_is_help=True, add_completion=False, pretty_exceptions_enable=False)
console = Console(stderr=True)

SamplePassword = Annotated[
    str | None,
    typer.Option("--password", envvar="SAMPLE_PASSWORD", help="One password for all sample users, new and old."),
]


def _fail(sentence: str) -> NoReturn:
    typer.echo(sentence, err=True)
    raise typer.Exit(1)


@contextmanager
def _one_clear_sentence() -> Iterator[None]:
    """Say in one sentence that the database does not answer; what else goes wrong keeps its traceback."""
    try:
        yield
    except (OperationalError, InterfaceError, OSError) as error:
        _fail(db.explain(error))


async def _at_head() -> bool:
    async with db.read_engine.connect() as connection:
        return await connection.run_sync(db.is_at_head)


async def _upgrade() -> None:
    async with db.engine.connect() as connection:
        await connection.run_sync(db.upgrade)


async def _prepare(*, migrate: bool) -> bool:
    """Bring the schema to head if that is ours to do, and tell whether it is there; closes the engine's connections."""
    try:
        if not await _at_head():
            if not migrate:
                return False
            with console.status("Bringing the database to head …"):
                await _upgrade()
        return True
    finally:
        # The connections belong to this event loop, and the server will have one of its own.
        await db.engine.dispose()


def _require_schema(*, migrate: bool) -> None:
    with _one_clear_sentence():
        ready = asyncio.run(_prepare(migrate=migrate))
    if not ready:
        url = settings.database.render_as_string(hide_password=True)
        _fail(f"The schema of {url} is behind: run `alembic upgrade head`.")


@app.command()
def serve(
    *,
    with_sample_data: Annotated[bool, typer.Option("--sample-data", help="Create the sample data first.")] = False,
    password: SamplePassword = None,
) -> None:
    """Serve on HOST and PORT; an embedded SQLite database is brought to head first."""
    import uvicorn

    if not settings.in_memory:
        _require_schema(migrate=settings.embedded)
    if with_sample_data:
        if settings.in_memory:
            _fail("An in-memory database is filled by nobody but its server: use a file for sample data.")
        sample_data(password=password)
    uvicorn.run(
        "app.app:app",
        host=settings.host,
        port=settings.port,
        workers=settings.workers,
        log_config=None,
        log_level=settings.log_level.lower(),
        timeout_graceful_shutdown=10,
        h11_max_incomplete_event_size=64 * 1024,
    )


@app.command(name="sample-data")
def sample_data(*, password: SamplePassword = None) -> None:
    """Create the sample data, or what is missing of it; the passwords are printed once and kept nowhere."""
    if settings.environment == "production":
        _fail("The sample data is no data for production.")
    if password is not None:
        _check_password(password)
    make_session = db.sync_session_maker()
    _require_schema(migrate=settings.embedded)
    with _one_clear_sentence(), make_session() as session, session.begin():
        with console.status("Creating the sample data …"):
            filled = fill(session, password=password)
        # Before the commit: a password that nobody could read would be lost.
        if password is None:
            for email, made in filled.passwords.items():
                typer.echo(f"{email}  {made}")
        sys.stdout.flush()
    typer.echo("The sample data is there." if filled.passwords else "The sample data was there already.", err=True)


@app.command(name="create-superuser")
def create_superuser(
    email: Annotated[str, typer.Option(prompt="E-mail")],
    *,
    password: Annotated[
        str, typer.Option(envvar="SUPERUSER_PASSWORD", prompt="Password", hide_input=True, confirmation_prompt=True)
    ],
    username: Annotated[str | None, typer.Option(help="A name to sign in with.")] = None,
) -> None:
    """Create a verified superuser."""
    from pydantic import TypeAdapter, ValidationError
    from sqlalchemy.exc import IntegrityError

    from app.schemas.base import Email, Username
    from app.users import password_helper

    try:
        email = TypeAdapter(Email).validate_python(email)
        username = TypeAdapter(Username | None).validate_python(username)
    except ValidationError as error:
        _fail(error.errors()[0]["msg"])
    _check_password(password)
    make_session = db.sync_session_maker()
    _require_schema(migrate=settings.embedded)
    user = User(email=email, username=username, hashed_password=password_helper.hash(password))
    user.is_superuser = user.is_verified = True
    try:
        with _one_clear_sentence(), make_session() as session, session.begin():
            session.add(user)
    except IntegrityError as error:
        if unique_violation(error, User.__table__):  # type: ignore[arg-type]  # A table, for a mapped class
            _fail("This e-mail address or username belongs to a user already.")
        raise
    typer.echo(f"{email} is a superuser now.")


@app.command()
def check() -> None:
    """Check the settings, the models and the database, and say everything that is wrong."""
    wrong = model_problems(Base)
    if not settings.in_memory:
        try:
            if not asyncio.run(_prepare(migrate=False)):
                wrong.append("the schema is behind: run `alembic upgrade head`")
        except (OperationalError, InterfaceError, OSError) as error:
            wrong.append(db.explain(error))
    if wrong:
        _fail("\n".join(wrong))
    typer.echo("All is well.")


@app.command()
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


def _check_password(password: str) -> None:
    from app.users import password_problem

    if problem := password_problem(password):
        _fail(problem)


if __name__ == "__main__":
    logging.basicConfig(level=settings.log_level)
    app()
