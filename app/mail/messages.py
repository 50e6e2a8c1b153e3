"""What we write to people."""

from dataclasses import dataclass

from app.core.settings import settings


@dataclass(frozen=True, slots=True)
class Mail:
    """A letter to one person; `token` is what it is about, if anything."""

    to: str
    subject: str
    text: str
    token: str | None = None


def verify_your_address(to: str, token: str) -> Mail:
    """Ask a person to show that the address is theirs."""
    link = f"{settings.public_url}/verify?token={token}"
    return Mail(to, "Verify your e-mail address", f"Welcome! Show that this address is yours:\n{link}", token)


def reset_your_password(to: str, token: str) -> Mail:
    """Let a person choose a new password."""
    link = f"{settings.public_url}/reset-password?token={token}"
    return Mail(
        to, "Reset your password", f"Choose a new password; if you did not ask for this, ignore it:\n{link}", token
    )


def your_address_was_changed(to: str) -> Mail:
    """Tell the old address that it is not the account's any more."""
    return Mail(to, "Your e-mail address was changed", "An administrator changed the e-mail address of your account.")
