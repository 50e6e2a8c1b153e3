"""The public face of the library is exactly `__all__`, and asks for no more than the library needs."""

import subprocess
import sys
from types import ModuleType

import fastapi_users_sqlmodel

# FastAPI Users' own, and those that stand for them.
MODULES = {"exceptions", "models", "schemas"}


def test_every_public_name_is_exported_and_nothing_else() -> None:
    public = {
        name
        for name, value in vars(fastapi_users_sqlmodel).items()
        if not name.startswith("_") and (name in MODULES or not isinstance(value, ModuleType))
    }
    assert public == set(fastapi_users_sqlmodel.__all__)


def test_the_import_brings_neither_alembic_nor_pytest() -> None:
    """They are extras. Nor does it bring a database driver, or any other adapter of FastAPI Users."""
    extras = ["alembic", "pytest", "aiosqlite", "asyncpg", "psycopg", "fastapi_users_db_sqlalchemy"]
    script = f"import sys, fastapi_users_sqlmodel; print(sorted(set({extras!r}) & set(sys.modules)))"
    command = [sys.executable, "-W", "error", "-c", script]
    assert subprocess.run(command, capture_output=True, text=True, check=True).stdout == "[]\n"
