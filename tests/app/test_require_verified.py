"""REQUIRE_VERIFIED: only who has verified the address signs in, and only with the right password does one learn so."""

import re
from collections.abc import Iterator

import pytest
from sqlmodel import Session

from app.core.settings import settings
from app.models import User
from tests.app.conftest import PASSWORD, form
from tests.app.databases import connected, migrated, signed_in
from tests.app.shapes import said
from tests.programs import Programs
from tests.server import Server, start_server

BAD_CREDENTIALS = (400, {"detail": "LOGIN_BAD_CREDENTIALS"})
NOT_VERIFIED = (400, {"detail": "LOGIN_USER_NOT_VERIFIED"})


@pytest.fixture
def server(programs: Programs, database_url: str) -> Iterator[Server]:
    env = {"REQUIRE_VERIFIED": "on", "SECRET_KEY": settings.secret_key.get_secret_value()}
    server = start_server(programs, database_url=migrated(database_url), env=env)
    yield server
    assert "Traceback" not in server.stop().err


def token_of(server: Server, *, path: str) -> str:
    """Wait for the letter that leads to a path."""
    return server.program.until(lambda: re.search(rf"/{path}\?token=(\S+)\n", server.program.out))[1]


def add_users(database_url: str, *users: User) -> None:
    with connected(database_url) as connection, Session(connection, expire_on_commit=False) as session:
        session.add_all(users)
        session.commit()


async def test_who_registers_verifies_first(server: Server) -> None:
    async with server.client() as client:
        body = {"email": "anna@example.com", "username": "anna", "password": PASSWORD}
        assert (await client.post("/auth/register", json=body)).status_code == 201
        for name in ("anna", "Anna@Example.com"):
            for password in ("", "x", PASSWORD.upper()):
                response = await client.post("/auth/jwt/login", data=form(name, password or "y"))
                assert said(response) == BAD_CREDENTIALS
            assert said(await client.post("/auth/jwt/login", data=form(name))) == NOT_VERIFIED
        body = {"token": token_of(server, path="verify")}
        assert (await client.post("/auth/verify", json=body)).status_code == 200
        for name in ("anna", "Anna@Example.com"):
            assert (await client.post("/auth/jwt/login", data=form(name))).status_code == 200
        response = await client.post("/auth/jwt/login", data=form("anna", "x"))
        assert said(response) == BAD_CREDENTIALS


async def test_who_is_deactivated_learns_nothing(server: Server, database_url: str, hashed_password: str) -> None:
    columns = {"hashed_password": hashed_password, "is_active": False}
    add_users(
        database_url,
        User(email="verified@example.com", is_verified=True, **columns),
        User(email="unverified@example.com", **columns),
    )
    async with server.client() as client:
        for email in ("verified@example.com", "unverified@example.com", "nobody@example.com"):
            assert said(await client.post("/auth/jwt/login", data=form(email))) == BAD_CREDENTIALS


async def test_whose_address_a_superuser_changes_verifies_it_first(
    server: Server, database_url: str, hashed_password: str
) -> None:
    user = User(email="anna@example.com", username="anna", hashed_password=hashed_password, is_verified=True)
    superuser = User(email="root@example.com", hashed_password=hashed_password, is_superuser=True, is_verified=True)
    add_users(database_url, user, superuser)
    headers = await signed_in(database_url, superuser)
    async with server.client() as client:
        assert (await client.post("/auth/jwt/login", data=form("anna"))).status_code == 200
        response = await client.patch(f"/users/{user.id}", json={"email": "new@example.com"}, headers=headers)
        assert response.status_code == 200
        assert said(await client.post("/auth/jwt/login", data=form("anna"))) == NOT_VERIFIED
        await client.post("/auth/request-verify-token", json={"email": "new@example.com"})
        body = {"token": token_of(server, path="verify")}
        assert (await client.post("/auth/verify", json=body)).status_code == 200
        assert (await client.post("/auth/jwt/login", data=form("anna"))).status_code == 200
        # What was refused is a failed sign-in, whatever was said.
        path = f"/audit-events?user_id={user.id}"
        kinds = [event["kind"] for event in (await client.get(path, headers=headers)).json()]
        assert kinds[:5] == ["login", "verify", "request_verify", "login_failed", "change_email"]
