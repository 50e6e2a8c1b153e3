"""What FastAPI Users calls a user and an OAuth account, for annotations."""

from fastapi_users.models import ID, OAP, UOAP, UP, OAuthAccountProtocol, UserOAuthProtocol, UserProtocol

__all__ = ["ID", "OAP", "UOAP", "UP", "OAuthAccountProtocol", "UserOAuthProtocol", "UserProtocol"]
