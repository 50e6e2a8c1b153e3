"""What is read off a token: of any text at all, only what we have written."""

import base64
import time
import uuid
from datetime import UTC, datetime
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st

from fastapi_users_sqlmodel.sessions._tokens import (
    AccessToken,
    Keys,
    RefreshToken,
    decode_access,
    decode_opaque,
    decode_refresh,
    encode_access,
    encode_opaque,
    encode_refresh,
)
from tests.app.forgeries import ALPHABET, ISSUER, b64, respelled, segment, signed

KEYS_ = Keys("a secret of the fuzzer, as long as it has to be", ("words that signed before them, kept for a while",))
SESSION_ID = uuid.UUID("6f0a3a5c-3f0e-4b56-9d0a-1f3c5c1f0b11")
HEADER = {"alg": "HS256", "typ": "at+jwt", "kid": KEYS_.signing[0]}
# The year 2100.
RIGHT = {"sub": "7", "sid": str(SESSION_ID), "jti": "x", "iss": ISSUER, "aud": ISSUER, "iat": 1, "exp": 4_102_444_800}
ACCESS = encode_access(KEYS_, SESSION_ID, "7", issuer=ISSUER, expires_at=datetime(2100, 1, 1, tzinfo=UTC))
REFRESH_TOKEN = RefreshToken(SESSION_ID, 3, bytes(range(32)))
REFRESH = encode_refresh(KEYS_, REFRESH_TOKEN)
OPAQUE = encode_opaque(SESSION_ID, bytes(range(32)))

# With lone surrogates, which JSON can say.
any_text = st.text(st.characters(exclude_categories=()))
any_json = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | any_text,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(any_text, inner, max_size=3),
    max_leaves=8,
)
fuzzed = settings(max_examples=300, deadline=None)


@st.composite
def mutations(draw: st.DrawFn, token: str) -> str:
    """Change a token in one to three places."""
    for _ in range(draw(st.integers(1, 3))):
        at = draw(st.integers(0, len(token)))
        until = draw(st.integers(at, min(len(token), at + 4)))
        inserted = draw(st.text(ALPHABET + "=+/. \n", max_size=4) | any_text.map(lambda text: text[:2]))
        token = draw(
            st.sampled_from(
                [
                    token[:at] + inserted + token[until:],
                    token[:at],
                    token[at:],
                    token[:until] + token[at:],
                    token[:at] + token[at:until].swapcase() + token[until:],
                ]
            )
        )
    return token


