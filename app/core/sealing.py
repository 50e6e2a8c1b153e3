"""Seal what the database keeps for us and must not be able to read."""

import base64
import json
from typing import Any

from cryptography.fernet import Fernet, InvalidToken, MultiFernet

from app.core.settings import settings

# What is sealed is as long as a multiple of this, so that its length tells little.
BLOCK = 512


def seal(values: dict[str, Any], *, purpose: str) -> str:
    """Encrypt values with the present key of a purpose; the text is ASCII."""
    text = json.dumps(values).encode()
    return _keys(purpose).encrypt(text.ljust(-(-len(text) // BLOCK) * BLOCK)).decode()


def unseal(sealed: str, *, purpose: str) -> dict[str, Any] | None:
    """Decrypt values that the present or the previous key has sealed, or return None."""
    try:
        values: dict[str, Any] = json.loads(_keys(purpose).decrypt(sealed))
    except InvalidToken:
        return None
    return values


def _keys(purpose: str) -> MultiFernet:
    return MultiFernet([Fernet(base64.urlsafe_b64encode(bytes.fromhex(key))) for key in settings.keys_for(purpose)])
