"""Settings of checks: what each kind is read as, what is refused, secrets, warnings, and reloads."""

from collections.abc import Callable
from datetime import timedelta
from pathlib import Path

import pytest

from kener_async.clock import Cron, longest_pause
from kener_async.config.checks import DEVICE_KINDS, KINDS, NETWORK_KINDS, CheckKeys
from kener_async.config.load import ConfigError, load
from kener_async.config.model import Config
from kener_async.config.redaction import without_secrets
from kener_async.config.schema import keys_of
from kener_async.config.secrets import STAND_IN
from kener_async.config.tables import Document
from kener_async.domain.checks import CheckTiming
from kener_async.domain.conditions import parse
from kener_async.domain.escapes import EscapeFault, unescaped
from kener_async.domain.heartbeats import OnChange
from kener_async.probes.settings import (
    CheckSettings,
    DnsTarget,
    GreetingTarget,
    HttpTarget,
    OAuth,
    PingTarget,
    Target,
    TcpTarget,
    TlsSettings,
    TlsTarget,
    UdpTarget,
    VantageSettings,
    WebSocketTarget,
)

Loaded = Callable[..., Config]


@pytest.fixture
def load_text(tmp_path: Path) -> Loaded:
    def load_text(text: str, **environment: str) -> Config:
        path = tmp_path / "config.toml"
        path.write_text(text)
        return load(path, environment)

    return load_text


@pytest.fixture
def check_of(load_text: Loaded) -> Callable[..., CheckSettings]:
    """The check of a monitor with these lines."""

    def check_of(lines: str, **environment: str) -> CheckSettings:
        check = load_text(f'[[monitors]]\ntag = "earth"\n[monitors.check]\n{lines}', **environment).monitors[
            0
        ]
        assert check.check is not None
        return check.check

    return check_of


@pytest.fixture
def faults_of(load_text: Loaded) -> Callable[..., list[str]]:
    """The faults of a check with these lines, without its place."""

    def faults_of(lines: str, head: str = "", **environment: str) -> list[str]:
        with pytest.raises(ConfigError) as refusal:
            load_text(f'{head}\n[[monitors]]\ntag = "earth"\n[monitors.check]\n{lines}', **environment)
        return [
            each.split(": ", 1)[1].replace('monitors["earth"].check', "").lstrip(".: ")
            for each in refusal.value.problems
        ]

    return faults_of


@pytest.mark.parametrize(
    ("lines", "target"),
    [
        ('http = "http://a/"', HttpTarget("http://a/")),
        (
            'http = "https://a/"\nmethod = "post"\nheaders = { A = "b" }\nbody = "c"\nuser = "d"\n'
            'password = "e"\nmax_redirects = 0\nmax_body = 9\nproxy = "http://p:3128"\nverify = false\n'
            'server_name = "n"',
            HttpTarget(
                *("https://a/", "POST", {"A": "b"}, "c", "d", "e", None, 0, 9, "http://p:3128"),
                TlsSettings(verify=False, server_name="n"),
            ),
        ),
        (
            'http = "https://a/"\noauth = { token_url = "https://t/", client = "c", secret = "s" }',
            HttpTarget("https://a/", oauth=OAuth("https://t/", "c", "s")),
        ),
        ('ping = "gw.example.org"\npackets = 5', PingTarget("gw.example.org", 5)),
        ('ping = "2001:db8::1"', PingTarget("2001:db8::1")),
        ('ping = "[2001:DB8::1]"', PingTarget("2001:db8::1")),
        ('ping = "münchen.example"', PingTarget("xn--mnchen-3ya.example")),
        (r"tcp = 'a:1'" + "\nsend = 'A\\r\\n\\x00\\\\'", TcpTarget("a", 1, b"A\r\n\0\\")),
        ('tcp = "[::1]:22"', TcpTarget("::1", 22)),
        ("udp = 'a:27015'\nsend = '\\xff\\xffTé\\0'", UdpTarget("a", 27015, b"\xff\xffT\xc3\xa9\0")),
        ('dns = "example.org"', DnsTarget("example.org")),
        ('dns = "a.example."', DnsTarget("a.example.")),
        ('dns = "."\nrecord = "NS"', DnsTarget(".", "NS")),
        (
            'dns = "_dmarc.example.org"\nrecord = "txt"\nserver = "192.0.2.53:5353"',
            DnsTarget("_dmarc.example.org", "TXT", "192.0.2.53:5353"),
        ),
        ('tls = "a"', TlsTarget("a", 443)),
        ('tls = "a:636"', TlsTarget("a", 636)),
        ('tls = "a"\nstarttls = "ldap"', TlsTarget("a", 389, "ldap")),
        (
            'websocket = "WSS://a/feed"\nsend = "hi\\\\n"\nheaders = { A = "b" }',
            WebSocketTarget("WSS://a/feed", "hi\\n", {"A": "b"}),
        ),
        ('ssh = "a"', GreetingTarget("ssh", "a", 22)),
        ('smtp = "a:587"\nrequire_tls = true', GreetingTarget("smtp", "a", 587, True)),
        ('imap = "a"', GreetingTarget("imap", "a", 143)),
        ('pop3 = "a"', GreetingTarget("pop3", "a", 110)),
        ('ftp = "a"', GreetingTarget("ftp", "a", 21)),
    ],
)
def test_each_kind_is_read(check_of: Callable[..., CheckSettings], lines: str, target: Target):
    assert check_of(lines).target == target


