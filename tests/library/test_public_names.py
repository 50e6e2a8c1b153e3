"""An app moves by changing imports: FastAPI Users' names are here, and what is inherited is known to be safe."""

import importlib
import re
import subprocess
import sys
import warnings
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import fastapi_users
import pytest
from fastapi import APIRouter
from fastapi.routing import APIRoute
from fastapi_users import authentication, manager, schemas
from fastapi_users.authentication import strategy
from fastapi_users.db import BaseUserDatabase

import fastapi_users_sqlmodel as ours
from fastapi_users_sqlmodel import SecurityWarning, db
from fastapi_users_sqlmodel import authentication as our_authentication
from fastapi_users_sqlmodel import schemas as our_schemas
from fastapi_users_sqlmodel.authentication import strategy as our_strategy
from tests.library.public_names import adapter_names, public_names

FASTAPI_USERS = public_names(Path(fastapi_users.__file__).parent)

# What is not here, and why.
BEANIE = "for MongoDB, with the adapter for Beanie"
NOT_HERE = {
    ("db", "BaseOAuthAccount"): BEANIE,
    ("db", "BeanieBaseUser"): BEANIE,
    ("db", "BeanieUserDatabase"): BEANIE,
    ("db", "ObjectIDIDMixin"): BEANIE,
}

HOOK = "does nothing until a project overrides it"
NOT_YET = "FastAPI Users' own, which a SecurityWarning says"
STORE = "asks the store, which is ours"
FOR_SCRIPTS = "copies the fields of a schema; our manager reads the schema itself"
NOT_USED = "our routes and our manager do not call it"
# What is inherited as it is, and why that is safe.
INHERITED = {
    (ours.BaseUserManager, "parse_id"): "raises; a project takes a mixin",
    (ours.BaseUserManager, "get"): STORE,
    (ours.BaseUserManager, "get_by_email"): STORE,
    (ours.BaseUserManager, "get_by_oauth_account"): STORE,
    (ours.BaseUserManager, "oauth_callback"): NOT_YET,
    (ours.BaseUserManager, "oauth_associate_callback"): NOT_YET,
    (ours.BaseUserManager, "on_after_register"): HOOK,
    (ours.BaseUserManager, "on_after_update"): HOOK,
    (ours.BaseUserManager, "on_after_request_verify"): HOOK,
    (ours.BaseUserManager, "on_after_verify"): HOOK,
    (ours.BaseUserManager, "on_after_forgot_password"): HOOK,
    (ours.BaseUserManager, "on_after_reset_password"): HOOK,
    (ours.BaseUserManager, "on_before_delete"): HOOK,
    (ours.BaseUserManager, "on_after_delete"): HOOK,
    (ours.PasswordHelper, "generate"): "256 random bits",
    (our_authentication.JWTStrategy, "read_token"): "verifies signature, audience and expiry; asks the store",
    (our_authentication.JWTStrategy, "write_token"): "signs with the secret, of whose weakness a SecurityWarning tells",
    (our_authentication.JWTStrategy, "destroy_token"): "raises; check_security says that no logout ends such a token",
    (our_authentication.JWTStrategy, "encode_key"): "the secret",
    (our_authentication.JWTStrategy, "decode_key"): "the public key or the secret; the algorithm is fixed",
    (our_strategy.DatabaseStrategy, "read_token"): "asks the store of access tokens, which is ours",
    (our_strategy.DatabaseStrategy, "write_token"): "256 random bits, kept by the store, which is ours",
    (our_strategy.DatabaseStrategy, "destroy_token"): "deletes in the store, which is ours",
    (our_strategy.RedisStrategy, "read_token"): "looks the token up by its exact key; asks the store",
    (our_strategy.RedisStrategy, "write_token"): "256 random bits, with the lifetime that Redis ends",
    (our_strategy.RedisStrategy, "destroy_token"): "deletes the key",
    (our_authentication.AuthenticationBackend, "login"): "joins strategy and transport; our route calls it",
    (our_authentication.AuthenticationBackend, "logout"): "joins strategy and transport; our route calls it",
    (our_schemas.BaseUser, "create_update_dict"): NOT_USED,
    (our_schemas.BaseUser, "create_update_dict_superuser"): NOT_USED,
    (our_schemas.BaseUserCreate, "create_update_dict"): FOR_SCRIPTS,
    (our_schemas.BaseUserCreate, "create_update_dict_superuser"): FOR_SCRIPTS,
    (our_schemas.BaseUserUpdate, "create_update_dict"): FOR_SCRIPTS,
    (our_schemas.BaseUserUpdate, "create_update_dict_superuser"): FOR_SCRIPTS,
}
# FastAPI Users' transports are used as they are: what they do depends on how they are configured.
CLASSES = [
    (manager.BaseUserManager, ours.BaseUserManager),
    (fastapi_users.FastAPIUsers, ours.FastAPIUsers),
    (fastapi_users.password.PasswordHelper, ours.PasswordHelper),
    (BaseUserDatabase, ours.SQLAlchemyUserDatabase),
    (BaseUserDatabase, ours.SQLModelUserDatabase),
    (strategy.AccessTokenDatabase, ours.SQLAlchemyAccessTokenDatabase),
    (strategy.AccessTokenDatabase, ours.SQLModelAccessTokenDatabase),
    (authentication.Authenticator, our_authentication.Authenticator),
    (authentication.AuthenticationBackend, our_authentication.AuthenticationBackend),
    (strategy.JWTStrategy, our_strategy.JWTStrategy),
    (strategy.DatabaseStrategy, our_strategy.DatabaseStrategy),
    (strategy.RedisStrategy, our_strategy.RedisStrategy),
    (schemas.BaseUser, our_schemas.BaseUser),
    (schemas.BaseUserCreate, our_schemas.BaseUserCreate),
    (schemas.BaseUserUpdate, our_schemas.BaseUserUpdate),
]


