"""The application: rooms joined, nothing decided."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from fastapi import FastAPI
from starlette.middleware.cors import CORSMiddleware

from app import db
from app.api.errors import add_exception_handlers
from app.api.middleware import BodyLimits, HeadAsGet, RequestID, RootPath, TrailingSlash, TrustedProxies
from app.api.router import routers
from app.core.logging import configure_logging
from app.core.settings import settings
from app.models import Base, User
from app.services.dispatcher import Dispatcher, transport_of_settings
from app.services.purge import purging
from app.users import WRITTEN, UserManager, cookie_transport
from fastapi_users_sqlmodel import CSRFMiddleware, check_models
from fastapi_users_sqlmodel.csrf import allowed_origins


@asynccontextmanager
async def lifespan(_app: FastAPI) -> AsyncIterator[None]:
    """Start and end with the process: check the models, make an in-memory database, send mail, close what is open."""
    configure_logging(settings)
    check_models(Base, schemas=WRITTEN, managers={User: UserManager})
    if settings.in_memory:
        async with db.engine.connect() as connection:
            await connection.run_sync(db.upgrade)
    dispatcher = Dispatcher(
        transport_of_settings(), writing=db.async_session_maker, reading=db.autocommit_session_maker
    )
    async with dispatcher.running(), purging(db.async_session_maker):
        yield
    if UserManager.throttle is not None:
        await UserManager.throttle.close()
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
# CORS and the same-site proof believe the same pages, in the spelling of browsers.
origins = sorted(allowed_origins([settings.public_url, *settings.allowed_origins]))
for router in routers:
    app.include_router(router)
add_exception_handlers(app)
# The last one added is the first to see a request.
app.add_middleware(TrailingSlash)
app.add_middleware(BodyLimits)
app.add_middleware(
    CSRFMiddleware,
    cookie_name=cookie_transport.cookie_name,
    origins=origins,
    login_paths=[app.url_path_for("auth:cookie.login")],
)
app.add_middleware(
    CORSMiddleware,
    allow_origins=origins,
    allow_credentials=True,
    allow_methods=["*"],
    allow_headers=["*"],
    expose_headers=["Link", "Retry-After", "X-Request-ID"],
)
app.add_middleware(HeadAsGet)
app.add_middleware(RequestID)
if settings.root_path:
    app.add_middleware(RootPath, root_path=settings.root_path)
if settings.trusted_proxies:
    app.add_middleware(TrustedProxies, networks=settings.trusted_proxies)
