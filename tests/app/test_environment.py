"""What is read from the environment and `.env`, and which files and names are refused."""

import json
from pathlib import Path

import pytest

from app.core.environment import misspelt
from app.core.settings import Settings, load_settings
from tests.app.production import PRODUCTION
from tests.programs import Programs, Ran
from tests.server import free_port

READ = "from app.core.settings import settings; print(settings.model_dump_json())"


@pytest.fixture(autouse=True)
def nowhere(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Be where there is no `.env`, in an environment that sets nothing."""
    monkeypatch.chdir(tmp_path)
    for name in Settings.model_fields:
        monkeypatch.delenv(name.upper(), raising=False)


def refusal(programs: Programs, *arguments: str, **env: str) -> list[str]:
    """Start it, and return the lines of what it ends with."""
    ran = programs.run(*(arguments or ("main.py",)), env={"PORT": str(free_port()), **env})
    assert (ran.status, ran.out) == (1, "")
    first, *lines = ran.err.splitlines()
    assert first == "The settings are wrong:"
    return [line.removeprefix("- ") for line in lines]


class TestWhitespace:
    @pytest.mark.parametrize("around", ["{}\n", "{}\r\n", " {}\t", "\n{}"])
    def test_is_no_part_of_a_value(self, monkeypatch: pytest.MonkeyPatch, around: str) -> None:
        """Files that keep secrets end with a newline."""
        for name, value in {**PRODUCTION, "PORT": "80", "REQUIRE_VERIFIED": "on"}.items():
            monkeypatch.setenv(name, around.format(value))
        settings = load_settings()
        assert settings.environment == "production"
        assert settings.database_url == "sqlite+aiosqlite:///./test.db"
        assert settings.public_url == "https://example.com"
        assert settings.secret_key.get_secret_value() == PRODUCTION["SECRET_KEY"]
        assert (settings.port, settings.require_verified) == (80, True)

    def test_alone_is_an_empty_value(self, monkeypatch: pytest.MonkeyPatch) -> None:
        for name in Settings.model_fields:
            monkeypatch.setenv(name.upper(), " \n")
        assert load_settings() == Settings()

    def test_in_the_file(self, tmp_path: Path) -> None:
        (tmp_path / ".env").write_text('PUBLIC_URL="https://example.com \n"\nHOST=" ::1 "\n')
        settings = load_settings()
        assert (settings.public_url, settings.host) == ("https://example.com", "::1")


class TestEnvFile:
    TEXT = "# Zürich\nMAIL_FROM='Zürich <noreply@example.com>'\n"

    @pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig"])
    def test_in_utf_8(self, tmp_path: Path, encoding: str) -> None:
        (tmp_path / ".env").write_text("PORT=1234\n" + self.TEXT, encoding=encoding)
        settings = load_settings()
        assert (settings.port, settings.mail_from) == (1234, "Zürich <noreply@example.com>")

    @pytest.mark.parametrize(
        ("content", "reason"),
        [
            (TEXT.encode("utf-16"), "is in UTF-16 or no text at all; save it as UTF-8"),
            (TEXT.encode("utf-16-le"), "is in UTF-16 or no text at all; save it as UTF-8"),
            (TEXT.encode("utf-32"), "is in UTF-16 or no text at all; save it as UTF-8"),
            (("PORT=1\n" + TEXT).encode("latin-1"), "is not in UTF-8, see line 2; save it as UTF-8"),
            (b"PORT=1\nSECRET_KEY hunter2\n'HOST\n", "has lines that are not NAME=value: 2, 3"),
        ],
    )
    def test_that_cannot_be_read(self, programs: Programs, content: bytes, reason: str) -> None:
        (programs.folder / ".env").write_bytes(content)
        assert refusal(programs) == [f".env {reason}"]

    def test_that_is_a_folder(self, tmp_path: Path) -> None:
        """As a container has that mounts a file that is not there."""
        (tmp_path / ".env").mkdir()
        assert load_settings() == Settings()


class TestNames:
    @pytest.mark.parametrize(
        ("given", "meant"),
        [
            ("databse_url", "database_url"),
            ("database_uri", "database_url"),
            ("databaseurl", "database_url"),
            ("redis_uri", "redis_url"),
            ("secretkey", "secret_key"),
            ("secret_key_previos", "secret_key_previous"),
            ("mail_form", "mail_from"),
            ("trusted_proxy", "trusted_proxies"),
            ("trusted_proxys", "trusted_proxies"),
            ("allowed_origin", "allowed_origins"),
            ("audit_retention_day", "audit_retention_days"),
            ("access_tokens_lifetimes", "access_token_lifetime"),
            ("worker", "workers"),
            # What platforms and other programs set beside ours.
            ("database_private_url", None),
            ("redis_port", None),
            ("redis_tls_url", None),
            ("http_url", None),
            ("secret_key_base", None),
            ("hostname", None),
            ("hosts", None),
            ("ports", None),
            ("smtp_host", None),
            ("log_file", None),
            ("test_postgres_url", None),
        ],
    )
    def test_that_are_almost_ours(self, given: str, meant: str | None) -> None:
        found = list(misspelt([given], Settings.model_fields))
        assert found == ([(given, meant)] if meant else [])

    def test_of_others_where_ours_is_set(self) -> None:
        assert list(misspelt(["database_uri", "database_url"], Settings.model_fields)) == []

    def test_production_refuses_them(self, programs: Programs) -> None:
        env = {**PRODUCTION, "DATABSE_URL": PRODUCTION["DATABASE_URL"], "DATABASE_URL": ""}
        (programs.folder / ".env").write_text("TROTTLING=on\n")
        assert refusal(programs, **env) == [
            "not fit for production: DATABASE_URL: missing, and production does not choose SQLite by itself",
            "DATABSE_URL: not a setting; the name of the setting is DATABASE_URL",
            "TROTTLING: not a setting; the name of the setting is THROTTLING",
        ]
        assert list(programs.folder.glob("*.db")) == []

    def test_development_warns(self, programs: Programs) -> None:
        ran = programs.run("-c", READ, env={"DATABSE_URL": "sqlite:///hunter2.db"})
        assert (ran.status, json.loads(ran.out)["database_url"]) == (0, "sqlite+aiosqlite:///./test.db")
        assert ran.err == "DATABSE_URL: not a setting; the name of the setting is DATABASE_URL\n"


class TestProduction:
    def test_malformed_values_hide_nothing(self, programs: Programs) -> None:
        env = {**PRODUCTION, "PORT": "hunter2", "PUBLIC_URL": "hunter2", "SECRET_KEY": "hunter2", "MAIL_FROM": ""}
        assert refusal(programs, **env, THROTTLING="off", WORKERS="2") == [
            "SECRET_KEY: shorter than 32 bytes",
            "PORT: Input should be a valid integer, unable to parse string as an integer",
            "PUBLIC_URL: not an http or https URL",
            "MAIL_FROM: missing, and a mail server wants to know whom mail is from",
            (
                "not fit for production: THROTTLING: off; "
                "REDIS_URL: missing, and several workers would each have limits of their own"
            ),
        ]

    @pytest.mark.parametrize("name", ["ACCESS_TOKEN_LIFETIME", "REFRESH_TOKEN_LIFETIME", "SESSION_IDLE_LIFETIME"])
    @pytest.mark.parametrize("value", ["0", "-1"])
    def test_refuses_lifetimes_that_are_none(self, programs: Programs, name: str, value: str) -> None:
        assert refusal(programs, **PRODUCTION, **{name: value}) == [f"{name}: Input should be greater than 0"]

    @pytest.mark.parametrize("starts", [("main.py",), ("-m", "uvicorn", "main:app"), ("-m", "app.cli", "check")])
    def test_refuses_whatever_starts_it(self, programs: Programs, starts: tuple[str, ...]) -> None:
        env = {**PRODUCTION, "SECRET_KEY": "changeme-changeme-changeme-changeme"}
        better = "(`openssl rand -base64 48` makes a good one)"
        assert refusal(programs, *starts, **env) == [f"not fit for production: SECRET_KEY: repetitive {better}"]
        assert programs.run("main.py", "--help", env=PRODUCTION) == Ran(0, programs.run("main.py", "--help").out, "")