class TestDecode:
    def test_what_is_honest(self) -> None:
        assert decode_access(KEYS_, ACCESS, issuer=ISSUER) == AccessToken(SESSION_ID, "7")
        assert decode_refresh(KEYS_, REFRESH) == REFRESH_TOKEN
        assert decode_opaque(OPAQUE) == (SESSION_ID, bytes(range(32)))

    def test_another_spelling(self) -> None:
        """The last character of a refresh token has bits that mean nothing; a cookie's has none."""
        assert base64.urlsafe_b64decode(respelled(REFRESH) + "=") == base64.urlsafe_b64decode(REFRESH + "=")
        for text in (respelled(REFRESH), f"{REFRESH}=", f" {REFRESH}", f"{REFRESH}\n"):
            assert decode_refresh(KEYS_, text) is None
        for text in (f"{OPAQUE}=", f" {OPAQUE}", OPAQUE[:-1] + "+", OPAQUE[:-1] + "/", f"{OPAQUE[:-1]}\n"):
            assert decode_opaque(text) is None

    def test_what_the_secret_before_it_has_signed(self) -> None:
        """Good while both are known, and then not any more."""
        older = Keys("words that signed before them, kept for a while")
        newer = Keys("a secret of the fuzzer, as long as it has to be")
        ends = datetime.fromtimestamp(time.time() + 60, UTC)
        access = encode_access(older, SESSION_ID, "7", issuer=ISSUER, expires_at=ends)
        refresh = encode_refresh(older, REFRESH_TOKEN)
        assert decode_access(KEYS_, access, issuer=ISSUER) == AccessToken(SESSION_ID, "7")
        assert decode_refresh(KEYS_, refresh) == REFRESH_TOKEN
        assert decode_access(newer, access, issuer=ISSUER) is None
        assert decode_refresh(newer, refresh) is None

    @fuzzed
    @given(any_text | st.text(ALPHABET + ".", max_size=200) | st.text(ALPHABET, min_size=64, max_size=91))
    def test_any_text(self, text: str) -> None:
        assert decode_access(KEYS_, text, issuer=ISSUER) is None
        assert decode_refresh(KEYS_, text) is None
        # Its secret is looked up, so it says what it likes; but in one spelling.
        opaque = decode_opaque(text)
        assert opaque is None or encode_opaque(*opaque) == text

    @fuzzed
    @given(st.binary(min_size=48, max_size=48).map(b64) | st.binary(min_size=68, max_size=68).map(b64))
    def test_any_bytes_of_the_right_length(self, text: str) -> None:
        assert decode_refresh(KEYS_, text) is None
        assert (decode_opaque(text) is None) == (len(text) != 64)

    @fuzzed
    @given(mutations(ACCESS))
    def test_an_access_token_that_was_changed(self, text: str) -> None:
        assert decode_access(KEYS_, text, issuer=ISSUER) in {None, AccessToken(SESSION_ID, "7")}

    @fuzzed
    @given(mutations(REFRESH))
    def test_a_refresh_token_that_was_changed(self, text: str) -> None:
        assert decode_refresh(KEYS_, text) == (REFRESH_TOKEN if text == REFRESH else None)

    @fuzzed
    @given(mutations(OPAQUE))
    def test_a_cookie_that_was_changed(self, text: str) -> None:
        opaque = decode_opaque(text)
        assert opaque is None or encode_opaque(*opaque) == text

    @fuzzed
    @given(any_json | st.dictionaries(st.sampled_from([*HEADER, "crit", "b64", "jwk"]), any_json), st.booleans())
    def test_any_header(self, value: Any, merged: bool) -> None:  # noqa: FBT001  # Hypothesis hands it over
        header = {**HEADER, **value} if merged and isinstance(value, dict) else value
        text = signed(KEYS_.signing[1], segment(header), segment(RIGHT))
        expected = AccessToken(SESSION_ID, "7") if header == HEADER else None
        assert decode_access(KEYS_, text, issuer=ISSUER) == expected

    @fuzzed
    @given(
        any_json | st.dictionaries(st.sampled_from([*RIGHT, "nbf"]), any_json, min_size=1, max_size=3), st.booleans()
    )
    def test_any_claims(self, value: Any, merged: bool) -> None:  # noqa: FBT001  # Likewise
        claims = {**RIGHT, **value} if merged and isinstance(value, dict) else value
        token = decode_access(KEYS_, signed(KEYS_.signing[1], segment(HEADER), segment(claims)), issuer=ISSUER)
        if token is not None:
            assert isinstance(claims, dict)
            assert (claims["iss"], claims["aud"], claims["sub"]) == (ISSUER, ISSUER, token.user_id)
            assert uuid.UUID(claims["sid"]) == token.session_id

    @fuzzed
    @given(st.binary(max_size=200), st.binary(max_size=200))
    def test_any_bytes_signed(self, header: bytes, payload: bytes) -> None:
        key = KEYS_.signing[1]
        assert decode_access(KEYS_, signed(key, b64(header), b64(payload)), issuer=ISSUER) is None
        assert decode_access(KEYS_, signed(key, segment(HEADER), b64(payload)), issuer=ISSUER) is None
        assert decode_access(KEYS_, signed(key, b64(header), segment(RIGHT)), issuer=ISSUER) is None
