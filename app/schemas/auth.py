"""What the routes of /auth take."""

from app.schemas.base import Email, Input, SafeText


class EmailInput(Input):
    """An address to write to."""

    email: Email


class TokenInput(Input):
    """A token that was sent by mail."""

    token: SafeText


class PasswordReset(TokenInput):
    """A token that was sent by mail, and the new password."""

    password: SafeText
