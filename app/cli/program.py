"""The command line program: its commands register here, and end with one sentence when something is wrong."""

from collections.abc import Callable
from typing import NoReturn

import typer
from rich.console import Console

program = typer.Typer(no_args_is_help=True, add_completion=False, pretty_exceptions_enable=False)
console = Console(stderr=True)


def run(command: Callable[..., None]) -> None:
    """Run one of the commands as a program of its own."""
    alone = typer.Typer(add_completion=False, pretty_exceptions_enable=False)
    alone.command()(command)
    alone()


def fail(sentence: str) -> NoReturn:
    """Print a sentence and end with status 1."""
    typer.echo(sentence, err=True)
    raise typer.Exit(1)
