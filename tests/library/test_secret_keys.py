"""Which secrets are refused, and that a random one never is."""

import base64
import secrets
import string

import pytest

from fastapi_users_sqlmodel.secret_keys import secret_key_problem

SHORT, KNOWN, REPETITIVE = (
    "shorter than 32 bytes",
    "published in documentation, so that everybody knows it",
    "repetitive",
)
PLACEHOLDER = "a placeholder, made of words that documentation uses"

WEAK = {
    "": SHORT,
    "SECRET": SHORT,
    "x" * 31: SHORT,
    "é" * 15: SHORT,
    "09d25e094faa6ca2556c818166b7a9563b93f7099f6f0f4caa6cf63b88e8d3e7": KNOWN,
    "09D25E094FAA6CA2556C818166B7A9563B93F7099F6F0F4CAA6CF63B88E8D3E7": KNOWN,
    "django-insecure-" + "k1#9zq@x7w!m4v&p2r$t6y*u8i(o0)a5s": KNOWN,
    "x" * 40: REPETITIVE,
    "é" * 16: REPETITIVE,
    "SECRET" * 6: REPETITIVE,
    "changeme-changeme-changeme-changeme": REPETITIVE,
    "changeme-changeme-changeme-changeme!1": REPETITIVE,
    "0123456789abcdef0123456789abcdef": REPETITIVE,
    "abcdefghijklmnopqrstuvwxyz012345": REPETITIVE,
    "zyxwvutsrqponmlkjihgfedcba987654": REPETITIVE,
    "abbabaabbaababbabaababbaabbabaab": REPETITIVE,
    "a" * 31 + "b" * 9: REPETITIVE,
    "a1b2c3d4e5f6g7h8i9j0k1l2m3n4o5p6": REPETITIVE,
    "1a2b3c4d5e6f7g8h9i0j1k2l3m4n5o6p": REPETITIVE,
    "Aa0!Bb1!Cc2!Dd3!Ee4!Ff5!Gg6!Hh7!": REPETITIVE,
    "insert-a-32-byte-random-hex-string!!": PLACEHOLDER,
    "GENERATE_WITH_openssl_rand_-hex_32": PLACEHOLDER,
    "openssl rand -base64 48 output goes here": PLACEHOLDER,
    "thisisaverylongsecretkeythatnobodywillguess": PLACEHOLDER,
    "<paste-the-output-of-openssl-rand-here>": PLACEHOLDER,
    "yourownultrasecureandunguessablesecretkey": PLACEHOLDER,
    "qwertyuiopasdfghjklzxcvbnm1234567890": PLACEHOLDER,
    "a-string-secret-at-least-256-bits-long": PLACEHOLDER,
    "this-is-my-super-secret-key-please-change": PLACEHOLDER,
    "SUPER_SECRET_KEY_CHANGE_ME_IN_PRODUCTION!!": PLACEHOLDER,
    "mysupersecretjwtsigningkeyforproduction2024": PLACEHOLDER,
}


@pytest.mark.parametrize(("secret", "problem"), WEAK.items(), ids=range(len(WEAK)))
def test_a_weak_secret(secret: str, problem: str) -> None:
    assert secret_key_problem(secret) == problem


@pytest.mark.parametrize(
    "make",
    [
        lambda: secrets.token_hex(16),
        lambda: secrets.token_hex(32),
        lambda: secrets.token_hex(5000),
        lambda: secrets.token_urlsafe(24),
        lambda: secrets.token_urlsafe(48),
        lambda: base64.b64encode(secrets.token_bytes(32)).decode(),
        lambda: "".join(secrets.choice(string.digits) for _ in range(40)),
        lambda: "".join(secrets.choice(string.ascii_lowercase) for _ in range(32)),
        lambda: "".join(secrets.choice(string.printable[:94]) for _ in range(32)),
    ],
    ids=["hex", "long hex", "longest hex", "url-safe", "long url-safe", "base64", "digits", "letters", "printable"],
)
def test_a_random_secret(make: object) -> None:
    assert callable(make)
    assert [secret for secret in (make() for _ in range(20)) if secret_key_problem(secret) is not None] == []


def test_a_phrase_of_ones_own() -> None:
    assert secret_key_problem("seven grey herons sleep above an old canal") is None


def test_a_text_that_is_no_utf_8() -> None:
    """Nothing is raised, whatever the text."""
    assert secret_key_problem("\ud800" * 40) == REPETITIVE
