"""Mail reaches a real mail server: encrypted where that is asked for, or not at all."""

import ipaddress
import ssl
import time
from dataclasses import replace
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from aiosmtpd.smtp import AuthResult, LoginPassword
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID
from pydantic import SecretStr

from app.core.addresses import Smtp
from app.mail.messages import Mail
from app.mail.rendering import write
from app.mail.smtp import SMTP
from app.mail.transport import MailServerAway, Undeliverable
from app.models.base import utc_now
from app.models.mail import Letter
from tests.app.mail_server import SENDER, Inbox, mail_server, server_at, text_of
from tests.server import free_port

TOKEN = "t" * 43


def letter_to(address: str, name: str | None = "Anna") -> Mail:
    return write(Letter("reset_password", address, name, TOKEN, "the-id", utc_now()))


LETTER = letter_to("anna@example.com")


@pytest.fixture
def inbox() -> Inbox:
    return Inbox()


@pytest.fixture(scope="module")
def certificate(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A file with a key and the certificate that it has signed itself, of 127.0.0.1."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "127.0.0.1")])
    now = utc_now()
    made = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - timedelta(days=1))
        .not_valid_after(now + timedelta(days=1))
        .add_extension(x509.SubjectAlternativeName([x509.IPAddress(ipaddress.ip_address("127.0.0.1"))]), critical=False)
        .add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
        .sign(key, hashes.SHA256())
    )
    path = tmp_path_factory.mktemp("tls") / "certificate.pem"
    private = key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )
    path.write_bytes(private + made.public_bytes(serialization.Encoding.PEM))
    return path


@pytest.fixture
def context(certificate: Path) -> ssl.SSLContext:
    """What the mail server speaks TLS with."""
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    context.load_cert_chain(certificate)
    return context


