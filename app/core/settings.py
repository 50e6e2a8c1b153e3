"""What the environment and `.env` say, read once; nobody else reads them."""

import hmac
import logging
import re
import sys
from ipaddress import IPv4Network, IPv6Network, ip_network
from typing import Any, Literal, NoReturn, Self

from pydantic import Field, SecretStr, ValidationError, field_validator, model_validator
from pydantic_settings import BaseSettings, InitSettingsSource, PydanticBaseSettingsSource, SettingsConfigDict
from sqlalchemy.engine import URL, make_url

from app.core.addresses import (
    Smtp,
    are_wider_than_private,
    database_url,
    is_address,
    is_origin,
    is_private_on_the_way,
    is_redis_url,
    smtp_server,
    web_url,
)
from app.core.development_secret import MINIMUM_SECRET_BYTES, development_secret
from app.core.environment import EnvFileProblem, Integer, given_values, misspelt
from app.core.processes import STARTUP_FAILURE, server_processes
from fastapi_users_sqlmodel.engines import is_in_memory
from fastapi_users_sqlmodel.secret_keys import secret_key_problem

log = logging.getLogger(__name__)

# Seconds in ten years: what is added to a date has to be a date.
LONGEST_LIFETIME = 315_360_000


class UnfitError(ValueError):
    """Settings do not fit together, or are unfit for production: reasons by the name of a setting."""

    def __init__(self, wrong: dict[str, str], unfit: dict[str, str]) -> None:
        self.wrong = wrong
        self.unfit = unfit
        super().__init__("; ".join(f"{name}: {reason}" for name, reason in {**unfit, **wrong}.items()))


class Settings(BaseSettings):
    """Every setting of the service, by its name in the environment."""

    model_config = SettingsConfigDict(extra="ignore", frozen=True)

    environment: Literal["development", "production"] = "development"
    database_url: str = "sqlite+aiosqlite:///./test.db"
    redis_url: SecretStr | None = None
    secret_key: SecretStr = SecretStr("")
    secret_key_previous: SecretStr = SecretStr("")
    host: str = "127.0.0.1"
    port: Integer = Field(default=8000, ge=1, le=65535)
    workers: Integer = Field(default=1, ge=1)
    web_concurrency: Integer | None = Field(default=None, ge=1)
    root_path: str = ""
    public_url: str = "http://localhost:8000"
    allowed_origins: tuple[str, ...] = ()
    trusted_proxies: tuple[IPv4Network | IPv6Network, ...] = ()
    smtp_url: SecretStr | None = None
    mail_from: str = ""
    require_verified: bool = False
    conceal_accounts: bool = False
    access_token_lifetime: Integer = Field(default=3600, gt=0, le=LONGEST_LIFETIME)
    refresh_token_lifetime: Integer = Field(default=2592000, gt=0, le=LONGEST_LIFETIME)
    session_idle_lifetime: Integer = Field(default=1209600, gt=0, le=LONGEST_LIFETIME)
    throttling: bool = True
    audit_retention_days: Integer = Field(default=400, gt=0, le=36500)
    log_format: Literal["console", "json"] | None = None
    log_level: Literal["DEBUG", "INFO", "WARNING", "ERROR"] = "INFO"

    @classmethod
    def settings_customise_sources(  # type: ignore[override]  # The other sources are not used
        cls, settings_cls: type[BaseSettings], init_settings: PydanticBaseSettingsSource, **_others: Any
    ) -> tuple[PydanticBaseSettingsSource, ...]:
        """Read the environment and `.env`; what the code passes comes before both."""
        return init_settings, InitSettingsSource(settings_cls, given_values())

    @field_validator("database_url")
    @classmethod
    def _known_database(cls, value: str) -> str:
        return database_url(value)

    @field_validator("public_url")
    @classmethod
    def _http_url(cls, value: str) -> str:
        return web_url(value)

    @field_validator("root_path")
    @classmethod
    def _path(cls, value: str) -> str:
        path = value.rstrip("/")
        if path and re.fullmatch(r"(?:/[A-Za-z0-9._~-]+)+", path) is None:
            raise ValueError("not a path; for example /api")
        return path

    @field_validator("allowed_origins")
    @classmethod
    def _origins(cls, value: tuple[str, ...]) -> tuple[str, ...]:
        if not all(map(is_origin, value)):
            raise ValueError("not origins, separated by commas; for example https://app.example.com")
        return tuple(origin.lower() for origin in value)

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
    def _fit_together(self) -> Self:
        unfit = {**self._weak_secrets(), **self._unfit()} if self.environment == "production" else {}
        if (wrong := self._contradictions()) or unfit:
            raise UnfitError(wrong, unfit)
        return self

    def _contradictions(self) -> dict[str, str]:
        wrong = {}
        if self.smtp_url is not None and not self.mail_from:
            wrong["MAIL_FROM"] = "missing, and a mail server wants to know whom mail is from"
        if self.in_memory and self.processes > 1:
            wrong["WORKERS"] = "each would have a database of its own in its memory; use one, or a file"
        return wrong

    def _weak_secrets(self) -> dict[str, str]:
        wrong = {} if self.secret_key.get_secret_value() else {"SECRET_KEY": "missing"}
        for name, secret in (("SECRET_KEY", self.secret_key), ("SECRET_KEY_PREVIOUS", self.secret_key_previous)):
            if secret.get_secret_value() and (problem := secret_key_problem(secret.get_secret_value())):
                wrong[name] = f"{problem} (`openssl rand -base64 48` makes a good one)"
        return wrong

    def _unfit(self) -> dict[str, str]:
        wrong = {}
        if "database_url" not in self.model_fields_set:
            wrong["DATABASE_URL"] = "missing, and production does not choose SQLite by itself"
        if not self.public_url.startswith("https://"):
            wrong["PUBLIC_URL"] = "not https"
        if not all(map(is_private_on_the_way, self.allowed_origins)):
            wrong["ALLOWED_ORIGINS"] = "not https, so that anyone between may change the pages that call the service"
        if self.smtp is None:
            wrong["SMTP_URL"] = "missing, and a console is no way to send mail"
        elif self.smtp.username is not None and self.smtp.tls == "none":
            wrong["SMTP_URL"] = "shows its password to the network, so it needs smtps or ?starttls=true"
        if not self.throttling:
            wrong["THROTTLING"] = "off"
        if are_wider_than_private(self.trusted_proxies):
            wrong["TRUSTED_PROXIES"] = "wider than 10.0.0.0/8 or fc00::/7, so that strangers could forge their address"
        if self.processes > 1 and self.redis_url is None:
            wrong["REDIS_URL"] = "missing, and several workers would each have limits of their own"
        return wrong

    @property
    def processes(self) -> int:
        """How many processes serve: WORKERS, else WEB_CONCURRENCY, or more if another server was told so."""
        own = self.workers if "workers" in self.model_fields_set else self.web_concurrency or 1
        return max(own, server_processes())

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
        present = self.secret_key.get_secret_value() or development_secret()
        secrets = (present, *filter(None, [self.secret_key_previous.get_secret_value()]))
        return tuple(hmac.digest(secret.encode(), purpose.encode(), "sha256").hex() for secret in secrets)


