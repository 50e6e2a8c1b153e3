"""The service, except that every password is right and no hash is computed: what signing in costs beside the hash.

Only the bench runs this. A hash takes tens of milliseconds, in which any growth with the size of the table would hide.
"""

from app.cli import run, serve
from app.users import password_helper
from fastapi_users_sqlmodel.passwords import PasswordHasher, Verified


class NoHasher(PasswordHasher):
    """Computes nothing."""

    async def verify(self, password: str, hashed_password: str | None) -> Verified:  # noqa: ARG002  # The signature
        """Say yes."""
        return Verified(is_right=True)


if __name__ == "__main__":
    # A cached property: what stands here is what everybody gets.
    password_helper.__dict__["hasher"] = NoHasher(password_helper)
    run(serve)
