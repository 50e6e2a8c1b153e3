"""/authenticated-route: the smallest protected route, as in FastAPI Users' example."""

from fastapi import APIRouter

from app.api.deps import CurrentUser
from app.core.errors import Unauthorized
from app.schemas.message import Message
from fastapi_users_sqlmodel.routers.errors import responses

router = APIRouter(tags=["auth"])


@router.get("/authenticated-route", responses=responses(Unauthorized))
async def authenticated_route(user: CurrentUser) -> Message:
    """Say hello to whoever is signed in."""
    return Message(message=f"Hello {user.email}!")
