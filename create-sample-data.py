"""Side door: fill an empty house; the work is in app/sample_data.py."""

import typer

from app.cli import sample_data

typer.run(sample_data)
