"""FastAPI Users' OAuth routes, unchanged so far; needs its extra `oauth`."""

from typing import Any

from fastapi import APIRouter
from fastapi_users.router import oauth
from fastapi_users.router.oauth import (
    CSRF_TOKEN_COOKIE_NAME,
    CSRF_TOKEN_KEY,
    STATE_TOKEN_AUDIENCE,
    OAuth2AuthorizeResponse,
    generate_csrf_token,
    generate_state_token,
)

from fastapi_users_sqlmodel.routers._oauth import warn_of_oauth

__all__ = [
    "CSRF_TOKEN_COOKIE_NAME",
    "CSRF_TOKEN_KEY",
    "STATE_TOKEN_AUDIENCE",
    "OAuth2AuthorizeResponse",
    "generate_csrf_token",
    "generate_state_token",
    "get_oauth_associate_router",
    "get_oauth_router",
]


def get_oauth_router(*args: Any, **kwargs: Any) -> APIRouter:
    """Make FastAPI Users' router, which takes FastAPI Users' arguments; a `SecurityWarning` says what is open."""
    warn_of_oauth(stacklevel=3)
    return oauth.get_oauth_router(*args, **kwargs)


def get_oauth_associate_router(*args: Any, **kwargs: Any) -> APIRouter:
    """Make FastAPI Users' router, which takes FastAPI Users' arguments; a `SecurityWarning` says what is open."""
    warn_of_oauth(stacklevel=3)
    return oauth.get_oauth_associate_router(*args, **kwargs)
