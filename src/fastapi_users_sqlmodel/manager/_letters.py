"""The kinds of e-mail that the user manager sends."""

from enum import StrEnum


class LetterKind(StrEnum):
    """The kind of an e-mail; the first five carry a token."""

    VERIFY = "verify"
    RESET_PASSWORD = "reset_password"
    CONFIRM_EMAIL = "confirm_email"
    # To the present, verified address; the token undoes the change.
    EMAIL_CHANGE_REQUESTED = "email_change_requested"
    # To the restored address; the token resets the password.
    EMAIL_CHANGE_UNDONE = "email_change_undone"
    # To the present address, if it was never verified; there is no token.
    EMAIL_CHANGE_NOTICE = "email_change_notice"
    # To the address that an undo has removed from the account.
    EMAIL_REMOVED = "email_removed"
    EMAIL_CHANGED = "email_changed"
    PASSWORD_CHANGED = "password_changed"
    ALREADY_REGISTERED = "already_registered"
    EMAIL_TAKEN = "email_taken"
