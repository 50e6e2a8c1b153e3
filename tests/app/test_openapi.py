"""openapi.json says what the service does, and the service does what openapi.json says."""

import asyncio
import json
from collections.abc import Iterator
from http import HTTPStatus
from typing import Any
from urllib.parse import urljoin

import httpx2
import pytest
import requests
import schemathesis
from fastapi.routing import iter_route_contexts
from hypothesis import HealthCheck, settings

from app.app import app
from app.models import User
from tests.app.conftest import PASSWORD, Ground
from tests.app.databases import signed_in
from tests.app.openapi_codes import failures, is_ours
from tests.app.openapi_world import NUMBERS, USERS, make_world, restore
from tests.app.production import PRODUCTION
from tests.programs import Programs
from tests.server import Server, start_server

DOCUMENT = app.openapi()
OPERATIONS = [
    (method, path, operation) for path, methods in DOCUMENT["paths"].items() for method, operation in methods.items()
]
operations = pytest.mark.parametrize(
    ("method", "path", "operation"), [pytest.param(*each, id=f"{each[0]} {each[1]}") for each in OPERATIONS]
)
ENDPOINTS = {
    (method.lower(), context.path): context.endpoint
    for context in iter_route_contexts(app.router.routes)
    for method in context.methods or ()
    if context.endpoint is not None
}

# The library's errors of the routes that call its manager.
OF_THE_MANAGER = {
    ("put", "/users/{id}"): {
        "CURRENT_PASSWORD_BAD",
        "FRESH_LOGIN_REQUIRED",
        "LAST_SUPERUSER",
        "Service Unavailable",
        "Too Many Requests",
        "UPDATE_USER_EMAIL_ALREADY_EXISTS",
        "UPDATE_USER_INVALID_PASSWORD",
        "UPDATE_USER_USERNAME_ALREADY_EXISTS",
        "UPDATE_USER_VALUE_ALREADY_EXISTS",
        "USER_GROUP_NOT_FOUND",
        "USER_NOT_FOUND",
    },
    ("put", "/user-groups/{group_id}/users/{user_id}"): {"FRESH_LOGIN_REQUIRED", "USER_NOT_FOUND"},
    ("delete", "/user-groups/{group_id}/users/{user_id}"): {"FRESH_LOGIN_REQUIRED", "USER_NOT_FOUND"},
}
# The library's endpoints, and what they can say, are its tests' matter.
OWN = [pytest.param(*each, id=f"{each[0]} {each[1]}") for each in OPERATIONS if is_ours(ENDPOINTS[each[:2]])]


def documented_details(operation: dict[str, Any], status: int) -> set[str]:
    """Return what may stand under `detail`, or its code, in an answer with this status."""
    body = operation["responses"].get(str(status), {}).get("content", {}).get("application/json", {})
    values = [example["value"] for example in body.get("examples", {}).values()]
    details = [value["detail"] for value in [*values, *([body["example"]] if "example" in body else [])]]
    return {detail["code"] if isinstance(detail, dict) else detail for detail in details}


class TestDocument:
    def test_every_operation_has_an_id_of_its_own(self) -> None:
        ids = [operation["operationId"] for _, _, operation in OPERATIONS]
        assert len(ids) == len(set(ids)) > 30

    @operations
    def test_an_operation_says_what_it_does(self, method: str, path: str, operation: dict[str, Any]) -> None:
        assert operation["summary"]
        assert operation["tags"]
        assert operation["description"][0].isupper()
        assert operation["description"].endswith(".")

    @pytest.mark.parametrize(("method", "path", "operation"), OWN)
    def test_every_failure_is_documented(self, method: str, path: str, operation: dict[str, Any]) -> None:
        """Nothing is documented that cannot happen, either, but for 401 and 403: those come from FastAPI Users."""
        expected = {error.code for error in failures(ENDPOINTS[method, path])} | OF_THE_MANAGER.get(
            (method, path), set()
        )
        documented = {code for answer in operation["responses"].values() for code in codes(answer)}
        assert expected <= documented
        assert documented - expected <= {"Unauthorized", "Forbidden", "Content Too Large", "Service Unavailable"}

    @operations
    def test_who_must_sign_in(self, method: str, path: str, operation: dict[str, Any]) -> None:
        """Where one may sign in but need not, an empty alternative says so."""
        ways: list[dict[str, list[str]]] = [{"OAuth2PasswordBearer": []}, {"APIKeyCookie": []}]
        if path in {"/auth/jwt/logout", "/auth/cookie/logout"}:
            # Each ends what its own transport brought.
            assert operation["security"] == [ways["cookie" in path]]
        elif "401" in operation["responses"] and path != "/auth/jwt/refresh":
            assert operation["security"] == ways
        else:
            assert operation.get("security", [*ways, {}]) == [*ways, {}]

    @operations
    def test_the_generic_failures(self, method: str, path: str, operation: dict[str, Any]) -> None:
        for status, header in ((401, "WWW-Authenticate"), (429, "Retry-After"), (503, "Retry-After")):
            if answer := operation["responses"].get(str(status)):
                is_refused = (path, status) == ("/auth/jwt/refresh", 401)
                phrase = "REFRESH_BAD_TOKEN" if is_refused else HTTPStatus(status).phrase
                assert documented_details(operation, status) == {phrase}
                assert answer["headers"][header]["required"]
        assert ("413" in operation["responses"]) == (method != "get")
        assert ("503" in operation["responses"]) == (path != "/health/live")

    def test_what_is_wrong_with_a_value_is_said_without_the_value(self) -> None:
        problem = DOCUMENT["components"]["schemas"]["ValidationError"]
        assert problem["properties"].keys() == set(problem["required"]) == {"type", "loc", "msg"}
        assert problem["additionalProperties"] is False


