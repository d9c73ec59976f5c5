"""Mail: what a mail server gets, which of its replies mean another try, and what hostile texts become."""

import asyncio
import re
import ssl
from dataclasses import replace
from email.message import EmailMessage
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import pytest

from kener_async.channels import smtp
from kener_async.channels.mail import Mail
from kener_async.channels.message import Message, NotDelivered
from kener_async.channels.smtp import Envelope, HourlyLimit, MailServer
from kener_async.config.channels import MailChannel
from kener_async.config.model import MailConfig
from kener_async.config.schema import built, schema_of
from kener_async.domain.notices import NoticeKind
from tests.rigs.certificates import Authority
from tests.rigs.mail_server import PASSWORD, Receiver, ReceivingServer, mail_server
from tests.rigs.messages import AT, HOSTILE, a_message, an_item

ENVELOPE = Envelope(
    "d1", "status@example.org", ("ops@example.org", "boss@example.org"), b"Subject: x\r\n\r\nx\r\n"
)


@pytest.fixture(scope="module")
def authority(tmp_path_factory: pytest.TempPathFactory) -> Authority:
    return Authority(tmp_path_factory.mktemp("authority"))


def config(rig: ReceivingServer, **changes: Any) -> MailConfig:
    written = {
        "host": "localhost",
        "port": rig.port,
        "security": "none",
        "from": "Status <status@example.org>",
        "helo": "status.example.org",
    }
    return built(MailConfig, schema_of(MailConfig)().load(written | changes), Path())


def trusting(authority: Authority) -> ssl.SSLContext:
    return ssl.create_default_context(cafile=authority.file)


async def refusal(server: MailServer, envelope: Envelope = ENVELOPE) -> NotDelivered:
    with pytest.raises(NotDelivered) as caught:
        await server.send(envelope)
    return caught.value


@pytest.mark.parametrize("security", ["starttls", "tls"])
async def test_a_mail_goes_by_tls_with_authentication(authority: Authority, security: str):
    async with mail_server(authority.certificate(), starttls=security == "starttls", with_auth=True) as rig:
        server = MailServer(
            config(rig, security=security, user="status", password=PASSWORD), tls=trusting(authority)
        )
        assert await server.send(ENVELOPE) == "taken"
        assert rig.envelopes[0].mail_from == "status@example.org"
        assert rig.envelopes[0].rcpt_tos == ["ops@example.org", "boss@example.org"]
        assert set(rig.helo) == {"status.example.org"}
        await server.close()


@pytest.mark.parametrize("security", ["starttls", "tls"])
@pytest.mark.parametrize(
    ("options", "reason"),
    [({"expired": True}, "expired"), ({"name": "elsewhere.example.org"}, "ostname mismatch")],
)
async def test_nothing_is_said_to_a_server_with_a_wrong_certificate(
    authority: Authority, security: str, options: dict[str, Any], reason: str
):
    async with mail_server(authority.certificate(**options), starttls=security == "starttls") as rig:
        server = MailServer(config(rig, security=security), tls=trusting(authority))
        error = await refusal(server)
        assert reason in str(error)
        assert not error.for_good
        assert rig.envelopes == []


@pytest.mark.parametrize("security", ["starttls", "tls"])
async def test_an_unknown_authority_is_refused_without_being_configured(authority: Authority, security: str):
    async with mail_server(authority.certificate(), starttls=security == "starttls") as rig:
        error = await refusal(MailServer(config(rig, security=security)))
        assert "certificate verify failed" in str(error)


async def test_a_server_without_starttls_gets_no_mail():
    async with mail_server() as rig:
        error = await refusal(MailServer(config(rig, security="starttls")))
        assert "STARTTLS" in str(error)
        assert not error.for_good
        assert rig.envelopes == []


async def test_a_wrong_password_is_for_good_and_not_in_the_reason():
    async with mail_server(with_auth=True) as rig:
        error = await refusal(MailServer(config(rig, user="status", password="wrong password")))
        assert error.for_good
        assert str(error).startswith("535")
        assert "wrong password" not in str(error)


@pytest.mark.parametrize(
    ("reply", "for_good"),
    [
        ("421 4.3.0 closing", False),
        ("450 4.2.0 greylisted, try again in 300 s", False),
        ("451 4.3.0 local error", False),
        ("452 4.2.2 mailbox full", False),
        ("550 5.1.1 no such user", True),
        ("552 5.2.2 too large", True),
        ("554 5.7.1 spam", True),
    ],
)
@pytest.mark.parametrize("stage", ["recipient", "data"])
async def test_which_replies_mean_another_try(reply: str, for_good: bool, stage: str):
    async def data(receiver: Receiver) -> str:
        return reply

    async with mail_server() as rig:
        if stage == "recipient":
            rig.recipient = lambda address: reply
        else:
            rig.data = data
        server = MailServer(config(rig))
        error = await refusal(server)
        assert error.for_good is for_good
        assert str(error).startswith(reply[:3]) or reply.startswith("421")
        rig.recipient = ReceivingServer.recipient
        rig.data = None
        assert await server.send(ENVELOPE) == "taken"
        assert len(rig.mails) == 1
        await server.close()


