"""What the environment and `.env` say, read once; nobody else reads them."""

import hmac
import os
import secrets
from functools import cache
from ipaddress import IPv4Network, IPv6Network, ip_network
from pathlib import Path
from typing import Annotated, Any, Literal, Self
from urllib.parse import urlsplit

from pydantic import Field, SecretStr, ValidationError, field_validator, model_validator
from pydantic_settings import BaseSettings, NoDecode, SettingsConfigDict
from sqlalchemy.engine import URL, make_url
from sqlalchemy.exc import ArgumentError

from app.core.addresses import Smtp, is_address, is_redis_url, smtp_server
from fastapi_users_sqlmodel.engines import async_url, is_in_memory

MINIMUM_SECRET_BYTES = 32
# Seconds in ten years: what is added to a date has to be a date.
LONGEST_LIFETIME = 315_360_000
SECRET_KEY_FILE = Path(".secret-key")


class Settings(BaseSettings):
    """Every setting of the service, by its name in the environment."""

    model_config = SettingsConfigDict(env_file=".env", env_ignore_empty=True, extra="ignore", frozen=True)

    environment: Literal["development", "production"] = "development"
    database_url: str = "sqlite+aiosqlite:///./test.db"
    redis_url: SecretStr | None = None
    secret_key: SecretStr = SecretStr("")
    secret_key_previous: SecretStr = SecretStr("")
    host: str = "127.0.0.1"
    port: int = Field(default=8000, ge=1, le=65535)
    workers: int = Field(default=1, ge=1)
    public_url: str = "http://localhost:8000"
    allowed_origins: Annotated[tuple[str, ...], NoDecode] = ()
    trusted_proxies: Annotated[tuple[IPv4Network | IPv6Network, ...], NoDecode] = ()
    smtp_url: SecretStr | None = None
    mail_from: str = ""
    require_verified: bool = False
    conceal_accounts: bool = False
    access_token_lifetime: int = Field(default=3600, gt=0, le=LONGEST_LIFETIME)
    refresh_token_lifetime: int = Field(default=2592000, gt=0, le=LONGEST_LIFETIME)
    session_idle_lifetime: int = Field(default=1209600, gt=0, le=LONGEST_LIFETIME)
    throttling: bool = True
    audit_retention_days: int = Field(default=400, gt=0, le=36500)
    log_format: Literal["console", "json"] | None = None
    log_level: Literal["DEBUG", "INFO", "WARNING", "ERROR"] = "INFO"

    @field_validator("database_url")
    @classmethod
    def _known_database(cls, value: str) -> str:
        try:
            url = async_url(value)
        except (ArgumentError, ValueError):
            # The message repeats the text, and with it a password.
            raise ValueError("not a database URL; for example postgresql://user:password@host/name") from None
        if url.drivername not in {"sqlite+aiosqlite", "postgresql+asyncpg"}:
            raise ValueError(f"{url.get_backend_name()} is not supported; use sqlite or postgresql")
        return url.render_as_string(hide_password=False)

    @field_validator("public_url")
    @classmethod
    def _http_url(cls, value: str) -> str:
        parts = urlsplit(value)
        if parts.scheme not in {"http", "https"} or not parts.hostname or parts.query or parts.fragment:
            raise ValueError("not an http or https URL")
        if "@" in parts.netloc:
            raise ValueError("has a name and a password, which every letter would show")
        return value.rstrip("/")

    @field_validator("allowed_origins")
    @classmethod
    def _origins(cls, value: tuple[str, ...]) -> tuple[str, ...]:
        for origin in value:
            parts = urlsplit(origin)
            if (
                parts.scheme not in {"http", "https"}
                or not parts.hostname
                or origin != f"{parts.scheme}://{parts.netloc}"
            ):
                raise ValueError("not origins, separated by commas; for example https://app.example.com")
        return value

    @field_validator("redis_url")
    @classmethod
    def _known_store(cls, value: SecretStr | None) -> SecretStr | None:
        if value is not None and not is_redis_url(value.get_secret_value()):
            raise ValueError("not a redis, rediss, valkey or unix URL; for example redis://user:password@host:6379/0")
        return value

    @field_validator("smtp_url")
    @classmethod
    def _known_mail_server(cls, value: SecretStr | None) -> SecretStr | None:
        if value is not None:
            smtp_server(value.get_secret_value())
        return value

    @field_validator("mail_from")
    @classmethod
    def _one_address(cls, value: str) -> str:
        if value and not is_address(value):
            raise ValueError("not one address; for example The House <noreply@example.com>")
        return value

    @field_validator("trusted_proxies", mode="before")
    @classmethod
    def _networks(cls, value: object) -> object:
        try:
            return tuple(ip_network(part) for part in value) if isinstance(value, tuple) else value
        except ValueError:
            raise ValueError("not networks, separated by commas; for example 10.0.0.0/8, 2001:db8::/32") from None

    @field_validator("allowed_origins", "trusted_proxies", mode="before")
    @classmethod
    def _comma_separated(cls, value: object) -> object:
        return tuple(part.strip() for part in value.split(",") if part.strip()) if isinstance(value, str) else value

    @field_validator("secret_key", "secret_key_previous")
    @classmethod
    def _long_enough(cls, value: SecretStr) -> SecretStr:
        if 0 < len(value.get_secret_value().encode()) < MINIMUM_SECRET_BYTES:
            raise ValueError(f"shorter than {MINIMUM_SECRET_BYTES} bytes")
        return value

    @model_validator(mode="after")
    def _mail_is_from_somebody(self) -> Self:
        if self.smtp_url is not None and not self.mail_from:
            raise ValueError("MAIL_FROM: missing, and a mail server wants to know whom mail is from")
        return self

    @model_validator(mode="after")
    def _one_process_for_one_memory(self) -> Self:
        if self.in_memory and self.workers > 1:
            raise ValueError("WORKERS: each would have a database of its own in its memory; use one, or a file")
        return self

    @model_validator(mode="after")
    def _fit_for_production(self) -> Self:
        if self.environment == "production" and (wrong := [*self._weak_secrets(), *self._unfit()]):
            raise ValueError("not fit for production: " + "; ".join(wrong))
        return self

    def _weak_secrets(self) -> list[str]:
        wrong = [] if self.secret_key.get_secret_value() else ["SECRET_KEY: missing"]
        for name, secret in (("SECRET_KEY", self.secret_key), ("SECRET_KEY_PREVIOUS", self.secret_key_previous)):
            if 0 < len(set(secret.get_secret_value())) < MINIMUM_SECRET_BYTES // 4:
                wrong.append(f"{name}: hardly random; for example `openssl rand -base64 48` makes a good one")
        return wrong

    def _unfit(self) -> list[str]:
        wrong = []
        if not self.public_url.startswith("https://"):
            wrong.append("PUBLIC_URL: not https")
        if self.smtp is None:
            wrong.append("SMTP_URL: missing, and a console is no way to send mail")
        elif self.smtp.username is not None and self.smtp.tls == "none":
            wrong.append("SMTP_URL: shows its password to the network; it needs smtps, or ?starttls=true")
        if not self.throttling:
            wrong.append("THROTTLING: off")
        if any(network.prefixlen == 0 for network in self.trusted_proxies):
            wrong.append("TRUSTED_PROXIES: everybody, and so anybody would say where they come from")
        if self.workers > 1 and self.redis_url is None:
            wrong.append("REDIS_URL: missing, and several workers would each have limits of their own")
        return wrong

    @property
    def database(self) -> URL:
        """The database's URL, with its async driver."""
        return make_url(self.database_url)

    @property
    def shown_database(self) -> str:
        """The database's URL, for people: without the password, which may be one of its options as well."""
        return self.database.set(query={}).render_as_string(hide_password=True)

    @property
    def embedded(self) -> bool:
        """Whether the database is SQLite: ours alone, and brought to head by us."""
        return self.database.get_backend_name() == "sqlite"

    @property
    def in_memory(self) -> bool:
        """Whether the database lives and dies with this process."""
        return is_in_memory(self.database)

    @property
    def smtp(self) -> Smtp | None:
        """The mail server; None means the console."""
        return None if self.smtp_url is None else smtp_server(self.smtp_url.get_secret_value())

    def key_for(self, purpose: str) -> str:
        """Derive a key of 256 bits, as hexadecimal digits, that is good for one purpose only."""
        return self.keys_for(purpose)[0]

    def keys_for(self, purpose: str) -> tuple[str, ...]:
        """Derive the keys of a purpose: the present one, and during a rotation the one before it."""
        present = self.secret_key.get_secret_value() or _development_secret()
        secrets = (present, *filter(None, [self.secret_key_previous.get_secret_value()]))
        return tuple(hmac.digest(secret.encode(), purpose.encode(), "sha256").hex() for secret in secrets)


