"""Tokens that are none of ours."""

from typing import Any

from fastapi_users.jwt import generate_jwt

from app.models import User

# Tokens that are no tokens of ours; each is made for whoever is asked to believe it.
JUNK_TOKENS = {
    "empty": "",
    "short": "x",
    "8 KB": "x" * 8192,
    "dots": "." * 8192,
    "a deep header": "W1tbW1tbW1tb" * 700 + ".e30.e30",
    "no signature": "eyJhbGciOiJub25lIn0.eyJzdWIiOiIxIn0.",
    "an array": "W10.W10.W10",
    "no ASCII": "é.é.é",
}


def foreign_token(user: User, audience: str, **claims: Any) -> str:
    """Make a token that is right but for its key."""
    return generate_jwt({"sub": str(user.id), "aud": audience, **claims}, "another key, and as long as ours is", 3600)
