"""The columns of a user, an OAuth account and an access token, for SQLAlchemy and for SQLModel."""

from fastapi_users_sqlmodel.tables._accounts import AccountTables, account_tables

__all__ = ["AccountTables", "account_tables"]
