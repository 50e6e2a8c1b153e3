"""Commands for the people who run the service: python -m app.cli --help."""

import asyncio
import json
import socket
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from itertools import islice
from pathlib import Path
from typing import Annotated, Any, NoReturn

import typer
import uvicorn
from rich.console import Console
from sqlalchemy import Connection
from sqlalchemy.exc import DBAPIError, InterfaceError, OperationalError
from sqlmodel import Session

from app import db
from app.core.settings import settings
from app.models import Base, User
from app.sample_data import Filled, fill
from fastapi_users_sqlmodel import model_problems, stale_emails, unique_violation

app = typer.Typer(no_args_is_help=True, add_completion=False, pretty_exceptions_enable=False)
console = Console(stderr=True)

BEHIND = "The schema of {} is behind: run `alembic upgrade head`."

SamplePassword = Annotated[
    str | None,
    typer.Option("--password", envvar="SAMPLE_PASSWORD", help="One password for all sample users, new and old."),
]


def _fail(sentence: str) -> NoReturn:
    typer.echo(sentence, err=True)
    raise typer.Exit(1)


class DatabaseProblem(Exception):
    """The database cannot be used, or not yet; the message is a sentence for people."""


def run(command: Callable[..., None]) -> None:
    """Run one of the commands as a program of its own."""
    program = typer.Typer(add_completion=False, pretty_exceptions_enable=False)
    program.command()(command)
    program()


def _ask_database[T](question: Callable[[Connection], T]) -> T:
    """Return what a function says of a connection.

    Raises:
        DatabaseProblem: The database cannot be opened.
    """
    with _problem(DBAPIError, OSError):
        if not settings.embedded:
            # To serve, nobody needs a synchronous driver; so nobody needs one to ask.
            return asyncio.run(_ask_asynchronously(question))
        # Where a file cannot be opened, aiosqlite leaves a thread behind that complains when the event loop is closed.
        with db.sync_engine().connect() as connection:
            return question(connection)


async def _ask_asynchronously[T](question: Callable[[Connection], T]) -> T:
    try:
        async with db.read_engine.connect() as connection:
            return await connection.run_sync(question)
    finally:
        # The connections belong to this event loop, and the server will have one of its own.
        await db.engine.dispose()


@contextmanager
def _one_clear_sentence() -> Iterator[None]:
    """End with one sentence when the database does not do it; what else goes wrong keeps its traceback."""
    try:
        with _problem(OperationalError, InterfaceError):
            yield
    except DatabaseProblem as problem:
        _fail(str(problem))


@contextmanager
def _problem(*kinds: type[Exception]) -> Iterator[None]:
    try:
        yield
    except kinds as error:
        raise DatabaseProblem(db.explain(error)) from error


def _require_schema() -> None:
    """Bring the schema to head if that is ours to do, or end."""
    from alembic.util import CommandError

    with _one_clear_sentence():
        if _ask_database(db.is_at_head):
            return
        if not settings.embedded:
            raise DatabaseProblem(BEHIND.format(settings.shown_database))
        progress = console.status("Bringing the database to head …")
        with _problem(DBAPIError, CommandError), progress, db.sync_engine().connect() as connection:
            db.upgrade(connection)


@app.command()
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
        # A line that nobody gets need not be put together.
        "access_log": settings.log_level in {"DEBUG", "INFO"},
        # Whom to believe is TRUSTED_PROXIES' to say, and not that of FORWARDED_ALLOW_IPS as well.
        "proxy_headers": False,
        "timeout_graceful_shutdown": 10,
        "h11_max_incomplete_event_size": 64 * 1024,
    }
    if settings.in_memory and with_sample_data:
        _require_sample_data_allowed(password)
        with suppress(KeyboardInterrupt):
            asyncio.run(_fill_and_serve(uvicorn.Server(uvicorn.Config("app.app:app", **options)), password))
        return
    if with_sample_data:
        sample_data(password=password)
    elif not settings.in_memory:
        _require_schema()
    uvicorn.run("app.app:app", **options)


async def _fill_and_serve(server: uvicorn.Server, password: str | None) -> None:
    """Fill a database in memory and serve it, in one event loop: its one connection lives there."""
    async with db.engine.connect() as connection:
        await connection.run_sync(db.upgrade)
    async with db.async_session_maker() as session, session.begin():
        await session.run_sync(_fill_and_tell, password)  # type: ignore[arg-type]  # SQLModel's Session is in there
    await server.serve()
    if not server.started:
        raise typer.Exit(1)


def _require_free_port() -> None:
    """Say in a sentence what uvicorn would say in a log, and only after the database has been changed."""
    family = socket.AF_INET6 if ":" in settings.host else socket.AF_INET
    try:
        socket.create_server((settings.host, settings.port), family=family).close()
    except OSError as error:
        # What was told to the system is said already, in other words.
        reason = str(error.strerror).partition(" (while")[0]
        _fail(f"Nobody can listen on {settings.host}, port {settings.port}: {reason}.")


