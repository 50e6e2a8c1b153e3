"""HEAD on every route that has a GET: the same status and headers, and no body."""

import httpx2
import pytest
from fastapi.responses import PlainTextResponse
from fastapi.routing import iter_route_contexts
from starlette.types import Message

from app.api.middleware import HeadAsGet
from app.app import app
from app.models import User
from tests.app.fixture_types import AsUser
from tests.programs import Programs
from tests.server import start_server

# The routes are asked by GET on both databases.
PATHS = sorted(
    {
        context.path
        for context in iter_route_contexts(app.router.routes)
        if context.path and "GET" in (context.methods or ())
    }
)
# Of the request, and not of its answer.
OTHER_HEADERS = {"x-request-id", "date"}


def address(path: str, user: User) -> str:
    values = {"id": str(user.id), "user_id": str(user.id), "group_id": "1", "item_id": "1", "post_id": "1"}
    return path.format(**values)


def headers(response: httpx2.Response) -> dict[str, str]:
    return {name: value for name, value in response.headers.items() if name not in OTHER_HEADERS}


async def assert_as_get(client: httpx2.AsyncClient, address: str) -> int:
    for spelling in (address, f"{address}/"):
        got, head = await client.get(spelling), await client.head(spelling)
        assert (head.status_code, headers(head), head.content) == (got.status_code, headers(got), b"")
        assert head.headers["content-length"] == str(len(got.content))
    return head.status_code


class TestHead:
    def test_there_are_routes(self) -> None:
        assert len(PATHS) > 20
        assert {"/health/ready", "/users/me", "/docs", "/posts/{post_id}"} <= set(PATHS)

    @pytest.mark.parametrize("path", PATHS)
    async def test_of_nobody(self, client: httpx2.AsyncClient, owner: User, path: str) -> None:
        await assert_as_get(client, address(path, owner))

    @pytest.mark.parametrize("path", PATHS)
    async def test_of_a_superuser(self, as_user: AsUser, superuser: User, path: str) -> None:
        status = await assert_as_get(await as_user(superuser), address(path, superuser))
        assert status == 200 or (status == 404 and path.endswith(("{group_id}", "{item_id}", "{post_id}", "}/users")))

    async def test_where_there_is_no_get(self, client: httpx2.AsyncClient) -> None:
        response = await client.head("/auth/register")
        assert (response.status_code, response.headers["allow"], response.content) == (405, "POST", b"")
        assert (await client.head("/nowhere")).status_code == 404

    async def test_hands_no_body_to_the_server(self) -> None:
        """Clients and servers drop one as well, so the messages themselves are looked at."""
        sent: list[Message] = []

        async def send(message: Message) -> None:
            sent.append(message)

        async def receive() -> Message:
            return {"type": "http.request"}

        await HeadAsGet(PlainTextResponse("hello"))(
            {"type": "http", "method": "HEAD", "path": "/", "headers": []}, receive, send
        )
        assert dict(sent[0]["headers"])[b"content-length"] == b"5"
        assert b"".join(message["body"] for message in sent[1:]) == b""

    def test_of_the_real_server(self, programs: Programs) -> None:
        """A body would be taken for the next answer on the same connection."""
        server = start_server(programs, database_url="sqlite://")
        with httpx2.Client(base_url=server.url) as client:
            for _ in range(2):
                head = client.head("/health/ready")
                assert (head.status_code, head.headers["content-length"], head.content) == (200, "15", b"")
                assert client.get("/health/ready").json() == {"status": "ok"}
        assert "Traceback" not in server.stop().err
