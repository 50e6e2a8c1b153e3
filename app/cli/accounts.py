"""Commands that create accounts: a superuser, and the sample data."""

import sys
from typing import Annotated

import typer
from fastapi_users.exceptions import InvalidPasswordException, UserAlreadyExists
from pydantic import ValidationError
from sqlmodel.ext.asyncio.session import AsyncSession

from app.cli.database import in_transaction
from app.cli.program import console, fail, program
from app.core.settings import settings
from app.models import User
from app.sample_data import SampleUserManager, fill
from app.schemas import UserCreate
from app.users import ScriptUserManager
from fastapi_users_sqlmodel import schemas
from fastapi_users_sqlmodel.exceptions import UsernameAlreadyExists

TAKEN = "This e-mail address or username belongs to a user already, or a former owner may still claim the address back."

SamplePassword = Annotated[
    str | None,
    typer.Option("--password", envvar="SAMPLE_PASSWORD", help="One password for all sample users, new and old."),
]


@program.command(name="sample-data")
def sample_data(*, password: SamplePassword = None) -> None:
    """Create the sample data, or what is missing of it; the passwords are printed once and kept nowhere."""
    require_sample_data_allowed(password)
    passwords = in_transaction(lambda session: fill_and_print(session, password))
    typer.echo("The sample data is there." if passwords else "The sample data was there already.", err=True)


def require_sample_data_allowed(password: str | None) -> None:
    """End with a sentence in production, or if the password is refused."""
    if settings.environment == "production":
        fail("The sample data is no data for production.")
    if password is not None:
        _valid(SampleUserManager, email="sample@example.com", username=None, password=password)


async def fill_and_print(session: AsyncSession, password: str | None) -> dict[str, str]:
    """Fill the database, and print the new passwords before the commit: a password that nobody has read is lost."""
    with console.status("Creating the sample data …"):
        passwords = await fill(session, password=password)
    if password is None:
        for email, made in passwords.items():
            typer.echo(f"{email}  {made}")
    sys.stdout.flush()
    return passwords


@program.command(name="create-superuser")
def create_superuser(
    email: Annotated[str, typer.Option(prompt="E-mail")],
    *,
    password: Annotated[
        str, typer.Option(envvar="SUPERUSER_PASSWORD", prompt="Password", hide_input=True, confirmation_prompt=True)
    ],
    username: Annotated[str | None, typer.Option(help="A name to sign in with.")] = None,
) -> None:
    """Create a verified superuser."""
    new = _valid(ScriptUserManager, email=email, username=username, password=password)

    async def create(session: AsyncSession) -> User:
        manager = ScriptUserManager.on(session)
        user = await manager.create(new)
        return await manager.update(schemas.BaseUserUpdate(is_superuser=True, is_verified=True), user)

    try:
        user = in_transaction(create)
    except (UserAlreadyExists, UsernameAlreadyExists):
        fail(TAKEN)
    except InvalidPasswordException as error:
        fail(error.reason)
    typer.echo(f"{user.email} is a superuser now.")


def _valid(manager: type[ScriptUserManager], *, email: str, username: str | None, password: str) -> UserCreate:
    """Return the values of an account, or end with a sentence that says what is wrong with them."""
    try:
        new = UserCreate(email=email, username=username, password=password)
    except ValidationError as error:
        problem = error.errors()[0]
        name = {"email": "e-mail"}.get(str(problem["loc"][0]), problem["loc"][0])
        fail(f"The {name} is refused: {problem['msg'].removeprefix('Value error, ')}")
    if reason := manager.password_policy.problem(new.password, email=new.email, username=new.username):
        fail(reason)
    return new