def test_a_check_has_its_defaults(check_of: Callable[..., CheckSettings]):
    assert check_of('ping = "a"') == CheckSettings("earth", PingTarget("a"), CheckTiming(60, 10, 2, 20))


@pytest.mark.parametrize(
    ("lines", "timing"),
    [
        ('every = "5m"', CheckTiming(300, 10, 2, 20)),
        ("every = 5", CheckTiming(5, 5, 2, 20)),
        ('timeout = "30s"\nretries = 0', CheckTiming(60, 30, 0, 20)),
        ("retries = 5\nretry_every = 60", CheckTiming(60, 10, 5, 60)),
        ('cron = "*/5 * * * *"', CheckTiming(300, 10, 2, 20, Cron("*/5 * * * *", "Europe/Berlin"))),
        (
            'cron = "0 3 * * *"\ntimezone = "UTC"\ntimeout = 90',
            CheckTiming(86_400, 90, 2, 20, Cron("0 3 * * *", "UTC")),
        ),
    ],
)
def test_each_timing_is_read(load_text: Loaded, lines: str, timing: CheckTiming):
    head = '[site]\ntimezone = "Europe/Berlin"\n[[monitors]]\ntag = "earth"\n[monitors.check]\nping = "a"\n'
    (monitor,) = load_text(head + lines).monitors
    assert monitor.check is not None
    assert monitor.check.timing == timing
    assert monitor.settings.expectation == OnChange(timing.hold, is_check=True)


@pytest.mark.parametrize(
    ("expression", "zone", "seconds"),
    [
        ("* * * * *", "UTC", 60),
        ("*/7 * * * *", "UTC", 420),
        ("0 * * * *", "UTC", 3600),
        ("0 3 * * *", "UTC", 86_400),
        ("0 3 * * *", "Europe/Berlin", 86_400 + 3600),
        ("0 8,9,20 * * *", "UTC", 12 * 3600),
        ("*/5 8-18 * * 1-5", "UTC", (2 * 24 + 13) * 3600 + 300),
        ("0 0 1 * *", "UTC", 31 * 86_400),
        ("0 0 1 1 *", "UTC", 366 * 86_400),
        ("30 2 29 2 *", "UTC", 2921 * 86_400),  # from 2096 to 2104
    ],
)
def test_the_longest_pause_of_a_schedule(expression: str, zone: str, seconds: int):
    assert longest_pause(Cron(expression, zone)) == seconds