def codes(answer: dict[str, Any]) -> Iterator[str]:
    yield from answer.get("content", {}).get("application/json", {}).get("examples", {})


class TestDocs:
    async def test_authorize(self, client: httpx2.AsyncClient, owner: User) -> None:
        """The address of the login is relative to the page that asks."""
        docs = await client.get("/docs")
        assert docs.status_code == 200
        assert "/openapi.json" in docs.text
        schemes = (await client.get("/openapi.json")).json()["components"]["securitySchemes"]
        login = urljoin(str(docs.url), schemes["OAuth2PasswordBearer"]["flows"]["password"]["tokenUrl"])
        form = {"grant_type": "password", "username": owner.email, "password": PASSWORD, "scope": ""}
        answer = (await client.post(login, data=form)).json()
        assert answer["token_type"] == "bearer"
        headers = {"Authorization": f"Bearer {answer['access_token']}"}
        response = await client.get("/authenticated-route", headers=headers)
        assert response.json() == {"message": f"Hello {owner.email}!"}

    @pytest.mark.parametrize("path", ["/docs", "/docs/oauth2-redirect", "/redoc", "/openapi.json"])
    async def test_in_development(self, client: httpx2.AsyncClient, path: str) -> None:
        assert (await client.get(path)).status_code == 200

    def test_not_in_production(self, programs: Programs) -> None:
        ask = """
import asyncio, json, httpx2
from app.app import app

async def ask():
    async with httpx2.AsyncClient(transport=httpx2.ASGITransport(app), base_url="https://example.com") as client:
        paths = ["/docs", "/docs/", "/docs/oauth2-redirect", "/redoc", "/openapi.json", "/health/live"]
        return [(await client.get(path)).status_code for path in paths]

print(json.dumps(asyncio.run(ask())))
"""
        ran = programs.run("-c", ask, env=PRODUCTION)
        assert (ran.status, json.loads(ran.out)) == (0, [404, 404, 404, 404, 404, 200]), ran.err


class TestGenericAnswers:
    @pytest.mark.parametrize(
        ("method", "path"), [(method, path) for method, path, _ in OPERATIONS if method in {"post", "put", "patch"}]
    )
    async def test_a_body_of_more_than_1_mib(self, client: httpx2.AsyncClient, method: str, path: str) -> None:
        headers = {"Sec-Fetch-Site": "same-origin"}
        response = await client.request(method, path, content=b" " * (1024 * 1024 + 1), headers=headers)
        assert (response.status_code, response.json()) == (413, {"detail": "Content Too Large"})

    @pytest.mark.parametrize("encoding", ["utf-16", "utf-16-le", "utf-16-be", "utf-32"])
    async def test_json_not_in_utf_8(self, client: httpx2.AsyncClient, encoding: str) -> None:
        """RFC 8259, 8.1. The quotation mark among the bytes of U+2200 would hide how deep it is."""
        response = await client.post(
            "/posts",
            content=('{"title": "\u2200", "content": ' + "[" * 100 + "]" * 100 + "}").encode(encoding),
            headers={"Content-Type": "application/json"},
        )
        assert response.status_code == 422
        assert response.json() == {"detail": [{"type": "json_invalid", "loc": ["body"], "msg": "JSON not in UTF-8"}]}

    async def test_a_method_that_is_not_there(self, client: httpx2.AsyncClient) -> None:
        for path, allowed in (
            ("/items", "GET, HEAD, POST"),
            ("/posts/1", "DELETE, GET, HEAD, PATCH"),
            ("/health/live", "GET, HEAD"),
            ("/auth/register", "POST"),
        ):
            for address in (path, f"{path}/"):
                response = await client.put(address)
                assert (response.status_code, response.headers["Allow"]) == (405, allowed)