@pytest.fixture
def trusted(certificate: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SSL_CERT_FILE", str(certificate))


class TestSend:
    async def test_a_letter_arrives_as_it_was_written(self, inbox: Inbox) -> None:
        async with mail_server(inbox) as port:
            await SMTP(server_at(port), sender=SENDER).send(LETTER)
        (envelope,), (message,) = inbox.envelopes, inbox.messages
        assert (envelope.mail_from, envelope.rcpt_tos) == ("service@example.com", ["anna@example.com"])
        assert dict(message.items()) | {"Content-Type": None, "Date": None} == {
            "To": "anna@example.com",
            "From": "The Service <service@example.com>",
            "Subject": "Reset your password",
            "Date": None,
            "Message-ID": "<the-id@example.com>",
            "Auto-Submitted": "auto-generated",
            "MIME-Version": "1.0",
            "Content-Type": None,
        }
        assert text_of(message).splitlines() == LETTER.text.splitlines()
        assert text_of(message, "html").splitlines() == LETTER.html.splitlines()

    async def test_at_each_attempt_with_the_same_id(self, inbox: Inbox) -> None:
        async with mail_server(inbox) as port:
            for _ in range(2):
                await SMTP(server_at(port), sender=SENDER).send(LETTER)
        assert inbox.message_ids == ["<the-id@example.com>"] * 2
        assert len({message["Date"] for message in inbox.messages}) == 1

    async def test_says_the_domain_of_the_sender_and_not_the_name_of_this_machine(self, inbox: Inbox) -> None:
        async with mail_server(inbox) as port:
            await SMTP(server_at(port), sender=SENDER).send(LETTER)
        assert inbox.clients == {"example.com"}

    def test_needs_a_sender_who_has_an_address(self) -> None:
        with pytest.raises(ValueError, match="no address"):
            SMTP(server_at(25), sender="The Service")


class TestInternationalAddress:
    async def test_of_a_domain_alone(self, inbox: Inbox) -> None:
        """Every mail server takes it in ASCII."""
        async with mail_server(inbox) as port:
            await SMTP(server_at(port), sender=SENDER).send(letter_to("anna@bücher.example"))
        assert inbox.recipients == ["anna@xn--bcher-kva.example"]
        assert inbox.messages[0]["To"] == "anna@xn--bcher-kva.example"

    async def test_of_a_person(self, inbox: Inbox) -> None:
        async with mail_server(inbox, enable_SMTPUTF8=True) as port:
            await SMTP(server_at(port), sender=SENDER).send(letter_to("jürgen@bücher.example"))
        assert inbox.recipients == ["jürgen@xn--bcher-kva.example"]
        assert inbox.envelopes[0].smtp_utf8
        assert inbox.messages[0]["To"] == "jürgen@xn--bcher-kva.example"

    async def test_of_a_person_where_the_mail_server_takes_none(self, inbox: Inbox) -> None:
        async with mail_server(inbox) as port:
            with pytest.raises(Undeliverable):
                await SMTP(server_at(port), sender=SENDER).send(letter_to("jürgen@example.com"))
        assert inbox.envelopes == []

    @pytest.mark.parametrize(
        "address",
        ["anna", "anna@", "@example.com", "a b@example.com", "a,b@example.com", "a(b)@x.com", "anna@exa\u2028mple.com"],
    )
    async def test_that_is_none(self, inbox: Inbox, address: str) -> None:
        async with mail_server(inbox, enable_SMTPUTF8=True) as port:
            with pytest.raises(Undeliverable):
                await SMTP(server_at(port), sender=SENDER).send(letter_to(address))
        assert inbox.envelopes == []


class TestEncryption:
    @pytest.mark.usefixtures("trusted")
    async def test_from_the_first_byte(self, inbox: Inbox, context: ssl.SSLContext) -> None:
        async with mail_server(inbox, context=context) as port:
            await SMTP(server_at(port, tls="tls"), sender=SENDER).send(LETTER)
        assert inbox.recipients == ["anna@example.com"]

    @pytest.mark.usefixtures("trusted")
    async def test_after_starttls(self, inbox: Inbox, context: ssl.SSLContext) -> None:
        async with mail_server(inbox, tls_context=context, require_starttls=True) as port:
            await SMTP(server_at(port, tls="starttls"), sender=SENDER).send(LETTER)
        assert inbox.recipients == ["anna@example.com"]

    async def test_a_certificate_that_nobody_trusts(self, inbox: Inbox, context: ssl.SSLContext) -> None:
        async with mail_server(inbox, context=context) as port:
            with pytest.raises(MailServerAway, match="certificate verify failed"):
                await SMTP(server_at(port, tls="tls"), sender=SENDER).send(LETTER)
        async with mail_server(inbox, tls_context=context, require_starttls=True) as port:
            with pytest.raises(MailServerAway, match="certificate verify failed"):
                await SMTP(server_at(port, tls="starttls"), sender=SENDER).send(LETTER)
        assert inbox.envelopes == []

    async def test_a_mail_server_that_has_none(self, inbox: Inbox) -> None:
        """Somebody in between may have taken it away: nothing is said in the clear."""
        async with mail_server(inbox) as port:
            for tls in ("starttls", "tls"):
                with pytest.raises(MailServerAway):
                    await SMTP(server_at(port, tls=tls), sender=SENDER, seconds=2).send(LETTER)
        assert inbox.envelopes == []


class TestCredentials:
    @pytest.fixture
    async def address(self, inbox: Inbox, context: ssl.SSLContext, trusted: None) -> Smtp:
        return server_at(0, username="service", password=SecretStr("s3cret"), tls="starttls")

    def accept(
        self, _server: object, _session: object, _envelope: object, _mechanism: str, found: object
    ) -> AuthResult:
        assert isinstance(found, LoginPassword)
        return AuthResult(success=(found.login, found.password) == (b"service", b"s3cret"), handled=False)

    async def test_that_are_right(self, inbox: Inbox, context: ssl.SSLContext, address: Smtp) -> None:
        options: dict[str, Any] = {"tls_context": context, "auth_required": True, "authenticator": self.accept}
        async with mail_server(inbox, require_starttls=True, **options) as port:
            await SMTP(replace(address, port=port), sender=SENDER).send(LETTER)
        assert inbox.recipients == ["anna@example.com"]

    @pytest.mark.parametrize("wrong", [{"password": SecretStr("another")}, {"username": None, "password": None}])
    async def test_that_are_wrong(
        self, inbox: Inbox, context: ssl.SSLContext, address: Smtp, wrong: dict[str, object]
    ) -> None:
        """The letter waits: somebody will put the setting right."""
        options: dict[str, Any] = {"tls_context": context, "auth_required": True, "authenticator": self.accept}
        async with mail_server(inbox, require_starttls=True, **options) as port:
            with pytest.raises(MailServerAway, match=r"53[05]") as raised:
                await SMTP(replace(address, port=port, **wrong), sender=SENDER).send(LETTER)  # type: ignore[arg-type]  # By name
        assert "another" not in str(raised.value)
        assert inbox.envelopes == []


class TestRefusal:
    async def test_of_the_recipient_for_good(self, inbox: Inbox) -> None:
        inbox.on_recipient = "550 5.1.1 <anna@example.com> is unknown"
        async with mail_server(inbox) as port:
            with pytest.raises(Undeliverable) as raised:
                await SMTP(server_at(port), sender=SENDER).send(LETTER)
        assert str(raised.value) == "the mail server refuses the recipient, with code 550"

    async def test_of_the_letter_for_good(self, inbox: Inbox) -> None:
        inbox.on_letter = "554 5.6.0 <anna@example.com> does not want that"
        async with mail_server(inbox) as port:
            with pytest.raises(Undeliverable) as raised:
                await SMTP(server_at(port), sender=SENDER).send(LETTER)
        assert str(raised.value) == "the mail server refuses the letter, with code 554"

    @pytest.mark.parametrize("where", ["on_recipient", "on_letter"])
    async def test_for_now(self, inbox: Inbox, where: str) -> None:
        setattr(inbox, where, "451 4.7.1 <anna@example.com> come again later")
        async with mail_server(inbox) as port:
            with pytest.raises(MailServerAway) as raised:
                await SMTP(server_at(port), sender=SENDER).send(LETTER)
        assert str(raised.value) == "not now, with code 451"


class TestAway:
    async def test_nobody_listens(self) -> None:
        with pytest.raises(MailServerAway):
            await SMTP(server_at(free_port()), sender=SENDER).send(LETTER)

    async def test_a_host_that_cannot_be(self) -> None:
        with pytest.raises(MailServerAway):
            await SMTP(server_at(25, host="a..b"), sender=SENDER).send(LETTER)

    async def test_somebody_listens_and_does_not_answer_in_time(self, inbox: Inbox) -> None:
        inbox.accepts.clear()
        async with mail_server(inbox) as port:
            begin = time.monotonic()
            with pytest.raises(MailServerAway):
                await SMTP(server_at(port), sender=SENDER, seconds=0.2).send(LETTER)
            assert time.monotonic() - begin < 5

    async def test_what_goes_wrong_after_the_letter_was_accepted_does_not_matter(self, inbox: Inbox) -> None:
        async def handle_QUIT(_server: object, _session: object, _envelope: object) -> str:  # noqa: N802
            return "500 I do not know what that means"

        inbox.handle_QUIT = handle_QUIT  # type: ignore[attr-defined]  # aiosmtpd finds it by its name
        async with mail_server(inbox) as port:
            await SMTP(server_at(port), sender=SENDER).send(LETTER)
        assert inbox.recipients == ["anna@example.com"]
