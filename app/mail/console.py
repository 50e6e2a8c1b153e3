"""Mail for development: printed to the console, the token on a line of its own."""

import logging
import sys

from app.core.settings import settings
from app.mail.messages import Mail

log = logging.getLogger(__name__)


def deliver(mail: Mail) -> None:
    """Print a letter, in one write, so that two of them do not mix; in production, where a console is a log, do not."""
    if settings.environment == "production":
        log.warning("a mail was not sent (%s): there is no transport for production yet", mail.subject)
        return
    lines = ["", f"To: {mail.to}", f"Subject: {mail.subject}", "", mail.text, *([mail.token] if mail.token else []), ""]
    sys.stdout.write("\n".join(lines) + "\n")
    sys.stdout.flush()