@cache
def _development_secret() -> str:
    """Return the secret of this checkout, made once; two processes that start together agree on one.

    Raises:
        SystemExit: The file has been emptied: everybody could sign with such a key.
    """
    made = SECRET_KEY_FILE.with_name(f"{SECRET_KEY_FILE.name}.{secrets.token_hex(8)}")
    if not SECRET_KEY_FILE.exists():
        descriptor = os.open(made, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
        with os.fdopen(descriptor, "w") as file:
            file.write(secrets.token_urlsafe(48))
        try:
            # A link either makes the whole file or finds that another process was first.
            SECRET_KEY_FILE.hardlink_to(made)
        except FileExistsError:
            pass
        finally:
            made.unlink()
    secret = SECRET_KEY_FILE.read_text()
    if len(secret.encode()) < MINIMUM_SECRET_BYTES:
        raise SystemExit(
            f"{SECRET_KEY_FILE} is shorter than {MINIMUM_SECRET_BYTES} bytes: delete it to have a new one."
        )
    return secret


def load_settings(**values: Any) -> Settings:
    """Read the settings; all that is wrong ends the program with status 1, in one message without a value."""
    try:
        return Settings(**values)
    except ValidationError as error:
        lines = [
            f"{'.'.join(map(str, line['loc'])).upper()}: {line['msg'].removeprefix('Value error, ')}".lstrip(": ")
            for line in error.errors()
        ]
        raise SystemExit("The settings are wrong:\n" + "\n".join(f"- {line}" for line in lines)) from None


settings = load_settings()