@pytest.mark.parametrize(
    ("lines", "faults"),
    [
        ("", ["does not say what to check, set one of http, ping, tcp"]),
        ('http = "http://a/"\nping = "a"', ["ping: contradicts http, set one of them"]),
        ('ping = "a"\nsend = "x"', ["send: is not used with ping, needs tcp, udp or websocket"]),
        ('tcp = "a:1"\nheaders = { A = "b" }', ["headers: is not used with tcp, needs http or websocket"]),
        (
            'ssh = "a"\nrequire_tls = true',
            ["require_tls: is not used with ssh, needs smtp, imap"],
        ),
        ('ping = "a"\ncommand = ["a"]', ["command: unknown key"]),
        ('ping = "a"\nevrey = 5', ['evrey: unknown key, did you mean "every"?']),
        ('ping = "a"\ninterval = "5m"', ['interval: unknown key, did you mean "every"?']),
        ('ping = "a"\nzzz = 5', ["zzz: unknown key"]),
        ('ping = "a"\nevery = 5\ntimeout = 6', ["timeout: must be at most every, 5 s, not 6 s"]),
        ('ping = "a"\nevery = 60\ncron = "* * * * *"', ["cron: contradicts every, set one of them"]),
        ('ping = "a"\ntimezone = "UTC"', ["timezone: needs cron"]),
        (
            'ping = "a"\nretries = 60\nretry_every = 60',
            ["retries: retries x (retry_every + timeout) must be at most 1 h, not 4200 s"],
        ),
        ('ping = "a"\nexpect = ["latency < 800"]', ["expect[number 1]: column 11: latency is"]),
        ('ping = "a"\nexpect = "loss < 1"', ["expect: must be a list"]),
        (
            'ping = "a"\nwarn = ["loss == 0", "status == 200"]',
            ["warn[number 2]: ping has no status"],
        ),
        (
            'http = "http://a/"\nexpect = ["records contains \'a\'"]',
            ["expect[number 1]: http has no"],
        ),
        (
            'http = "http://a/"\nwarn = ["certificate > 9d"]',
            ["warn[number 1]: sees no certificate"],
        ),
        ('websocket = "ws://a/"\nwarn = ["certificate > 9d"]', ["warn[number 1]: sees no certificate"]),
        ('dns = "a"\nserver = "192.0.2.1"\nwarn = ["certificate > 9d"]', ["warn[number 1]: sees no"]),
        ('tcp = "a"', ['tcp: must be a host and a port, such as "db.example.org:5432", not "a"']),
        ('tcp = "a:0"', ["tcp: must be a host, or a host and a port"]),
        ('tcp = "a:99999"', ["tcp: must be a host, or a host and a port"]),
        ('ping = "a b"', ['ping: must name a host, not "a b"']),
        ('ping = "http://a"', ["ping: must name a host"]),
        ('ping = ""', ["ping: must name a host"]),
        ('dns = "a..b"', ["dns: must be a name such as"]),
        ('dns = ".a"', ["dns: must be a name such as"]),
        ("dns = 'a\\'", ["dns: must be a name such as"]),
        ("dns = 'a\\300.b'", ["dns: must be a name such as"]),
        ('http = "https://a/"\nserver_name = ".a"', ["server_name: must name a host"]),
        ('http = "https://a/"\nserver_name = "a b"', ["server_name: must name a host"]),
        (f'dns = "{"a" * 60} "', ["dns: must be a name such as"]),  # and at once
        (f'dns = "{"a" * 64}.b"', ["dns: must be a name such as"]),
        (
            'dns = "a"\nexpect = ["ip == \'192.0.2.1\'"]',
            ["expect[number 1]: dns has no ip, that is known of"],
        ),
        ('dns = "a"\nrecord = "MXX"', ["record: must be a type of records such as A, MX or TXT, not"]),
        ('dns = "a"\nrecord = "AXFR"', ["record: must be a type of records such as A, MX or TXT, not"]),
        ('dns = "a"\nrecord = "M X"', ["record: must be a type of records such as A, MX or TXT"]),
        ('dns = "a"\nserver = "https://dns"', ["server: must be a host, or a host and a port"]),
        ('http = "ftp://a/"', ["http: must be an http or https address"]),
        ('http = ""', ["http: must not be empty"]),
        ('websocket = "https://a/"', ["websocket: must be a ws or wss address"]),
        ('websocket = "ws://a:0/"', ["websocket: must be a ws or wss address"]),
        ('websocket = "wss"', ["websocket: must be a ws or wss address"]),
        ('http = "http://a/"\nproxy = "http://p/path"', ["proxy: must be scheme, host and port alone"]),
        ('http = "http://a/"\nmethod = "GE T"', ["method: must be a method such as GET, HEAD or POST"]),
        ('http = "http://a/"\nheaders = { "A B" = "c" }', ['headers."A B": is not the name of a header']),
        (
            'http = "http://a/"\nheaders = { Content-Length = "1" }',
            ["headers.Content-Length: is a"],
        ),
        ('http = "http://a/"\nheaders = { A = "1", a = "2" }', ["headers: has a header twice"]),
        ('http = "http://a/"\npassword = "p"', ["password: needs user"]),
        (
            'http = "http://a/"\nuser = "p"\nheaders = { authorization = "x" }',
            ["user: contradicts the header Authorization, set one of them"],
        ),
        (
            'http = "http://a/"\noauth = { client = "c" }',
            ["oauth.secret: is missing", "oauth.token"],
        ),
        ("tcp = 'a:1'\nsend = 'a\\q'", ["send: has a \\ that begins no escape"]),
        ("tcp = 'a:1'\nsend = 'a\\x0'", ["send: has a \\ that begins no escape"]),
        ('ping = "a"\nip = 5', ["ip: must be 4, 6, or 0 for either"]),
        ('ping = "a"\nip = true', ["ip: must be 4, 6, or 0 for either"]),
        (
            'http = "https://a/"\nclient_certificate = "no.pem"',
            ['client_certificate: "no.pem" can'],
        ),
        ('http = "https://a/$NO_SUCH"', ["http: $NO_SUCH is not set"]),
        ('http = "https://a/$"', ["http: has a $ that names nothing"]),
        ('http = "https://a/"\nbody = "$NO_SUCH"', ["body: $NO_SUCH is not set"]),
        (
            'http = "https://a/"\noauth = { token_url = "https://t", client = "c", secret = "$NO" }',
            ["oauth.sec"],
        ),
    ],
)
def test_what_is_wrong_is_named_with_its_key(
    faults_of: Callable[..., list[str]], lines: str, faults: list[str]
):
    found = faults_of(lines)
    assert len(found) == len(faults)
    for fault, begin in zip(found, faults, strict=True):
        assert fault.startswith(begin)


