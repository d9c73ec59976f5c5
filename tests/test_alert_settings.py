"""The settings of alerts, channels, mail and templates: values, defaults, and a message for each mistake."""

import os
import re
from collections.abc import Callable, Iterator
from dataclasses import fields, replace
from pathlib import Path
from unittest.mock import patch
from zoneinfo import ZoneInfo

import pytest
from click.testing import CliRunner, Result
from hypothesis import given, settings
from hypothesis import strategies as st

from kener_async.cli.main import main
from kener_async.config import load as loading
from kener_async.config.alert_fields import Headers
from kener_async.config.channels import CHANNELS, ChannelConfig, NtfyChannel, SlackChannel, WebhookChannel
from kener_async.config.load import ConfigError
from kener_async.config.model import Config, TemplateConfig
from kener_async.config.redaction import without_secrets
from kener_async.config.schema import keys_of, needs_restart
from kener_async.config.tables import AlertTable, Document, MonitorTable
from kener_async.domain.alerts import AlertRule, BurnRate, LatencyAbove, Severity, StatusIs, UptimeBelow
from kener_async.domain.hours import Hours
from kener_async.domain.notices import NoticeKind
from kener_async.domain.objectives import Objective
from kener_async.domain.samples import Status
from tests.rigs.certificates import Authority

Load = Callable[..., Config]
Faults = Callable[..., list[str]]

# Every kind with its required keys.
REQUIRED = {
    "webhook": 'url = "https://hooks.example.org/s3cret"',
    "mail": 'to = ["ops@example.org"]',
    "slack": 'url = "https://hooks.slack.com/services/s3cret"',
    "discord": 'url = "https://discord.com/api/webhooks/1/s3cret"',
    "teams": 'url = "https://teams.example.org/s3cret"',
    "googlechat": 'url = "https://chat.googleapis.com/v1/spaces/a/messages?key=s3cret"',
    "mattermost": 'url = "https://mattermost.example.org/hooks/s3cret"',
    "rocketchat": 'url = "https://chat.example.org/hooks/s3cret"',
    "zulip": (
        'url = "https://zulip.example.org"\nuser = "bot@zulip.example.org"\ntoken = "s3cret"\nstream = "ops"'
    ),
    "telegram": 'token = "123:s3cret"\nchat = "-1001"',
    "matrix": 'homeserver = "https://matrix.example.org"\ntoken = "s3cret"\nroom = "!a:example.org"',
    "signal": 'url = "http://127.0.0.1:8080"\nfrom = "+491"\nto = ["+492"]',
    "twilio": 'account = "AC1"\ntoken = "s3cret"\nfrom = "+491"\nto = ["+492"]',
    "ntfy": 'url = "https://ntfy.sh/s3cret"',
    "gotify": 'url = "https://gotify.example.org"\ntoken = "s3cret"',
    "pushover": 'token = "s3cret"\nuser = "s3cret-user"',
    "pagerduty": 'key = "s3cret"',
    "opsgenie": 'key = "s3cret"',
    "alertmanager": 'url = "http://127.0.0.1:9093"',
    "apprise": 'url = "http://127.0.0.1:8000/notify/s3cret"',
    "command": 'command = ["/bin/true"]',
}
MAIL = '[mail]\nhost = "smtp.example.org"\nfrom = "Status <status@example.org>"\n'
MONITORS = """\
[[categories]]
name = "Planets"
[[monitors]]
tag = "earth"
category = "Planets"
[[monitors]]
tag = "mars"
category = "Planets"
[[monitors]]
tag = "moon"
"""


def channel(kind: str = "slack", more: str = "", name: str = "ops") -> str:
    return f'[[channels]]\nname = "{name}"\nkind = "{kind}"\n{REQUIRED[kind]}\n{more}\n'


def alert(more: str = "", name: str = "outage", to: str = '["ops"]') -> str:
    return f'[[alerts]]\nname = "{name}"\nto = {to}\n{more}\n'


def a_rule(**values: object) -> AlertRule:
    return replace(AlertRule("outage", StatusIs(Status.DOWN), to=("ops",)), **values)  # type: ignore[arg-type]


