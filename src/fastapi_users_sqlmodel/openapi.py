"""FastAPI Users' type of what a route answers, for OpenAPI."""

from fastapi_users.openapi import OpenAPIResponseType

__all__ = ["OpenAPIResponseType"]