def test_a_check_and_a_heartbeat_exclude_each_other(load_text: Loaded):
    with pytest.raises(ConfigError, match=r"check: contradicts heartbeat"):
        load_text('[[monitors]]\ntag = "a"\nheartbeat = { interval = 60 }\ncheck = { ping = "a" }')


@pytest.mark.parametrize(
    ("lines", "fault"),
    [
        ('name_servers = ["dns example"]', "checks.name_servers[number 1]: must name a host"),
        ('witnesses = ["192.0.2.1"]', "checks.witnesses[number 1]: must be a host and a port"),
        ('source_ipv4 = "::1"', "checks.source_ipv4: must be an IPv4 address"),
        ('source_ipv6 = "192.0.2.1"', "checks.source_ipv6: must be an IPv6 address"),
        ('user_agent = ""', "checks.user_agent: must not be empty"),
        ('ca_file = "no.pem"', 'checks.ca_file: "no.pem" cannot be read'),
        ("max_at_once = 0", "checks.max_at_once: must be between 1 and"),
    ],
)
def test_what_is_wrong_with_all_checks_is_named(load_text: Loaded, lines: str, fault: str):
    with pytest.raises(ConfigError) as refusal:
        load_text(f"[checks]\n{lines}")
    (problem,) = refusal.value.problems
    assert problem.split(": ", 1)[1].startswith(fault)


