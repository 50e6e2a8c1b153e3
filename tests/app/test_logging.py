"""The log says what went wrong, to people or to machines, and never a password."""

import json

import httpx2
import pytest

from tests.app.databases import connected
from tests.programs import Programs
from tests.server import Server, start_server

PASSWORD = "correct horse battery staple"


def break_and_register(programs: Programs, **env: str) -> Server:
    """Let a registration fail in a way that nobody has foreseen."""
    server = start_server(programs, env=env)
    with connected(f"sqlite:///{programs.folder}/test.db") as connection:
        connection.exec_driver_sql(
            "CREATE TRIGGER broken BEFORE INSERT ON user BEGIN SELECT RAISE(FAIL, 'broken'); END"
        )
    new = {"email": "ann@example.com", "password": PASSWORD}
    answer = httpx2.post(f"{server.url}/auth/register", json=new, headers={"X-Request-ID": "the-one"})
    assert (answer.status_code, answer.json()) == (500, {"detail": "Internal Server Error"})
    server.stop()
    return server


class TestTracebacks:
    def test_for_people_show_no_variables(self, programs: Programs) -> None:
        said = break_and_register(programs).program
        assert PASSWORD not in said.out + said.err
        assert "$argon2" not in said.out + said.err
        assert "Traceback (most recent call last):" in said.err
        assert "IntegrityError: broken" in said.err
        assert "request_id=the-one" in said.err

    def test_for_machines_show_no_variables(self, programs: Programs) -> None:
        said = break_and_register(programs, LOG_FORMAT="json").program
        assert PASSWORD not in said.out + said.err
        assert "$argon2" not in said.out + said.err
        lines = [json.loads(line) for line in said.err.splitlines()]
        (failure,) = [line for line in lines if "exception" in line]
        assert "locals" not in failure["exception"][0]["frames"][0]
        assert {line["request_id"] for line in lines if "the-one" in str(line)} == {"the-one"}


class TestLevel:
    @pytest.mark.parametrize(("level", "is_said"), [("INFO", True), ("WARNING", False)])
    def test_decides_what_is_said(self, programs: Programs, level: str, *, is_said: bool) -> None:
        server = start_server(programs, env={"LOG_LEVEL": level})
        assert server.stop().err.count("Application startup complete") == int(is_said)


class TestAccess:
    @pytest.mark.parametrize("log_format", ["console", "json"])
    def test_says_the_path_without_its_query(self, programs: Programs, log_format: str) -> None:
        """A link in a mail has its token there, and leads here as long as no page does."""
        server = start_server(programs, env={"LOG_FORMAT": log_format})
        assert httpx2.get(f"{server.url}/reset-password?token=the-token&x=?").status_code == 404
        said = server.stop()
        assert "GET /reset-password HTTP" in said.err.replace("\\", "")
        assert "the-token" not in said.out + said.err
