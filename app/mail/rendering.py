"""Write a letter: its words, around a name and a link, as text, as HTML, and as a message of RFC 5322."""

import re
import unicodedata
from email.headerregistry import Address
from email.message import EmailMessage
from email.policy import SMTP, SMTPUTF8
from email.utils import parseaddr
from pathlib import Path

import idna
from css_inline import CSSInliner
from jinja2 import Environment, FileSystemLoader, StrictUndefined, select_autoescape

from app.core.settings import settings
from app.mail.messages import WORDS, Mail
from app.models.mail import Letter

NOBODY = "nobody@example.invalid"
LONGEST_NAME = 100

# Letters are for reading: what turns the direction of the text makes a link look like another one (UAX 9).
BIDIRECTIONAL_CONTROLS = frozenset("\u061c\u200e\u200f\u202a\u202b\u202c\u202d\u202e\u2066\u2067\u2068\u2069")
# Control characters, lone surrogates, separators of lines and of paragraphs.
REMOVED_CATEGORIES = frozenset({"Cc", "Cs", "Zl", "Zp"})
# Special characters of RFC 5322, section 3.2.3, which only a quoted local part could have.
NEVER_IN_A_MAILBOX = re.compile(r'[\s\x00-\x1f\x7f()<>\[\]:;@\\,"]')
# Mail programs make links of such words, and whoever registers chooses both the name and the recipient.
LIKE_A_LINK = re.compile(r"[/@:]|\w\.\w\w")

templates = Environment(
    loader=FileSystemLoader(Path(__file__).parent / "templates"),
    autoescape=select_autoescape(["html"]),
    undefined=StrictUndefined,
    trim_blocks=True,
)
inliner = CSSInliner(load_remote_stylesheets=False)


def write(letter: Letter) -> Mail:
    """Write a letter; a decoy as well, to nobody."""
    words = WORDS[letter.kind]
    link = f"{settings.public_url}{words.path}?token={letter.token}" if words.path else None
    values = {"words": words, "greeting": _greeting(letter.name), "link": link, "public_url": settings.public_url}
    return Mail(
        to=letter.to or NOBODY,
        subject=words.subject,
        text=templates.get_template("layout.txt").render(values),
        token=letter.token if link else None,
        html=inliner.inline(templates.get_template("layout.html").render(values)),
        message_id=letter.message_id,
        written_at=letter.written_at,
    )


def _greeting(name: str | None) -> str:
    shown = presentable(name or "")
    return f"Hello {shown}," if shown else "Hello,"


def presentable(name: str) -> str:
    """Return a name as one short line of plain text, or nothing if it looks like a link."""
    kept = (
        character
        for character in name
        if unicodedata.category(character) not in REMOVED_CATEGORIES and character not in BIDIRECTIONAL_CONTROLS
    )
    shown = "".join(kept)[:LONGEST_NAME].strip()
    return "" if LIKE_A_LINK.search(shown) else shown


def mailbox(address: str) -> str:
    """Return an address as mail servers take it: its domain in ASCII (RFC 5891), its local part as it is (RFC 6531).

    Raises:
        ValueError: It has no such form.
    """
    local, _, domain = address.rpartition("@")
    if not (local and domain) or NEVER_IN_A_MAILBOX.search(local + domain):
        raise ValueError("no address")
    return f"{local}@{domain if domain.isascii() else idna.encode(domain, uts46=True).decode()}"


def sender_address(sender: str) -> str:
    """Return the address of a sender, which may have a name before it; raises as `mailbox`."""
    return mailbox(parseaddr(sender)[1])


def as_message(mail: Mail, *, sender: str) -> EmailMessage:
    """Make the message that is sent, at each attempt the same but for the boundary of its parts.

    Args:
        mail: The letter.
        sender: Whom it is from: an address, with or without a name.

    Raises:
        ValueError: One of the addresses is none that mail could be sent to.
    """
    recipient, from_address = mailbox(mail.to), sender_address(sender)
    message = EmailMessage(SMTP if (recipient + from_address).isascii() else SMTPUTF8)
    message["To"] = _address(recipient)
    message["From"] = _address(from_address, parseaddr(sender)[0])
    message["Subject"] = mail.subject
    message["Date"] = mail.written_at
    message["Message-ID"] = f"<{mail.message_id}@{from_address.rpartition('@')[2]}>"
    # Nobody's absence is announced to us (RFC 3834, section 5).
    message["Auto-Submitted"] = "auto-generated"
    message.set_content(mail.text, cte="quoted-printable")
    message.add_alternative(mail.html, subtype="html", cte="quoted-printable")
    return message


def _address(address: str, name: str = "") -> Address:
    local, _, domain = address.rpartition("@")
    return Address(name, local, domain)
