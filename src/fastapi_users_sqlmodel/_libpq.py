"""The options of libpq in a URL (PostgreSQL's documentation, 32.1.2), and what they are for asyncpg."""

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
# asyncpg has nothing like these, or, as for connect_timeout, takes no text for it.
_LEFT_OUT = frozenset(
    {
        *("channel_binding", "client_encoding", "connect_timeout", "fallback_application_name", "gssdelegation"),
        *("gssencmode", "hostaddr", "keepalives", "keepalives_count", "keepalives_idle", "keepalives_interval"),
        *("load_balance_hosts", "max_protocol_version", "min_protocol_version", "replication", "require_auth"),
        *("requirepeer", "requiressl", "scram_client_key", "scram_server_key", "sslcertmode", "sslcompression"),
        *("sslcrldir", "sslkeylogfile", "sslsni", "tcp_user_timeout"),
    }
)


def for_asyncpg(url: URL) -> URL:
    """Translate the options of a URL for asyncpg; those that it cannot take are left out, with a warning in the log."""
    options = _unfolded(url)
    if left_out := sorted(options.keys() & _LEFT_OUT):
        # The names alone: a value may be a secret.
        log.warning("asyncpg has no such options, so they are left out of the database's URL: %s", ", ".join(left_out))
    taken = {_RENAMED.get(name, name): value for name, value in options.items() if name not in _IN_DSN | _LEFT_OUT}
    if in_dsn := {name: value for name, value in options.items() if name in _IN_DSN}:
        taken["dsn"] = f"postgresql://?{urlencode(in_dsn, doseq=True)}"
    return url.set(query=taken)


def for_psycopg(url: URL) -> URL:
    """Give the options of a URL the names of libpq again, which psycopg uses."""
    libpq = {new: old for old, new in _RENAMED.items()}
    return url.set(query={libpq.get(name, name): value for name, value in _unfolded(url).items()})


def _unfolded(url: URL) -> dict[str, str | tuple[str, ...]]:
    """Return the options, with those that `for_asyncpg` has put into `dsn`."""
    options = dict(url.query)
    dsn = options.get("dsn")
    if isinstance(dsn, str) and dsn.startswith("postgresql://?"):
        del options["dsn"]
        options |= parse_qsl(dsn.partition("?")[2])
    return options
