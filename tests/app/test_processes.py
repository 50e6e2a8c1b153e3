"""How many processes serve is known, whoever has started them; those that count for themselves are refused."""

import pytest

from app.core import processes
from tests.app.production import PRODUCTION
from tests.programs import Programs
from tests.server import free_port

ALONE = "REDIS_URL: missing, and several workers would each have limits of their own"
FROM_CODE = """
import sys, uvicorn
if __name__ == "__main__":
    uvicorn.run("app.app:app", port=int(sys.argv[1]), workers=2)
"""


class TestSeveralProcesses:
    @pytest.mark.parametrize(
        ("arguments", "env"),
        [
            ("main:app --workers 2", {}),
            pytest.param("app.app:app --workers=3", {}, marks=pytest.mark.thorough),
            pytest.param("main:app", {"WEB_CONCURRENCY": "2"}, marks=pytest.mark.thorough),
            pytest.param("main:app", {"WEB_CONCURRENCY": "2", "WORKERS": "1"}, marks=pytest.mark.thorough),
            pytest.param("main:app", {"UVICORN_WORKERS": "2"}, marks=pytest.mark.thorough),
        ],
    )
    def test_of_uvicorn_without_redis(self, programs: Programs, arguments: str, env: dict[str, str]) -> None:
        """uvicorn ends then, with whatever status, instead of starting one process after the other."""
        words = ["-m", "uvicorn", *arguments.split(), "--port", str(free_port())]
        ran = programs.run(*words, env={**PRODUCTION, **env}, fresh=True)
        assert f"The settings are wrong:\n- not fit for production: {ALONE}\n" in ran.err
        assert "Traceback" not in ran.err

    @pytest.mark.thorough
    def test_started_from_code(self, programs: Programs) -> None:
        program = programs.folder / "serve.py"
        program.write_text(FROM_CODE)
        ran = programs.run("-m", "serve", str(free_port()), env=PRODUCTION, fresh=True)
        assert f"- not fit for production: {ALONE}\n" in ran.err

    def test_of_our_own(self, programs: Programs) -> None:
        for env in ({"WORKERS": "2"}, {"WEB_CONCURRENCY": "2"}):
            ran = programs.run("main.py", env={**PRODUCTION, **env})
            assert (ran.status, ran.err) == (1, f"The settings are wrong:\n- not fit for production: {ALONE}\n")

    @pytest.mark.thorough
    def test_in_memory(self, programs: Programs) -> None:
        arguments = ("-m", "uvicorn", "main:app", "--workers", "2", "--port", str(free_port()))
        ran = programs.run(*arguments, env={"DATABASE_URL": "sqlite://"}, fresh=True)
        assert "- WORKERS: each would have a database of its own in its memory; use one, or a file\n" in ran.err


@pytest.mark.parametrize(
    ("argv", "count"),
    [
        (["/usr/bin/gunicorn", "-w", "4", "main:app"], 4),
        (["gunicorn", "-w4", "main:app"], 4),
        (["gunicorn", "main:app", "--workers=3"], 3),
        (["/x/site-packages/hypercorn/__main__.py", "--workers", "2", "main:app"], 2),
        (["granian", "--workers", "2", "main:app"], 2),
        (["fastapi", "run", "--workers", "2"], 2),
        (["uvicorn", "main:app", "--workers"], 1),
        (["uvicorn", "main:app", "--workers", "many"], 1),
        (["uvicorn", "main:app"], 1),
        # Whatever this means there.
        (["pytest", "-w", "4"], 1),
        ([], 1),
    ],
)
def test_the_command_line_of_a_server(monkeypatch: pytest.MonkeyPatch, argv: list[str], count: int) -> None:
    monkeypatch.setattr("sys.argv", argv)
    assert processes.server_processes() == count
