"""Side door: fill an empty house; the work is in app/sample_data.py."""

from app.cli import run, sample_data

run(sample_data)
