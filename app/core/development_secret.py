"""The secret of a checkout in development, made once and kept in the git-ignored file `.secret-key`."""

import os
import secrets
from functools import cache
from pathlib import Path

MINIMUM_SECRET_BYTES = 32
SECRET_KEY_FILE = Path(".secret-key")


@cache
def development_secret() -> str:
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
    secret = SECRET_KEY_FILE.read_text().strip()
    if len(secret.encode()) < MINIMUM_SECRET_BYTES:
        raise SystemExit(
            f"{SECRET_KEY_FILE} is shorter than {MINIMUM_SECRET_BYTES} bytes: delete it to have a new one."
        )
    return secret
