"""Take over the database of an app that used FastAPI Users' own SQLAlchemy adapter."""

from fastapi_users_sqlmodel.adoption._operation import adopt_fastapi_users

__all__ = ["adopt_fastapi_users"]
