"""Access tokens that were verified once: what is signed is kept, what changes is looked at each time."""

import uuid
from datetime import UTC, datetime, timedelta

import pytest
import time_machine

from fastapi_users_sqlmodel.sessions._tokens import AccessToken, Keys, decode_access, encode_access, verify_access

NOW = datetime(2030, 1, 1, tzinfo=UTC)
KEYS = Keys("seven grey herons sleep above an old canal")
ISSUER = "https://app.example.com"
SESSION = uuid.UUID("0f1e2d3c-4b5a-4978-8695-a4b3c2d1e0f0")


@pytest.fixture
def token() -> str:
    verify_access.cache_clear()
    with time_machine.travel(NOW, tick=False):
        return encode_access(KEYS, SESSION, "anna", issuer=ISSUER, expires_at=NOW + timedelta(hours=1))


def read(token: str, *, at: datetime = NOW, keys: Keys = KEYS, issuer: str = ISSUER) -> AccessToken | None:
    with time_machine.travel(at, tick=False):
        return decode_access(keys, token, issuer=issuer)


def test_is_verified_once(token: str, monkeypatch: pytest.MonkeyPatch) -> None:
    assert read(token) == AccessToken(SESSION, "anna")
    monkeypatch.delattr("fastapi_users_sqlmodel.sessions._tokens.jwt.decode")
    assert read(token) == AccessToken(SESSION, "anna")


def test_ends_all_the_same(token: str) -> None:
    end = NOW + timedelta(hours=1)
    assert read(token, at=end - timedelta(seconds=1)) is not None
    assert read(token, at=end) is None
    assert read(token, at=end + timedelta(days=365)) is None


def test_is_not_good_before_it_was_issued(token: str) -> None:
    """A clock that was set back, but for the ten seconds by which clocks may differ."""
    assert read(token) is not None
    assert read(token, at=NOW - timedelta(seconds=10)) is not None
    assert read(token, at=NOW - timedelta(seconds=11)) is None


def test_is_nobody_elses(token: str) -> None:
    assert read(token) is not None
    assert read(token, keys=Keys("another secret of sessions, as long as the first")) is None
    assert read(token, issuer="https://other.example.com") is None


def test_what_is_not_good_is_not_kept(token: str) -> None:
    """Whoever makes tokens up pushes nobody else's out."""
    assert read(token) is not None
    header, payload, signature = token.split(".")
    forged = [f"{header}.{payload}.{signature[:-4]}{number:04}" for number in range(100)]
    assert [read(one) for one in (*forged, "", "a.b.c", token + "=")] == [None] * 103
    assert verify_access.cache_info().currsize == 1


def test_so_many_and_no_more() -> None:
    assert verify_access.cache_parameters()["maxsize"] == 4096
