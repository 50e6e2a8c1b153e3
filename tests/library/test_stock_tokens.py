"""What FastAPI Users' strategies and transports do with our imports, on our stores and on a real Valkey."""

from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta
from functools import cache
from typing import Any

import pytest
import redis.asyncio
import time_machine
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from fastapi_users.authentication.strategy import StrategyDestroyNotSupportedError
from pydantic import SecretStr
from sqlalchemy.orm import Session

from fastapi_users_sqlmodel.authentication import (
    AuthenticationBackend,
    BearerTransport,
    CookieTransport,
    JWTStrategy,
    RedisStrategy,
    Transport,
)
from fastapi_users_sqlmodel.authentication.strategy.db import DatabaseStrategy
from fastapi_users_sqlmodel.jwt import SecretType, decode_jwt, generate_jwt
from tests.library.accounts import Accounts, open_accounts
from tests.library.models import Models
from tests.library.stores import delete_users

SECRET = "seven grey herons sleep above an old canal"
LIFETIME = 3600
ALGORITHMS = ["HS256", "RS256", "ES256"]


@cache
def keys(algorithm: str) -> tuple[str, str]:
    """Return a private key and its public key."""
    key = rsa.generate_private_key(65537, 2048) if algorithm == "RS256" else ec.generate_private_key(ec.SECP256R1())
    private = key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )
    public = key.public_key().public_bytes(serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo)
    return private.decode(), public.decode()


def make_jwt_strategy(algorithm: str) -> JWTStrategy[Any, Any]:
    if algorithm == "HS256":
        return JWTStrategy(SecretStr(SECRET), LIFETIME)
    private, public = keys(algorithm)
    return JWTStrategy(private, LIFETIME, algorithm=algorithm, public_key=public)


@pytest.fixture
async def accounts(models: Models, url: str, kind: str) -> AsyncIterator[Accounts]:
    async with open_accounts(models, url, kind) as accounts:
        yield accounts


@pytest.fixture(params=[*ALGORITHMS, "database", "redis"])
async def strategy(request: pytest.FixtureRequest, accounts: Accounts) -> AsyncIterator[Any]:
    if request.param == "database":
        yield DatabaseStrategy[Any, Any, Any](accounts.stores.tokens, LIFETIME)
    elif request.param == "redis":
        request.getfixturevalue("valkey")
        async with redis.asyncio.Redis.from_url(request.getfixturevalue("valkey_url"), decode_responses=True) as client:
            yield RedisStrategy[Any, Any](client, LIFETIME)
    else:
        yield make_jwt_strategy(request.param)


on_both_stores = pytest.mark.parametrize(
    ("form", "kind"), [("sqlalchemy-uuid", "async"), ("sqlmodel-int", "sync")], indirect=True
)


@on_both_stores
class TestAToken:
    async def test_is_read_by_the_strategy_that_wrote_it(self, strategy: Any, accounts: Accounts) -> None:
        user = await accounts.user()
        token = await strategy.write_token(user)
        await accounts.stores.run(Session.expunge_all)
        found = await strategy.read_token(token, accounts.manager)
        assert (found.id, found.email) == (user.id, user.email)

    @pytest.mark.parametrize("token", [None, "", "unknown"])
    async def test_that_is_none(self, strategy: Any, accounts: Accounts, token: str | None) -> None:
        await strategy.write_token(await accounts.user())
        assert await strategy.read_token(token, accounts.manager) is None

    async def test_of_a_user_who_was_deleted(self, strategy: Any, accounts: Accounts) -> None:
        token = await strategy.write_token(await accounts.user())
        delete_users(accounts.stores)
        await accounts.stores.run(Session.expunge_all)
        assert await strategy.read_token(token, accounts.manager) is None

    async def test_is_destroyed_unless_it_is_a_jwt(self, strategy: Any, accounts: Accounts) -> None:
        user = await accounts.user()
        token, other = await strategy.write_token(user), await strategy.write_token(user)
        if isinstance(strategy, JWTStrategy):
            with pytest.raises(StrategyDestroyNotSupportedError):
                await strategy.destroy_token(token, user)
            return
        for _ in range(2):
            await strategy.destroy_token(token, user)
        assert await strategy.read_token(token, accounts.manager) is None
        assert await strategy.read_token(other, accounts.manager) is user

    async def test_is_good_for_its_lifetime(self, strategy: Any, accounts: Accounts) -> None:
        user = await accounts.user()
        with time_machine.travel(datetime.now(UTC), tick=False) as time:
            token = await strategy.write_token(user)
            if isinstance(strategy, RedisStrategy):
                # The server's own clock goes on.
                assert LIFETIME - 60 < await strategy.redis.ttl(f"{strategy.key_prefix}{token}") <= LIFETIME
                return
            time.shift(timedelta(seconds=LIFETIME - 1))
            assert await strategy.read_token(token, accounts.manager) is user
            time.shift(timedelta(seconds=2))
            assert await strategy.read_token(token, accounts.manager) is None