def test_the_vantage_is_what_is_configured(load_text: Loaded):
    config = load_text(
        '[checks]\nname_servers = ["192.0.2.53", "tls://dns.example.org"]\nsource_ipv4 = "192.0.2.7"\n'
        'witnesses = ["192.0.2.1:53", "[2001:db8::1]:53"]'
    )
    assert config.checks.vantage == VantageSettings(
        name_servers=("192.0.2.53", "tls://dns.example.org"), source_ipv4="192.0.2.7"
    )
    assert config.checks.witnesses == (("192.0.2.1", 53), ("2001:db8::1", 53))
    assert load_text("").checks.vantage == VantageSettings()


def test_each_key_belongs_to_a_kind_and_each_kind_is_a_key():
    keys = set(keys_of(CheckKeys)) - set(NETWORK_KINDS) - {"group", "min_up", "degraded"}
    assert keys <= {key for kind in KINDS.values() for key in kind.keys}
    assert set(KINDS) == set(NETWORK_KINDS) | set(DEVICE_KINDS)


# The agent's


OWN = {
    'http = "http://a/"\nexpect_status = 204': 'http = "http://a/"\nexpect = ["status == 204"]',
    'http = "http://a/"\nexpect_text = "ok \\" \\u00e9"': 'http = "http://a/"\nexpect = ["status < 400", '
    '\'body contains "ok \\" é"\']',
    'tcp = "a:1"\ndegraded_above = 0.25': 'tcp = "a:1"\nwarn = ["latency <= 250ms"]',
}


@pytest.mark.parametrize(("own", "common"), OWN.items())
def test_the_agents_own_keys_are_conditions(load_text: Loaded, own: str, common: str):
    head = '[[agent.checks]]\ntag = "earth"\n'
    (before,), (after,) = (load_text(head + lines).agent.checks for lines in (own, common))
    assert before.target == after.target
    for one, other in ((before.expect, after.expect), (before.warn, after.warn)):
        assert [each.comparison for each in one or ()] == [each.comparison for each in other or ()]


@pytest.mark.parametrize(
    ("lines", "fault"),
    [
        ('http = "http://a/"\nexpect_status = 200\nexpect = ["status < 500"]', "expect_status: contradicts"),
        ('unit = "a"\nwarn = ["latency < 1s"]', "warn: is not used with unit, needs http"),
        ("alive = true\ninvert = true", "invert: is not used with alive"),
        ('command = ["a"]\nexpect = ["status == 0"]', "expect[number 1]: command has no status"),
        ('tcp = "a:1"\nmax_age = 5', "max_age: is not used with tcp, needs file"),
        ('file = "a"', "max_age: is missing, file needs it"),
        ("alive = false", "alive: must be true, or left out"),
    ],
)
def test_what_is_wrong_with_a_check_of_an_agent_is_named(load_text: Loaded, lines: str, fault: str):
    with pytest.raises(ConfigError) as refusal:
        load_text(f'[[agent.checks]]\ntag = "earth"\n{lines}')
    assert f'agent.checks["earth"].{fault}' in refusal.value.problems[0]


MOVABLE = [
    'http = "https://a/"\nexpect = ["json $.a == 1"]\nwarn = ["latency < 1s", "certificate > 9d"]',
    'ping = "a"\npackets = 5\nip = 6',
    'tcp = "a:1"\nsend = "x"\nevery = "5m"\ntimeout = 3\nretries = 1\nretry_every = 5',
    'dns = "a"\nrecord = "MX"\nexpect = ["records contains \'a\'"]\ncron = "*/5 * * * *"\ntimezone = "UTC"',
    'smtp = "a"\nrequire_tls = true\ninvert = true',
]