async def test_greylisting_of_one_recipient_sends_again_to_that_one_only():
    async with mail_server() as rig:
        rig.recipient = lambda address: "450 greylisted" if address.startswith("boss") else "250 OK"
        server = MailServer(config(rig))
        error = await refusal(server)
        assert not error.for_good
        assert "1 of 2" in str(error)
        await refusal(server)
        rig.recipient = lambda address: "250 OK"
        await server.send(ENVELOPE)
        assert [envelope.rcpt_tos for envelope in rig.envelopes] == [
            ["ops@example.org"],
            ["boss@example.org"],
        ]
        await server.send(ENVELOPE)
        assert rig.envelopes[-1].rcpt_tos == ["ops@example.org", "boss@example.org"]
        await server.close()


async def test_a_recipient_that_is_refused_for_good_keeps_no_other_from_the_mail():
    async with mail_server() as rig:
        rig.recipient = lambda address: "550 no such user" if address.startswith("boss") else "250 OK"
        server = MailServer(config(rig))
        assert await server.send(ENVELOPE) == "taken; 550 no such user"
        assert rig.envelopes[0].rcpt_tos == ["ops@example.org"]
        await server.close()


async def test_a_recipient_refused_for_now_and_then_for_good_is_not_a_failure_of_the_mail():
    async with mail_server() as rig:
        replies = iter(["250 OK", "450 later", "550 never"])
        rig.recipient = lambda address: next(replies)
        server = MailServer(config(rig))
        await refusal(server)
        assert "550 never" in await server.send(ENVELOPE)
        assert len(rig.envelopes) == 1
        await server.close()


async def test_a_connection_that_breaks_or_a_server_that_is_not_there_means_another_try():
    async def data(receiver: Receiver) -> str:
        receiver.drop()
        return "250 taken"

    async with mail_server() as rig:
        rig.data = data
        assert not (await refusal(MailServer(config(rig)))).for_good
    assert not (await refusal(MailServer(config(rig)))).for_good


