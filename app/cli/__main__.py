"""`python -m app.cli`."""

from app.cli import program

program()
