"""Refresh tokens, verify the password again, list and end sessions, and issue tickets for WebSockets."""

from collections.abc import Sequence
from typing import Annotated, Any

from fastapi import APIRouter, Depends, Request, Response
from fastapi.responses import JSONResponse
from fastapi_users.authentication import Authenticator
from fastapi_users.models import ID, UP

from fastapi_users_sqlmodel.authentication import BearerRefreshResponse, BearerSessionStrategy, SessionBackend
from fastapi_users_sqlmodel.exceptions import (
    InvalidCurrentPassword,
    RefreshBadToken,
    ServiceUnavailable,
    SessionNotFound,
    TooManyRequests,
    Unauthorized,
)
from fastapi_users_sqlmodel.identity import parse_uuid
from fastapi_users_sqlmodel.manager import BaseUserManager
from fastapi_users_sqlmodel.routers.errors import ErrorRoute, responses
from fastapi_users_sqlmodel.schemas import CurrentPasswordBody, RefreshTokenBody, SessionRead, WebSocketTicket


def get_refresh_router(backend: SessionBackend[UP, ID], get_user_manager: Any) -> APIRouter:
    """Return a router that refreshes the tokens of a bearer backend."""
    router = APIRouter(route_class=ErrorRoute)
    CurrentStrategy = Annotated[BearerSessionStrategy[Any, Any], Depends(backend.get_strategy)]
    Manager = Annotated[BaseUserManager[Any, Any], Depends(get_user_manager)]

    @router.post(
        "/refresh",
        name=f"auth:{backend.name}.refresh",
        response_model=BearerRefreshResponse,
        responses=responses(RefreshBadToken),
    )
    async def refresh(body: RefreshTokenBody, strategy: CurrentStrategy, user_manager: Manager) -> Response:
        """Get a new pair of tokens; a refresh token is good once."""
        tokens = await strategy.refresh(body.refresh_token)
        # Returned and not raised: an exception would roll back the end of the session whose token was replayed.
        await user_manager.release()
        if tokens is None:
            response: Response = JSONResponse(
                {"detail": RefreshBadToken.code},
                RefreshBadToken.status,
                headers={"WWW-Authenticate": 'Bearer error="invalid_token"'},
            )
        else:
            response = await backend.transport.get_login_response(tokens)
        # RFC 6749, 5.1: no cache may store a token.
        response.headers["Cache-Control"] = "no-store"
        return response

    return router


def get_sessions_router(get_user_manager: Any, authenticator: Authenticator[UP, ID]) -> APIRouter:
    """Return a router for the sessions of the signed-in user."""
    router = APIRouter(route_class=ErrorRoute)
    Manager = Annotated[BaseUserManager[Any, Any], Depends(get_user_manager)]
    CurrentUser = Annotated[Any, Depends(authenticator.current_user(active=True))]

    @router.post(
        "/reauthenticate",
        status_code=204,
        name="sessions:reauthenticate",
        responses=responses(InvalidCurrentPassword, Unauthorized, TooManyRequests, ServiceUnavailable),
    )
    async def reauthenticate(
        request: Request, body: CurrentPasswordBody, user: CurrentUser, user_manager: Manager
    ) -> None:
        """Prove the password again: for a while, this session may do what needs it."""
        await user_manager.reauthenticate(user, body.current_password, request)

    @router.post(
        "/websocket-ticket",
        status_code=201,
        name="sessions:websocket_ticket",
        responses=responses(Unauthorized),
    )
    async def issue_websocket_ticket(response: Response, user: CurrentUser, user_manager: Manager) -> WebSocketTicket:
        """Get a ticket that opens one WebSocket as `?ticket=`: a browser sends no header with a handshake."""
        ticket = await user_manager.issue_websocket_ticket(user)
        # RFC 6749, 5.1: no cache may store a token.
        response.headers["Cache-Control"] = "no-store"
        return WebSocketTicket(ticket=ticket, expires_in=user_manager.websocket_ticket_lifetime_seconds)

    @router.get("/sessions", response_model=list[SessionRead], name="sessions:list", responses=responses(Unauthorized))
    async def list_sessions(user: CurrentUser, user_manager: Manager) -> Sequence[SessionRead]:
        """List one's sessions; the last used comes first."""
        current = user_manager.current_session
        return [
            SessionRead(
                id=session.id,
                created_at=session.created_at,
                last_seen_at=session.last_seen_at,
                ip_address=session.ip_address,
                user_agent=session.user_agent,
                current=current is not None and session.id == current.id,
            )
            for session in await user_manager.list_sessions(user)
        ]

    @router.delete(
        "/sessions/{id}",
        status_code=204,
        name="sessions:end",
        responses=responses(SessionNotFound, Unauthorized),
    )
    async def end_session(id: str, request: Request, user: CurrentUser, user_manager: Manager) -> None:
        """End a session."""
        if (session_id := parse_uuid(id)) is None:
            raise SessionNotFound
        await user_manager.end_session(user, session_id, request)

    @router.delete("/sessions", status_code=204, name="sessions:end_others", responses=responses(Unauthorized))
    async def end_other_sessions(request: Request, user: CurrentUser, user_manager: Manager) -> None:
        """End all the other sessions."""
        await user_manager.end_other_sessions(user, request)

    return router
