"""`doctor` on alerts: rules that tell nobody, paused channels, failed deliveries, the mail server."""

import ssl
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any, Literal
from zoneinfo import ZoneInfo

import pytest
from aiosmtpd.controller import Controller
from aiosmtpd.handlers import Sink

from kener_async import keys
from kener_async.config.channels import CommandChannel
from kener_async.config.model import AlertConfig, Config, MailConfig
from kener_async.domain.alerts import AlertRule, StatusIs
from kener_async.domain.notices import ChannelState, Delivery, DeliveryState, Facts, Notice, NoticeKind
from kener_async.domain.samples import Status
from kener_async.ops import alert_diagnosis, doctor
from kener_async.ops.diagnosis import Finding, FindingState
from kener_async.store import channel_states, deliveries, notices
from kener_async.store.interface import Session
from tests.rigs.certificates import Authority
from tests.rigs.process import a_free_port
from tests.rigs.service import NOON, FakeClock, running

RULE = AlertRule("down", StatusIs(Status.DOWN), to=("chat",))


def a_failed(channel: str) -> Delivery:
    notice = Notice(1, NoticeKind.OPENED, NOON, None, None, Facts())
    return Delivery(1, notice, channel, DeliveryState.FAILED, 1, NOON, None, "550 no", "", NOON)


@pytest.mark.parametrize(
    ("found", "state", "words"),
    [
        (lambda: alert_diagnosis.of_settings([], 2), "ok", "2 alert rules"),
        (lambda: alert_diagnosis.of_settings(["alerts.slow: holds for no monitor"], 2), "warn", "no monitor"),
        (lambda: [alert_diagnosis.of_failed([])], "ok", "none failed"),
        (
            lambda: [alert_diagnosis.of_failed([a_failed("mail"), a_failed("chat"), a_failed("mail")])],
            "warn",
            "3 failed in the last day (mail 2, chat 1), the last one: 550 no",
        ),
        (lambda: alert_diagnosis.of_channels([ChannelState("chat", 3)], 2), "ok", "2 configured"),
        (
            lambda: alert_diagnosis.of_channels([ChannelState("chat", 10, NOON, None, "404")], 2),
            "fail",
            "chat is paused since 2025-12-31 12:00 UTC: 404",
        ),
    ],
)
def test_what_is_stored_of_alerts_is_judged(found: Callable[[], Any], state: str, words: str):
    (finding,) = found()
    assert (str(finding.state), words in finding.text) == (state, True), finding
    assert bool(finding.remedy) == (state != "ok")


def with_alerting(config: Config) -> Config:
    tell = ("opened", "resolved")
    channel = CommandChannel("chat", "command", 10, 20, "en", ZoneInfo("UTC"), tell, ("true",))
    return replace(config, alerts=(AlertConfig(("*",), RULE),), channels=(channel,))


async def test_the_doctor_reads_channels_and_deliveries_of_the_last_day(config: Config, clock: FakeClock):
    def store(session: Session) -> None:
        notices.add(session, NoticeKind.OPENED, NOON, None, None, Facts(), ["chat", "mail"], NOON)
        deliveries.mark_failed(session, [1], clock() - 86_400, "550 lately")
        deliveries.mark_failed(session, [2], clock() - 86_401, "551 before")
        channel_states.pause(session, "gone", NOON)

    def found(of: Config) -> dict[str, Finding]:
        checks = ("alert settings", "channels", "deliveries")
        return {one.check: one for one in doctor.examine(of, clock()) if one.check in checks}

    async with running(config, clock) as service:
        await service.app[keys.DATABASE].write(store)
        assert found(config) == {}
        findings = found(with_alerting(config))
    assert {check: str(one.state) for check, one in findings.items()} == {
        "alert settings": "warn", "channels": "ok", "deliveries": "warn",
    }  # fmt: skip
    assert "messages of alerts hold no links" in findings["alert settings"].text
    assert "1 failed in the last day (chat 1), the last one: 550 lately" in findings["deliveries"].text


# The mail server


@contextmanager
def a_mail_server(**options: Any) -> Iterator[int]:
    controller = Controller(Sink(), hostname="localhost", port=a_free_port(), **options)
    controller.start()
    try:
        yield controller.port
    finally:
        controller.stop()


@pytest.fixture
def authority(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Authority:
    made = Authority(tmp_path)
    monkeypatch.setenv("SSL_CERT_FILE", str(made.file))
    return made


def tls(certificate: Path) -> ssl.SSLContext:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate)
    return context


def mail_config(port: int, security: Literal["starttls", "tls", "none"]) -> MailConfig:
    return MailConfig("localhost", port, security, "", "", "page@example.org", "", 100, 1, "")


def mail(port: int, security: Literal["starttls", "tls", "none"]) -> Finding:
    return alert_diagnosis.of_mail(mail_config(port, security), "")


def test_a_mail_server_with_a_good_certificate_responds(authority: Authority):
    with a_mail_server(tls_context=tls(authority.certificate())) as port:
        assert mail(port, "starttls") == Finding(
            "mail", FindingState.OK, f"localhost:{port} responds, over STARTTLS"
        )
    with a_mail_server(ssl_context=tls(authority.certificate())) as port:
        assert mail(port, "tls").text.endswith("over TLS")
    with a_mail_server() as port:
        assert mail(port, "none").text.endswith("unencrypted")


@pytest.mark.parametrize(
    ("name", "is_expired", "words"),
    [("localhost", True, "certificate has expired"), ("other.example", False, "Hostname mismatch")],
)
def test_a_wrong_certificate_is_found(authority: Authority, name: str, is_expired: bool, words: str):
    certificate = authority.certificate(name, expired=is_expired)
    with a_mail_server(tls_context=tls(certificate)) as port:
        finding = mail(port, "starttls")
    assert (finding.state, words in finding.text) == (FindingState.FAIL, True), finding


def test_a_server_without_starttls_and_none_at_all_are_found():
    with a_mail_server() as port:
        assert "does not offer STARTTLS" in mail(port, "starttls").text
    assert mail(a_free_port(), "starttls").state is FindingState.FAIL


async def test_the_mail_server_is_asked_only_with_online(config: Config, clock: FakeClock):
    with_mail = replace(config, mail=mail_config(a_free_port(), "none"))
    async with running(config, clock):
        for online in (False, True):
            found = [
                one.state for one in doctor.examine(with_mail, clock(), online=online) if one.check == "mail"
            ]
            assert found == [FindingState.FAIL] * online
