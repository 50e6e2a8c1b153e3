"""Mail for development: printed to the console, the token on a line of its own."""

import sys

from app.mail.messages import Mail


class Console:
    """Prints letters."""

    async def send(self, mail: Mail) -> None:
        """Print a letter, in one write, so that two of them do not mix."""
        lines = ["", f"To: {mail.to}", f"Subject: {mail.subject}", "", mail.text, *filter(None, [mail.token]), ""]
        sys.stdout.write("\n".join(lines) + "\n")
        sys.stdout.flush()
