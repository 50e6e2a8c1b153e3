"""Every route of ours."""

from app.api.endpoints import audit_events, auth, authenticated_route, health, items, posts, user_groups, users

# Included one by one: where routers include routers, FastAPI looks for the route again on each level.
routers = tuple(
    room.router for room in (users, user_groups, items, posts, health, audit_events, authenticated_route, auth)
)
