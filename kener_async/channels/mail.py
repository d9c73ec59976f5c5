"""Mail: text and HTML without pictures from elsewhere; the mails of an alert form a thread."""

import hashlib
import re
from collections.abc import Mapping
from email.headerregistry import Address
from email.message import EmailMessage
from email.policy import SMTP, SMTPUTF8
from email.utils import formatdate
from html import escape

from kener_async.channels.message import Message, Receipt
from kener_async.channels.plain import plain_body
from kener_async.channels.smtp import Envelope, MailServer
from kener_async.channels.texts import NamedMonitor, cut, texts_of
from kener_async.channels.urgency import is_good_news
from kener_async.clock import Clock, system_clock
from kener_async.config.channels import MailChannel
from kener_async.locales.locale import locale

SUBJECT_CHARACTERS = 150
BODY_CHARACTERS = 20_000
REFERENCES = 20
GOOD, BAD = "#1a7f37", "#b42318"
HEADING = "font-size:20px;border-left:6px solid;padding-left:12px"
PARAGRAPH = "margin:0 0 6px"


class Mail:
    """One mail to all addresses of a channel."""

    takes_one_at_a_time = False
    keeps_state = False

    def __init__(self, settings: MailChannel, server: MailServer, clock: Clock = system_clock) -> None:
        self._settings = settings
        self._mail = server.settings
        self.server = server
        self._clock = clock

    async def send(self, message: Message, references: Mapping[str, str]) -> Receipt:
        """Return when the mail server has taken the mail; see channels/message.py."""
        mail = self.rendered(message, references, self._clock())
        sender, *recipients = self._addresses()
        envelope = Envelope(message.key, sender, tuple(recipients), mail.as_bytes())
        answer = await self.server.send(envelope)
        first = earlier_mails(message, references)
        return Receipt(answer, first[0] if first else mail["Message-ID"])

    def rendered(self, message: Message, references: Mapping[str, str], now: int) -> EmailMessage:
        """The mail, written at `now`; `references` has the Message-ID of each alert's first mail."""
        is_ascii = all(address.isascii() for address in self._addresses())
        mail = EmailMessage(policy=SMTP if is_ascii else SMTPUTF8)
        mail["From"] = mailbox(self._mail.sender)
        mail["To"] = [mailbox(each) for each in self._settings.to]
        if self._settings.cc:
            mail["Cc"] = [mailbox(each) for each in self._settings.cc]
        if self._mail.reply_to:
            mail["Reply-To"] = mailbox(self._mail.reply_to)
        mail["Subject"] = cut(texts_of(message).title, SUBJECT_CHARACTERS)
        mail["Date"] = formatdate(now)
        mail["Message-ID"] = message_id(message.key, self._addresses()[0])
        if first := earlier_mails(message, references):
            mail["In-Reply-To"] = first[0]
            mail["References"] = " ".join(first)
        mail["Auto-Submitted"] = "auto-generated"
        mail.set_content(plain(message), cte="quoted-printable")
        mail.add_alternative(html(message), subtype="html", cte="quoted-printable")
        return mail

    def _addresses(self) -> list[str]:
        """The sender's, then those of the recipients, without names."""
        return [
            name_and_address(each)[1] for each in (self._mail.sender, *self._settings.to, *self._settings.cc)
        ]


def message_id(key: str, sender: str) -> str:
    """The Message-ID: the same each time a message is sent, and no other's."""
    local = (
        key if re.fullmatch(r"[A-Za-z0-9_-]{1,60}", key) else hashlib.sha256(key.encode()).hexdigest()[:32]
    )
    return f"<{local}@{sender.rpartition('@')[2]}>"


def earlier_mails(message: Message, references: Mapping[str, str]) -> list[str]:
    """The first mails of the alerts that it tells of, each once; never what is no Message-ID."""
    found = dict.fromkeys(references.get(item.alert, "") for item in message.items)
    return [each for each in found if re.fullmatch(r"<[!-=?-~]{1,250}>", each)][:REFERENCES]


def plain(message: Message) -> str:
    """The text."""
    text = texts_of(message)
    return cut("\n\n".join([text.title, plain_body(text), text.site]), BODY_CHARACTERS) + "\n"


def html(message: Message) -> str:
    """The same as a page: styles inline, no picture, no script, links to our pages only."""
    text, language = texts_of(message), locale(message.locale)
    colour = GOOD if is_good_news(message) else BAD
    parts = [f"<h1 style='{HEADING};border-color:{colour}'>{escape(text.title)}</h1>"]
    for line in text.lines:
        label = f"<b>{escape(line.label)}:</b> " if line.label else ""
        parts.append(f"<p style='{PARAGRAPH}'>{label}{escape(line.value)}</p>")
    for group in text.groups:
        parts.append(f"<h2 style='font-size:16px'>{escape(group.heading)}</h2><ul>")
        parts += [_monitor(each) for each in group.monitors]
        parts.append(f"<li>{escape(group.others)}</li></ul>" if group.others else "</ul>")
    parts.append(f"<p style='{PARAGRAPH}'>{escape(text.now)}</p>" if text.now else "")
    parts += [f"<p style='{PARAGRAPH}'>{_anchor(link.url, link.label)}</p>" for link in text.links]
    return (
        f"<!doctype html><html lang='{escape(language.tag)}' dir='{language.direction}'>"
        "<head><meta charset='utf-8'><meta name='viewport' content='width=device-width'></head>"
        f"<body style='font:16px/1.5 sans-serif;margin:16px'>{''.join(parts)}"
        f"<p style='color:#667085'>{escape(text.site)}</p></body></html>\n"
    )


def _monitor(monitor: NamedMonitor) -> str:
    detail = f" ({escape(monitor.detail)})" if monitor.detail else ""
    return f"<li>{_anchor(monitor.page, monitor.name)}{detail}</li>"


def _anchor(address: str, text: str) -> str:
    """A link, if the address is one of the web."""
    if not address.startswith(("https://", "http://")):
        return escape(text)
    return f"<a href='{escape(address)}'>{escape(text)}</a>"


def name_and_address(text: str) -> tuple[str, str]:
    """The parts of a configured mailbox, such as `Ops, at night <ops@example.org>`; the name may be empty."""
    name, bracket, address = text.rpartition("<")
    return (name.strip().strip('"'), address.removesuffix(">")) if bracket else ("", text)


def mailbox(text: str) -> Address:
    """A configured mailbox as a header has it."""
    name, address = name_and_address(text)
    user, _, domain = address.rpartition("@")
    return Address(name, user, domain)
