"""The options of libpq in a URL (PostgreSQL's documentation, 32.1.2), and what they are for asyncpg."""

import importlib.util
import inspect
import logging
from urllib.parse import parse_qsl, urlencode

from sqlalchemy.engine import URL

log = logging.getLogger(__name__)

# The same in asyncpg, under another name.
_RENAMED = {"sslmode": "ssl", "dbname": "database"}
# asyncpg takes these in a connection string only, and SQLAlchemy passes options by name. So they go into `dsn`, which
# is a connection string. asyncpg hands application_name and options from there to the server.
_IN_DSN = frozenset(
    {
        *("application_name", "options"),
        *("sslcert", "sslkey", "sslpassword", "sslrootcert", "sslcrl", "sslnegotiation"),
        *("ssl_min_protocol_version", "ssl_max_protocol_version"),
    }
)
# Arguments of `asyncpg.connect` that are no text, which is all that a URL has.
_NO_TEXT = frozenset(
    {
        *("connection_class", "direct_tls", "loop", "max_cacheable_statement_size"),
        *("max_cached_statement_lifetime", "record_class", "server_settings", "statement_cache_size", "timeout"),
    }
)
# SQLAlchemy takes these out of a URL before it passes the other options to asyncpg.
_OF_SQLALCHEMY = frozenset({"plugin", "prepared_statement_cache_size"})
# SQLAlchemy reads several of these as several servers.
_SEVERAL = frozenset({"host", "port", "plugin"})


def for_asyncpg(url: URL) -> URL:
    """Translate the options of a URL for asyncpg; those that it cannot take are left out, with a warning in the log."""
    options = {_RENAMED.get(name, name): value for name, value in _unfolded(url).items()}
    in_dsn = {name: value for name, value in options.items() if name in _IN_DSN}
    known = _known_options()
    taken = {name: value for name, value in options.items() if name not in _IN_DSN and (not known or name in known)}
    if left_out := sorted(options.keys() - taken.keys() - in_dsn.keys()):
        # The names alone: a value may be a secret.
        log.warning(
            "asyncpg takes no such options from a URL, so they are left out of the database's URL: %s",
            ", ".join(left_out),
        )
    if in_dsn:
        taken["dsn"] = f"postgresql://?{urlencode(in_dsn, doseq=True)}"
    return url.set(query=taken)


def _known_options() -> frozenset[str]:
    """Return the options that the installed asyncpg, or SQLAlchemy for it, takes as text; none without asyncpg."""
    if importlib.util.find_spec("asyncpg") is None:
        return frozenset()
    # It is optional, and slow to import for those who use another driver.
    import asyncpg  # type: ignore[import-untyped]  # it has no stubs

    return (frozenset(inspect.signature(asyncpg.connect).parameters) - _NO_TEXT) | _OF_SQLALCHEMY


def for_psycopg(url: URL) -> URL:
    """Give the options of a URL the names of libpq again, which psycopg uses."""
    libpq = {new: old for old, new in _RENAMED.items()}
    return url.set(query={libpq.get(name, name): value for name, value in _unfolded(url).items()})


def _unfolded(url: URL) -> dict[str, str | tuple[str, ...]]:
    """Return the options, with those that `for_asyncpg` has put into `dsn`; of a doubled one the last, as in libpq."""
    options = {
        name: value if isinstance(value, str) or name in _SEVERAL else value[-1] for name, value in url.query.items()
    }
    dsn = options.get("dsn")
    if isinstance(dsn, str) and dsn.startswith("postgresql://?"):
        del options["dsn"]
        options |= parse_qsl(dsn.partition("?")[2])
    return options
