"""FastAPI Users' types of dependencies."""

from fastapi_users.types import RETURN_TYPE, DependencyCallable

__all__ = ["RETURN_TYPE", "DependencyCallable"]
