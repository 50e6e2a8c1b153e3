"""Secrets and lifetimes that no session and no strategy takes, or of which somebody is warned."""

import warnings
from datetime import timedelta
from typing import Any, cast

import pytest
from pydantic import SecretStr

from fastapi_users_sqlmodel import SecurityWarning, SessionLifetimes, Sessions
from fastapi_users_sqlmodel.authentication import JWTStrategy, RedisStrategy
from fastapi_users_sqlmodel.authentication.strategy.db import DatabaseStrategy

SECRET = "seven grey herons sleep above an old canal"
SECOND, DAY = timedelta(seconds=1), timedelta(days=1)


class TestSessions:
    @pytest.mark.parametrize(
        ("secret", "problem"),
        [
            ("x" * 31, "shorter than 32 bytes"),
            ("SECRET" * 6, "repetitive"),
            ("changeme-changeme-changeme-changeme", "repetitive"),
            ("a-string-secret-at-least-256-bits-long", "a placeholder"),
            ("09d25e094faa6ca2556c818166b7a9563b93f7099f6f0f4caa6cf63b88e8d3e7", "published in documentation"),
        ],
    )
    def test_a_weak_secret(self, secret: str, problem: str) -> None:
        """Also one of before, with which somebody could still sign; and no message shows it."""
        for name, arguments in (("secret", (secret, ())), ("previous", (SECRET, (SECRET[::-1], secret)))):
            with pytest.raises(ValueError, match=rf"Sessions\({name}=…\) is {problem}.*openssl rand") as caught:
                Sessions(arguments[0], previous=arguments[1])
            assert secret not in str(caught.value)

    def test_a_good_secret(self) -> None:
        assert Sessions(SECRET, previous=(SECRET[::-1],)).lifetimes == SessionLifetimes()

    @pytest.mark.parametrize("name", ["access_token", "refresh_token", "idle"])
    @pytest.mark.parametrize(
        "value", [timedelta(0), -DAY, timedelta(milliseconds=999), timedelta.max, timedelta(days=3651)], ids=str
    )
    def test_a_lifetime_that_is_none(self, name: str, value: timedelta) -> None:
        """Longer than ten years from now may be no date any more, and every login would fail."""
        with pytest.raises(ValueError, match=rf"SessionLifetimes\({name}=.*\): give at least a second") as caught:
            SessionLifetimes(**{name: value})
        assert str(value) in str(caught.value)

    @pytest.mark.parametrize("name", ["access_token", "idle"])
    def test_longer_than_the_session(self, name: str) -> None:
        with pytest.raises(ValueError, match=rf"{name}=2 days, 0:00:00\) is longer than refresh_token=1 day"):
            SessionLifetimes(**{"access_token": SECOND, "idle": SECOND, "refresh_token": DAY, name: 2 * DAY})

    def test_seconds_that_are_a_number(self) -> None:
        with pytest.raises(TypeError, match=r"SessionLifetimes\(access_token=3600\): give a timedelta"):
            SessionLifetimes(access_token=cast("Any", 3600))

    @pytest.mark.parametrize("lifetime", [SECOND, DAY, timedelta(days=3650)], ids=str)
    def test_good_ones(self, lifetime: timedelta) -> None:
        made = SessionLifetimes(access_token=lifetime, refresh_token=lifetime, idle=lifetime)
        # A use is recorded before the session is over for want of one.
        assert timedelta(0) < made.recorded_every < lifetime


class TestStrategies:
    @pytest.mark.parametrize("lifetime", [0, -1, -3600])
    @pytest.mark.parametrize(
        ("name", "make"),
        [
            ("JWTStrategy", lambda lifetime: JWTStrategy(SECRET, lifetime)),
            ("JWTStrategy", lambda lifetime: JWTStrategy(SECRET, lifetime_seconds=lifetime)),
            ("DatabaseStrategy", lambda lifetime: DatabaseStrategy(cast("Any", None), lifetime)),
            ("RedisStrategy", lambda lifetime: RedisStrategy(cast("Any", None), lifetime)),
        ],
    )
    def test_a_lifetime_that_is_none(self, name: str, make: Any, lifetime: int) -> None:
        """FastAPI Users takes 0 for no end, Redis for an error at each login."""
        with pytest.raises(ValueError, match=rf"{name}\(lifetime_seconds={lifetime}\): .*greater than 0"):
            make(lifetime)

    @pytest.mark.parametrize("lifetime", [None, 1, 3600])
    def test_good_ones(self, lifetime: int | None) -> None:
        """None is without end, as FastAPI Users says."""
        strategies = (
            JWTStrategy[Any, Any](SECRET, lifetime),
            DatabaseStrategy[Any, Any, Any](cast("Any", None), lifetime),
            RedisStrategy[Any, Any](None, lifetime),
        )
        assert [strategy.lifetime_seconds for strategy in strategies] == [lifetime] * 3

    @pytest.mark.parametrize("secret", ["SECRET", "x" * 40, SecretStr("SECRET"), "changeme-changeme-changeme-changeme"])
    def test_a_weak_secret_warns(self, secret: str | SecretStr) -> None:
        """And goes on working, because FastAPI Users' documentation says "SECRET"."""
        with pytest.warns(SecurityWarning, match=r"JWTStrategy: the secret is .*openssl rand") as caught:
            strategy: JWTStrategy[Any, Any] = JWTStrategy(secret, 3600)
        assert strategy.secret == secret
        assert [warning.filename for warning in caught] == [__file__]

    def test_is_told_once(self) -> None:
        """A strategy is made for each request: Python shows a warning of one place once."""

        def get_strategy() -> JWTStrategy[Any, Any]:
            return JWTStrategy("SECRET", 3600)

        with warnings.catch_warnings(record=True) as caught:
            warnings.simplefilter("default")
            for _ in range(3):
                get_strategy()
        assert len(caught) == 1

    def test_a_pair_of_keys_is_no_secret(self) -> None:
        strategy = JWTStrategy[Any, Any]("-----BEGIN KEY-----", 3600, algorithm="RS256", public_key="-----BEGIN")
        assert (strategy.encode_key, strategy.decode_key) == ("-----BEGIN KEY-----", "-----BEGIN")

    def test_what_stays_fastapi_users(self) -> None:
        strategy = JWTStrategy[Any, Any](SECRET, 3600, ["of my own"], "HS512")
        assert (strategy.token_audience, strategy.algorithm) == (["of my own"], "HS512")
        assert JWTStrategy[Any, Any](SECRET, 3600).token_audience == ["fastapi-users:auth"]
