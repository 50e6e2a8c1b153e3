"""One address, one canonical form; whatever the text, there is one."""

import pytest

from fastapi_users_sqlmodel import canonical_email
from fastapi_users_sqlmodel.identity import is_storable, typed_email

CANONICAL = "jörg@xn--bcher-kva.example.com"
SAME = [
    "jörg@bücher.example.com",
    "JÖRG@BÜCHER.EXAMPLE.COM",
    "Jo\u0308rg@Bu\u0308cher.example.com",
    " \tjörg@bücher.example.com\n",
    "jörg@XN--BCHER-KVA.example.com",
    "jörg@bücher。example.com",
    "jörg@\uff42ücher.example.com",  # A full-width b.
    CANONICAL,
]
CANONICAL_OF = {
    "anna@example.com": "anna@example.com",
    "STRASSE@example.com": "strasse@example.com",
    "straße@example.com": "strasse@example.com",
    "ΣΊΣΥΦΟΣ@example.com": "σίσυφοσ@example.com",
    "İ@example.com": "i̇@example.com",
    '"a@b"@Example.com': '"a@b"@example.com',
    "anna+News@example.com": "anna+news@example.com",
    # No domain in the sense of IDNA: compared as the text that it is.
    "anna@Ü_.example.com": "anna@ü_.example.com",
    "anna@..Ü": "anna@..ü",
    "no address": "no address",
    "ANNA": "ANNA".lower(),
    "": "",
    "@": "@",
    "\0@\0": "\0@\0",
    "\ud800@Ü\ud800": "\ud800@ü\ud800",
}


@pytest.mark.parametrize("spelling", SAME)
def test_spellings_of_one_address(spelling: str) -> None:
    assert canonical_email(spelling) == CANONICAL


@pytest.mark.parametrize(("email", "canonical"), CANONICAL_OF.items())
def test_the_canonical_form(email: str, canonical: str) -> None:
    assert canonical_email(email) == canonical


@pytest.mark.parametrize("email", [*SAME, *CANONICAL_OF])
def test_the_canonical_form_is_its_own(email: str) -> None:
    assert canonical_email(canonical_email(email)) == canonical_email(email)


def test_an_address_stays_as_it_was_typed() -> None:
    assert typed_email("  Jo\u0308rg@BÜCHER.example.com\n") == "Jörg@BÜCHER.example.com"


@pytest.mark.parametrize(("text", "storable"), [("", True), ("ä🙂", True), ("a\0", False), ("\ud800", False)])
def test_what_every_database_can_hold(text: str, storable: bool) -> None:  # noqa: FBT001  # A column of the table
    assert is_storable(text) is storable
