"""Every route of ours, in one list."""

from fastapi import APIRouter

from app.api.endpoints import audit_events, auth, authenticated_route, health, items, posts, user_groups, users

router = APIRouter()
for endpoints in (auth, users, user_groups, items, posts, authenticated_route, audit_events, health):
    router.include_router(endpoints.router)
