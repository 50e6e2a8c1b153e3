"""What the environment and `.env` say, and what is refused."""

import re
from ipaddress import IPv4Network, IPv6Network
from pathlib import Path
from typing import Any

import pytest
from pydantic import SecretStr

from app.core.addresses import Smtp
from app.core.settings import Settings, load_settings
from tests.programs import ROOT, Programs, Ran

SECRET = "tyger-tyger-burning-bright-in-the-forests"
NO_PORT = "DATABASE_URL: the port is not one; it is a number from 1 to 65535"
NO_URL = "DATABASE_URL: not a database URL; for example postgresql://user:password@host/name"
NO_SMTP_URL = "SMTP_URL: not an SMTP URL; for example smtp://user:password@host:587?starttls=true"
NO_REDIS_URL = "REDIS_URL: not a redis, rediss, valkey or unix URL; for example redis://user:password@host:6379/0"
NO_NETWORKS = "TRUSTED_PROXIES: not networks, separated by commas; for example 10.0.0.0/8, 2001:db8::/32"
BETTER = "(`openssl rand -base64 48` makes a good one)"
TOO_WIDE = "TRUSTED_PROXIES: wider than 10.0.0.0/8 or fc00::/7, so that strangers could forge their address"
NO_HTTPS = "ALLOWED_ORIGINS: not https, so that anyone between may change the pages that call the service"
CHANGEME = "changeme-changeme-changeme-changeme"
# FastAPI's tutorial has it.
DOCUMENTED = "09d25e094faa6ca2556c818166b7a9563b93f7099f6f0f4caa6cf63b88e8d3e7"
PRODUCTION: dict[str, Any] = {
    "environment": "production",
    "database_url": "postgresql://me:password@db/house",
    "secret_key": SECRET,
    "public_url": "https://example.com",
    "smtp_url": "smtps://user:password@mail.example.com",
    "mail_from": "noreply@example.com",
}

# Neither is the URL of a web page.
NO_URLS = [
    *("https://x:99999", "https://x:0", "https://x:y", "https://x\ny", "https://x\ty", "https://exa mple.com"),
    *("https://x\x7f", "https://x\u2028y", "https://[::1", "https://*.example.com", 'https://a"b', "https://a<b>"),
    *("https://a..b\u00e9", "https://%61"),
]

READ_SETTINGS = "from app.core.settings import settings; print(settings.model_dump_json())"
TWO_KEYS = "from app.core.settings import settings; print(settings.key_for('one'), settings.key_for('two'))"


