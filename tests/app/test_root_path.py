"""The service behind a proxy that serves it under a prefix, and cuts the prefix off or not."""

from collections.abc import Iterator

import httpx2
import pytest

from app.core.settings import load_settings
from tests.programs import Programs
from tests.server import Server, start_server


@pytest.fixture
def server(programs: Programs) -> Iterator[Server]:
    server = start_server(
        programs, "main.py", "--sample-data", database_url="sqlite://", env={"ROOT_PATH": "/api", "THROTTLING": "off"}
    )
    yield server
    assert "Traceback" not in server.stop().err


def test_is_known_everywhere(server: Server) -> None:
    for prefix in ("", "/api"):
        with httpx2.Client(base_url=f"{server.url}{prefix}") as client:
            assert client.get("/health/ready").json() == {"status": "ok"}
            assert client.get("/health/ready/").json() == {"status": "ok"}
            assert "'/api/openapi.json'" in client.get("/docs").text
            assert client.get("/openapi.json").json()["servers"] == [{"url": "/api"}]
            link = client.get("/user-groups?limit=1").headers["link"]
            assert link.startswith("</api/user-groups?")
            assert link.endswith('; rel="next"')
            form = {"username": "nobody@example.com", "password": "correct horse battery staple"}
            for origin, status in (("https://evil.example.com", 403), ("http://localhost:8000", 400)):
                # The proof of the same site is asked for on the route that sets the cookie, wherever it is.
                response = client.post("/auth/cookie/login", data=form, headers={"Origin": origin})
                assert response.status_code == status
            assert client.get("/apiary").status_code == 404
            assert client.put("/health/live").headers["allow"] == "GET, HEAD"


@pytest.mark.parametrize(("given", "meant"), [("/api", "/api"), ("/a/b-c/", "/a/b-c"), ("/", ""), ("", "")])
def test_is_a_path(given: str, meant: str) -> None:
    assert load_settings(root_path=given).root_path == meant


@pytest.mark.parametrize("given", ["api", "//evil.example.com", "https://example.com/api", "/a b", "/a?b", "/a//b"])
def test_that_is_no_path(given: str) -> None:
    with pytest.raises(SystemExit, match="ROOT_PATH: not a path; for example /api"):
        load_settings(root_path=given)
