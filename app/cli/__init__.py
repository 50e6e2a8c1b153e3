"""Commands for the people who run the service: python -m app.cli --help."""

from app.cli.accounts import create_superuser, sample_data
from app.cli.maintenance import check, openapi, purge
from app.cli.program import program, run
from app.cli.serve import serve

__all__ = ["check", "create_superuser", "openapi", "program", "purge", "run", "sample_data", "serve"]
