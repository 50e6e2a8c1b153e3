"""/health: for the machines that watch over the service."""

from app import db
from app.api.deps import SessionDep
from app.api.prefixed import PrefixedRouter
from app.core.errors import ServiceUnavailable
from app.schemas.message import Health
from fastapi_users_sqlmodel.routers.errors import responses

router = PrefixedRouter(prefix="/health", tags=["health"])


@router.get("/live")
async def live() -> Health:
    """Tell whether the process answers."""
    return Health(status="ok")


@router.get("/ready", responses=responses(ServiceUnavailable))
async def ready(session: SessionDep) -> Health:
    """Tell whether requests can be served: the database answers, and its schema is the one that the code wants."""
    connection = await session.connection()
    if not await connection.run_sync(db.is_at_head):
        raise ServiceUnavailable
    return Health(status="ok")
