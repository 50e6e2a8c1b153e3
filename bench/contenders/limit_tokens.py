"""The tokens of the limit: verified, begun by signing in, refreshed; also by hand, but for how they are spelled."""

import asyncio
import json
import os
import uuid
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta

import jwt
from argon2 import PasswordHasher
from argon2.exceptions import Argon2Error, InvalidHashError
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import JSONResponse

from app.core.settings import settings
from fastapi_users_sqlmodel import canonical_email
from fastapi_users_sqlmodel.sessions._tokens import (
    Keys,
    RefreshToken,
    decode_refresh,
    encode_access,
    encode_refresh,
    new_secret,
    successors,
)

SECRET, *PREVIOUS = settings.keys_for("sessions")
KEYS = Keys(SECRET, PREVIOUS)
ACCESS_LIFETIME = timedelta(seconds=settings.access_token_lifetime)
REFRESH_LIFETIME = timedelta(seconds=settings.refresh_token_lifetime)
IDLE_LIFETIME = timedelta(seconds=settings.session_idle_lifetime)
CLAIMS = ["sub", "sid", "jti", "iss", "aud", "iat", "exp"]

PASSWORDS = PasswordHasher(time_cost=2, memory_cost=19456, parallelism=1)
# As many at once as the service lets, so that the event loop has a core to itself here, too.
PASSWORD_THREADS = ThreadPoolExecutor(max(1, (os.process_cpu_count() or 1) - 1))

ACCOUNT = 'SELECT id, hashed_password FROM "user" WHERE email_canonical = $1 AND is_active'
NEW_SESSION = """
INSERT INTO user_session (id, user_id, transport, method, created_at, last_seen_at, idle_expires_at, expires_at,
                          proved_at, ip_address, user_agent, secret_hash, generation)
VALUES ($1, $2, 'bearer', 'password', $3, $3, $4, $5, $3, $6, $7, $8, 0)
"""
SESSION = """
SELECT s.user_id, s.transport, s.generation, s.secret_hash, s.expires_at
FROM user_session AS s JOIN "user" AS u ON u.id = s.user_id
WHERE s.id = $1 AND s.idle_expires_at > $2 AND u.is_active FOR UPDATE OF s
"""
ROTATE = """
UPDATE user_session SET secret_hash = $2, previous_hash = $3, nonce = $4, generation = $5, rotated_at = $6,
                        last_seen_at = $6, idle_expires_at = $7
WHERE id = $1
"""


def unauthorized() -> HTTPException:
    """Make the answer to somebody whom nobody knows."""
    return HTTPException(401, "Unauthorized", {"WWW-Authenticate": "Bearer"})


def read_access(request: Request) -> tuple[uuid.UUID, uuid.UUID]:
    """Verify the access token, and return whose session it says it is.

    Raises:
        HTTPException: It is not good.
    """
    scheme, _, token = request.headers.get("authorization", "").partition(" ")
    try:
        header = jwt.get_unverified_header(token)
        key = KEYS.verifying(header.get("kid"))
        if scheme.lower() != "bearer" or header.get("typ") != "at+jwt" or key is None:
            raise unauthorized()
        claims = jwt.decode(
            token,
            key,
            algorithms=["HS256"],
            issuer=settings.public_url,
            audience=settings.public_url,
            options={"require": CLAIMS, "strict_aud": True, "verify_iat": False},
        )
        return uuid.UUID(claims["sid"]), uuid.UUID(claims["sub"])
    except (jwt.PyJWTError, ValueError, TypeError) as error:
        raise unauthorized() from error


def tokens(user_id: object, refresh: RefreshToken) -> JSONResponse:
    """Answer with a pair of tokens."""
    expires_at = datetime.now(UTC) + ACCESS_LIFETIME
    access = encode_access(KEYS, refresh.session_id, str(user_id), issuer=settings.public_url, expires_at=expires_at)
    return JSONResponse(
        {
            "access_token": access,
            "token_type": "bearer",
            "refresh_token": encode_refresh(KEYS, refresh),
            "expires_in": settings.access_token_lifetime,
        }
    )


def is_right(password: str, hashed_password: str) -> bool:
    """Verify a password."""
    try:
        return PASSWORDS.verify(hashed_password, password)
    except (Argon2Error, InvalidHashError):
        return False


async def login(request: Request) -> JSONResponse:
    """POST /auth/jwt/login."""
    form = await request.form()
    name, password = str(form.get("username", "")), str(form.get("password", ""))
    pool = request.app.state.pool
    account = await pool.fetchrow(ACCOUNT, canonical_email(name))
    verify = asyncio.get_running_loop().run_in_executor
    if account is None or not await verify(PASSWORD_THREADS, is_right, password, account["hashed_password"]):
        raise HTTPException(400, "LOGIN_BAD_CREDENTIALS")
    refresh, now = RefreshToken(uuid.uuid4(), 0, new_secret()), datetime.now(UTC)
    await pool.execute(
        NEW_SESSION,
        refresh.session_id,
        account["id"],
        now,
        now + IDLE_LIFETIME,
        now + REFRESH_LIFETIME,
        request.client.host if request.client is not None else None,
        request.headers.get("user-agent"),
        KEYS.digests("refresh", refresh.secret)[0].hex(),
    )
    return tokens(account["id"], refresh)


async def refresh(request: Request) -> JSONResponse:
    """POST /auth/jwt/refresh; a token that was used before ends its session."""
    token = decode_refresh(KEYS, str(json.loads(await request.body()).get("refresh_token")))
    if token is None:
        raise HTTPException(401, "REFRESH_BAD_TOKEN")
    now, nonce = datetime.now(UTC), os.urandom(32)
    async with request.app.state.pool.acquire() as connection, connection.transaction():
        row = await connection.fetchrow(SESSION, token.session_id, now)
        known = row is not None and row["transport"] == "bearer"
        if known and row["generation"] == token.generation and KEYS.knows(row["secret_hash"], "refresh", token.secret):
            child = successors(KEYS, token, nonce)[0]
            new_hash, end = KEYS.digests("refresh", child.secret)[0].hex(), min(now + IDLE_LIFETIME, row["expires_at"])
            changes = (new_hash, row["secret_hash"], nonce.hex(), child.generation, now, end)
            await connection.execute(ROTATE, token.session_id, *changes)
        else:
            child = None
            await connection.execute("DELETE FROM user_session WHERE id = $1", token.session_id)
    if child is None:
        raise HTTPException(401, "REFRESH_BAD_TOKEN")
    return tokens(row["user_id"], child)
