"""The columns of a user, an OAuth account and an access token, for SQLAlchemy and for SQLModel."""
