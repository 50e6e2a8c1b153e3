"""What Alembic runs first: which tables there should be, and which database is meant."""

from app.core.settings import settings
from app.models import SQLModel
from fastapi_users_sqlmodel.migrations import run_migrations

target_metadata = SQLModel.metadata

# What the environment does not say, alembic.ini does.
run_migrations(target_metadata, url=settings.database_url if "database_url" in settings.model_fields_set else None)