@pytest.fixture(scope="module")
def running(ground: Ground) -> Iterator[tuple[Server, str]]:
    """Start the real service, in its small world."""
    make_world(ground.database_url)
    server = start_server(ground.programs, database_url=ground.database_url, env=ground.env)
    yield server, ground.database_url
    server.stop_silently()


# The superuser comes last: much is gone afterwards.
@pytest.fixture(scope="module", params=["nobody", "member", "admin"])
def who(request: pytest.FixtureRequest) -> str:
    """Return who is asking."""
    name: str = request.param
    return name


@pytest.fixture
def server(running: tuple[Server, str]) -> Server:
    return running[0]


@pytest.fixture
def headers(who: str, running: tuple[Server, str]) -> dict[str, str]:
    """Return what says so; signed in anew for each operation, because some of them end sessions, rights, or people."""
    # What comes from another page than ours is refused before anybody looks at it.
    headers = {"Sec-Fetch-Site": "same-origin"}
    if who == "nobody":
        return headers
    url = running[1]
    return {**headers, **asyncio.run(signed_in(url, restore(url, who)))}


@pytest.fixture(scope="module")
def http() -> Iterator[requests.Session]:
    with requests.Session() as session:
        yield session


CONFIGURATION: dict[str, Any] = {
    "generation": {"deterministic": True, "max-examples": 6, "database": "none"},
    "dictionaries": {"users": {"values": [str(user) for user in USERS.values()]}, "numbers": {"values": NUMBERS}},
    "parameters": {
        "path.id": {"dictionary": "users", "probability": 0.7},
        "path.user_id": {"dictionary": "users", "probability": 0.7},
        "path.group_id": {"dictionary": "numbers", "probability": 0.7},
        "path.item_id": {"dictionary": "numbers", "probability": 0.7},
        "path.post_id": {"dictionary": "numbers", "probability": 0.7},
    },
    "checks": {
        # A schema does not say all: a text that is blank, an address that cannot be one, a token that nobody was sent,
        # a cursor of another list, `skip` beside `after`, a new password without the current one.
        "positive_data_acceptance": {"enabled": False},
        "negative_data_rejection": {"expected-statuses": [400, 401, 403, 404, 405, 409, 413, 422]},
    },
    "operations": [
        {
            # To PUT and DELETE, `me` is an id that is nobody's: 404, as the contract has it, and not 405.
            "include-path": "/users/me",
            "checks": {"unsupported_method": {"enabled": False}, "allow_header_conformance": {"enabled": False}},
        }
    ],
}
schema = schemathesis.openapi.from_dict(DOCUMENT, config=schemathesis.Config.from_dict(CONFIGURATION))


def says_a_documented_code(
    _context: schemathesis.CheckContext, response: schemathesis.Response, case: schemathesis.Case[Any]
) -> None:
    """Check what no schema says: which words of failure these are; and that the answer names its request."""
    assert response.headers["x-request-id"]
    status = response.status_code
    operation = DOCUMENT["paths"][case.operation.path].get(case.method.lower())
    # A method that is not there is no operation, and what a 422 says has a schema.
    if operation is None or status < 400 or status == 422:
        return
    detail = response.json()["detail"]
    code = detail["code"] if isinstance(detail, dict) else detail
    # An empty path parameter makes another path, and nothing is there.
    assert code in documented_details(operation, status) or (status, code) == (404, "Not Found")


@pytest.mark.thorough
# The database makes no difference to what is documented.
@pytest.mark.parametrize("ground", ["postgresql"], indirect=True)
@schema.parametrize()
@settings(deadline=None, suppress_health_check=list(HealthCheck))
def test_every_answer_is_documented(
    case: schemathesis.Case[Any], server: Server, headers: dict[str, str], http: requests.Session
) -> None:
    case.call_and_validate(
        base_url=server.url, headers=headers, session=http, additional_checks=[says_a_documented_code], timeout=30
    )
