"""Judge for the doctor whether alerts reach somebody: settings, channels, deliveries and the mail server."""

import smtplib
import ssl
from collections import Counter
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime

from kener_async.config.model import Config, MailConfig
from kener_async.config.warnings import warnings_of
from kener_async.domain.calendar import DAY
from kener_async.domain.notices import ChannelState, Delivery
from kener_async.ops.diagnosis import NAMED, Finding, Findings, fail, ok, warn

FAILED_WITHIN = DAY
MAIL_SECONDS = 10.0


def of_alerting(config: Config, channels: Mapping[str, ChannelState], failed: Sequence[Delivery]) -> Findings:
    """Judge rules, channels and what failed lately; nothing without any rule and channel."""
    if not config.alerts and not config.channels:
        return
    yield from of_settings(list(warnings_of(config)), len(config.alerts))
    names = [channel.name for channel in config.channels]
    yield from of_channels([channels[name] for name in names if name in channels], len(names))
    yield of_failed(failed)


def of_settings(warnings: Sequence[str], rules: int) -> Findings:
    """Judge the settings of alerts, whose faults are known already, by what is valid and hardly meant."""
    for text in warnings:
        yield warn("alert settings", text, "change it in config.toml, if it is not meant")
    if not warnings:
        yield ok("alert settings", f"{rules} alert rules, each with monitors and channels")


def of_channels(states: Sequence[ChannelState], configured: int) -> Findings:
    """Judge the states of the configured channels that were used."""
    paused = [state for state in states if state.paused_at is not None]
    for state in paused:
        since = datetime.fromtimestamp(state.paused_at or 0, UTC)
        text = f"{state.channel} is paused since {since:%Y-%m-%d %H:%M} UTC: {state.last_fault}"
        remedy = f"remove the cause; kener-async channel test {state.channel} resumes it"
        yield fail("channels", text, remedy)
    if not paused:
        yield ok("channels", f"{configured} configured, none paused")


def of_failed(failed: Sequence[Delivery]) -> Finding:
    """Judge the deliveries that failed for good within FAILED_WITHIN, newest first."""
    if not failed:
        return ok("deliveries", "none failed in the last day")
    counts = Counter(delivery.channel for delivery in failed)
    words = ", ".join(f"{channel} {count}" for channel, count in counts.most_common(NAMED))
    text = f"{len(failed)} failed in the last day ({words}), the last one: {failed[0].answer}"
    return warn("deliveries", text, "kener-async channel test NAME shows request and answer")


def of_mail(mail: MailConfig, public_host: str) -> Finding:
    """Connect to the configured mail server as a mail would, up to its certificate; nothing is sent."""
    where = f"{mail.host}:{mail.port}"
    name = mail.helo or public_host or "localhost"
    context = ssl.create_default_context()
    try:
        if mail.security == "tls":
            server: smtplib.SMTP = smtplib.SMTP_SSL(
                mail.host, mail.port, name, timeout=MAIL_SECONDS, context=context
            )
        else:
            server = smtplib.SMTP(mail.host, mail.port, name, timeout=MAIL_SECONDS)
        with server:
            server.ehlo()
            if mail.security == "starttls":
                server.starttls(context=context)
                server.ehlo()
    except ssl.SSLCertVerificationError as error:
        remedy = "correct the certificate of the mail server, or name the host that it is for"
        return fail("mail", f"{where}: {error.verify_message}", remedy)
    except smtplib.SMTPNotSupportedError:
        remedy = 'let the server offer STARTTLS, or set [mail] security to "tls" or "none"'
        return fail("mail", f"{where} does not offer STARTTLS", remedy)
    except (OSError, smtplib.SMTPException) as error:
        text = f"{where}: {str(error) or type(error).__name__}"
        return fail("mail", text, "check host and port of [mail], and the firewall")
    words = {"starttls": "over STARTTLS", "tls": "over TLS", "none": "unencrypted"}
    return ok("mail", f"{where} responds, {words[mail.security]}")
