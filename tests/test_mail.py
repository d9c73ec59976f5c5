"""Mail: what a mail server gets, which of its replies mean another try, and what hostile texts become."""

import asyncio
import ssl
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from kener_async.channels import smtp
from kener_async.channels.message import NotDelivered
from kener_async.channels.smtp import Envelope, HourlyLimit, MailServer
from kener_async.config.model import MailConfig
from kener_async.config.schema import built, schema_of
from tests.rigs.certificates import Authority
from tests.rigs.mail_server import PASSWORD, Receiver, ReceivingServer, mail_server

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
