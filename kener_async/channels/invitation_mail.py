"""The mail that brings the link of an invitation."""

import secrets
from dataclasses import dataclass
from email.message import EmailMessage
from email.policy import SMTP, SMTPUTF8
from email.utils import formatdate

from kener_async.channels.mail import mailbox, message_id, name_and_address
from kener_async.channels.smtp import Envelope
from kener_async.config.model import MailConfig
from kener_async.locales.locale import Locale


@dataclass(frozen=True, slots=True)
class InvitationText:
    """What the mail says: to whom and from whom it is, at which page, and until when the link is good."""

    name: str
    inviter: str
    site: str
    link: str
    until: str


def invitation_mail(
    settings: MailConfig, to: str, text: InvitationText, locale: Locale, now: int
) -> Envelope:
    """The mail to an address, in plain text. Each is another one, and no answer to any."""
    _ = locale.gettext
    sender, key = name_and_address(settings.sender)[1], secrets.token_hex(16)
    mail = EmailMessage(policy=SMTP if (sender + to).isascii() else SMTPUTF8)
    mail["From"] = mailbox(settings.sender)
    mail["To"] = mailbox(to)
    if settings.reply_to:
        mail["Reply-To"] = mailbox(settings.reply_to)
    mail["Subject"] = _("Invitation to %(site)s") % {"site": text.site}
    mail["Date"] = formatdate(now)
    mail["Message-ID"] = message_id(key, sender)
    mail["Auto-Submitted"] = "auto-generated"
    paragraphs = (
        _("Hello %(name)s,") % {"name": text.name},
        _("%(inviter)s invites you to sign in to %(site)s. Open this link and choose how you sign in:")
        % {"inviter": text.inviter, "site": text.site},
        text.link,
        _("It can be used once, until %(time)s. Whoever has it can sign in as you, so keep it to yourself.")
        % {"time": text.until},
    )
    mail.set_content("\n\n".join(paragraphs) + "\n", cte="quoted-printable")
    return Envelope(key, sender, (to,), mail.as_bytes())
