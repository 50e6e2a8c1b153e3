"""The application: rooms joined, nothing decided."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from fastapi import FastAPI
from starlette.middleware.cors import CORSMiddleware

from app import db
from app.api.errors import add_exception_handlers
from app.api.middleware import BodyLimits, RequestID, TrailingSlash
from app.api.router import router
from app.core.logging import configure_logging
from app.core.settings import settings
from app.models import Base
from fastapi_users_sqlmodel import check_models


@asynccontextmanager
async def lifespan(_app: FastAPI) -> AsyncIterator[None]:
    """Start and end with the process: check the models, make an in-memory database, close the connections."""
    configure_logging(settings)
    check_models(Base)
    if settings.in_memory:
        async with db.engine.connect() as connection:
            await connection.run_sync(db.upgrade)
    yield
    await db.engine.dispose()


in_development = settings.environment == "development"

app = FastAPI(
    title="FastAPI Users with SQLModel",
    lifespan=lifespan,
    docs_url="/docs" if in_development else None,
    redoc_url="/redoc" if in_development else None,
    openapi_url="/openapi.json" if in_development else None,
    redirect_slashes=False,
)
app.include_router(router)
add_exception_handlers(app)
# The last one added is the first to see a request.
app.add_middleware(TrailingSlash)
app.add_middleware(BodyLimits)
app.add_middleware(
    CORSMiddleware,
    allow_origins=[settings.public_url, *settings.allowed_origins],
    allow_methods=["*"],
    allow_headers=["*"],
    expose_headers=["Link", "Retry-After", "X-Request-ID"],
)
app.add_middleware(RequestID)
