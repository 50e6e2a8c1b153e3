"""Mail for development: printed to the console, the token on a line of its own."""

import sys

from app.mail.messages import Mail


def deliver(mail: Mail) -> None:
    """Print a letter, in one write, so that two of them do not mix."""
    lines = ["", f"To: {mail.to}", f"Subject: {mail.subject}", "", mail.text, *([mail.token] if mail.token else []), ""]
    sys.stdout.write("\n".join(lines) + "\n")
    sys.stdout.flush()
