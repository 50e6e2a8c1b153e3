"""Who is at the other end of a WebSocket, and for how long."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Collection, Sequence
from contextlib import AbstractAsyncContextManager, suppress
from datetime import timedelta
from typing import Any

from fastapi import WebSocket, WebSocketDisconnect, WebSocketException, status
from fastapi_users.authentication import CookieTransport
from sqlalchemy.exc import SQLAlchemyError

from fastapi_users_sqlmodel.authentication import SessionBackend
from fastapi_users_sqlmodel.csrf import allowed_origins, is_from

type OpenUserManager = Callable[[], AbstractAsyncContextManager[Any]]


def get_websocket_user(  # noqa: PLR0913  # Each is a word of its own
    backends: Sequence[Any],
    open_user_manager: OpenUserManager,
    *,
    origins: Sequence[str],
    verified: bool,
    superuser: bool,
    check_every: timedelta,
) -> Callable[[WebSocket], AsyncIterator[Any]]:
    """Make the dependency of `FastAPIUsers.websocket_user`."""
    backends = [backend for backend in backends if isinstance(backend, SessionBackend)]
    allowed = allowed_origins(origins)

    async def websocket_user(websocket: WebSocket) -> AsyncIterator[Any]:
        async with open_user_manager() as manager:
            user = await _user_of(websocket, manager, backends, allowed)
            session = manager.current_session
        if user is None or (verified and not user.is_verified) or (superuser and not user.is_superuser):
            raise WebSocketException(status.WS_1008_POLICY_VIOLATION)
        flags = [name for name, is_needed in (("is_verified", verified), ("is_superuser", superuser)) if is_needed]

        async def is_alive() -> bool:
            async with open_user_manager() as manager:
                return bool(await manager.is_session_alive(session.id, flags=flags))

        watching = asyncio.create_task(_close_at_the_end(websocket, is_alive, check_every))
        try:
            yield user
        finally:
            watching.cancel()
            with suppress(asyncio.CancelledError):
                await watching

    return websocket_user


async def _user_of(
    websocket: WebSocket, manager: Any, backends: Sequence[SessionBackend[Any, Any]], allowed: Collection[str]
) -> Any:
    if tickets := websocket.query_params.getlist("ticket"):
        # Whoever brings a ticket comes as its user or not at all. No browser adds one by itself, so that it counts from
        # any origin.
        return await manager.use_websocket_ticket(tickets[0]) if len(tickets) == 1 else None
    for backend in backends:
        # FastAPI calls a scheme with a request; it reads the headers alone, which are here too.
        token = await backend.transport.scheme(websocket)
        if token is None:
            continue
        # A browser sends cookies with a handshake from any page (RFC 6455, 10.2).
        if isinstance(backend.transport, CookieTransport) and not is_from(websocket.headers, allowed):
            continue
        if user := await backend.strategy(manager, websocket).read_token(token, manager):
            return user
    return None


async def _close_at_the_end(
    websocket: WebSocket, is_alive: Callable[[], Awaitable[bool]], check_every: timedelta
) -> None:
    code, lives = status.WS_1008_POLICY_VIOLATION, True
    try:
        while lives:
            await asyncio.sleep(check_every.total_seconds())
            lives = await is_alive()
    except (SQLAlchemyError, OSError):
        # Nobody knows: the client comes again, and is asked who it is.
        code = status.WS_1011_INTERNAL_ERROR
    with suppress(RuntimeError, WebSocketDisconnect):
        # It may be over already, or not accepted yet.
        await websocket.close(code)