@pytest.fixture(autouse=True)
def nowhere(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Be where there is no `.env`, in an environment that sets nothing."""
    monkeypatch.chdir(tmp_path)
    for name in Settings.model_fields:
        monkeypatch.delenv(name.upper(), raising=False)


def refusal(**values: Any) -> list[str]:
    """Return what is said about values that are refused, without the marks of a list."""
    with pytest.raises(SystemExit) as end:
        load_settings(**values)
    first, *lines = str(end.value.code).splitlines()
    assert first == "The settings are wrong:"
    assert all(line.startswith("- ") for line in lines)
    return [line.removeprefix("- ") for line in lines]


class TestDefaults:
    def test_are_those_of_the_contract(self) -> None:
        assert Settings().model_dump() == {
            "environment": "development",
            "database_url": "sqlite+aiosqlite:///./test.db",
            "redis_url": None,
            "secret_key": SecretStr(""),
            "secret_key_previous": SecretStr(""),
            "host": "127.0.0.1",
            "port": 8000,
            "workers": 1,
            "web_concurrency": None,
            "root_path": "",
            "public_url": "http://localhost:8000",
            "allowed_origins": (),
            "trusted_proxies": (),
            "smtp_url": None,
            "mail_from": "",
            "require_verified": False,
            "conceal_accounts": False,
            "access_token_lifetime": 3600,
            "refresh_token_lifetime": 2592000,
            "session_idle_lifetime": 1209600,
            "throttling": True,
            "audit_retention_days": 400,
            "log_format": None,
            "log_level": "INFO",
        }

    def test_cannot_be_changed(self) -> None:
        with pytest.raises(ValueError, match="frozen"):
            Settings().port = 1


class TestEnvExample:
    """The file `.env.example`."""

    def test_says_every_setting_and_its_default(self) -> None:
        lines = (ROOT / ".env.example").read_text().splitlines()
        said = dict(line[1:].split("=", 1) for line in lines if re.match(r"#[A-Z_]+=", line))
        assert said == {name.upper(): default(value) for name, value in Settings().model_dump().items()}

    def test_says_what_each_means(self) -> None:
        for paragraph in (ROOT / ".env.example").read_text().strip().split("\n\n"):
            meaning, *rest = paragraph.splitlines()
            assert re.match(r"# \S.*\S$", meaning), paragraph
            assert all(line.startswith("#") for line in rest), paragraph

    def test_as_it_is_changes_nothing(self, tmp_path: Path) -> None:
        before = load_settings()
        text = (ROOT / ".env.example").read_text()
        (tmp_path / ".env").write_text(re.sub(r"^#([A-Z_]+=)", r"\1", text, flags=re.MULTILINE))
        assert load_settings() == before


def default(value: object) -> str:
    match value:
        case None | ():
            return ""
        case SecretStr():
            return value.get_secret_value()
        case bool():
            return "on" if value else "off"
        case _:
            return str(value)


class TestSources:
    def test_the_environment_decides_before_the_file(self, programs: Programs) -> None:
        (programs.folder / ".env").write_text("PORT=1234\nHOST=0.0.0.0\nSOMETHING_ELSE=1\n")
        ran = programs.run("-c", READ_SETTINGS, env={"PORT": "4321", "DATABASE_URL": "sqlite://"})
        assert (ran.status, ran.err) == (0, "")
        assert '"host":"0.0.0.0","port":4321' in ran.out

    def test_an_empty_value_means_the_default(self, monkeypatch: pytest.MonkeyPatch) -> None:
        for name in Settings.model_fields:
            monkeypatch.setenv(name.upper(), "")
        assert load_settings() == Settings()

    def test_everything_that_is_wrong_is_said_at_once_without_the_values(self, programs: Programs) -> None:
        env = {
            "PORT": "hunter2",
            "WORKERS": "0",
            "LOG_LEVEL": "hunter2",
            "SECRET_KEY": "hunter2",
            "SECRET_KEY_PREVIOUS": "hunter2",
            "DATABASE_URL": "hunter2",
            "REDIS_URL": "hunter2",
            "ACCESS_TOKEN_LIFETIME": "0",
            "PUBLIC_URL": "hunter2",
            "TRUSTED_PROXIES": "hunter2",
            "SMTP_URL": "hunter2",
            "MAIL_FROM": "hunter2",
            "REQUIRE_VERIFIED": "hunter2",
            "CONCEAL_ACCOUNTS": "hunter2",
            "THROTTLING": "hunter2",
            "AUDIT_RETENTION_DAYS": "0",
        }
        ran = programs.run("main.py", env=env)
        neither = "Input should be a valid boolean, unable to interpret input"
        sentences = [
            "The settings are wrong:",
            f"- {NO_URL}",
            f"- {NO_REDIS_URL}",
            "- SECRET_KEY: shorter than 32 bytes",
            "- SECRET_KEY_PREVIOUS: shorter than 32 bytes",
            "- PORT: Input should be a valid integer, unable to parse string as an integer",
            "- WORKERS: Input should be greater than or equal to 1",
            "- PUBLIC_URL: not an http or https URL",
            f"- {NO_NETWORKS}",
            f"- {NO_SMTP_URL}",
            "- MAIL_FROM: not one address; for example The House <noreply@example.com>",
            f"- REQUIRE_VERIFIED: {neither}",
            f"- CONCEAL_ACCOUNTS: {neither}",
            "- ACCESS_TOKEN_LIFETIME: Input should be greater than 0",
            f"- THROTTLING: {neither}",
            "- AUDIT_RETENTION_DAYS: Input should be greater than 0",
            "- LOG_LEVEL: Input should be 'DEBUG', 'INFO', 'WARNING' or 'ERROR'",
        ]
        assert ran == Ran(1, "", "\n".join(sentences) + "\n")


class TestDatabaseURL:
    @pytest.mark.parametrize(
        ("given", "meant"),
        [
            ("sqlite://", "sqlite+aiosqlite://"),
            ("sqlite:///./test.db", "sqlite+aiosqlite:///./test.db"),
            ("sqlite+aiosqlite:////data/test.db", "sqlite+aiosqlite:////data/test.db"),
            ("postgres://me:p%40ss@db/house", "postgresql+asyncpg://me:p%40ss@db/house"),
            ("postgresql://me:p%40ss@db:5433/house", "postgresql+asyncpg://me:p%40ss@db:5433/house"),
            ("postgresql+psycopg://db/house", "postgresql+asyncpg://db/house"),
            ("postgresql+asyncpg://db/house", "postgresql+asyncpg://db/house"),
            ("postgresql://db/house?sslmode=require", "postgresql+asyncpg://db/house?ssl=require"),
        ],
    )
    def test_is_given_its_async_driver(self, given: str, meant: str) -> None:
        settings = load_settings(database_url=given)
        assert settings.database_url == meant
        assert settings.database.render_as_string(hide_password=False) == meant

    @pytest.mark.parametrize(
        ("given", "embedded", "in_memory"),
        [
            ("sqlite://", True, True),
            ("sqlite:///:memory:", True, True),
            ("sqlite:///./test.db", True, False),
            ("postgresql://db/house", False, False),
        ],
    )
    def test_tells_what_kind_of_database_it_is(self, given: str, *, embedded: bool, in_memory: bool) -> None:
        settings = load_settings(database_url=given)
        assert (settings.embedded, settings.in_memory) == (embedded, in_memory)

    @pytest.mark.parametrize(
        ("given", "shown"),
        [
            (f"postgresql://me:{SECRET}@db/house", "postgresql+asyncpg://me:***@db/house"),
            (f"postgresql://me@db/house?password={SECRET}", "postgresql+asyncpg://me@db/house"),
        ],
    )
    def test_is_shown_without_its_password(self, given: str, shown: str) -> None:
        assert load_settings(database_url=given).shown_database == shown

    @pytest.mark.parametrize(
        ("given", "sentence"),
        [
            ("test.db", NO_URL),
            (f"postgresql://me:a@{SECRET}:b/house", NO_URL),
            ("postgresql://me@localhost:99999/house", NO_PORT),
            ("postgresql://me@localhost:0/house", NO_PORT),
            (f"mysql://me:{SECRET}@db/house", "DATABASE_URL: mysql is not supported; use sqlite or postgresql"),
            (f"oracle+oracledb://me:{SECRET}@db", "DATABASE_URL: oracle is not supported; use sqlite or postgresql"),
        ],
    )
    def test_is_refused(self, given: str, sentence: str) -> None:
        assert refusal(database_url=given) == [sentence]

    def test_in_memory_is_one_process_alone(self) -> None:
        reason = "each would have a database of its own in its memory; use one, or a file"
        assert refusal(database_url="sqlite://", workers=2) == [f"WORKERS: {reason}"]


class TestPublicURL:
    def test_has_no_slash_at_its_end(self) -> None:
        assert load_settings(public_url="https://example.com/house/").public_url == "https://example.com/house"

    @pytest.mark.parametrize(
        ("given", "meant"),
        [
            ("HTTPS://Example.COM", "https://example.com"),
            ("Http://Example.com:8000/House/", "http://example.com:8000/House"),
            ("https://[2001:DB8::1]", "https://[2001:db8::1]"),
            ("https://BÜCHER.example", "https://bücher.example"),
        ],
    )
    def test_has_scheme_and_host_in_lower_case(self, given: str, meant: str) -> None:
        """RFC 3986, 6.2.2.1."""
        assert load_settings(public_url=given).public_url == meant

    @pytest.mark.parametrize(
        "given",
        [
            "example.com",
            "ftp://example.com",
            "https://",
            "https://example.com?a=b",
            "https://example.com#top",
            *NO_URLS,
        ],
    )
    def test_is_refused(self, given: str) -> None:
        assert refusal(public_url=given) == ["PUBLIC_URL: not an http or https URL"]

    def test_shows_no_password(self) -> None:
        reason = "has a name and a password, which every letter would show"
        assert refusal(public_url=f"https://me:{SECRET}@example.com") == [f"PUBLIC_URL: {reason}"]


class TestAllowedOrigins:
    @pytest.mark.parametrize(
        ("given", "meant"),
        [
            ("https://a.example.com", ("https://a.example.com",)),
            (" https://a.example.com , https://b.example.com,", ("https://a.example.com", "https://b.example.com")),
            ("HTTPS://A.example.COM:444", ("https://a.example.com:444",)),
            (" , ", ()),
        ],
    )
    def test_are_separated_by_commas(self, monkeypatch: pytest.MonkeyPatch, given: str, meant: tuple[str, ...]) -> None:
        monkeypatch.setenv("ALLOWED_ORIGINS", given)
        assert load_settings().allowed_origins == meant

    @pytest.mark.parametrize(
        "given", ["*", "example.com", "https://a.example.com/", "https://a.example.com/x", "null", *NO_URLS]
    )
    def test_are_origins(self, given: str) -> None:
        reason = "not origins, separated by commas; for example https://app.example.com"
        assert refusal(allowed_origins=given) == [f"ALLOWED_ORIGINS: {reason}"]


class TestTrustedProxies:
    @pytest.mark.parametrize(
        ("given", "meant"),
        [
            ("10.0.0.0/8", (IPv4Network("10.0.0.0/8"),)),
            (" 10.0.0.1 , 2001:db8::/32,", (IPv4Network("10.0.0.1/32"), IPv6Network("2001:db8::/32"))),
            ("::1", (IPv6Network("::1/128"),)),
            (" , ", ()),
        ],
    )
    def test_are_networks_separated_by_commas(
        self, monkeypatch: pytest.MonkeyPatch, given: str, meant: tuple[IPv4Network | IPv6Network, ...]
    ) -> None:
        monkeypatch.setenv("TRUSTED_PROXIES", given)
        assert load_settings().trusted_proxies == meant
        assert load_settings(trusted_proxies=meant).trusted_proxies == meant

    @pytest.mark.parametrize("given", ["*", "localhost", "10.0.0.1/8", "10.0.0.0/33", "10.0.0.0/8;::1", "10.0.0.0/8,*"])
    def test_are_refused(self, monkeypatch: pytest.MonkeyPatch, given: str) -> None:
        monkeypatch.setenv("TRUSTED_PROXIES", given)
        assert refusal() == [NO_NETWORKS]


class TestRedisURL:
    @pytest.mark.parametrize(
        "given",
        [
            "redis://localhost",
            f"redis://user:{SECRET}@host:6379/0",
            f"rediss://:{SECRET}@[2001:db8::1]:6380/1?health_check_interval=2",
            "valkey://host/",
            "unix:///run/valkey.sock?db=1",
        ],
    )
    def test_is_kept_and_not_shown(self, given: str) -> None:
        settings = load_settings(redis_url=given)
        assert settings.redis_url == SecretStr(given)
        assert given not in repr(settings)

    @pytest.mark.parametrize(
        "given",
        [
            SECRET,
            f"http://{SECRET}",
            f"redis:///{SECRET}",
            f"redis://me:{SECRET}@/0",
            f"redis://me:{SECRET}@host:x/0",
            "redis://host:0",
            "redis://host:65536",
            f"redis://me:#{SECRET}@host/0",
            f"redis://me:/{SECRET}@host/0",
            f"redis://host/{SECRET}",
            f"redis://host\n{SECRET}",
            f"redis://[{SECRET}",
            "unix://host",
            "unix:///",
        ],
    )
    def test_is_refused(self, given: str) -> None:
        assert refusal(redis_url=given) == [NO_REDIS_URL]


class TestSMTPURL:
    @pytest.mark.parametrize(
        ("given", "meant"),
        [
            ("smtp://mail.example.com", Smtp("mail.example.com", 587, None, None, "none")),
            ("smtp://localhost:1025/?starttls=false", Smtp("localhost", 1025, None, None, "none")),
            (
                "smtp://user:password@mail.example.com:2525?starttls=true",
                Smtp("mail.example.com", 2525, "user", SecretStr("password"), "starttls"),
            ),
            (
                "SMTPS://me%40example.com:p%3A%2F%23@mail.example.com",
                Smtp("mail.example.com", 465, "me@example.com", SecretStr("p:/#"), "tls"),
            ),
            ("smtps://[2001:db8::1]:465?starttls=false", Smtp("2001:db8::1", 465, None, None, "tls")),
        ],
    )
    def test_says_who_takes_mail(self, given: str, meant: Smtp) -> None:
        assert load_settings(smtp_url=given, mail_from="noreply@example.com").smtp == meant

    def test_that_is_not_set_is_the_console(self) -> None:
        assert load_settings().smtp is None
        assert load_settings(mail_from="noreply@example.com").smtp is None

    def test_is_not_shown(self) -> None:
        settings = load_settings(smtp_url=f"smtp://me:{SECRET}@host", mail_from="noreply@example.com")
        assert SECRET not in repr(settings) + repr(settings.smtp)

    @pytest.mark.parametrize(
        "given",
        [
            SECRET,
            "smtp://",
            f"http://me:{SECRET}@host",
            f"smtp://me:{SECRET}@",
            f"smtp://me:{SECRET}@:587",
            f"smtp://me:{SECRET}@host:x",
            f"smtp://me:{SECRET}@host:0",
            f"smtp://me:{SECRET}@host:65536",
            f"smtp://me:{SECRET}@host/{SECRET}",
            f"smtp://me:/{SECRET}@host",
            f"smtp://me:#{SECRET}@host",
            f"smtp://me:?{SECRET}@host",
            f"smtp://me:%ff{SECRET}@host",
            f"smtp://me:{SECRET}@host#top",
            f"smtp://me:{SECRET}@ho st",
            f"smtp://me:{SECRET}@host\n",
            f"smtp://[{SECRET}",
            f"smtp://{SECRET}@host",
            f"smtp://:{SECRET}@host",
            "smtp://host?starttls=yes",
            "smtp://host?starttls=true&starttls=false",
            "smtp://host?starttls=true&timeout=5",
            "smtp://host?timeout=5",
            "smtps://host?starttls=true",
        ],
    )
    def test_is_refused(self, given: str) -> None:
        assert refusal(smtp_url=given, mail_from="noreply@example.com") == [NO_SMTP_URL]


class TestMailFrom:
    @pytest.mark.parametrize(
        "given",
        [
            "noreply@example.com",
            "<noreply@example.com>",
            "The House <noreply@example.com>",
            "Zürich Nord <noreply@example.com>",
            '"The House, Inc." <noreply@example.com>',
        ],
    )
    def test_is_one_address(self, given: str) -> None:
        assert load_settings(mail_from=given).mail_from == given

    @pytest.mark.parametrize(
        "given",
        [
            "noreply",
            "@example.com",
            "noreply@",
            "noreply@example.com, a@example.com",
            "The House, Inc. <noreply@example.com>",
            "House: noreply@example.com;",
            "The House <noreply@example.com",
            "The House <noreply@example.com> and others",
            "The House noreply@example.com",
            "The House <>",
            "noreply@example.com <a@example.com>",
            "noreply@example.com\n",
            "The House\r\nBcc: a@example.com <noreply@example.com>",
            "The\0House <noreply@example.com>",
            "The\u2028House <noreply@example.com>",
        ],
    )
    def test_is_refused(self, given: str) -> None:
        sentence = "MAIL_FROM: not one address; for example The House <noreply@example.com>"
        assert refusal(mail_from=given) == [sentence]

    def test_a_mail_server_needs_it(self) -> None:
        sentence = "MAIL_FROM: missing, and a mail server wants to know whom mail is from"
        assert refusal(smtp_url="smtp://host") == [sentence]
        assert refusal(smtp_url="smtp://host", mail_from="") == [sentence]


class TestIntegers:
    @pytest.mark.parametrize("name", ["port", "workers", "web_concurrency", "access_token_lifetime"])
    @pytest.mark.parametrize("given", ["80_80", "8080.0", "8e3", "0x50", "8 0"])
    def test_are_digits(self, monkeypatch: pytest.MonkeyPatch, name: str, given: str) -> None:
        monkeypatch.setenv(name.upper(), given)
        reason = "Input should be a valid integer, unable to parse string as an integer"
        assert refusal() == [f"{name.upper()}: {reason}"]


class TestSwitches:
    @pytest.mark.parametrize("name", ["require_verified", "conceal_accounts", "throttling"])
    def test_are_on_or_off(self, monkeypatch: pytest.MonkeyPatch, name: str) -> None:
        for given, meant in (("on", True), ("off", False)):
            monkeypatch.setenv(name.upper(), given)
            assert getattr(load_settings(), name) is meant


class TestProduction:
    def test_starts_with_a_secret_and_https_and_mail(self) -> None:
        assert load_settings(**PRODUCTION).environment == "production"

    @pytest.mark.parametrize(
        "changes",
        [
            {"smtp_url": "smtp://user:password@host?starttls=true"},
            # Nothing that has to be kept secret is shown to the network on the way to a relay.
            {"smtp_url": "smtp://host:25"},
            {"workers": 2, "redis_url": "redis://host"},
            {"secret_key_previous": SECRET[::-1]},
            {"public_url": "HTTPS://Example.COM"},
            # Apps for phones are such pages, and no network carries them.
            {"allowed_origins": "https://a.example.com, http://localhost, http://[::1]:3000"},
            {"trusted_proxies": "10.0.0.0/8, 172.16.0.0/12, 192.168.0.0/16, fc00::/7"},
        ],
    )
    def test_starts_like_this_too(self, changes: dict[str, Any]) -> None:
        assert load_settings(**{**PRODUCTION, **changes}).environment == "production"

    @pytest.mark.parametrize(
        ("changes", "reasons"),
        [
            ({"secret_key": ""}, "SECRET_KEY: missing"),
            ({"secret_key": "abc" * 20}, f"SECRET_KEY: repetitive {BETTER}"),
            ({"secret_key": CHANGEME}, f"SECRET_KEY: repetitive {BETTER}"),
            (
                {"secret_key": DOCUMENTED},
                f"SECRET_KEY: published in documentation, so that everybody knows it {BETTER}",
            ),
            ({"secret_key_previous": "abc" * 20}, f"SECRET_KEY_PREVIOUS: repetitive {BETTER}"),
            ({"secret_key_previous": CHANGEME}, f"SECRET_KEY_PREVIOUS: repetitive {BETTER}"),
            ({"web_concurrency": 2}, "REDIS_URL: missing, and several workers would each have limits of their own"),
            ({"public_url": "http://example.com"}, "PUBLIC_URL: not https"),
            ({"smtp_url": None}, "SMTP_URL: missing, and a console is no way to send mail"),
            (
                {"smtp_url": f"smtp://me:{SECRET}@host"},
                "SMTP_URL: shows its password to the network, so it needs smtps or ?starttls=true",
            ),
            ({"throttling": False}, "THROTTLING: off"),
            (
                {"throttling": False, "workers": 2},
                "THROTTLING: off; REDIS_URL: missing, and several workers would each have limits of their own",
            ),
            (
                {"trusted_proxies": "10.0.0.0/8, 0.0.0.0/0"},
                TOO_WIDE,
            ),
            ({"trusted_proxies": "0.0.0.0/1,128.0.0.0/1"}, TOO_WIDE),
            ({"trusted_proxies": "64.0.0.0/2"}, TOO_WIDE),
            ({"trusted_proxies": ",".join(f"{first}.0.0.0/8" for first in range(256))}, TOO_WIDE),
            ({"trusted_proxies": "2000::/3"}, TOO_WIDE),
            ({"trusted_proxies": "10.0.0.0/8, ::/1, 8000::/1"}, TOO_WIDE),
            ({"allowed_origins": "http://evil"}, NO_HTTPS),
            ({"allowed_origins": "https://a.example.com,HTTP://localhost.evil"}, NO_HTTPS),
            ({"workers": 2}, "REDIS_URL: missing, and several workers would each have limits of their own"),
            (
                {"secret_key": "", "public_url": "http://example.com", "smtp_url": None, "mail_from": "", "workers": 2},
                (
                    "SECRET_KEY: missing; PUBLIC_URL: not https; "
                    "SMTP_URL: missing, and a console is no way to send mail; "
                    "REDIS_URL: missing, and several workers would each have limits of their own"
                ),
            ),
        ],
    )
    def test_says_everything_that_is_not_fit(self, changes: dict[str, Any], reasons: str) -> None:
        assert refusal(**{**PRODUCTION, **changes}) == [f"not fit for production: {reasons}"]

    def test_makes_no_secret_by_itself(self, tmp_path: Path) -> None:
        load_settings(**PRODUCTION).key_for("access-token")
        assert list(tmp_path.iterdir()) == []


class TestSecretKey:
    def test_gives_each_purpose_a_key_of_its_own(self) -> None:
        settings = load_settings(secret_key=SECRET)
        keys = {settings.key_for(purpose) for purpose in ("access-token", "verify", "reset-password")}
        assert len(keys) == 3
        assert all(re.fullmatch(r"[0-9a-f]{64}", key) for key in keys)
        assert SECRET not in "".join(keys)
        assert settings.key_for("verify") != load_settings(secret_key=SECRET[::-1]).key_for("verify")

    def test_before_this_one_comes_second(self) -> None:
        before, after = load_settings(secret_key=SECRET), load_settings(secret_key=SECRET[::-1])
        both = load_settings(secret_key=SECRET[::-1], secret_key_previous=SECRET)
        assert both.key_for("verify") == after.key_for("verify")
        assert both.keys_for("verify") == (after.key_for("verify"), before.key_for("verify"))
        assert after.keys_for("verify") == (after.key_for("verify"),)

    def test_is_not_shown(self) -> None:
        assert SECRET not in repr(load_settings(secret_key=SECRET, secret_key_previous=SECRET))

    def test_is_made_once_for_a_folder(self, programs: Programs) -> None:
        started = [programs.start("-c", TWO_KEYS) for _ in range(4)]
        said = {program.wait() for program in started}
        said.add(programs.run("-c", TWO_KEYS))
        # Those who started together and those who came later agree.
        assert len(said) == 1
        (ran,) = said
        assert (ran.status, ran.err) == (0, "")
        assert len(set(ran.out.split())) == 2
        (file,) = programs.folder.iterdir()
        assert file.name == ".secret-key"
        assert file.stat().st_mode & 0o777 == 0o600
        assert len(file.read_text()) >= 32

    def test_that_is_set_makes_no_file(self, programs: Programs) -> None:
        assert programs.run("-c", TWO_KEYS, env={"SECRET_KEY": SECRET}).status == 0
        assert list(programs.folder.iterdir()) == []

    def test_that_was_emptied_is_refused(self, programs: Programs) -> None:
        (programs.folder / ".secret-key").touch()
        sentence = ".secret-key is shorter than 32 bytes: delete it to have a new one.\n"
        assert programs.run("-c", TWO_KEYS) == Ran(1, "", sentence)