def missing(names: dict[str, set[str]]) -> set[tuple[str, str]]:
    """Say which names are not here, at the same path below the package."""
    return {
        (module, name)
        for module, found in names.items()
        for name in found
        if not hasattr(importlib.import_module(".".join(filter(None, ["fastapi_users_sqlmodel", module]))), name)
    }


class TestNames:
    def test_of_fastapi_users(self) -> None:
        assert missing(FASTAPI_USERS) == NOT_HERE.keys()

    def test_of_its_adapter_for_sqlalchemy(self) -> None:
        assert missing(adapter_names()) == set()

    def test_are_found_in_a_source(self) -> None:
        assert {"", "authentication.strategy.db", "router.common", "db", "manager"} <= FASTAPI_USERS.keys()
        assert {"ID", "UP", "UserProtocol"} <= FASTAPI_USERS["models"]
        assert {"RedisStrategy", "JWTStrategy"} <= FASTAPI_USERS["authentication"]
        assert {"get_auth_router", "get_oauth_router"} <= FASTAPI_USERS["router"]

    def test_are_imported_by_an_app_whose_imports_were_changed(self) -> None:
        """Every import of every name, with the change that the guide tells people to make."""
        packages = {"fastapi_users": FASTAPI_USERS, "fastapi_users_db_sqlalchemy": adapter_names()}
        lines = [
            f"from {'.'.join(filter(None, [package, module]))} import {name}"
            for package, names in packages.items()
            for module, found in names.items()
            for name in found
            if (module, name) not in NOT_HERE
        ]
        changed = [
            re.sub(r"\bfastapi_users\b", "fastapi_users_sqlmodel", line.replace("_db_sqlalchemy", "_sqlmodel"), count=1)
            for line in lines
        ]
        assert len(changed) > 100
        for line in changed:
            assert line.startswith("from fastapi_users_sqlmodel")
            exec(line, {})  # An import

    def test_are_ours_where_ours_is_another(self) -> None:
        """A name that would bring FastAPI Users' own class is worse than none."""
        for name in ("BaseUserManager", "FastAPIUsers"):
            assert getattr(ours, name).__module__.startswith("fastapi_users_sqlmodel")
        assert db.SQLAlchemyUserDatabase is ours.SQLAlchemyUserDatabase
        assert our_strategy.JWTStrategy is our_authentication.JWTStrategy is not strategy.JWTStrategy

    def test_without_the_extras(self) -> None:
        """As FastAPI Users: what needs Redis or OAuth is not there, and all else is."""
        program = """
import sys
sys.modules.update(dict.fromkeys(("redis", "redis.asyncio", "httpx_oauth")))
from fastapi_users_sqlmodel import authentication, router
from fastapi_users_sqlmodel.authentication import strategy
print([hasattr(module, "RedisStrategy") for module in (authentication, strategy)], hasattr(router, "get_oauth_router"))
print("JWTStrategy" in strategy.__all__, "RedisStrategy" in strategy.__all__, "get_oauth_router" in router.__all__)
"""
        ran = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=False)
        assert (ran.stdout, ran.stderr) == ("[False, False] False\nTrue False False\n", "")