async def test_a_slow_server_is_not_waited_for(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(smtp, "TIMEOUT_SECONDS", 0.2)
    answered = asyncio.Event()

    async def data(receiver: Receiver) -> str:
        await answered.wait()
        return "250 taken"

    async with mail_server() as rig:
        rig.data = data
        error = await refusal(MailServer(config(rig)))
        assert "in time" in str(error)
        assert not error.for_good
        answered.set()


async def test_connections_are_used_again_and_never_more_than_configured():
    async def data(receiver: Receiver) -> str:
        await asyncio.sleep(0)
        return "250 taken"

    async with mail_server() as rig:
        rig.data = data
        server = MailServer(config(rig, connections=3))
        await asyncio.gather(*(server.send(replace(ENVELOPE, key=f"d{index}")) for index in range(30)))
        assert len(rig.envelopes) == 30
        assert rig.most_open <= 3
        assert rig.connections <= 3
        await server.close()


async def test_a_connection_that_the_server_closed_meanwhile_is_replaced():
    receivers: list[Receiver] = []

    async def data(receiver: Receiver) -> str:
        receivers.append(receiver)
        return "250 taken"

    async with mail_server() as rig:
        rig.data = data
        server = MailServer(config(rig))
        await server.send(ENVELOPE)
        receivers[0].drop()
        await server.send(replace(ENVELOPE, key="d2"))
        assert (len(rig.envelopes), rig.connections) == (2, 2)
        await server.close()


async def test_a_cancelled_mail_leaves_no_connection_behind():
    reached = asyncio.Event()

    async def data(receiver: Receiver) -> str:
        reached.set()
        await asyncio.Event().wait()
        raise AssertionError

    async with mail_server() as rig:
        rig.data = data
        server = MailServer(config(rig, connections=1))
        sending = asyncio.create_task(server.send(ENVELOPE))
        await reached.wait()
        sending.cancel()
        with pytest.raises(asyncio.CancelledError):
            await sending
        rig.data = None
        assert await server.send(ENVELOPE) == "taken"
        await server.close()


def test_the_limit_of_an_hour_says_how_long_to_wait():
    now = 1000.0
    limit = HourlyLimit(2, lambda: now)
    limit.take()
    now = 1600.0
    limit.take()
    with pytest.raises(NotDelivered) as caught:
        limit.take()
    assert caught.value.retry_after == 3000
    assert not caught.value.for_good
    now = 4600.0
    limit.take()


def a_channel(rig: ReceivingServer, **changes: Any) -> Mail:
    written = {
        "name": "ops",
        "kind": "mail",
        "to": ["Ops, the team <ops@example.org>", "boss@example.org"],
        "cc": ["Käthe <kaethe@example.org>"],
        "locale": "en",
        "timezone": "Europe/Berlin",
    }
    settings = built(MailChannel, schema_of(MailChannel)().load(written), Path())
    return Mail(settings, MailServer(config(rig, **changes)), lambda: AT + 60)


async def the_mail(message: Message, references: dict[str, str] | None = None) -> EmailMessage:
    """A message as a mail server got it."""
    async with mail_server() as rig:
        channel = a_channel(rig, reply_to="Ada <ada@example.org>")
        await channel.send(message, references or {})
        await channel.server.close()
        assert sorted(rig.envelopes[0].rcpt_tos) == [
            "boss@example.org",
            "kaethe@example.org",
            "ops@example.org",
        ]
        return rig.mails[0]


async def test_the_headers_of_a_mail():
    mail = await the_mail(a_message())
    assert mail["From"] == "Status <status@example.org>"
    assert [address.addr_spec for address in mail["To"].addresses] == ["ops@example.org", "boss@example.org"]
    assert mail["To"].addresses[0].display_name == "Ops, the team"
    assert mail["Cc"].addresses[0].display_name == "Käthe"
    assert mail["Reply-To"] == "Ada <ada@example.org>"
    assert mail["Subject"] == "Down: The shop"
    assert mail["Date"].datetime.timestamp() == AT + 60
    assert mail["Message-ID"] == "<delivery-17@example.org>"
    assert mail["Auto-Submitted"] == "auto-generated"
    assert mail["In-Reply-To"] is None


async def test_the_mails_of_an_alert_form_a_thread():
    async with mail_server() as rig:
        channel = a_channel(rig)
        first = await channel.send(a_message(), {})
        assert first.reference == "<delivery-17@example.org>"
        later = a_message(an_item(NoticeKind.RESOLVED), key="delivery-18")
        second = await channel.send(later, {"alert-3": first.reference})
        await channel.server.close()
        mails = rig.mails
    assert mails[1]["In-Reply-To"] == mails[1]["References"] == mails[0]["Message-ID"]
    assert second.reference == first.reference
    assert mails[1]["Message-ID"] != mails[0]["Message-ID"]


async def test_the_same_message_has_the_same_id_each_time():
    mails = [await the_mail(a_message(key="strange key\r\nX: y")) for _ in range(2)]
    assert mails[0]["Message-ID"] == mails[1]["Message-ID"]
    assert re.fullmatch(r"<[0-9a-f]{32}@example\.org>", mails[0]["Message-ID"])


@pytest.mark.parametrize("kind", NoticeKind)
@pytest.mark.parametrize("text", HOSTILE.values(), ids=HOSTILE)
async def test_hostile_texts_change_no_header_and_no_markup(kind: NoticeKind, text: str):
    message = a_message(an_item(kind, text), an_item(NoticeKind.OPENED, text), text=text)
    for each in (message, replace(message, items=message.items[:1])):
        mail = await the_mail(each, {"alert-3": f"<first@example.org>\r\n{text}"})
        assert mail.keys() == [
            *("From", "To", "Cc", "Reply-To", "Subject", "Date", "Message-ID", "Auto-Submitted"),
            *("MIME-Version", "Content-Type"),
        ]
        assert mail.defects == []
        assert len(mail["Subject"]) <= 155  # folding may add a space
        parts = {part.get_content_type(): part.get_content() for part in mail.iter_parts()}
        assert list(parts) == ["text/plain", "text/html"]
        found = Markup()
        found.feed(parts["text/html"])
        assert found.tags <= {
            *("html", "head", "meta", "body", "h1", "h2", "p", "b", "a", "ul", "li"),
        }
        assert all(link.startswith("https://status.example.org") for link in found.links)
        assert len(mail.as_bytes()) < 100_000
        assert max(map(len, mail.as_bytes().splitlines())) <= 998


async def test_addresses_beyond_ascii_need_a_server_that_takes_them():
    async with mail_server(utf8=True) as rig:
        channel = a_channel(rig, **{"from": "Stätus <stätus@example.org>"})
        await channel.send(a_message(), {})
        await channel.server.close()
        assert rig.envelopes[0].mail_from == "stätus@example.org"
    async with mail_server() as rig:
        channel = a_channel(rig, **{"from": "stätus@example.org"})
        with pytest.raises(NotDelivered, match="SMTPUTF8"):
            await channel.send(a_message(), {})


class Markup(HTMLParser):
    """The tags of a page, and where its links lead."""

    def __init__(self) -> None:
        super().__init__()
        self.tags: set[str] = set()
        self.links: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.add(tag)
        self.links += [value or "" for name, value in attrs if name in {"href", "src", "background"}]