@pytest.fixture
def load(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Load:
    monkeypatch.chdir(tmp_path)

    def load(*texts: str, **environment: str) -> Config:
        path = Path("config.toml")
        path.write_text("\n".join(texts))
        return loading.load(path, environment)

    return load


@pytest.fixture
def faults(load: Load) -> Faults:
    """Each fault without the file, with its line."""

    def faults(*texts: str, **environment: str) -> list[str]:
        with pytest.raises(ConfigError) as refusal:
            load(*texts, **environment)
        return [fault.removeprefix("config.toml:") for fault in refusal.value.problems]

    return faults


def without_line(fault: str) -> str:
    return re.sub(r"^ ?\d*:? ?", "", fault)


# Defaults


def test_without_settings_there_are_no_alerts_and_no_channels(load: Load) -> None:
    config = load(MONITORS)
    assert (config.alerts, config.channels, config.templates, config.mail.host) == ((), (), (), "")
    assert [config.rules_of(tag) for tag in ("earth", "nowhere")] == [(), ()]
    assert config.warnings == ()


def test_a_rule_needs_only_a_name_and_its_receivers(load: Load) -> None:
    (rule,) = load(MONITORS, channel(), alert()).rules_of("earth")
    assert rule == AlertRule(
        name="outage",
        condition=StatusIs(Status.DOWN),
        after=0,
        count=1,
        recover_after=0,
        recover_count=1,
        remind_every=0,
        remind_times=20,
        severity=Severity.CRITICAL,
        flapping=True,
        flap_quiet=900,
        to=("ops",),
        incident="",
        template="",
        join_by="category",
        hours=None,
    )


@pytest.mark.parametrize("kind", CHANNELS)
def test_a_channel_needs_only_these_keys(load: Load, faults: Faults, kind: str) -> None:
    config = load(MONITORS, MAIL, channel(kind), alert())
    (found,) = config.channels
    assert type(found) is CHANNELS[kind]
    is_pager = kind in ("pagerduty", "opsgenie", "alertmanager")
    assert (found.gather, found.per_minute) == (0 if is_pager else 10, 20)
    for line in REQUIRED[kind].splitlines():
        key = line.partition(" =")[0]
        (fault,) = faults(MAIL, channel(kind).replace(line, ""))
        assert without_line(fault) == f'channels["ops"].{key}: is missing'


def test_messages_are_in_the_language_and_the_zone_of_the_site_or_of_the_channel(load: Load) -> None:
    site = '[site]\nlocale = "de"\ntimezone = "Europe/Berlin"'
    own = channel(more='locale = "fr"\ntimezone = "Asia/Tokyo"', name="own")
    theirs, its = load(site, channel(), own).channels
    assert (theirs.locale, theirs.timezone) == ("de", ZoneInfo("Europe/Berlin"))
    assert (its.locale, its.timezone) == ("fr", ZoneInfo("Asia/Tokyo"))


def test_a_channel_is_told_of_the_events_in_tell_and_always_of_what_is_none(load: Load) -> None:
    (plain,) = load(channel()).channels
    unheard = {kind for kind in NoticeKind if not plain.tells(kind)}
    assert unheard == {NoticeKind.ACKNOWLEDGED, NoticeKind.MAINTENANCE_ANNOUNCED}
    (only,) = load(channel(more='tell = ["resolved"]')).channels
    assert {kind for kind in NoticeKind if only.tells(kind)} == {
        NoticeKind.RESOLVED,
        NoticeKind.RETRACTED,
        NoticeKind.REMOVED,
        NoticeKind.CHANNEL_PAUSED,
        NoticeKind.TEST,
    }


# Values


@pytest.mark.parametrize(
    ("keys", "rule"),
    [
        ('when = "DEGRADED"', {"condition": StatusIs(Status.DEGRADED), "severity": Severity.WARNING}),
        ('when = "NO_DATA"', {"condition": StatusIs(Status.NO_DATA), "severity": Severity.WARNING}),
        ('when = "DOWN"\nseverity = "info"', {"severity": Severity.INFO}),
        ("latency_above = 2", {"condition": LatencyAbove(2.0), "severity": Severity.WARNING}),
        (
            "uptime_below = 99.5",
            {"condition": UptimeBelow(99.5, "30d", 99.5), "severity": Severity.WARNING},
        ),
        (
            'uptime_below = 99.5\nwindow = "24h"\nrecover_at = 99.9\nseverity = "critical"',
            {"condition": UptimeBelow(99.5, "24h", 99.9)},
        ),
        ('after = "5m"', {"after": 300, "count": 0}),
        ('after = "5m"\ncount = 3', {"after": 300, "count": 3}),
        ("count = 3", {"count": 3}),
        ('remind_every = "1h"\nremind_times = 3', {"remind_every": 3600, "remind_times": 3}),
        ('incident = "draft"\njoin_by = "rule"', {"incident": "draft", "join_by": "rule"}),
        ('flapping = false\nflap_quiet = "1h"', {"flapping": False, "flap_quiet": 3600}),
    ],
)
def test_a_rule_is_what_its_keys_say(load: Load, keys: str, rule: dict[str, object]) -> None:
    assert load(MONITORS, channel(), alert(keys)).rules_of("earth") == (a_rule(**rule),)


WORKDAYS = frozenset(range(5))


@pytest.mark.parametrize(
    ("text", "days", "start", "end"),
    [
        ("mon-fri 08:00-18:00", WORKDAYS, 480, 1080),
        ("Mon-Fri  8:00-18:00", WORKDAYS, 480, 1080),
        ("sat,sun 10:30-16:00", {5, 6}, 630, 960),
        ("fri-mon 22:00-06:00", {4, 5, 6, 0}, 1320, 360),
        ("mon,wed-thu 00:00-24:00", {0, 2, 3}, 0, 1440),
        ("09:00-17:00", set(range(7)), 540, 1020),
        ("sun", {6}, 0, 1440),
        ("12:00-12:00", set(range(7)), 720, 720),
    ],
)
def test_hours_are_days_and_times_in_the_zone_of_the_site(
    load: Load, text: str, days: set[int], start: int, end: int
) -> None:
    site = '[site]\ntimezone = "Europe/Berlin"'
    (rule,) = load(site, MONITORS, channel(), alert(f'hours = "{text}"')).rules_of("earth")
    assert rule.hours == Hours(frozenset(days), start, end, "Europe/Berlin")


@pytest.mark.parametrize(
    "text",
    [
        *("monday 08:00-18:00", "mon-fri 8-18", "mon-fri 08:00", "mon fri 08:00-18:00", "08:60-09:00"),
        *("08:00-24:01", "24:00-08:00", "mon-fri 08:00-18:00 sat 10:00-12:00", "always", "mon- 08:00-18:00"),
        *("08:00-18:00 mon-fri", "mon--fri 08:00-18:00", "², 08:00-18:00"),
    ],
)
def test_what_are_no_hours_is_a_fault(faults: Faults, text: str) -> None:
    (fault,) = faults(MONITORS, channel(), alert(f'hours = "{text}"'))
    assert without_line(fault) == (
        'alerts["outage"].hours: must be days and times such as "mon-fri 08:00-18:00" or '
        f'"sat,sun 10:00-16:00", not "{text}"'
    )


def test_empty_hours_are_always(load: Load) -> None:
    assert load(MONITORS, channel(), alert('hours = ""')).rules_of("earth")[0].hours is None


def test_the_keys_of_a_kind_are_read(load: Load) -> None:
    more = 'headers = { X-A = "b" }\nbody = \'{"text": "{monitor}"}\'\nmethod = "PUT"\nverify = false'
    ntfy = channel("ntfy", 'priority = [1, 3, 4]\ntags = ["rotating_light"]', name="phone")
    found, phone = load(channel("webhook", more), ntfy).channels
    assert isinstance(found, WebhookChannel)
    assert isinstance(phone, NtfyChannel)
    assert (found.headers, found.method, found.verify) == ((("X-A", "b"),), "PUT", False)
    assert found.body == '{"text": "{monitor}"}'
    assert (phone.priority, phone.tags) == ((1, 3, 4), ("rotating_light",))


def test_mail_and_notifications_can_be_set_by_variables(load: Load) -> None:
    config = load(
        KENER_MAIL_HOST="smtp.example.org",
        KENER_MAIL_FROM="status@example.org",
        KENER_MAIL_USER="status",
        KENER_MAIL_PASSWORD="pa$s",
        KENER_NOTIFICATIONS_RETRY_FOR="2h",
    )
    mail = config.mail
    assert (mail.host, mail.sender, mail.user, mail.password) == (
        *("smtp.example.org", "status@example.org"),
        *("status", "pa$s"),
    )
    assert config.notifications.retry_for == 7200


def test_nothing_of_alerts_and_channels_needs_a_restart(load: Load) -> None:
    before = load()
    after = load(MONITORS, MAIL, channel(), alert(), '[notifications]\nlast_resort = "ops"')
    assert needs_restart(before, after) == []


# Which rules hold


@pytest.mark.parametrize(
    ("monitors", "tags"),
    [
        ('["*"]', "earth mars moon"),
        ('["m*"]', "mars moon"),
        ('["m??n", "earth"]', "earth moon"),
        ('["category:Planets"]', "earth mars"),
        ('["moon"]', "moon"),
        ('["x*"]', ""),
    ],
)
def test_a_rule_holds_for_the_monitors_it_matches(load: Load, monitors: str, tags: str) -> None:
    config = load(MONITORS, channel(), alert(f"monitors = {monitors}"))
    assert [tag for tag in ("earth", "mars", "moon") if config.rules_of(tag)] == tags.split()


def test_a_monitor_chooses_its_rules_itself(load: Load) -> None:
    own = '[[monitors]]\ntag = "sun"\nalerts = ["second"]\n[[monitors]]\ntag = "venus"\nalerts = []\n'
    second = alert('monitors = ["moon"]', name="second")
    config = load(MONITORS, own, channel(), alert(), second)
    names = {tag: [rule.name for rule in config.rules_of(tag)] for tag in ("earth", "moon", "sun", "venus")}
    assert names == {"earth": ["outage"], "moon": ["outage", "second"], "sun": ["second"], "venus": []}


@pytest.mark.parametrize("hidden", ["hidden = true", 'category = "Dark"'])
def test_a_hidden_monitor_is_matched_by_its_tag_only(load: Load, hidden: str) -> None:
    dark = '[[categories]]\nname = "Dark"\nhidden = true\n'
    monitors = f'[[monitors]]\ntag = "nemesis"\n{hidden}\n'
    patterns = '["*", "nemesis?", "category:Dark"]'
    assert load(dark, monitors, channel(), alert(f"monitors = {patterns}")).rules_of("nemesis") == ()
    for text in (alert('monitors = ["nemesis"]'), alert()):
        own = "" if "monitors" in text else 'alerts = ["outage"]\n'
        (rule,) = load(dark, monitors + own, channel(), text).rules_of("nemesis")
        assert rule.name == "outage"


def test_a_burn_rate_holds_for_monitors_with_an_objective_and_has_their_target(load: Load) -> None:
    promised = '[monitors.objective]\ntarget = 99.9\n[[monitors]]\ntag = "sun"\n' + (
        '[monitors.objective]\ntarget = 99\nwindow = "30d"\n'
    )
    config = load(MONITORS, promised, channel(), alert("burn_rate = 14.4"))
    assert [config.rules_of(tag)[0].condition for tag in ("moon", "sun")] == [
        BurnRate(14.4, 99.9, 3600, 300),
        BurnRate(14.4, 99.0, 3600, 300),
    ]
    assert (config.rules_of("earth"), config.rules_of("mars")) == ((), ())
    assert [config.by_tag[tag].objective for tag in ("moon", "sun", "earth")] == [
        Objective(99.9, "month"),
        Objective(99.0, "30d"),
        None,
    ]
    slow = load(MONITORS, promised, channel(), alert('burn_rate = 1\nwindow = "3d"')).rules_of("sun")
    assert slow[0].condition == BurnRate(1.0, 99.0, 259_200, 21_600)


# Faults

OBJECTIVE = "[monitors.objective]\ntarget = 99.9\n"  # of the last monitor, moon


@pytest.mark.parametrize(
    ("text", "fault"),
    [
        # names
        (alert(to="[]"), 'alerts["outage"].to: must not be empty'),
        ('[[alerts]]\nname = "outage"', 'alerts["outage"].to: is missing'),
        ('[[alerts]]\nto = ["ops"]', "alerts[number 1].name: is missing"),
        (alert(to='["opz"]'), 'alerts["outage"].to[number 1]: "opz" is not a channel, did you mean "ops"?'),
        (alert(to='["ops", "ops"]'), 'alerts["outage"].to[number 2]: "ops" is used twice'),
        (alert() + alert(), 'alerts["outage"].name: "outage" is used twice'),
        (channel(), 'channels["ops"].name: "ops" is used twice'),
        ('[[templates]]\nname = "a"\ntitle = "t"\n' * 2, 'templates["a"].name: "a" is used twice'),
        (
            alert('incident = "draft"\ntemplate = "dawn"') + '[[templates]]\nname = "down"\ntitle = "t"',
            'alerts["outage"].template: "dawn" is not a template, did you mean "down"?',
        ),
        (
            alert('template = "down"') + '[[templates]]\nname = "down"\ntitle = "t"',
            'alerts["outage"].template: needs incident',
        ),
        (
            '[notifications]\nlast_resort = "opps"',
            'notifications.last_resort: "opps" is not a channel, did you mean "ops"?',
        ),
        (
            alert('monitors = ["earh"]'),
            'alerts["outage"].monitors[number 1]: "earh" is not a monitor, did you mean "earth"?',
        ),
        (
            alert('monitors = ["category:Planet"]'),
            'alerts["outage"].monitors[number 1]: "Planet" is not a category, did you mean "Planets"?',
        ),
        (
            alert('monitors = ["a b"]'),
            'alerts["outage"].monitors[number 1]: must be a tag, also with * and ?, or "category:" and a '
            'name, not "a b"',
        ),
        (alert("monitors = []"), 'alerts["outage"].monitors: must not be empty'),
        # conditions
        (
            alert('when = "DOWN"\nlatency_above = 1'),
            'alerts["outage"].latency_above: contradicts when, set one of them',
        ),
        (
            alert("uptime_below = 99\nlatency_above = 1"),
            'alerts["outage"].uptime_below: contradicts latency_above, set one of them',
        ),
        (alert('when = "UP"'), 'alerts["outage"].when: must be one of DOWN, DEGRADED, NO_DATA, not "UP"'),
        (alert("latency_above = 0"), 'alerts["outage"].latency_above: must be above 0 and at most 1e+12'),
        (alert('latency_above = "1s"'), 'alerts["outage"].latency_above: must be a number, not "1s"'),
        (
            alert('certificate_within = "14d"\ncount = 2'),
            'alerts["outage"].count: is not used with certificate_within, which counts no reports',
        ),
        (
            alert('certificate_within = "14d"\nwhen = "DOWN"'),
            'alerts["outage"].certificate_within: contradicts when, set one of them',
        ),
        (
            alert('certificate_within = "14d"\nmonitors = ["earth"]'),
            'alerts["outage"].monitors[number 1]: "earth" has no check that sees a certificate',
        ),
        (alert("uptime_below = 101"), 'alerts["outage"].uptime_below: must be above 0 and at most 100'),
        (alert("uptime_below = nan"), 'alerts["outage"].uptime_below: must be above 0 and at most 100'),
        (
            alert('uptime_below = 99\nwindow = "1h"'),
            'alerts["outage"].window: must be one of 24h, 7d, 30d, 90d with uptime_below, not "1h"',
        ),
        (alert('window = "7d"'), 'alerts["outage"].window: needs uptime_below or burn_rate'),
        (
            alert("uptime_below = 99\nrecover_at = 98.5"),
            'alerts["outage"].recover_at: must be at least uptime_below, 99, not 98.5',
        ),
        (alert("recover_at = 99"), 'alerts["outage"].recover_at: needs uptime_below'),
        (
            alert('monitors = ["earth"]\nburn_rate = 2'),
            'alerts["outage"].monitors[number 1]: "earth" has no objective',
        ),
        # thresholds
        (alert("count = -1"), 'alerts["outage"].count: must be between 0 and 1000, not -1'),
        (alert('after = "31d"'), 'alerts["outage"].after: must be between 0 s and 30 days'),
        (
            alert("uptime_below = 99\ncount = 2"),
            'alerts["outage"].count: is not used with uptime_below, which counts no reports',
        ),
        (
            alert("remind_every = 30"),
            'alerts["outage"].remind_every: must be 0 or at least 60 s, not 30 s',
        ),
        (alert("flap_quiet = 5"), 'alerts["outage"].flap_quiet: must be between 60 s and 30 days'),
        (alert("remind = 5"), 'alerts["outage"].remind: unknown key, did you mean "remind_times"?'),
        # channels
        (
            channel("slack", name="b").replace('"slack"', '"slak"'),
            f'channels["b"].kind: must be one of {", ".join(CHANNELS)}, not "slak", did you mean "slack"?',
        ),
        (
            channel("slack", name="b").replace('"slack"', "5"),
            'channels["b"].kind: must be text, not a whole number',
        ),
        (channel("slack", name="b").replace('kind = "slack"\n', ""), 'channels["b"].kind: is missing'),
        (
            channel("slack", "mentoin = 'here'", name="b"),
            'channels["b"].mentoin: unknown key, did you mean "mention"?',
        ),
        (channel("slack", "token = 'x'", name="b"), 'channels["b"].token: unknown key'),
        (channel("mail", name="b"), 'channels["b"].kind: mail needs host in [mail]'),
        (
            channel("mail", 'cc = ["ops"]', name="b") + MAIL,
            'channels["b"].cc[number 1]: must be an address such as "ops@example.org" or '
            '"Ops <ops@example.org>", not "ops"',
        ),
        (
            channel("command", name="b").replace('["/bin/true"]', "[]"),
            'channels["b"].command: must not be empty',
        ),
        (
            channel("ntfy", "priority = [1, 2]", name="b"),
            'channels["b"].priority: must be three numbers: of info, warning and critical',
        ),
        (
            channel("ntfy", "priority = [1, 2, 9]", name="b"),
            'channels["b"].priority[number 3]: must be between 1 and 5, not 9',
        ),
        (
            channel("webhook", "body = '{\"a\": }'", name="b"),
            'channels["b"].body: is not JSON: Expecting value: line 1 column 7 (char 6)',
        ),
        (
            channel("webhook", """body = '{"a": ["{{x}} {titel}"]}'""", name="b"),
            'channels["b"].body: {titel} stands for nothing, did you mean "title"?; a brace is written {{',
        ),
        (
            channel("slack", 'mention = "everybody"', name="b"),
            'channels["b"].mention: "everybody" mentions nobody (docs/alerts.md)',
        ),
        (
            channel("discord", 'mention = "role:ops"', name="b"),
            'channels["b"].mention: "role:ops" mentions nobody (docs/alerts.md)',
        ),
        (channel("webhook", "body = '5'", name="b"), 'channels["b"].body: must be a JSON object or array'),
        (
            channel("webhook", 'headers = { "X Y" = "1" }', name="b"),
            'channels["b"].headers."X Y": is not the name of a header',
        ),
        (
            channel("webhook", 'headers = { Content-Length = "1" }', name="b"),
            'channels["b"].headers.Content-Length: is a header that the program sets itself',
        ),
        (
            channel("webhook", "headers = { X-A = 1 }", name="b"),
            'channels["b"].headers.X-A: must be text, not a whole number',
        ),
        (channel("webhook", "headers = 5", name="b"), 'channels["b"].headers: must be a table'),
        (
            channel("webhook", 'secret = "short"', name="b"),
            'channels["b"].secret: must be 16 to 2000 characters of ASCII without spaces',
        ),
        (
            channel("webhook", 'secret = "change-me-please-1234"', name="b"),
            'channels["b"].secret: is a placeholder, not a secret',
        ),
        (
            channel("webhook", 'ca_file = "ca.pem"', name="b"),
            'channels["b"].ca_file: "ca.pem" cannot be read: No such file or directory',
        ),
        (
            channel("webhook", 'ca_file = "config.toml"', name="b"),
            'channels["b"].ca_file: "config.toml" holds no certificates (PEM)',
        ),
        (
            channel("webhook", 'ca_file = "ca.pem"\nverify = false', name="b"),
            'channels["b"].ca_file: is not used with verify = false',
        ),
        (
            channel("slack", 'tell = ["incident"]', name="b"),
            'channels["b"].tell[number 1]: must be one of opened, reminded, resolved, flapping, '
            'acknowledged, maintenance, not "incident"',
        ),
        (channel("slack", 'gather = "2h"', name="b"), 'channels["b"].gather: must be between 0 s and 3600 s'),
        (
            channel("pagerduty", 'region = "de"', name="b"),
            'channels["b"].region: must be one of us, eu, not "de"',
        ),
        # mail
        ('[mail]\nhost = "smtp.example.org"', "mail.from: is missing, host needs it"),
        (MAIL + 'password = "x"', "mail.password: needs user"),
        (MAIL + 'user = "x"', "mail.user: needs password"),
        ('[mail]\nhost = "a b"', 'mail.host: must be the name or the address of a host, not "a b"'),
        (
            '[mail]\nfrom = "a@b\\nBcc: c@d"',
            'mail.from: must be an address such as "ops@example.org" or "Ops <ops@example.org>", not '
            '"a@b\\nBcc: c@d"',
        ),
        # monitors
        (
            '[[monitors]]\ntag = "a"\ndepends_on = ["eart"]',
            'monitors["a"].depends_on[number 1]: "eart" is not a monitor, did you mean "earth"?',
        ),
        (
            '[[monitors]]\ntag = "a"\ndepends_on = ["earth", "earth"]',
            'monitors["a"].depends_on[number 2]: "earth" is used twice',
        ),
        (
            '[[monitors]]\ntag = "a"\ndepends_on = ["a"]',
            'monitors["a"].depends_on: is a circle: a needs a',
        ),
        (
            '[[monitors]]\ntag = "b"\ndepends_on = ["c", "earth"]\n'
            '[[monitors]]\ntag = "c"\ndepends_on = ["d"]\n[[monitors]]\ntag = "d"\ndepends_on = ["b"]',
            'monitors["b"].depends_on: is a circle: b needs c needs d needs b',
        ),
        (
            '[[monitors]]\ntag = "a"\nalerts = ["outrage"]\n' + alert(),
            'monitors["a"].alerts[number 1]: "outrage" is not an alert rule, did you mean "outage"?',
        ),
        (
            '[[monitors]]\ntag = "a"\nalerts = ["outage"]\n' + alert("burn_rate = 2"),
            'monitors["a"].alerts[number 1]: "outage" has a burn_rate, which needs an objective',
        ),
        (
            '[[monitors]]\ntag = "a"\nobjective = { target = 100 }',
            'monitors["a"].objective.target: must be above 0 and at most 99.9999',
        ),
        ('[[monitors]]\ntag = "a"\n[monitors.objective]', 'monitors["a"].objective.target: is missing'),
    ],
)
def test_a_fault_is_named_with_its_place(faults: Faults, text: str, fault: str) -> None:
    assert [without_line(found) for found in faults(MONITORS, channel(), text)] == [fault]


@pytest.mark.parametrize("text", ["{} = 5", "[{}]\nname = 'x'"])
@pytest.mark.parametrize("name", ["alerts", "channels", "templates"])
def test_what_must_be_an_array_of_tables_is_one(faults: Faults, text: str, name: str) -> None:
    assert [without_line(found) for found in faults(text.format(name))] == [
        f"{name}: must be [[{name}]] tables"
    ]


@pytest.mark.parametrize("name", ["alerts", "channels", "templates"])
def test_a_table_of_an_array_is_a_table(faults: Faults, name: str) -> None:
    (fault,) = faults(f"{name} = [5]")
    assert without_line(fault) == f"{name}[number 1]: must be a table"


@pytest.mark.parametrize(("depth", "is_taken"), [(50, True), (51, False), (900, False), (100_000, False)])
def test_a_body_is_nested_a_little(load: Load, faults: Faults, depth: int, is_taken: bool) -> None:
    text = channel("webhook", f"body = '{'[' * depth + ']' * depth}'")
    if is_taken:
        load(text)
    else:
        (fault,) = faults(text)
        assert "nested" in fault


def arrays(table: type, kinds: dict[str, type] | None = None) -> st.SearchStrategy[object]:
    """Arrays of tables in which some keys are those of the table, and their values anything."""
    keys = {
        each.field.data_key or name
        for of in (kinds or {"": table}).values()
        for name, each in keys_of(of).items()
    }
    return st.lists(st.dictionaries(st.sampled_from([*sorted(keys), "unknown"]), ANYTHING), max_size=3)


WORDS = [
    "",
    "ops",
    "a",
    "$S",
    "$",
    "*",
    "category:",
    "category:Planets",
    "DOWN",
    "1h",
    "5m",
    "mon-fri",
    "{x}",
]
ATOMS = st.one_of(
    st.booleans(),
    st.integers(-10, 10**6),
    st.floats(allow_nan=True),
    st.sampled_from([*WORDS, *CHANNELS, "https://example.org/", "http://8.8.8.8/", "a@example.org", "[1]"]),
    st.text(max_size=5),
)
ANYTHING = st.one_of(
    ATOMS, st.lists(ATOMS, max_size=3), st.dictionaries(st.sampled_from(WORDS), ATOMS, max_size=2)
)
DOCUMENTS = st.fixed_dictionaries(
    {},
    optional={
        "alerts": arrays(AlertTable),
        "channels": arrays(ChannelConfig, dict(CHANNELS)),
        "monitors": arrays(MonitorTable),
        "templates": arrays(TemplateConfig),
        "mail": st.dictionaries(st.sampled_from(["host", "from", "user", "password", "port"]), ANYTHING),
        "notifications": st.dictionaries(st.sampled_from(["last_resort", "retry_for"]), ANYTHING),
    },
)


@settings(max_examples=1000, deadline=None)
@given(DOCUMENTS)
def test_whatever_stands_in_the_file_is_read_or_named(document: dict[str, object]) -> None:
    with patch.object(loading, "_document", lambda path, text: document):
        try:
            shown = repr(loading.defaults(Path("/nonexistent"), {"S": "Zq8-secret-of-a-channel"}))
        except ConfigError as error:
            shown = str(error)
    assert shown
    assert "Zq8" not in shown


def test_a_channel_of_an_unknown_kind_is_known_to_rules(faults: Faults) -> None:
    (fault,) = faults(MONITORS, channel().replace('"slack"', '"slak"'), alert())
    assert ".kind: must be one of" in fault


def test_an_invalid_name_causes_no_second_fault_of_what_may_mean_it(faults: Faults) -> None:
    (fault,) = faults(MONITORS, channel(name=""), alert())
    assert without_line(fault) == 'channels[""].name: must not be empty'


def test_a_fault_names_its_line(faults: Faults) -> None:
    text = channel() + channel("webhook", "headers = { X-A = 1 }", name="b") + alert(to='["c"]')
    lines = {text.splitlines()[int(fault.split(":")[0]) - 1] for fault in faults(text)}
    assert lines == {"headers = { X-A = 1 }", 'to = ["c"]'}


# Warnings


@pytest.mark.parametrize(
    ("text", "warning"),
    [
        (
            channel("gotify").replace("https", "http"),
            'channels["ops"].url: http sends messages and secrets unencrypted, use https',
        ),
        (
            channel("matrix").replace("https", "http"),
            'channels["ops"].homeserver: http sends messages and secrets unencrypted, use https',
        ),
        (channel("gotify").replace("https://gotify.example.org", "http://10.1.2.3"), None),
        (channel("gotify").replace("https://gotify.example.org", "http://[::1]:80"), None),
        (channel("gotify").replace("https://gotify.example.org", "http://gotify:8080"), None),
        (channel("gotify").replace("https://gotify.example.org", "http://push.lan"), None),
        (
            channel("gotify").replace("https://gotify.example.org", "http://8.8.8.8"),
            'channels["ops"].url: http sends messages and secrets unencrypted, use https',
        ),
        (
            channel() + MAIL + 'user = "a"\npassword = "b"\nsecurity = "none"',
            "mail.security: the password is sent unencrypted",
        ),
        (
            channel()
            + MAIL.replace("smtp.example.org", "127.0.0.1")
            + 'user = "a"\npassword = "b"\nsecurity = "none"',
            None,
        ),
        (channel() + channel(name="spare"), 'channels["spare"]: no rule names it'),
        (channel() + channel(name="spare") + '[notifications]\nlast_resort = "spare"', None),
        (channel() + alert('monitors = ["x*"]', name="none"), 'alerts["none"]: holds for no monitor'),
    ],
)
def test_what_is_hardly_meant_is_a_warning(load: Load, text: str, warning: str | None) -> None:
    config = load('[server]\npublic_url = "https://status.example.org"', MONITORS, alert(), text)
    assert config.warnings == (() if warning is None else (warning,))


def test_a_burn_rate_that_cannot_be_reached_is_a_warning(load: Load) -> None:
    server = '[server]\npublic_url = "https://status.example.org"'
    monitors = MONITORS + OBJECTIVE.replace("99.9", "90")
    assert load(server, monitors, channel(), alert("burn_rate = 10")).warnings == ()
    assert load(server, monitors, channel(), alert("burn_rate = 14.4")).warnings == (
        'alerts["outage"].burn_rate: is never reached with the objective of "moon", 90 %: at most 10',
    )


def test_without_public_url_messages_hold_no_links(load: Load) -> None:
    assert load(MONITORS, channel(), alert()).warnings == (
        "server.public_url: is not set, so that messages of alerts hold no links",
    )


def test_check_config_prints_warnings_and_no_secret(load: Load, tmp_path: Path) -> None:
    load(MONITORS, channel("gotify").replace("https", "http"), alert())
    done = CliRunner().invoke(main, ["--config", str(tmp_path / "config.toml"), "check-config"])
    assert done.exit_code == 0, done.output
    assert 'warning: channels["ops"].url: http sends' in done.output
    assert "s3cret" not in done.output


# Secrets


def secrets_of(kind: str) -> Iterator[str]:
    """The keys of a kind that hold secrets, as they are written."""
    for name, each in keys_of(CHANNELS[kind]).items():
        if each.secret:
            yield each.field.data_key or name


EVERY_SECRET = [(kind, key) for kind in CHANNELS for key in secrets_of(kind)]
HARMLESS = {"mail", "command"}  # kinds without a secret


def test_every_kind_but_these_has_a_secret() -> None:
    assert {kind for kind in CHANNELS if not list(secrets_of(kind))} == HARMLESS


def with_secret(kind: str, key: str, value: str) -> str:
    """A channel in which this key has this value."""
    line = f'{key} = {{ X-A = "{value}" }}' if key == "headers" else f'{key} = "{value}"'
    kept = [each for each in REQUIRED[kind].splitlines() if not each.startswith(f"{key} =")]
    return f'[[channels]]\nname = "ops"\nkind = "{kind}"\n' + "\n".join([*kept, line]) + "\n"


@pytest.mark.parametrize(("kind", "key"), EVERY_SECRET)
def test_a_secret_of_a_channel_comes_from_elsewhere_and_is_never_shown(
    load: Load, faults: Faults, kind: str, key: str
) -> None:
    value = "https://Zq8.example.org/" + "x" * 20
    config = load(MONITORS, with_secret(kind, key, "$S"), alert(), S=value)
    assert value in str([getattr(config.channels[0], each.name) for each in fields(config.channels[0])])
    assert "Zq8" not in repr(config)
    assert "Zq8" not in str(config.warnings)
    (missing,) = faults(MONITORS, with_secret(kind, key, "$S"), alert())
    assert f'channels["ops"].{key}' in missing
    assert "$S is not set" in missing
    for wrong in ("Zq8\nZq8", "Zq8\0"):
        (fault,) = faults(MONITORS, with_secret(kind, key, "$S"), alert(), S=wrong)
        assert "Zq8" not in fault


@pytest.mark.parametrize("table", ["right", "of an unknown kind", "without a kind"])
@pytest.mark.parametrize(("kind", "key"), EVERY_SECRET)
def test_a_secret_of_a_channel_is_in_no_backup(kind: str, key: str, table: str) -> None:
    text = with_secret(kind, key, "Zq8-secret") + with_secret(kind, key, "$KEPT")
    if table != "right":
        line = 'kind = "other"\n' if table == "of an unknown kind" else ""
        text = text.replace(f'kind = "{kind}"\n', line)
    redacted = without_secrets(text.encode(), Document)
    assert redacted is not None
    assert b"Zq8" not in redacted[0]
    assert redacted[0].count(b"$FILL_IN") >= 1
    assert b"$KEPT" in redacted[0]


def test_the_password_of_mail_is_in_no_representation_and_no_backup(load: Load) -> None:
    text = MAIL + 'user = "status"\npassword = "Zq8-secret"\n'
    assert "Zq8" not in repr(load(text))
    redacted = without_secrets(text.encode(), Document)
    assert redacted is not None
    assert b"Zq8" not in redacted[0]


def test_headers_that_the_program_sets_are_written_in_lower_case() -> None:
    assert [name for name in Headers.OURS if name != name.lower()] == []


# Kinds


def test_every_kind_has_a_class_of_its_own_named_after_it() -> None:
    assert {kind: table.__name__.lower() for kind, table in CHANNELS.items()} == {
        kind: f"{kind}channel" for kind in CHANNELS
    }
    assert all(issubclass(table, ChannelConfig) for table in CHANNELS.values())


def test_the_documentation_of_kind_names_every_kind() -> None:
    doc = keys_of(ChannelConfig)["kind"].doc
    assert re.findall(r"[a-z]{3,}", doc) == list(CHANNELS)


def test_a_certificate_authority_of_ones_own_is_read(load: Load, tmp_path: Path) -> None:
    Authority(tmp_path)
    (found,) = load(channel("webhook", 'ca_file = "authority.pem"')).channels
    assert isinstance(found, WebhookChannel)
    assert found.ca_file is not None
    assert os.path.isabs(found.ca_file)


def test_a_mention_is_one_line(load: Load, faults: Faults) -> None:
    (found,) = load(channel(more='mention = "here"')).channels
    assert isinstance(found, SlackChannel)
    assert found.mention == "here"
    (fault,) = faults(channel(more='mention = "a\\nb"'))
    assert "must be one line" in fault


def test_a_secret_that_only_the_service_has_stops_no_command_that_tells_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    file = tmp_path / "config.toml"
    file.write_text(
        '[watch]\nping_url = "$PING"\n[mail]\nhost = "mail.example.org"\nfrom = "a@example.org"\n'
        'password = "$MAIL"\nuser = "a"\n[[channels]]\nname = "ops"\nkind = "webhook"\nurl = "$OPS"\n'
        'headers = { Authorization = "Bearer $TOKEN" }\nsecret = "$SIGNED"\n'
    )
    monkeypatch.delenv("KENER_CONFIG", raising=False)

    def run(*words: str) -> Result:
        return CliRunner().invoke(main, [*words, "--config", str(file)])

    assert run("token", "create", "--name", "device", "--init").exit_code == 0
    for line in ("alert list", "channel list", f"backup {tmp_path / 'copy'}", "migrate"):
        assert run(*line.split()).exit_code == 0, line
    for line in ("channel test ops", "check-config", "doctor", "serve"):
        refused = run(*line.split())
        assert refused.exit_code == 1, line
        assert 'channels["ops"].url: $OPS is not set' in refused.stderr, line
    file.write_text(file.read_text() + '[auth]\nsecret_key = "$KEY"\n')
    assert "auth.secret_key: $KEY is not set" in run("token", "create", "--name", "device").stderr