@pytest.mark.parametrize("lines", MOVABLE)
def test_a_check_is_the_same_when_its_lines_are_moved_to_an_agent(load_text: Loaded, lines: str):
    (here,) = load_text(f'[[monitors]]\ntag = "earth"\n[monitors.check]\n{lines}').monitors
    (there,) = load_text(f'[[agent.checks]]\ntag = "earth"\n{lines}').agent.checks
    assert here.check == there


# Secrets


def test_secrets_are_put_in_everywhere_and_are_masked_and_shown_nowhere(
    check_of: Callable[..., CheckSettings],
):
    names = [f"SECRET_{number}" for number in range(9)]
    environment = {name: f"value-of-{name.lower()}" for name in names}
    check = check_of(
        'http = "https://$SECRET_0/$SECRET_1"\n'
        'headers = { A = "Bearer $SECRET_2", Cookie = "plain-cookie" }\n'
        'body = "$SECRET_3$$"\nproxy = "http://p:$SECRET_4@p"\n'
        'oauth = { token_url = "https://t/$SECRET_5", client = "$SECRET_6", secret = "$SECRET_7" }',
        **environment,
    )
    assert isinstance(check.target, HttpTarget)
    assert check.target.url == "https://value-of-secret_0/value-of-secret_1"
    assert check.target.body == "value-of-secret_3$"
    assert check.target.headers == {"A": "Bearer value-of-secret_2", "Cookie": "plain-cookie"}
    assert {environment[name] for name in names[:8]} | {"plain-cookie"} <= set(check.secrets)
    shown = repr(check)
    assert [name for name in names[2:5] if environment[name] in shown] == []
    assert environment["SECRET_7"] not in shown


def test_a_password_in_the_file_is_a_secret_too(check_of: Callable[..., CheckSettings]):
    check = check_of('http = "https://u:in-address@a/"\nuser = "u"\npassword = "of-basic"')
    assert {"in-address", "of-basic", "u:of-basic"} <= set(check.secrets)


def test_a_secret_in_bytes_is_put_in_before_escapes_are_read(check_of: Callable[..., CheckSettings]):
    check = check_of("tcp = 'a:1'\nsend = 'AUTH $REDIS\\r\\n'", REDIS="s3cret")
    assert check.target == TcpTarget("a", 1, b"AUTH s3cret\r\n")
    assert check.secrets == ("s3cret",)


def test_a_secret_in_bytes_is_masked_as_it_is_sent_too(check_of: Callable[..., CheckSettings]):
    check = check_of("tcp = 'a:1'\nsend = 'AUTH $REDIS'", REDIS=r"s3\x41cret")
    assert check.target == TcpTarget("a", 1, b"AUTH s3Acret")
    assert set(check.secrets) == {r"s3\x41cret", "s3Acret"}


def test_what_a_websocket_is_sent_is_text_without_escapes(check_of: Callable[..., CheckSettings]):
    check = check_of("""websocket = 'wss://a/'\nsend = '{"hello": "\\u00e9"}'""")
    assert isinstance(check.target, WebSocketTarget)
    assert check.target.send == r'{"hello": "\u00e9"}'


def test_commands_that_send_nothing_do_without_the_secrets_of_checks(tmp_path: Path):
    path = tmp_path / "config.toml"
    path.write_text(
        '[[monitors]]\ntag = "a"\n[monitors.check]\nhttp = "$URL"\nheaders = { A = "$A" }\n'
        '[[monitors]]\ntag = "b"\n[monitors.check]\nwebsocket = "wss://a/$KEY"\nsend = "$HELLO"\n'
        '[[agent.checks]]\ntag = "c"\nhttp = "$URL"\nproxy = "$PROXY"\n'
    )
    config = load(path, {}, secrets_unknown=True)
    assert config.monitors[0].check is not None
    assert config.monitors[0].check.target == HttpTarget(STAND_IN, headers={"A": STAND_IN})
    with pytest.raises(ConfigError):
        load(path, {})