@app.command(name="sample-data")
def sample_data(*, password: SamplePassword = None) -> None:
    """Create the sample data, or what is missing of it; the passwords are printed once and kept nowhere."""
    _require_sample_data_allowed(password)
    make_session = db.sync_session_maker()
    _require_schema()
    with _one_clear_sentence(), make_session() as session, session.begin():
        filled = _fill_and_tell(session, password)
    typer.echo("The sample data is there." if filled.passwords else "The sample data was there already.", err=True)


def _require_sample_data_allowed(password: str | None) -> None:
    if settings.environment == "production":
        _fail("The sample data is no data for production.")
    if password is not None:
        _check_password(password)


def _fill_and_tell(session: Session, password: str | None) -> Filled:
    """Fill the database and print the passwords, before the commit: one that nobody could read would be lost."""
    with console.status("Creating the sample data …"):
        filled = fill(session, password=password)
    if password is None:
        for email, made in filled.passwords.items():
            typer.echo(f"{email}  {made}")
    sys.stdout.flush()
    return filled


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
    from sqlalchemy.exc import IntegrityError

    from app.models.fields import Username
    from app.users import password_helper
    from fastapi_users_sqlmodel import AuditEventKind, audit
    from fastapi_users_sqlmodel.schemas import Email
    from fastapi_users_sqlmodel.tables import account_tables

    email = _valid("e-mail", Email, email)
    username = _valid("username", Username | None, username)
    _check_password(password, known=(email, username))
    make_session = db.sync_session_maker()
    _require_schema()
    user = User(email=email, username=username, hashed_password=password_helper.hash(password))
    user.is_superuser = user.is_verified = True
    try:
        with _one_clear_sentence(), make_session() as session, session.begin():
            session.add(user)
            session.flush()
            audit.record(
                session.connection(),
                account_tables(User),
                AuditEventKind.REGISTER,
                audit.Origin(),
                user_id=user.id,
                email=email,
                details={"is_superuser": True},
            )
    except IntegrityError as error:
        if unique_violation(error, User.__table__):  # type: ignore[arg-type]  # A table, for a mapped class
            _fail("This e-mail address or username belongs to a user already.")
        raise
    typer.echo(f"{email} is a superuser now.")


@app.command()
def purge() -> None:
    """Delete sessions and tokens that have expired, and audit events older than AUDIT_RETENTION_DAYS."""
    from app.services import purge

    async def run() -> int:
        try:
            return await purge.purge(db.async_session_maker)
        finally:
            await db.engine.dispose()

    if settings.in_memory:
        _fail("A database in memory is its server's alone, which purges it by itself.")
    _require_schema()
    with _one_clear_sentence():
        deleted = asyncio.run(run())
    typer.echo(f"Deleted rows: {deleted}.")


@app.command()
def check() -> None:
    """Check the settings, the models and the database, and say everything that is wrong."""
    wrong = model_problems(Base)
    if not settings.in_memory:
        try:
            if _ask_database(db.is_at_head):
                wrong += _ask_database(_stale_emails)
            else:
                wrong.append(BEHIND.format(settings.shown_database))
        except DatabaseProblem as problem:
            wrong.append(str(problem))
    if wrong:
        _fail("\n".join(wrong))
    typer.echo("All is well.")


def _stale_emails(connection: Connection) -> list[str]:
    found = list(islice(stale_emails(connection, User), 21))
    lines = [
        f"User {each.user_id} cannot sign in with the own e-mail address: its email_canonical is another one's. "
        "Assign the address again, or set email_canonical to canonical_email(email)."
        for each in found[:20]
    ]
    return [*lines, "There are more such users."] if len(found) > len(lines) else lines


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


def _valid(name: str, kind: Any, value: str | None) -> Any:
    from pydantic import TypeAdapter, ValidationError

    try:
        return TypeAdapter(kind).validate_python(value)
    except ValidationError as error:
        _fail(f"The {name} is refused: {error.errors()[0]['msg'].removeprefix('Value error, ')}")


def _check_password(password: str, known: tuple[str, str | None] | None = None) -> None:
    from fastapi_users_sqlmodel import PasswordPolicy
    from fastapi_users_sqlmodel.schemas import StorableText

    # The sample data is for playing with, under a password that is as simple as one likes.
    policy = PasswordPolicy() if known else PasswordPolicy(strength=None)
    email, username = known or ("", None)
    if problem := policy.problem(_valid("password", StorableText, password), email=email, username=username):
        _fail(problem)


if __name__ == "__main__":
    app()
