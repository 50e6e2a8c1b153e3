"""Find what an app leaves open that this library could close: at start-up and in tests."""

import os
import sys
import warnings
from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass
from typing import Any, Literal

import fastapi_users as upstream
from fastapi_users.authentication import AuthenticationBackend, CookieTransport
from fastapi_users.authentication.strategy import JWTStrategy, Strategy
from fastapi_users.router.common import ErrorCode

from fastapi_users_sqlmodel._wiring import FoundRoute, class_made_by, find_routes, made_by
from fastapi_users_sqlmodel.authentication import SessionBackend, SessionCookieTransport
from fastapi_users_sqlmodel.authentication.strategy.jwt import weakness
from fastapi_users_sqlmodel.csrf import SAFE_METHODS
from fastapi_users_sqlmodel.exceptions import SecurityWarning
from fastapi_users_sqlmodel.fastapi_users import FastAPIUsers
from fastapi_users_sqlmodel.manager import BaseUserManager
from fastapi_users_sqlmodel.routers._oauth import OAUTH_IS_OPEN

type FindingCode = Literal[
    "accounts-revealed",
    "cookie-login-without-csrf",
    "cookie-not-secure",
    "cookie-readable-by-scripts",
    "cookie-samesite-none",
    "cookie-without-csrf",
    "limits-in-memory",
    "limits-off",
    "manager-unknown",
    "oauth-open",
    "privileged-fields",
    "stock-routers",
    "strategy-unknown",
    "token-outlives-logout",
    "token-outlives-password",
    "token-without-end",
    "unverified-login",
    "weak-secret",
]

_STOCK_ROUTERS = "fastapi_users.router."
_OAUTH = ("oauth:", "oauth-associate:")
# A person who sets one of these has more rights than before.
_PRIVILEGED = {"id", "hashed_password", "is_active", "is_superuser", "is_verified"}


@dataclass(frozen=True, slots=True)
class Finding:
    """Something that is left open: a code that stays the same, and a sentence with what to do."""

    code: FindingCode
    message: str


def check_security(
    app: Any,
    fastapi_users: "upstream.FastAPIUsers[Any, Any]",
    *,
    allow: Collection[FindingCode] = (),
    strict: bool = False,
) -> list[Finding]:
    """Return what an app leaves open, and warn of each (`SecurityWarning`).

    Call it when all routers and middleware are there: at the end of the module that makes the app, in its lifespan, or
    in a test. It sends no request. Of what a proxy or a second machine does it knows nothing.

    Args:
        app: The outermost app, with whatever middleware around it.
        fastapi_users: The object that handed out the routers.
        allow: Codes that are neither returned nor warned of, because you know why.
        strict: Whether to raise instead of warning.

    Raises:
        SecurityWarning: `strict`, and something was found: everything, in one message.
    """
    with warnings.catch_warnings():
        # A strategy that is made to be looked at warns of its secret, which is said here.
        warnings.simplefilter("ignore", SecurityWarning)
        routes = find_routes(app)
        found = [
            *_routers(fastapi_users, routes),
            *_backends(fastapi_users, routes),
            *_manager(fastapi_users, routes),
            *_logins(routes),
        ]
    findings = [finding for finding in dict.fromkeys(found) if finding.code not in allow]
    lines = [f"{finding.message} [{finding.code}]" for finding in findings]
    if strict and findings:
        raise SecurityWarning("the app leaves open:\n" + "\n".join(f"- {line}" for line in lines))
    for line in lines:
        warnings.warn(line, SecurityWarning, stacklevel=2)
    return findings


def _routers(users: "upstream.FastAPIUsers[Any, Any]", routes: Sequence[FoundRoute]) -> Iterator[Finding]:
    # The routers for OAuth are FastAPI Users' own in any case, and have a finding of their own.
    stock = [each for each in routes if each.module.startswith(_STOCK_ROUTERS) and not each.name.startswith(_OAUTH)]
    if stock or not isinstance(users, FastAPIUsers):
        where = f"{stock[0].path} is a route" if stock else "the object that hands out the routers is"
        yield Finding(
            "stock-routers",
            f"{where} of FastAPI Users itself, past the limits, the current password and the other protections; "
            "import FastAPIUsers from fastapi_users_sqlmodel, and take its routers",
        )


def _backends(users: "upstream.FastAPIUsers[Any, Any]", routes: Sequence[FoundRoute]) -> Iterator[Finding]:
    for backend in users.authenticator.backends:
        if isinstance(backend.transport, CookieTransport):
            yield from _cookie(backend.name, backend.transport, routes)
        if not isinstance(backend, SessionBackend):
            yield from _strategy(backend)


