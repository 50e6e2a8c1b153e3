"""What we write to people."""

from dataclasses import dataclass
from datetime import datetime


@dataclass(frozen=True, slots=True)
class Words:
    """The words of a kind of letter: a constant subject, and paragraphs around a link, if it has one."""

    subject: str
    before: tuple[str, ...]
    path: str | None = None
    label: str | None = None
    after: tuple[str, ...] = ()


FOR_AN_HOUR = "The link is good for 60 minutes, and once."
NOT_YOU = "If you did not ask for this, ignore this letter: nothing happens without you."

WORDS = {
    "verify": Words(
        "Verify your e-mail address",
        ("Show that this address is yours:",),
        "/verify",
        "Verify my address",
        (FOR_AN_HOUR, NOT_YOU),
    ),
    "reset_password": Words(
        "Reset your password",
        ("Choose a new password:",),
        "/reset-password",
        "Choose a new password",
        (FOR_AN_HOUR, "If you did not ask for this, ignore this letter: your password stays as it is."),
    ),
    "confirm_email": Words(
        "Confirm your new e-mail address",
        ("Somebody wants to use this address for their account with us. If that was you, confirm it:",),
        "/confirm-email",
        "Confirm my new address",
        (FOR_AN_HOUR, NOT_YOU),
    ),
    "email_change_requested": Words(
        "Your e-mail address is about to change",
        (
            "Somebody who knows your password asked to use another e-mail address for your account.",
            "If that was you, there is nothing to do. If not, take the change back; then you choose a new password:",
        ),
        "/undo-change-email",
        "Keep this address",
        ("The link is good for 7 days after the change.",),
    ),
    "email_change_notice": Words(
        "Another e-mail address for your account",
        (
            "Somebody who knows your password asked to use another e-mail address for your account.",
            "If that was not you, reset your password: ask for a new one where you sign in.",
        ),
    ),
    "email_changed": Words(
        "Your e-mail address was changed",
        (
            "An administrator changed the e-mail address of your account. This address is not the account's any more.",
            "If you did not expect that, ask the administrator.",
        ),
    ),
    "email_change_undone": Words(
        "Choose a new password: your e-mail address is back",
        (
            "The change of your e-mail address was taken back, and every session has ended.",
            "Somebody else knows your password, so it does not sign in any more. Choose a new one:",
        ),
        "/reset-password",
        "Choose a new password",
        (FOR_AN_HOUR, "If it is too late, ask for a new password where you sign in."),
    ),
    "email_removed": Words(
        "Your e-mail address was changed back",
        (
            "The change to this address was taken back, with the link that the address before it had got.",
            "This address is not the account's any more, and every session has ended.",
        ),
    ),
    "password_changed": Words(
        "Your password was changed",
        (
            "The password of your account was changed.",
            "If that was not you, reset it at once: ask for a new password where you sign in.",
        ),
    ),
    "already_registered": Words(
        "You have an account already",
        (
            "Somebody tried to register with your address, which has an account already.",
            "If that was you, sign in, or ask for a new password. If not, ignore this letter.",
        ),
    ),
    "email_taken": Words(
        "Your address belongs to your account already",
        (
            "Somebody asked to use your address for another account. It has one already, so nothing was changed.",
            "If that was you, sign in with this address, or ask for a new password. If not, ignore this letter.",
        ),
    ),
}


@dataclass(frozen=True, slots=True)
class Mail:
    """A letter to one person, ready to leave; `token` is what it is about, if anything."""

    to: str
    subject: str
    text: str
    html: str
    message_id: str
    written_at: datetime
    token: str | None = None
