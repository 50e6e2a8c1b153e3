"""Migrations that import nothing of ours: the one call of a project's `alembic/env.py`."""

from typing import TYPE_CHECKING, Any

from fastapi_users_sqlmodel.migrations._environment import is_at_head, run_migrations

if TYPE_CHECKING:
    from fastapi_users_sqlmodel.adoption import adopt_fastapi_users

__all__ = ["adopt_fastapi_users", "is_at_head", "run_migrations"]


def __getattr__(name: str) -> Any:
    # Older migrations import it from here. The import is late, because its package imports this one.
    if name == "adopt_fastapi_users":
        from fastapi_users_sqlmodel.adoption import adopt_fastapi_users

        return adopt_fastapi_users
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
