"""Migrations that import nothing of ours: the one call of a project's `alembic/env.py`."""

from fastapi_users_sqlmodel.migrations._environment import is_at_head, run_migrations

__all__ = ["is_at_head", "run_migrations"]