def test_a_copy_of_the_file_keeps_addresses_and_loses_secrets():
    text = (
        '[[monitors]]\ntag = "a"\n[monitors.check]\nhttp = "https://a.example.org/health"\nuser = "u"\n'
        'password = "pass-word"\nheaders = { X-Key = "key-of-header", Y = "$KEPT" }\n'
    )
    redacted = without_secrets(text.encode(), Document)
    assert redacted is not None
    assert "https://a.example.org/health" in redacted[0].decode()
    assert "$KEPT" in redacted[0].decode()
    assert "pass-word" not in redacted[0].decode()
    assert "key-of-header" not in redacted[0].decode()


@pytest.mark.parametrize(
    ("lines", "is_warned"),
    [
        ('http = "http://a.example.org/$KEY"', True),
        ('http = "http://a.example.org/"\nuser = "u"\npassword = "p"', True),
        ('http = "http://a.example.org/"\nheaders = { Authorization = "Bearer x" }', True),
        ('websocket = "ws://a.example.org/$KEY"', True),
        ('http = "https://a.example.org/$KEY"', False),
        ('http = "http://a.example.org/"', False),
        ('http = "http://127.0.0.1/$KEY"', False),
        ('http = "http://10.1.2.3/$KEY"', False),
        ('http = "http://[fd00::1]/$KEY"', False),
        ('http = "http://box.lan/$KEY"', False),
    ],
)
def test_a_secret_in_the_clear_is_warned_of(load_text: Loaded, lines: str, is_warned: bool):
    config = load_text(f'[[monitors]]\ntag = "earth"\n[monitors.check]\n{lines}', KEY="s3cret")
    assert [text for text in config.warnings if "unencrypted" in text] == (
        [f'monitors["earth"].check.{lines.split(maxsplit=1)[0]}: a secret is sent unencrypted, use https']
        if is_warned
        else []
    )
    assert "s3cret" not in "".join(config.warnings)


# Reload


def test_of_two_checks_only_the_changed_one_is_another_after_a_reload(load_text: Loaded):
    text = (
        '[[monitors]]\ntag = "a"\ncheck = { http = "https://a/$KEY", expect = ["json $.a == 1"] }\n'
        '[[monitors]]\ntag = "b"\ncheck = { ping = "b", every = %s }'
    )
    before, after = load_text(text % 60, KEY="k"), load_text(text % 30, KEY="k")
    assert before.monitors[0].check == after.monitors[0].check
    assert before.monitors[1].check != after.monitors[1].check
    assert load_text(text % 60, KEY="other").monitors[0].check != before.monitors[0].check


# Bytes


@pytest.mark.parametrize(
    ("text", "data"),
    [
        ("", b""),
        ("PING\\r\\n", b"PING\r\n"),
        ("\\x00\\xff\\0\\t\\\\", b"\x00\xff\x00\t\\"),
        ("é\\xe9", b"\xc3\xa9\xe9"),
        ("\\\\n", b"\\n"),
        ("\r\n", b"\r\n"),
    ],
)
def test_bytes_are_written_as_text(text: str, data: bytes):
    assert unescaped(text) == data


@pytest.mark.parametrize("text", ["\\", "a\\", "\\x", "\\x1", "\\xgg", "\\u0041", "\\a", "\\8", "\\é"])
def test_no_other_escape_is_taken(text: str):
    with pytest.raises(EscapeFault):
        unescaped(text)


def test_conditions_of_a_check_are_parsed_when_it_is_loaded(check_of: Callable[..., CheckSettings]):
    check = check_of('http = "http://a/"\nexpect = []\nwarn = ["latency < 1m30s"]')
    assert check.expect == ()
    assert check.warn == (parse("latency < 1m30s"),)
    assert check.warn[0].comparison is not None
    assert check.warn[0].comparison.operands == (timedelta(seconds=90),)