def load_settings(**values: Any) -> Settings:
    """Read the settings; all that is wrong ends the program with one message, in which no value stands.

    Raises:
        SystemExit: Something is wrong. The status is 1; of several processes of a server it is 3, after which uvicorn
            and gunicorn end all of them instead of starting another one.
    """
    try:
        given = given_values()
    except EnvFileProblem as problem:
        _refuse([f".env {problem}"])
    settings, wrong = _checked(values)
    names = misspelt(given, Settings.model_fields.keys() - values.keys())
    unknown = [f"{name.upper()}: not a setting; the name of the setting is {near.upper()}" for name, near in names]
    if values.get("environment", given.get("environment")) == "production":
        wrong += unknown
    else:
        for sentence in unknown:
            log.warning(sentence)
    if settings is None or wrong:
        _refuse(wrong)
    return settings


def _checked(values: dict[str, Any]) -> tuple[Settings | None, list[str]]:
    """Return the settings, if they are right, and what is wrong with them."""
    try:
        return Settings(**values), []
    except ValidationError as error:
        errors = error.errors()
    malformed = {str(each["loc"][0]): each["msg"].removeprefix("Value error, ") for each in errors if each["loc"]}
    lines = [f"{name.upper()}: {reason}" for name, reason in malformed.items()]
    if malformed:
        # Malformed values keep pydantic from checking whether the others fit together, so defaults stand in for them.
        defaults = {name: Settings.model_fields[name].default for name in malformed}
        try:
            Settings(**{**values, **defaults})
        except ValidationError as error:
            errors = error.errors()
        else:
            return None, lines
    for each in errors:
        problem: UnfitError = each["ctx"]["error"]
        wrong, unfit = (
            [f"{name}: {reason}" for name, reason in reasons.items() if name.lower() not in malformed]
            for reasons in (problem.wrong, problem.unfit)
        )
        lines += [*wrong, *(["not fit for production: " + "; ".join(unfit)] if unfit else [])]
    return None, lines


def _refuse(lines: list[str]) -> NoReturn:
    message = "The settings are wrong:\n" + "\n".join(f"- {line}" for line in lines)
    if server_processes() == 1:
        raise SystemExit(message)
    sys.stderr.write(f"{message}\n")
    raise SystemExit(STARTUP_FAILURE)


settings = load_settings()
