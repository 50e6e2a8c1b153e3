"""One spelling for each address and id: canonical e-mail addresses, storable texts, and UUIDs."""

import unicodedata
import uuid

import idna


def typed_email(email: str) -> str:
    """Return the address as its owner typed it: trimmed and in Unicode NFC, otherwise untouched. Mail goes there."""
    return unicodedata.normalize("NFC", email.strip())


def canonical_email(email: str) -> str:
    """Return the form that is unique and looked up: trimmed, NFC, IDNA domain (RFC 5891, UTS 46), case folded.

    Total: whatever the text, it has a canonical form, so that a look-up with nonsense finds nothing instead of failing.
    """
    local, at, domain = typed_email(email).rpartition("@")
    if not domain.isascii():
        try:
            domain = idna.encode(domain, uts46=True).decode("ascii")
        except UnicodeError:  # No valid domain (IDNAError is one): compare it as the text that it is.
            domain = unicodedata.normalize("NFC", domain.casefold())
    # Case folding may take a text out of NFC.
    return unicodedata.normalize("NFC", local.casefold()) + at + domain.lower()


def is_storable(text: str) -> bool:
    """Tell whether every database can hold the text: PostgreSQL refuses NUL, and a lone surrogate has no UTF-8."""
    if "\0" in text:
        return False
    try:
        text.encode()
    except UnicodeEncodeError:
        return False
    return True


def parse_uuid(text: str) -> uuid.UUID | None:
    """Return the UUID that a text spells in hexadecimal digits and hyphens (RFC 9562, section 4), or None.

    `uuid.UUID` also reads braces, `urn:uuid:`, digits of other scripts, and texts without hyphens.
    """
    try:
        parsed = uuid.UUID(text)
    except ValueError:
        return None
    return parsed if str(parsed) == text.lower() else None