def inherited(upstream: type[Any], ours_: type[Any]) -> Iterator[str]:
    """Say which public methods are FastAPI Users' own."""
    for owner in upstream.__mro__:
        if not owner.__module__.startswith("fastapi_users."):
            continue
        for name, member in vars(owner).items():
            if name.startswith("_") or not (callable(member) or isinstance(member, property | staticmethod)):
                continue
            [definer] = [base for base in ours_.__mro__ if name in vars(base)][:1]
            if not definer.__module__.startswith("fastapi_users_sqlmodel"):
                yield name


class TestInherited:
    def test_methods_are_known_to_be_safe(self) -> None:
        found = {(ours_, name) for upstream, ours_ in CLASSES for name in inherited(upstream, ours_)}
        assert found == INHERITED.keys()

    def test_attributes_of_an_instance_are_overridden(self) -> None:
        """FastAPI Users sets `current_user` in the constructor."""
        users = ours.FastAPIUsers[Any, Any](nobody, [])
        assert users.current_user.__module__.startswith("fastapi_users_sqlmodel")
        assert users.current_user == users.authenticator.current_user

    def test_routes(self) -> None:
        """Each route of FastAPI Users is here, under the same name, and its endpoint is ours."""
        transport = our_authentication.BearerTransport("login")
        backend = our_authentication.AuthenticationBackend[Any, Any]("jwt", transport, nobody)
        theirs = fastapi_users.FastAPIUsers[Any, Any](nobody, [backend])
        mine = ours.FastAPIUsers[Any, Any](nobody, [backend])
        make: dict[str, tuple[Any, ...]] = {
            "get_auth_router": (backend,),
            "get_register_router": (our_schemas.BaseUser, our_schemas.BaseUserCreate),
            "get_verify_router": (our_schemas.BaseUser,),
            "get_reset_password_router": (),
            "get_users_router": (our_schemas.BaseUser, our_schemas.BaseUserUpdate),
        }
        routers = {name for name in vars(fastapi_users.FastAPIUsers) if name.endswith("_router")}
        assert routers == {*make, "get_oauth_router", "get_oauth_associate_router"}
        for name, arguments in make.items():
            expected, found = (routes(getattr(one, name)(*arguments)) for one in (theirs, mine))
            assert found.keys() == expected.keys(), name
            for key, route in found.items():
                assert route.name == expected[key].name
                assert route.endpoint.__module__.startswith("fastapi_users_sqlmodel.routers."), key


async def nobody() -> Any:
    raise AssertionError


def routes(router: APIRouter) -> dict[tuple[str, str], APIRoute]:
    return {
        (method, route.path): route
        for route in router.routes
        if isinstance(route, APIRoute)
        for method in route.methods or ()
    }


class TestOAuth:
    """FastAPI Users' own routes until ours are there; whoever makes one is told."""

    @pytest.mark.parametrize("kind", ["get_oauth_router", "get_oauth_associate_router"])
    @pytest.mark.parametrize("way", ["object", "function"])
    def test_making_a_router_warns(self, kind: str, way: str) -> None:
        oauth = pytest.importorskip(
            "httpx_oauth.oauth2", reason="FastAPI Users' extra `oauth`, which no other test needs"
        )
        client = oauth.OAuth2("id", "secret", "https://example.com/authorize", "https://example.com/token")
        backend = our_authentication.AuthenticationBackend[Any, Any](
            "jwt", our_authentication.BearerTransport("login"), nobody
        )
        users = ours.FastAPIUsers[Any, Any](nobody, [backend])
        arguments: dict[str, tuple[Any, ...]] = {
            "get_oauth_router": (client, backend, "state secret"),
            "get_oauth_associate_router": (client, our_schemas.BaseUser, "state secret"),
        }
        made: Any = getattr(users, kind)
        given = arguments[kind]
        if way == "function":
            made = getattr(importlib.import_module("fastapi_users_sqlmodel.router"), kind)
            given = (
                (client, backend, nobody, "state secret")
                if kind == "get_oauth_router"
                else (client, users.authenticator, nobody, our_schemas.BaseUser, "state secret")
            )
        with pytest.warns(SecurityWarning, match="OAuth routes are not protected") as caught:
            router = made(*given)
        assert {path for _, path in routes(router)} == {"/authorize", "/callback"}
        # The warning points to whoever makes the router.
        assert [warning.filename for warning in caught] == [__file__]

    def test_nothing_else_warns(self) -> None:
        with warnings.catch_warnings():
            warnings.simplefilter("error")
            ours.FastAPIUsers[Any, Any](nobody, []).get_reset_password_router()
