"""Who the client is, is what our own proxies say; nobody else is believed."""

from ipaddress import ip_network

import httpx2
import pytest
from starlette.types import Message, Receive, Scope, Send

from app.api.middleware import TrustedProxies
from tests.programs import Programs
from tests.server import start_server

NETWORKS = ["10.0.0.0/8", "192.0.2.1", "2001:db8:1::/48"]


async def forwarded(peer: str | None, *headers: tuple[str, str], networks: list[str] = NETWORKS) -> tuple[str, str]:
    """Return the address of the client and the scheme that a request has behind the middleware."""
    seen: list[Scope] = []

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        seen.append(scope)

    async def receive() -> Message:
        raise AssertionError

    async def send(message: Message) -> None:
        raise AssertionError

    scope: Scope = {
        "type": "http",
        "client": None if peer is None else (peer, 1234),
        "scheme": "http",
        "headers": [(name.lower().encode(), value.encode("latin-1")) for name, value in headers],
    }
    await TrustedProxies(app, [ip_network(network) for network in networks])(scope, receive, send)
    assert seen[0] is scope
    return seen[0]["client"] and seen[0]["client"][0], seen[0]["scheme"]


async def client_behind(peer: str | None, *values: str) -> str | None:
    """Return the address of the client, with these X-Forwarded-For."""
    return (await forwarded(peer, *(("X-Forwarded-For", value) for value in values)))[0]


class TestClient:
    @pytest.mark.parametrize(
        "peer", ["203.0.113.7", "192.0.2.2", "2001:db8:2::1", "::1", "", "unix:", "10.0.0.256", None]
    )
    async def test_a_stranger_is_not_believed(self, peer: str | None) -> None:
        headers = [("X-Forwarded-For", "198.51.100.1"), ("X-Forwarded-Proto", "https")]
        assert await forwarded(peer, *headers) == (peer, "http")

    async def test_nobody_is_believed_where_there_are_no_proxies(self) -> None:
        headers = [("X-Forwarded-For", "198.51.100.1"), ("X-Forwarded-Proto", "https")]
        assert await forwarded("127.0.0.1", *headers, networks=[]) == ("127.0.0.1", "http")

    @pytest.mark.parametrize(
        "peer", ["10.1.2.3", "192.0.2.1", "2001:db8:1::1", "::ffff:10.1.2.3", "2001:db8:1::1%eth0"]
    )
    async def test_a_proxy_is_believed(self, peer: str) -> None:
        headers = [("X-Forwarded-For", "198.51.100.1"), ("X-Forwarded-Proto", "https")]
        assert await forwarded(peer, *headers) == ("198.51.100.1", "https")

    @pytest.mark.parametrize(
        ("values", "client"),
        [
            ([], "10.0.0.1"),
            (["198.51.100.1"], "198.51.100.1"),
            (["  198.51.100.1\t"], "198.51.100.1"),
            (["198.51.100.1:4711"], "198.51.100.1"),
            (["2001:db8::7"], "2001:db8::7"),
            (["[2001:db8::7]"], "2001:db8::7"),
            (["[2001:DB8:0::7]:4711"], "2001:db8::7"),
            (["::ffff:198.51.100.1"], "198.51.100.1"),
            (["fe80::7%eth0"], "fe80::7"),
        ],
    )
    async def test_as_it_is_written(self, values: list[str], client: str) -> None:
        assert await client_behind("10.0.0.1", *values) == client

    @pytest.mark.parametrize(
        ("values", "client"),
        [
            # What a client has sent itself stands before what the proxies have added.
            (["127.0.0.1, 198.51.100.1"], "198.51.100.1"),
            (["10.0.0.9, 198.51.100.1"], "198.51.100.1"),
            (["127.0.0.1, 198.51.100.1, 10.0.0.2, 2001:db8:1::2"], "198.51.100.1"),
            # Several headers are one list.
            (["127.0.0.1", "198.51.100.1"], "198.51.100.1"),
            (["127.0.0.1, 198.51.100.1", "10.0.0.2"], "198.51.100.1"),
            (["198.51.100.1", "10.0.0.2, 10.0.0.3"], "198.51.100.1"),
            # One of our own is the client.
            (["10.0.0.3, 10.0.0.2"], "10.0.0.3"),
        ],
    )
    async def test_the_nearest_that_is_no_proxy(self, values: list[str], client: str) -> None:
        assert await client_behind("10.0.0.1", *values) == client

    @pytest.mark.parametrize(
        ("values", "client"),
        [
            ([""], "10.0.0.1"),
            (["unknown"], "10.0.0.1"),
            (["198.51.100.1,"], "10.0.0.1"),
            (["198.51.100.1, unknown"], "10.0.0.1"),
            (["198.51.100.1", "_hidden"], "10.0.0.1"),
            (["198.51.100.1, unknown, 10.0.0.2"], "10.0.0.2"),
            (["198.51.100.256"], "10.0.0.1"),
            (["198.51.100.1:x"], "10.0.0.1"),
            (["198.51.100.1:80:80"], "10.0.0.1"),
            (["198.51.100.1/32"], "10.0.0.1"),
            (["[2001:db8::7"], "10.0.0.1"),
            (["[2001:db8::7]x"], "10.0.0.1"),
            (["<script>"], "10.0.0.1"),
            (["\xff\x00"], "10.0.0.1"),
            (["1" * 60_000], "10.0.0.1"),
            (["," * 60_000], "10.0.0.1"),
            # What is no address ends what can be known, and is no way to be somebody else.
            (["unknown, 198.51.100.1"], "198.51.100.1"),
        ],
    )
    async def test_never_what_is_no_address(self, values: list[str], client: str) -> None:
        assert await client_behind("10.0.0.1", *values) == client


class TestScheme:
    @pytest.mark.parametrize(
        ("values", "scheme"),
        [
            ([], "http"),
            (["https"], "https"),
            ([" HTTPS "], "https"),
            (["http"], "http"),
            (["https, http"], "http"),
            (["http", "https"], "https"),
            (["javascript"], "http"),
            (["https,"], "http"),
            (["wss"], "http"),
        ],
    )
    async def test_the_last_word_of_a_proxy(self, values: list[str], scheme: str) -> None:
        headers = [("X-Forwarded-Proto", value) for value in values]
        assert await forwarded("10.0.0.1", *headers) == ("10.0.0.1", scheme)


async def test_what_is_no_request_passes() -> None:
    seen: list[str] = []

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        seen.append(scope["type"])

    async def nothing(*_: object) -> Message:
        raise AssertionError

    await TrustedProxies(app, [])({"type": "lifespan"}, nothing, nothing)  # type: ignore[arg-type]  # It is not called
    assert seen == ["lifespan"]


@pytest.mark.parametrize(
    ("proxies", "believed"),
    [("", False), ("10.0.0.0/8,::1", False), ("127.0.0.0/8", True)],
    ids=["none", "others", "us"],
)
def test_the_server_believes_its_proxies_alone(programs: Programs, proxies: str, *, believed: bool) -> None:
    """Not those that uvicorn would believe: this machine, and what FORWARDED_ALLOW_IPS says."""
    env = {"TRUSTED_PROXIES": proxies, "FORWARDED_ALLOW_IPS": "*"}
    server = start_server(programs, database_url="sqlite://", env=env)
    headers = {"X-Forwarded-For": "198.51.100.1"}
    assert httpx2.get(f"{server.url}/health/live", headers=headers).status_code == 200
    log = server.stop().err
    assert (" 198.51.100.1:0 " in log) is believed
    assert "Traceback" not in log