def _cookie(name: str, transport: CookieTransport, routes: Sequence[FoundRoute]) -> Iterator[Finding]:
    where = f"backend {name!r}"
    if not transport.cookie_secure:
        remedy = "give it an https URL" if isinstance(transport, SessionCookieTransport) else "set cookie_secure=True"
        yield Finding(
            "cookie-not-secure",
            f"{where}: its cookie is sent over plain HTTP, where anybody on the way reads it; {remedy}",
        )
    if not transport.cookie_httponly:
        yield Finding(
            "cookie-readable-by-scripts",
            f"{where}: scripts of the page, injected ones too, read its cookie; set cookie_httponly=True",
        )
    if transport.cookie_samesite == "none":
        yield Finding(
            "cookie-samesite-none",
            f'{where}: browsers send its cookie with requests from every page; set cookie_samesite="lax"',
        )
    cookie = transport.cookie_name
    for route in routes:
        names = {guard.cookie_name for guard in route.guards}
        if transport.scheme in route.calls and route.methods - SAFE_METHODS and cookie not in names:
            yield Finding(
                "cookie-without-csrf",
                f"{where}: a request that another page sends to {route.path}, for example, comes with its cookie; "
                f"app.add_middleware(CSRFMiddleware, cookie_name={cookie!r}, origins=…, login_paths=…)",
            )
            break
    for route in routes:
        covered = {
            guard.prefix + path for guard in route.guards if guard.cookie_name == cookie for path in guard.login_paths
        }
        if route.name == f"auth:{name}.login" and route.path not in covered:
            yield Finding(
                "cookie-login-without-csrf",
                f"{where}: another page can sign its visitor in as somebody else; "
                f"name {route.path} in login_paths of CSRFMiddleware",
            )


def _strategy(backend: "AuthenticationBackend[Any, Any]") -> Iterator[Finding]:
    where = f"backend {backend.name!r}"
    made = made_by(backend.get_strategy)
    kind = type(made) if made is not None else class_made_by(backend.get_strategy, _is_strategy)
    if kind is None:
        yield Finding(
            "strategy-unknown",
            f"{where}: its strategy cannot be found out without a request; annotate what get_strategy returns",
        )
        return
    if made is None:
        yield Finding(
            "strategy-unknown",
            f"{where}: its {kind.__name__} cannot be made without a request, so its secret and its lifetime were not "
            "looked at",
        )
    names = {each.__name__ for each in kind.__mro__}
    if "JWTStrategy" in names:
        yield Finding(
            "token-outlives-logout",
            f"{where}: no logout and no changed password ends its tokens, a stolen one neither; take SessionBackend",
        )
    if "RedisStrategy" in names:
        yield Finding(
            "token-outlives-password",
            f"{where}: a changed or reset password does not end its tokens; take SessionBackend or DatabaseStrategy",
        )
    if made is not None and hasattr(made, "lifetime_seconds") and not made.lifetime_seconds:
        yield Finding("token-without-end", f"{where}: its tokens are good for ever; set lifetime_seconds")
    if isinstance(made, JWTStrategy) and (problem := weakness(made)) is not None:
        yield Finding(
            "weak-secret", f"{where}: the secret of its JWTStrategy is {problem}; make one with openssl rand -base64 32"
        )


def _is_strategy(candidate: type[Any]) -> bool:
    # It need not inherit: FastAPI Users' is a protocol.
    return hasattr(candidate, "read_token") and candidate is not Strategy


def _is_manager(candidate: type[Any]) -> bool:
    return issubclass(candidate, BaseUserManager) and candidate is not BaseUserManager


def _manager(users: "upstream.FastAPIUsers[Any, Any]", routes: Sequence[FoundRoute]) -> Iterator[Finding]:
    manager: type[BaseUserManager[Any, Any]] | None = class_made_by(users.get_user_manager, _is_manager)
    if manager is None:
        yield Finding(
            "manager-unknown",
            "the class of the user manager cannot be found out, so its limits and conceal_accounts were not looked at; "
            "annotate what get_user_manager returns or yields",
        )
        return
    where = manager.__name__
    if manager.throttle is None:
        yield Finding("limits-off", f"{where}.throttle is None: passwords may be tried without end; set a Throttle")
    elif not manager.throttle.is_shared and (sign := _sign_of_several_processes()) is not None:
        yield Finding(
            "limits-in-memory",
            f"{where}.throttle counts in each process for itself, and there are several ({sign}): "
            'give it a server, Throttle("redis://…")',
        )
    if given := sorted(_PRIVILEGED & (manager.registration_fields | manager.own_fields)):
        yield Finding(
            "privileged-fields",
            f"{where} lets people set {', '.join(given)} of their own account; take that out of registration_fields "
            "and own_fields",
        )
    if not manager.conceal_accounts and any(route.name == "register:register" for route in routes):
        yield Finding(
            "accounts-revealed",
            f"{where}.conceal_accounts is False: registering tells anybody whether an address has an account; "
            "set it to True if you send mail",
        )


def _logins(routes: Sequence[FoundRoute]) -> Iterator[Finding]:
    logins = [route for route in routes if route.name.startswith("auth:") and route.name.endswith(".login")]
    gated = {route for route in logins if ErrorCode.LOGIN_USER_NOT_VERIFIED in route.codes}
    for route in logins:
        if gated and route not in gated:
            yield Finding(
                "unverified-login",
                f"{route.path} lets in users whose address is not verified, and {min(one.path for one in gated)} does "
                "not; give get_auth_router(…, requires_verification=True) to each backend",
            )
    if any(route.name.startswith(_OAUTH) for route in routes):
        yield Finding("oauth-open", OAUTH_IS_OPEN)


def _sign_of_several_processes() -> str | None:
    """Return what says that a server starts several processes: an environment variable, or how it was started."""
    concurrency = os.environ.get("WEB_CONCURRENCY", "")
    if concurrency.isdecimal() and int(concurrency) > 1:
        return f"WEB_CONCURRENCY={concurrency}"
    for option, value in zip(sys.argv, [*sys.argv[1:], ""], strict=True):
        name, _, joined = option.partition("=")
        given = joined or value
        if name in {"--workers", "-w"} and given.isdecimal() and int(given) > 1:
            return f"{name} {given}"
    return None