@on_both_stores
@pytest.mark.parametrize("algorithm", ALGORITHMS)
class TestAJWT:
    async def test_says_whose_it_is(self, accounts: Accounts, algorithm: str) -> None:
        user, strategy = await accounts.user(), make_jwt_strategy(algorithm)
        token = await strategy.write_token(user)
        claims = decode_jwt(token, strategy.decode_key, strategy.token_audience, algorithms=[algorithm])
        assert (claims["sub"], claims["aud"]) == (str(user.id), ["fastapi-users:auth"])

    @pytest.mark.parametrize("claims", [{}, {"sub": "nobody"}, {"sub": None}, {"aud": ["fastapi-users:reset"]}])
    async def test_of_nobody(self, accounts: Accounts, algorithm: str, claims: dict[str, Any]) -> None:
        user, strategy = await accounts.user(), make_jwt_strategy(algorithm)
        signed = {"aud": strategy.token_audience, **claims}
        if "aud" in claims:
            signed["sub"] = str(user.id)
        token = generate_jwt(signed, strategy.encode_key, LIFETIME, algorithm=algorithm)
        assert await strategy.read_token(token, accounts.manager) is None


@on_both_stores
async def test_redis_with_a_value_that_is_no_id(accounts: Accounts, valkey: redis.Redis, valkey_url: str) -> None:
    valkey.set("fastapi_users_token:x", "nobody")
    async with redis.asyncio.Redis.from_url(valkey_url, decode_responses=True) as client:
        assert await RedisStrategy[Any, Any](client).read_token("x", accounts.manager) is None


@pytest.mark.parametrize("secret", [SECRET, SecretStr(SECRET)])
def test_a_jwt_has_the_claims_that_were_signed(secret: SecretType) -> None:
    token = generate_jwt({"name": "Anna", "aud": "here"}, secret, LIFETIME)
    claims = decode_jwt(token, secret, ["here"])
    assert (claims["name"], claims["aud"]) == ("Anna", "here")


@pytest.mark.parametrize(
    "options",
    [
        {},
        {"cookie_path": "/app"},
        {"cookie_domain": "example.com"},
        {"cookie_secure": False},
        {"cookie_httponly": False},
        {"cookie_samesite": "strict"},
    ],
    ids=str,
)
async def test_the_cookie_has_the_attributes_that_were_asked_for(options: dict[str, Any]) -> None:
    transport = CookieTransport("session", LIFETIME, **options)
    asked = {
        f"Path={options.get('cookie_path', '/')}",
        f"SameSite={options.get('cookie_samesite', 'lax')}",
        *(["Secure"] if options.get("cookie_secure", True) else []),
        *(["HttpOnly"] if options.get("cookie_httponly", True) else []),
        *(["Domain=example.com"] if "cookie_domain" in options else []),
    }
    for response, value, seconds in (
        (await transport.get_login_response("TOKEN"), "session=TOKEN", LIFETIME),
        (await transport.get_logout_response(), 'session=""', 0),
    ):
        (cookie,) = response.headers.getlist("set-cookie")
        first, *attributes = cookie.split("; ")
        assert (response.status_code, first) == (204, value)
        assert {one for one in attributes if not one.startswith("expires=")} == {*asked, f"Max-Age={seconds}"}


@on_both_stores
@pytest.mark.parametrize("transport", [BearerTransport("login"), CookieTransport("session")], ids=["bearer", "cookie"])
async def test_a_backend_answers_a_logout_whatever_its_parts_can_do(
    accounts: Accounts, strategy: Any, transport: Transport
) -> None:
    user = await accounts.user()
    backend = AuthenticationBackend[Any, Any]("any", transport, lambda: strategy)
    response = await backend.logout(strategy, user, await strategy.write_token(user))
    assert (response.status_code, response.body) == (204, b"")
    assert ("set-cookie" in response.headers) is isinstance(transport, CookieTransport)
