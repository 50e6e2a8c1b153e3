"""FastAPI Users' error codes; those that are ours alone are in `routers`."""

from fastapi_users.router.common import ErrorCode, ErrorCodeReasonModel, ErrorModel

__all__ = ["ErrorCode", "ErrorCodeReasonModel", "ErrorModel"]
