"""/health: for the machines that watch over the service."""

from app import db
from app.api.deps import SessionDep
from app.api.errors import responses
from app.api.prefixed import PrefixedRouter
from app.core.errors import AppError
from app.schemas.message import Health

router = PrefixedRouter(prefix="/health", tags=["health"])


class ServiceUnavailable(AppError):
    """The database is away, or its schema is behind."""

    status = 503

    @property
    def detail(self) -> str:
        """Say the standard phrase, as every answer does while the database is away."""
        return "Service Unavailable"


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
