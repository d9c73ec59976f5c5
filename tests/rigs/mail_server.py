"""A mail server of the tests: aiosmtpd, which can refuse, wait, drop connections and speak TLS."""

import asyncio
import ssl
import warnings
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from email import message_from_bytes
from email.message import EmailMessage
from email.policy import SMTP as PARSED
from pathlib import Path
from typing import Any

from aiosmtpd.smtp import SMTP, AuthResult, Envelope, LoginPassword, Session

PASSWORD = "correct horse battery staple"


@dataclass
class ReceivingServer:
    """What it is told, and how it answers: `recipient` and `data` give the replies."""

    port: int = 0
    connections: int = 0
    open: int = 0
    most_open: int = 0
    envelopes: list[Envelope] = field(default_factory=list)
    helo: list[str] = field(default_factory=list)
    recipient: Callable[[str], str] = lambda address: "250 OK"
    data: Callable[["Receiver"], Awaitable[str]] | None = None

    @property
    def mails(self) -> list[EmailMessage]:
        """The mails that were taken, as the standard library parses them."""
        return [parsed(envelope.original_content or b"") for envelope in self.envelopes]


def parsed(content: bytes) -> EmailMessage:
    mail = message_from_bytes(content, policy=PARSED)
    assert isinstance(mail, EmailMessage)
    return mail


class Receiver(SMTP):
    """One connection."""

    def __init__(self, rig: ReceivingServer, **options: Any) -> None:
        super().__init__(_Hooks(rig), hostname="mail.example.org", ident="ready", **options)
        self._rig = rig

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        if self.transport is None:  # else it is that of STARTTLS
            self._rig.connections += 1
            self._rig.open += 1
            self._rig.most_open = max(self._rig.most_open, self._rig.open)
        super().connection_made(transport)

    def connection_lost(self, error: Exception | None) -> None:
        self._rig.open -= 1
        super().connection_lost(error)

    def drop(self) -> None:
        """End the connection without a word."""
        assert isinstance(self.transport, asyncio.WriteTransport)
        self.transport.abort()


class _Hooks:
    def __init__(self, rig: ReceivingServer) -> None:
        self._rig = rig

    async def handle_EHLO(  # noqa: N802
        self, server: SMTP, session: Session, envelope: Envelope, hostname: str, responses: list[str]
    ) -> list[str]:
        session.host_name = hostname
        self._rig.helo.append(hostname)
        return responses

    async def handle_RCPT(  # noqa: N802
        self, server: SMTP, session: Session, envelope: Envelope, address: str, options: list[str]
    ) -> str:
        reply = self._rig.recipient(address)
        if reply.startswith("250"):
            envelope.rcpt_tos.append(address)
        return reply

    async def handle_DATA(self, server: Receiver, session: Session, envelope: Envelope) -> str:  # noqa: N802
        reply = "250 taken" if self._rig.data is None else await self._rig.data(server)
        if reply.startswith("250"):
            self._rig.envelopes.append(envelope)
        return reply


def authenticate(
    server: SMTP, session: Session, envelope: Envelope, mechanism: str, credentials: Any
) -> AuthResult:
    is_right = isinstance(credentials, LoginPassword) and credentials.password == PASSWORD.encode()
    return AuthResult(success=is_right, handled=False)


def _receiver(rig: ReceivingServer, options: dict[str, Any]) -> Receiver:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # it warns of passwords without TLS
        return Receiver(rig, **options)


@asynccontextmanager
async def mail_server(
    certificate: Path | None = None, *, starttls: bool = True, with_auth: bool = False, utf8: bool = False
) -> AsyncIterator[ReceivingServer]:
    """Listen on a free port; with a certificate by STARTTLS, or from the first byte on."""
    rig = ReceivingServer()
    context = None
    if certificate is not None:
        context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
        context.load_cert_chain(certificate)
    options: dict[str, Any] = {"loop": asyncio.get_running_loop(), "enable_SMTPUTF8": utf8}
    if context is not None and starttls:
        options |= {"tls_context": context, "require_starttls": True}
    if with_auth:
        options |= {"authenticator": authenticate, "auth_required": True, "auth_require_tls": False}
    server = await asyncio.get_running_loop().create_server(
        lambda: _receiver(rig, options), "127.0.0.1", 0, ssl=None if starttls else context
    )
    rig.port = server.sockets[0].getsockname()[1]
    try:
        yield rig
    finally:
        server.close()
