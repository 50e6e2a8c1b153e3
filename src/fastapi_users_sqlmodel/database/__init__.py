"""FastAPI Users' store protocols over a SQLAlchemy or SQLModel session, async and sync."""
