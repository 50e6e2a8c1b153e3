"""Migrations that import nothing of ours: the one call of a project's `alembic/env.py`."""

from fastapi_users_sqlmodel.migrations._environment import is_at_head, run_migrations
from fastapi_users_sqlmodel.migrations.adopt import adopt_fastapi_users

__all__ = ["adopt_fastapi_users", "is_at_head", "run_migrations"]
