"""config.toml and the environment: values, defaults, and the message for every mistake."""

import json
import re
import tomllib
from collections.abc import Callable, Iterator, Mapping
from dataclasses import FrozenInstanceError, dataclass, fields, is_dataclass, replace
from datetime import UTC, datetime, timedelta
from ipaddress import ip_network
from pathlib import Path
from zoneinfo import ZoneInfo

import pytest
from aiohttp import web

from kener_async.app import add_routes
from kener_async.clock import Cron
from kener_async.config import load as loading
from kener_async.config import model
from kener_async.config.channels import CHANNELS, ChannelConfig
from kener_async.config.checks import CheckKeys
from kener_async.config.fields import LOCALES, TAG_SUFFIXES, StringMap
from kener_async.config.load import ConfigError
from kener_async.config.model import Config
from kener_async.config.schema import Key, keys_of
from kener_async.config.tables import Document
from kener_async.domain.alerts import BurnRate, CertificateWithin, LatencyAbove, UptimeBelow
from kener_async.domain.checks import CheckTiming
from kener_async.domain.conditions import at_most, parse
from kener_async.domain.groups import GroupSettings
from kener_async.domain.heartbeats import AtSchedule, EveryInterval, MonitorSettings, OnChange
from kener_async.domain.samples import Status
from kener_async.probes.settings import (
    AliveTarget,
    CheckSettings,
    CommandTarget,
    FileTarget,
    HttpTarget,
    TcpTarget,
    UnitTarget,
)
from kener_async.resources import shipped

Load = Callable[..., Config]
Faults = Callable[..., list[str]]

DOCUMENTATION = Path(__file__).parent.parent / "docs/configure.md"
NO_COLORS = model.Colors(up="", degraded="", down="", maintenance="", no_data="", accent="")
SECRET = "cAW0tS6kYQhW1mZr9n2uXb5eJ8vLd3gP"


@pytest.fixture
def load(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Load:
    """Loads a text as the config.toml of the current folder."""
    monkeypatch.chdir(tmp_path)

    def load(text: str = "", **environment: str) -> Config:
        path = Path("config.toml")
        path.write_text(text, encoding="utf-8")
        return loading.load(path, environment)

    return load


@pytest.fixture
def faults_with_lines(load: Load) -> Faults:
    """The lines of the refusal of a text."""

    def faults(text: str = "", **environment: str) -> list[str]:
        with pytest.raises(ConfigError) as refusal:
            load(text, **environment)
        return str(refusal.value).splitlines()

    return faults


@pytest.fixture
def faults(faults_with_lines: Faults) -> Faults:
    """The same without the numbers of the lines in the file."""

    def faults(text: str = "", **environment: str) -> list[str]:
        return [
            re.sub(r"^config\.toml:\d+: ", "config.toml: ", fault)
            for fault in faults_with_lines(text, **environment)
        ]

    return faults


# Defaults


@pytest.mark.parametrize(
    ("section", "expected"),
    [
        (
            "server",
            {
                "host": "127.0.0.1",
                "port": 3000,
                "public_url": "",
                "trusted_proxies": (),
                "shutdown_seconds": 10,
                "max_connections": 0,
                "request_timeout_seconds": 10,
                "base_path": "",
            },
        ),
        ("database", {"synchronous": "FULL", "retention_days": 400}),
        ("backup", {"folder": None, "every": 86400, "keep": 7}),
        ("auth", {"secret_key": "", "algorithm": "HS256", "public_key_file": None, "allowed_ips": ()}),
        (
            "ingest",
            {"clock_skew_seconds": 60, "max_age_days": 90, "max_body_bytes": 65536, "max_queue": 10000},
        ),
        ("rollups", {"interval_seconds": 5}),
        ("log", {"format": "auto", "level": "info", "requests": "errors"}),
        ("metrics", {"max_monitors": 1000}),
        ("watch", {"ping_url": "", "ping_every": 60}),
        ("site", {"title": "Status", "name": "Status", "timezone": ZoneInfo("UTC")}),
        ("site", {"locale": "en", "locales": ("en", "de", "es", "fr", "hi", "ja", "pt-BR", "vi", "zh-CN")}),
        ("site", {"theme": "system", "theme_toggle": True, "pattern": "none", "indexed": True}),
        ("site", {"bar_style": "full", "bar_roundness": "rounded", "summary_style": "current"}),
        ("site", {"assets": None, "custom_css": None, "hero": None, "nav": (), "meta": ()}),
        ("site", {"colors": NO_COLORS, "dark_colors": NO_COLORS}),
        (
            "site",
            dict.fromkeys(
                (
                    "home",
                    "logo",
                    "favicon",
                    "description",
                    "header",
                    "footer",
                    "font_family",
                    "font_file",
                ),
                "",
            ),
        ),
    ],
)
def test_an_empty_file_gives_the_defaults(load: Load, section: str, expected: Mapping[str, object]) -> None:
    found = getattr(load(), section)
    assert {key: getattr(found, key) for key in expected} == expected


def test_an_empty_file_has_no_monitors_no_categories_and_no_announcements(load: Load) -> None:
    assert (load().monitors, load().categories, load().announcements) == ((), (), ())


def test_a_monitor_needs_only_a_tag(load: Load) -> None:
    (earth,) = load('[[monitors]]\ntag = "earth"').monitors
    assert earth == model.MonitorConfig(
        tag="earth",
        name="earth",
        description="",
        image="",
        category="",
        hidden=False,
        latency_unit="s",
        day_degraded_minimum_count=1,
        day_down_minimum_count=1,
        show_reasons=False,
        depends_on=(),
        alerts=None,
        settings=MonitorSettings(),
    )


def test_the_name_of_the_site_is_its_title_unless_set(load: Load) -> None:
    assert load('[site]\ntitle = "Orbit"').site.name == "Orbit"
    assert load('[site]\ntitle = "Orbit"\nname = "ACME"').site.name == "ACME"


def test_a_configuration_cannot_be_changed(load: Load) -> None:
    with pytest.raises(FrozenInstanceError):
        load().server.port = 1  # type: ignore[misc]  # that is the point


def test_no_dict_and_no_list_reaches_the_program(load: Load) -> None:
    assert not [
        value for value in everything_in(load(uncommented(), **NAMED)) if isinstance(value, dict | list)
    ]


def everything_in(value: object) -> Iterator[object]:
    yield value
    if is_dataclass(value):
        for each in fields(value):
            yield from everything_in(getattr(value, each.name))
    elif isinstance(value, tuple):
        for item in value:
            yield from everything_in(item)


# The shipped file


def uncommented() -> str:
    """The shipped file with every setting in it set: those begin with "#" and no space."""
    return re.sub(r"(?m)^#(?=[^\s#])", "", shipped("config.toml"))


# What its $NAMEs stand for, and what its channel of mail and its ways to sign in need.
NAMED = {
    name: "https://hooks.example.org/" if name.endswith("_URL") else f"{name}-0123456789"
    for name in re.findall(r"\$([A-Z_]+)", uncommented())
    if name != "NAME"
} | {
    "KENER_MAIL_HOST": "smtp.example.org",
    "KENER_MAIL_FROM": "status@example.org",
    "KENER_SERVER_PUBLIC_URL": "https://status.example.org",
    "KENER_SERVER_TRUSTED_PROXIES": "127.0.0.1",
}


@dataclass(frozen=True)
class Declared:
    """A key of a table, with the name of its table; `is_plain`: it is no table itself."""

    table: type
    at: str
    name: str
    key: Key

    @property
    def is_plain(self) -> bool:
        return not self.key.tables and not isinstance(self.key.field, StringMap)

    @property
    def comment(self) -> str:
        return self.key.doc + (" A change needs a restart." if self.key.restart else "")


def declared(table: type = Document, at: str = "") -> Iterator[Declared]:
    """Every key of the configuration, those of inner tables too."""
    for attribute, key in keys_of(table).items():
        name = key.field.data_key or attribute
        yield Declared(table, at, f"{at}{name}", key)
        for inner in key.tables:
            yield from declared(inner, f"{at}{name}.")


FREE = {
    "manage.oidc.roles",
    "manage.proxy.roles",
    "site.meta",
    "channels.headers",
    "monitors.check.headers",
}  # their keys are the operator's
# Keys of an agent's checks that are those of the server's, and documented there.
SHARED = {f"agent.checks.{name}" for name in keys_of(CheckKeys)}


def keys_in(table: Mapping[str, object], at: str = "") -> Iterator[str]:
    for key, value in table.items():
        yield f"{at}{key}"
        if f"{at}{key}" in FREE:
            continue
        for nested in value if isinstance(value, list) else [value]:
            if isinstance(nested, dict):
                yield from keys_in(nested, f"{at}{key}.")


def test_the_shipped_file_loads_as_it_is(load: Load) -> None:
    loaded = load(shipped("config.toml"))
    assert [monitor.name for monitor in loaded.monitors] == ["Earth", "Mars"]
    assert {monitor.category for monitor in loaded.monitors} == {loaded.categories[0].name}


def test_both_monitors_of_the_shipped_file_are_missed(load: Load) -> None:
    earth, mars = load(shipped("config.toml")).monitors
    assert earth.settings == MonitorSettings(expectation=EveryInterval(300, 300, 1800))
    assert mars.settings == MonitorSettings(expectation=EveryInterval(60, 120, 600))


def test_the_shipped_file_mentions_every_setting_and_no_other() -> None:
    mentioned = {name for name in keys_in(tomllib.loads(uncommented())) if name not in SHARED}
    assert mentioned == {each.name for each in declared() if not _is_shared(each)}


def _is_shared(each: Declared) -> bool:
    return each.name in SHARED or each.name.startswith("agent.checks.oauth.")


ONE_ALERT = """\
[[channels]]
name = "a"
kind = "slack"
url = "https://hooks.example.org/"
[[alerts]]
name = "a"
to = ["a"]
"""
KIND_OF = {table: kind for kind, table in CHANNELS.items()}


def comments_in(text: str) -> dict[str, str]:
    """The comment right above each key or header of the shipped file, where it occurs first with one.

    A key of a table with a kind is there once more, with its kind.
    """
    comments: dict[str, str] = {}
    table, kind, above = "", "", ""
    for line in text.splitlines():
        if words := re.fullmatch(r"# (.*)", line):
            above = f"{above} {words[1]}".strip()
            continue
        if header := re.fullmatch(r"#?\[+([a-z_.]+)\]+", line):
            table, kind = header[1], ""
            comments.setdefault(table, above)
        elif of_kind := re.fullmatch(r'#kind = "([a-z]+)"', line):
            kind = of_kind[1]
        if above and (key := re.match(r"#?([a-z0-9_]+) = ", line)):
            comments.setdefault(f"{table}.{key[1]}", above)
            comments.setdefault(f"{kind}.{table}.{key[1]}", above)
        above = ""
    return comments


def test_every_key_of_the_shipped_file_has_its_documentation_as_comment() -> None:
    comments, seen, wrong = comments_in(shipped("config.toml")), set(), {}
    for each in declared():
        shared = each.table, each.name.removeprefix(each.at)  # colors and dark_colors have the same keys
        if not each.key.tables and shared not in seen and not _is_shared(each):
            seen.add(shared)
            name = f"{KIND_OF.get(each.table, '')}.{each.name}"
            written = comments.get(name, comments.get(each.name))
            if written != each.comment:
                wrong[name] = (written, each.comment)
    assert wrong == {}


def test_every_key_is_documented() -> None:
    assert [each.name for each in declared() if not each.key.tables and not each.key.doc] == []


def test_the_shipped_file_shows_the_defaults(load: Load) -> None:
    shown, default = load(uncommented(), **NAMED), load()
    examples = {"server", "site", "categories", "channels", "mail", "templates", "maintenance", "manage"}
    for each in fields(model.PlainTables):
        if each.name not in examples:
            assert getattr(shown, each.name) == getattr(default, each.name)
    assert replace(shown.server, public_url="", trusted_proxies=()) == default.server
    assert replace(shown.mail, host="", sender="") == default.mail
    assert replace(shown.server, public_url="", trusted_proxies=()) == default.server
    assert replace(shown.manage, oidc=None, proxy=None) == default.manage
    assert shown.manage.oidc is not None
    assert shown.manage.oidc.roles == (("status-admins", "admin"), ("ops", "editor"))
    assert replace(shown.manage, oidc=None, proxy=None) == default.manage
    assert replace(shown.agent, checks=()) == default.agent
    assert replace(shown.site, nav=(), meta=()) == default.site  # these two are examples


def test_the_shipped_file_shows_the_defaults_of_monitors_and_categories(load: Load) -> None:
    shown = load(uncommented(), **NAMED)
    default = load('[[monitors]]\ntag = "phobos"\n[[categories]]\nname = "Moons"')
    (phobos,) = (monitor for monitor in shown.monitors if monitor.tag == "phobos")
    (moons,) = (category for category in shown.categories if category.name == "Moons")
    up = MonitorSettings(default_status=Status.UP)  # an example, there is none by default
    assert (phobos, moons) == (replace(default.monitors[0], settings=up), default.categories[0])


CHECKED = (
    *("shop", "orders", "router", "cache", "game", "mail-records", "directory", "feed"),
    *("shell", "mail-in", "mailbox", "mailbox-pop3", "files"),
)


def test_the_examples_in_the_shipped_file_are_what_they_say(load: Load) -> None:
    shown = {monitor.tag: monitor.settings for monitor in load(uncommented(), **NAMED).monitors}
    assert shown == {
        "earth": MonitorSettings(expectation=EveryInterval(300, 300, 1800)),
        "mars": MonitorSettings(expectation=EveryInterval(60, 120, 600)),
        "phobos": MonitorSettings(default_status=Status.UP),
        "deimos": MonitorSettings(expectation=EveryInterval(5400, 0, 5400)),
        "nightly-backup": MonitorSettings(
            expectation=AtSchedule(Cron("30 2 * * *", "Europe/Berlin"), 900, 3600, 90)
        ),
        "door": MonitorSettings(expectation=OnChange(172_800), stale_after=172_800),
        "weather": MonitorSettings(stale_after=21_600),
        "backup": MonitorSettings(),
        **dict.fromkeys(CHECKED, MonitorSettings(expectation=OnChange(60 + 10 + 2 * 30 + 60, is_check=True))),
        "office": MonitorSettings(
            expectation=OnChange((2 * 24 + 13) * 3600 + 300 + 3600 + 130, is_check=True)
        ),
        "invoices": MonitorSettings(),
        "payments": MonitorSettings(group=GroupSettings(("invoices", "earth"))),
    }


def test_the_alerts_in_the_shipped_file_are_what_they_say(load: Load) -> None:
    shown, default = load(uncommented(), **NAMED), load(ONE_ALERT)
    outage, slow, uptime, budget, certificate = (alert.rule for alert in shown.alerts)
    assert replace(outage, name="a", to=("a",)) == default.alerts[0].rule
    assert [each.condition for each in (slow, uptime)] == [
        LatencyAbove(0.8),
        UptimeBelow(99.5, "30d", 99.6),
    ]
    assert certificate.condition == CertificateWithin(14 * 86400)
    assert shown.rules_of("invoices") == (
        outage,
        replace(budget, condition=BurnRate(14.4, 99.9, 3600, 300)),
    )
    assert shown.by_tag["invoices"].depends_on == ("earth",)


def test_the_channels_in_the_shipped_file_show_the_defaults_and_are_all_there_are(load: Load) -> None:
    shown, (default,) = load(uncommented(), **NAMED).channels, load(ONE_ALERT).channels
    assert sorted(each.kind for each in shown) == sorted(CHANNELS)
    common = [each.name for each in fields(ChannelConfig) if each.name not in {"name", "kind", "gather"}]
    for each in shown:
        assert [getattr(each, name) for name in common] == [getattr(default, name) for name in common]


def test_the_checks_in_the_shipped_file_are_what_they_say(load: Load) -> None:
    web, database, disk, mqtt, camera, gate = load(uncommented(), **NAMED).agent.checks
    timing, on_device = CheckTiming(60, 10), CheckTiming(60, 10, retries=0)
    assert web == CheckSettings(
        "web",
        HttpTarget("http://127.0.0.1:8080/health"),
        timing,
        expect=(parse("status == 200"),),
        warn=(at_most("latency", timedelta(seconds=0.5)),),
    )
    assert database == CheckSettings("database", TcpTarget("127.0.0.1", 5432), timing)
    command = CommandTarget(("/usr/local/bin/check-disk", "/data"), 1)
    assert disk == CheckSettings("disk", command, on_device)
    assert mqtt == CheckSettings("mqtt", UnitTarget("mosquitto.service"), on_device)
    file = FileTarget(Path("/var/lib/camera/latest.jpg"), 300)
    assert camera == CheckSettings("camera", file, on_device)
    assert gate == CheckSettings("gate", AliveTarget(), on_device)


def test_the_examples_of_the_page_in_the_shipped_file_are_what_they_say(load: Load) -> None:
    shown = load(uncommented(), **NAMED)
    assert shown.site.nav == (model.Link("Contact", "mailto:control@example.org", ""),)
    assert shown.site.meta == (("author", "Mission Control"), ("og:type", "website"))
    (moving,) = shown.announcements
    assert (moving.title, moving.level) == ("We are moving", "info")
    assert (moving.start, moving.end) == (utc(2026, 5, 1), utc(2026, 5, 9, 16))


def utc(*parts: int) -> int:
    return int(datetime(*parts, tzinfo=UTC).timestamp())  # type: ignore[arg-type,misc]


# Values


def test_an_address_is_a_network_of_one(load: Load) -> None:
    text = (
        '[server]\ntrusted_proxies = ["127.0.0.1", "10.0.0.0/8", "::1"]\n[auth]\nallowed_ips = ["fd00::/8"]'
    )
    loaded = load(text)
    assert loaded.server.trusted_proxies == tuple(map(ip_network, ("127.0.0.1/32", "10.0.0.0/8", "::1/128")))
    assert loaded.auth.allowed_ips == (ip_network("fd00::/8"),)


@pytest.mark.parametrize(
    ("written", "read"),
    [
        ("", ""),
        ("https://status.example.org/", "https://status.example.org"),
        ("http://[::1]:3000", "http://[::1]:3000"),
    ],
)
def test_a_public_url_has_no_slash_at_its_end(load: Load, written: str, read: str) -> None:
    assert load(f'[server]\npublic_url = "{written}"').server.public_url == read


def test_relative_paths_are_relative_to_the_folder_of_the_file(tmp_path: Path) -> None:
    folder = tmp_path / "etc"
    folder.mkdir()
    (folder / "kener.toml").write_text(
        '[database]\npath = "db/x.db"\n'
        '[auth]\nsecret_key_file = "key"\nalgorithm = "RS256"\npublic_key_file = "/run/public.pem"'
    )
    loaded = loading.load(folder / "kener.toml", {})
    assert loaded.database.path == folder / "db/x.db"
    assert loaded.auth.secret_key_file == folder / "key"
    assert loaded.auth.public_key_file == Path("/run/public.pem")


def test_backups_go_to_a_folder_beside_the_file_as_often_as_it_says(load: Load, tmp_path: Path) -> None:
    read = load('[backup]\nfolder = "safe"\nevery = "6h"', KENER_BACKUP_KEEP="3")
    assert read.backup == model.BackupConfig(tmp_path / "safe", 21_600, 3)
    assert load(KENER_BACKUP_EVERY="3600").backup.every == 3600


def test_a_file_given_by_a_relative_path_gives_absolute_paths(load: Load, tmp_path: Path) -> None:
    assert load().database.path == tmp_path / "data/kener.db"


@pytest.mark.parametrize(
    ("text", "file", "makes"),
    [
        ("", "data/secret.key", True),
        ('[database]\npath = "elsewhere/kener.db"', "elsewhere/secret.key", True),
        ('[auth]\nsecret_key_file = "my.key"', "my.key", False),
        (f'[auth]\nsecret_key = "{SECRET}"', "data/secret.key", False),
    ],
    ids=["nothing set", "nothing set, another database", "a file", "a key"],
)
def test_a_key_file_is_made_beside_the_database_only_when_no_key_is_configured(
    load: Load, tmp_path: Path, text: str, file: str, makes: bool
) -> None:
    auth = load(text).auth
    assert (auth.secret_key_file, auth.makes_secret_key) == (tmp_path / file, makes)
    assert not auth.secret_key_file.exists()


@pytest.mark.parametrize("status", [Status.UP, Status.DEGRADED, Status.DOWN])
def test_a_default_status_is_one_of_the_three_measurable(load: Load, status: Status) -> None:
    (monitor,) = load(f'[[monitors]]\ntag = "earth"\ndefault_status = "{status.name}"').monitors
    assert monitor.settings.default_status is status


@pytest.mark.parametrize(
    ("written", "seconds"),
    [("90", 90), ('"90s"', 90), ('"5m"', 300), ('"1h"', 3600), ('"2d"', 172_800), ('"1h30m"', 5400)],
)
def test_a_duration_is_seconds_or_text(load: Load, written: str, seconds: int) -> None:
    assert heartbeat_of(load, f"interval = {written}").expectation == EveryInterval(seconds, 0, seconds)


# The page


@pytest.fixture
def assets(tmp_path: Path) -> Path:
    """A folder of files beside config.toml."""
    folder = tmp_path / "files"
    (folder / "fonts").mkdir(parents=True)
    for name in ("logo.svg", "terms.html", "fonts/inter.woff2", ".hidden"):
        (folder / name).touch()
    return folder


def with_assets(text: str) -> str:
    return f'[site]\nassets = "files"\n{text}'


@pytest.mark.parametrize(
    ("key", "written", "read"),
    [
        ("bar_style", "PARTIAL", "partial"),
        ("bar_style", "FULL", "full"),
        ("bar_roundness", "SHARP", "sharp"),
        ("summary_style", "DAY", "day"),
        ("summary_style", "current", "current"),
        ("theme", "dark", "dark"),
        ("pattern", "squares", "squares"),
        ("font_family", "Inter, 'Noto Sans JP', sans-serif", "Inter, 'Noto Sans JP', sans-serif"),
        ("locale", "pt-BR", "pt-BR"),
    ],
)
def test_a_style_is_one_of_its_words(load: Load, key: str, written: str, read: str) -> None:
    assert getattr(load(f'[site]\n{key} = "{written}"').site, key) == read


def test_a_page_that_is_not_to_be_indexed_says_so(load: Load) -> None:
    assert not load("[site]\nindexed = false").site.indexed


@pytest.mark.parametrize(
    "address",
    [
        "",
        "https://example.org",
        "HTTP://[::1]:8080/a?b=c#d",
        "https://social.example/@status",
        "/picture.png?v=2",
        "/",
        "logo.svg",
        "fonts/inter.woff2",
    ],
)
@pytest.mark.parametrize("key", ["logo", "favicon", "home"])
def test_an_address_is_kept_as_it_is_written(load: Load, assets: Path, key: str, address: str) -> None:
    assert getattr(load(with_assets(f'{key} = "{address}"')).site, key) == address


@pytest.mark.parametrize("url", ["mailto:a@example.org", "/incidents", "https://example.org/", "terms.html"])
def test_a_link_leads_to_an_address_or_a_mailbox(load: Load, assets: Path, url: str) -> None:
    text = with_assets(f'[[site.nav]]\nname = "There"\nurl = "{url}"\nicon = "logo.svg"')
    assert load(text).site.nav == (model.Link("There", url, "logo.svg"),)


@pytest.mark.parametrize(
    "address",
    [
        "javascript:alert(1)",
        "JavaScript:alert(1)",
        "data:text/html,x",
        "mailto:a@example.org",
        "ftp://example.org",
        "https://",
        "https:example.org",
        "https://[::1",
        "http://a:0",
        "http://a:port",
        "../secret.key",
        "a/../b",
        ".hidden",
        "a//b",
        "a/",
        "a?b",
        "#top",
    ],
)
def test_an_image_is_an_address_or_an_asset(faults: Faults, assets: Path, address: str) -> None:
    ways = "an address (https:, http:), a path that begins with / or a file in assets"
    assert faults(with_assets(f'logo = "{address}"')) == [
        f'config.toml: site.logo: must be {ways}, not "{address}"'
    ]


@pytest.mark.parametrize(
    "address", ["/a b", "/\\evil.example", "java\nscript:x", "/\u007f", "/\u202e", "\u00a0"]
)
def test_an_address_has_no_character_that_hides_where_it_leads(faults: Faults, address: str) -> None:
    shown = json.dumps(address, ensure_ascii=False)
    assert faults(f"[site]\nlogo = {json.dumps(address)}") == [
        f"config.toml: site.logo: {shown} contains a space, a backslash or a control character"
    ]


@pytest.mark.parametrize(
    ("text", "place"),
    [
        ('[site]\nlogo = "logo.svg"', "site.logo"),
        ('[site]\nfavicon = "logo.svg"', "site.favicon"),
        ('[site]\nhome = "logo.svg"', "site.home"),
        ('[site.hero]\nimage = "logo.svg"', "site.hero.image"),
        ('[[site.nav]]\nname = "a"\nurl = "logo.svg"', 'site.nav["a"].url'),
        ('[[site.nav]]\nname = "a"\nurl = "/"\nicon = "logo.svg"', 'site.nav["a"].icon'),
        ('[[monitors]]\ntag = "earth"\nimage = "logo.svg"', 'monitors["earth"].image'),
    ],
)
def test_an_asset_needs_the_folder_and_is_in_it(
    load: Load, faults: Faults, assets: Path, text: str, place: str
) -> None:
    assert faults(text) == [
        f'config.toml: {place}: "logo.svg" is a file of the assets folder, set site.assets'
    ]
    assert load(text, KENER_SITE_ASSETS="files").site.assets == assets
    (assets / "logo.svg").unlink()
    assert faults(text, KENER_SITE_ASSETS="files") == [
        f'config.toml: {place}: there is no file "logo.svg" in "files"'
    ]


def test_a_font_file_is_an_asset(load: Load, faults: Faults, assets: Path) -> None:
    assert load(with_assets('font_file = "fonts/inter.woff2"')).site.font_file == "fonts/inter.woff2"
    assert faults(with_assets('font_file = "inter.woff2"')) == [
        'config.toml: site.font_file: there is no file "inter.woff2" in "files"'
    ]
    assert faults('[site]\nfont_file = "inter.woff2"') == [
        'config.toml: site.font_file: "inter.woff2" is a file of the assets folder, set site.assets'
    ]


def test_a_stylesheet_of_ones_own_is_a_readable_text(load: Load, faults: Faults, tmp_path: Path) -> None:
    text, css = '[site]\ncustom_css = "own.css"', tmp_path / "own.css"
    fault = 'config.toml: site.custom_css: "own.css"'
    assert faults(text) == [f"{fault} cannot be read: No such file or directory"]
    css.write_bytes(b"\xff")
    assert faults(text) == [f"{fault} is not UTF-8"]
    css.write_text("h1 { color: red }")
    assert load(text).site.custom_css == css


@pytest.mark.parametrize("folder", ["nowhere", "config.toml", "a" * 5000])
def test_the_assets_are_a_folder(faults: Faults, folder: str) -> None:
    (fault,) = faults(f'[site]\nassets = "{folder}"\nlogo = "logo.svg"')
    assert fault.startswith('config.toml: site.assets: there is no folder "')


@pytest.mark.parametrize(
    ("text", "held"),
    [
        ('[site]\nassets = "."', "config.toml"),
        ('[site]\nassets = ".."', "config.toml"),
        ('[site]\nassets = "files"\n[database]\npath = "files/kener.db"', "the database"),
        ('[site]\nassets = "files"\n[database]\npath = "files/fonts/kener.db"', "the database"),
        ('[site]\nassets = "link"\n[database]\npath = "files/kener.db"', "the database"),
        (
            '[site]\nassets = "files"\n[auth]\nsecret_key = ""\nsecret_key_file = "files/s.key"',
            "the signing key",
        ),
        ('[site]\nassets = "files"\n[backup]\nfolder = "files"', "the backups"),
    ],
)
def test_the_assets_hold_nothing_of_the_services_own(
    faults: Faults, assets: Path, text: str, held: str, tmp_path: Path
) -> None:
    (tmp_path / "link").symlink_to(assets)
    folder = re.findall('assets = "(.*)"', text)[0]
    words = "everything in it is public, use a folder of its own"
    assert f'config.toml: site.assets: "{folder}" holds {held}: {words}' in faults(text)


@pytest.mark.parametrize("name", ["secret.key", "kener.db", "notes.txt", "page.js", "logo"])
def test_an_asset_is_of_a_kind_that_is_served(faults: Faults, assets: Path, name: str) -> None:
    (assets / name).touch()
    (fault,) = faults(with_assets(f'logo = "{name}"'))
    assert fault.startswith(f'config.toml: site.logo: "{name}" is of a kind that is not served, use .svg')


@pytest.mark.parametrize("name", ["config.toml", "secret.key", "kener.db"])
def test_a_stylesheet_is_no_other_file(faults: Faults, name: str) -> None:
    assert faults(f'[site]\ncustom_css = "{name}"') == [
        f'config.toml: site.custom_css: "{name}" must end in .css: its text is public'
    ]


def test_the_page_in_the_documentation_loads(load: Load, assets: Path, tmp_path: Path) -> None:
    (tmp_path / "own.css").touch()
    _, page = DOCUMENTATION.read_text(encoding="utf-8").split("## The page")
    loaded = load("\n".join(re.findall(r"(?m)^    (.*)$", page)))
    assert (loaded.site.locale, loaded.site.assets) == ("de", assets)
    assert [each.level for each in loaded.announcements] == ["warning"]


def test_a_hero_that_says_nothing_is_none(load: Load) -> None:
    assert load("[site.hero]").site.hero is None
    assert load('[site.hero]\nsubtitle = "All is well"').site.hero == model.Hero("", "All is well", "")


def test_colors_are_of_the_light_and_of_the_dark_theme(load: Load) -> None:
    site = load('[site.colors]\nup = "#4ead94"\n[site.dark_colors]\nno_data = "#ABC"').site
    assert site.colors == replace(NO_COLORS, up="#4ead94")
    assert site.dark_colors == replace(NO_COLORS, no_data="#ABC")


@pytest.mark.parametrize("color", ["red", "#4ead9", "4ead94", "#4ead94;", "#xyz", "#fff\\n", "rgb(0,0,0)"])
@pytest.mark.parametrize("table", ["colors", "dark_colors"])
def test_nothing_but_a_color_reaches_the_stylesheet(faults: Faults, table: str, color: str) -> None:
    assert faults(f'[site.{table}]\naccent = "{color}"') == [
        f'config.toml: site.{table}.accent: must be a color such as #4ead94 or #fff, not "{color}"'
    ]


@pytest.mark.parametrize(
    "family", ["a;b", "a}", "url(x)", "a,,b", "a,", " a", "'a", "'a\"", "a/*", "1a", "a\\n", "a\\\\41"]
)
def test_nothing_but_font_families_reaches_the_stylesheet(faults: Faults, family: str) -> None:
    written = family.replace('"', '\\"')
    assert faults(f'[site]\nfont_family = "{written}"') == [
        f'config.toml: site.font_family: "{written}" is not a list of font families'
    ]


def test_meta_tags_are_pairs_of_name_and_content(load: Load) -> None:
    meta = load('[site.meta]\nauthor = "A \\"B\\""\n"og:image" = "/x.png"').site.meta
    assert meta == (("author", 'A "B"'), ("og:image", "/x.png"))


@pytest.mark.parametrize(
    ("moment", "instant"),
    [
        ("2026-05-09T18:00:00+02:00", utc(2026, 5, 9, 16)),
        ("2026-05-09T18:00:00Z", utc(2026, 5, 9, 18)),
        ("2026-05-09T18:00:00.9", utc(2026, 5, 9, 9)),
        ("2026-05-09 18:00:00", utc(2026, 5, 9, 9)),
        ("2026-05-09", utc(2026, 5, 8, 15)),
    ],
)
def test_an_announcement_without_an_offset_is_read_in_the_zone_of_the_site(
    load: Load, moment: str, instant: int
) -> None:
    site = '[site]\ntimezone = "Asia/Tokyo"\n'
    for key, bounds in (("from", (instant, None)), ("until", (None, instant))):
        (shown,) = load(f'{site}[[announcements]]\ntitle = "a"\n{key} = {moment}').announcements
        assert (shown.start, shown.end) == bounds


def test_an_announcement_needs_only_a_title(load: Load) -> None:
    assert load('[[announcements]]\ntitle = "We move"').announcements == (
        model.Announcement(title="We move", text="", level="info", start=None, end=None),
    )


def test_a_hidden_category_hides_its_monitors(load: Load) -> None:
    loaded = load(
        '[[categories]]\nname = "Moons"\nhidden = true\n[[categories]]\nname = "Planets"\n'
        '[[monitors]]\ntag = "phobos"\ncategory = "Moons"\n[[monitors]]\ntag = "mars"\ncategory = "Planets"'
    )
    assert [category.hidden for category in loaded.categories] == [True, False]
    assert [monitor.hidden for monitor in loaded.monitors] == [True, False]


@pytest.mark.parametrize("path", ["", "/status", "/a/b.c_d~e-f", "/..."])
def test_a_base_path_has_no_slash_at_its_end(load: Load, path: str) -> None:
    assert load(f'[server]\nbase_path = "{path}"').server.base_path == path


# Heartbeats


def with_heartbeat(lines: str) -> str:
    return f'[[monitors]]\ntag = "mars"\n[monitors.heartbeat]\n{lines}'


def heartbeat_of(load: Load, lines: str, above: str = "") -> MonitorSettings:
    return load(above + with_heartbeat(lines)).monitors[0].settings


@pytest.mark.parametrize(
    ("lines", "settings"),
    [
        ("interval = 60", MonitorSettings(expectation=EveryInterval(60, 0, 60))),
        ('interval = 60\ngrace = "2m"', MonitorSettings(expectation=EveryInterval(60, 120, 180))),
        (
            'interval = 60\ngrace = "2m"\ndown_after = 180',
            MonitorSettings(expectation=EveryInterval(60, 120, 180)),
        ),
        ('interval = 60\ndown_after = "10m"', MonitorSettings(expectation=EveryInterval(60, 0, 600))),
        ('cron = "0 3 * * *"', MonitorSettings(expectation=AtSchedule(Cron("0 3 * * *", "UTC"), 0, 0, 60))),
        (
            'cron = "0 3 * * *"\ngrace = 60',
            MonitorSettings(expectation=AtSchedule(Cron("0 3 * * *", "UTC"), 60, 60, 60)),
        ),
        (
            'cron = "0 3 * * *"\ntimezone = "Europe/Paris"\ngrace = 60\ndown_after = 90',
            MonitorSettings(expectation=AtSchedule(Cron("0 3 * * *", "Europe/Paris"), 60, 90, 60)),
        ),
        (
            'carry_forward = true\nstale_after = "1d"',
            MonitorSettings(expectation=OnChange(86400), stale_after=86400),
        ),
        ("stale_after = 600", MonitorSettings(stale_after=600)),
        ("carry_forward = false\ninterval = 60", MonitorSettings(expectation=EveryInterval(60, 0, 60))),
    ],
)
def test_a_heartbeat_table_says_what_is_expected(load: Load, lines: str, settings: MonitorSettings) -> None:
    assert heartbeat_of(load, lines) == settings


def test_a_schedule_is_read_in_the_zone_of_the_site_unless_it_has_its_own(load: Load) -> None:
    settings = heartbeat_of(load, 'cron = "0 3 * * *"', above='[site]\ntimezone = "Asia/Tokyo"\n')
    assert settings.expectation == AtSchedule(Cron("0 3 * * *", "Asia/Tokyo"), 0, 0, 60)


@pytest.mark.parametrize(
    ("lines", "expected"),
    [
        ("interval = 59", ["interval: must be between 60 s and 36500 days"]),
        (
            'interval = "60"',
            ['interval: must be whole seconds or text such as "1h30m", not "60"'],
        ),
        ('interval = ""', ['interval: must be whole seconds or text such as "1h30m", not ""']),
        ('interval = "30m1h"', ['interval: must be whole seconds or text such as "1h30m", not "30m1h"']),
        ("interval = true", ['interval: must be whole seconds or text such as "1h30m", not a boolean']),
        (
            "interval = 60.0",
            ['interval: must be whole seconds or text such as "1h30m", not a decimal number'],
        ),
        ("interval = 60\ngrace = -1", ["grace: must be between 0 s and 36500 days"]),
        (
            'interval = 60\ncron = "0 3 * * *"',
            ["cron: contradicts interval, set one of them"],
        ),
        (
            "interval = 60\ngrace = 60\ndown_after = 119",
            ["down_after: must be at least interval + grace, 120 s, not 119 s"],
        ),
        (
            'cron = "0 3 * * *"\ngrace = 60\ndown_after = 59',
            ["down_after: must be at least grace, 60 s, not 59 s"],
        ),
        (
            'cron = "0 25 * * *"',
            ['cron: "0 25 * * *" is not a cron expression: hour: must be 0 to 23, not 25'],
        ),
        ('cron = "@daily"', ['cron: "@daily" is not a cron expression: needs five fields, not 1']),
        ('cron = "0 0 30 2 *"', ['cron: "0 0 30 2 *" never matches']),
        ('interval = 60\ntimezone = "UTC"', ["timezone: needs cron"]),
        ("interval = 60\nstale_after = 60", ["stale_after: is not used with interval or cron"]),
        ("carry_forward = true", ["stale_after: is missing, carry_forward needs it"]),
        (
            "carry_forward = true\nstale_after = 60\n"
            'interval = 60\ngrace = 1\ndown_after = 1\ntimezone = "UTC"',
            [f"{key}: contradicts carry_forward" for key in ("down_after", "grace", "interval", "timezone")],
        ),
        (
            'carry_forward = true\nstale_after = 60\ncron = "0 3 * * *"',
            ["cron: contradicts carry_forward"],
        ),
        ('carry_forward = "yes"', ['carry_forward: must be true or false, not "yes"']),
        (
            'grace = 1\ndown_after = 1\ntimezone = "UTC"',
            [f"{key}: needs interval or cron" for key in ("down_after", "grace", "timezone")],
        ),
        ("stale_after = 60\ngrace = 1", ["grace: needs interval or cron"]),
        ("intervall = 60", ['intervall: unknown key, did you mean "interval"?']),
    ],
)
def test_a_heartbeat_that_contradicts_itself_is_named(
    faults: Faults, lines: str, expected: list[str]
) -> None:
    assert faults(with_heartbeat(lines)) == [
        f'config.toml: monitors["mars"].heartbeat.{fault}' for fault in expected
    ]


def test_an_empty_heartbeat_table_is_a_fault(faults: Faults) -> None:
    assert faults(with_heartbeat("")) == [
        'config.toml: monitors["mars"].heartbeat: is empty, set interval, cron or stale_after'
    ]


def test_a_wrong_value_causes_no_second_fault_of_a_rule_that_needs_it(faults: Faults) -> None:
    assert faults(with_heartbeat("interval = 1\ngrace = 60\ndown_after = 2")) == [
        'config.toml: monitors["mars"].heartbeat.interval: must be between 60 s and 36500 days'
    ]


# Faults


@pytest.mark.parametrize(
    ("text", "fault"),
    [
        ("[server]\nport = 65536", "server.port: must be between 0 and 65535, not 65536"),
        ("[server]\nport = -1", "server.port: must be between 0 and 65535, not -1"),
        ('[server]\nport = "5"', 'server.port: must be a whole number, not "5"'),
        ("[server]\nport = true", "server.port: must be a whole number, not a boolean"),
        ("[server]\nport = 5.0", "server.port: must be a whole number, not a decimal number"),
        ("[server]\nport = 2026-01-01", "server.port: must be a whole number, not a date or a time"),
        ("[server]\nhost = 5", "server.host: must be text, not a whole number"),
        ('[server]\nhost = ""', "server.host: must not be empty"),
        ('[server]\nhost = "a\\u0000"', "server.host: contains an invalid character"),
        ("[server]\nprot = 5", 'server.prot: unknown key, did you mean "port"?'),
        ("[server]\nzzz = 5", "server.zzz: unknown key"),
        (
            '[[monitors]]\ntag = "earth"\ngroup = ["mars"]',
            'monitors["earth"].group: unknown key, it stands in [monitors.check]',
        ),
        ("[server]\ngroup = 5", "server.group: unknown key"),
        ('[server]\n"a\\nb" = 5', 'server."a\\nb": unknown key'),
        ("[sever]\nport = 5", 'sever: unknown key, did you mean "server"?'),
        ("server = 5", "server: must be a table"),
        ("[[server]]\nport = 5", "server: must be a table"),
        ("[server]\nshutdown_seconds = 0", "server.shutdown_seconds: must be between 1 and 3600, not 0"),
        ('[server]\ntrusted_proxies = "::1"', "server.trusted_proxies: must be a list"),
        (
            '[server]\ntrusted_proxies = ["::1", "10.0.0.300"]',
            'server.trusted_proxies[number 2]: "10.0.0.300" is not an IP address or network',
        ),
        (
            "[server]\ntrusted_proxies = [1]",
            "server.trusted_proxies[number 1]: must be text, not a whole number",
        ),
        (
            '[auth]\nallowed_ips = ["10.0.0.1/8"]',
            'auth.allowed_ips[number 1]: "10.0.0.1/8" has host bits set',
        ),
        *(
            (
                f'[server]\npublic_url = "{url}"',
                f'server.public_url: must be an http or https address without query, not "{url}"',
            )
            for url in ("status.example.org", "ftp://a", "http://", "http://a:x", "http://u@a", "http://a/?b")
        ),
        (
            '[database]\nsynchronous = "full"',
            'database.synchronous: must be one of FULL, NORMAL, EXTRA, not "full"',
        ),
        ('[database]\npath = ""', "database.path: must not be empty"),
        (
            "[database]\nretention_days = 89",
            "database.retention_days: must be at least ingest.max_age_days, 90, not 89",
        ),
        (
            "[ingest]\nmax_age_days = 401",
            "database.retention_days: must be at least ingest.max_age_days, 401, not 400",
        ),
        (
            f'[auth]\nsecret_key = "{SECRET}"\nsecret_key_file = "key"',
            "auth.secret_key_file: contradicts secret_key, set one of them",
        ),
        ('[auth]\nalgorithm = "EdDSA"', "auth.public_key_file: is missing, EdDSA needs it"),
        ('[auth]\nalgorithm = "RS256"', "auth.public_key_file: is missing, RS256 needs it"),
        ('[auth]\npublic_key_file = "a.pem"', "auth.public_key_file: is not used with HS256"),
        ('[auth]\nalgorithm = "none"', 'auth.algorithm: must be one of HS256, EdDSA, RS256, not "none"'),
        (
            "[rollups]\ninterval_seconds = 901",
            "rollups.interval_seconds: must be between 1 and 900, not 901",
        ),
        ('[log]\nformat = "xml"', 'log.format: must be one of auto, json, text, not "xml"'),
        ('[site]\ntimezone = "Mars/Base"', 'site.timezone: "Mars/Base" is not a time zone'),
        (
            '[site]\ntimezone = "Europe/Berln"',
            'site.timezone: "Europe/Berln" is not a time zone, did you mean "Europe/Berlin"?',
        ),
        ('[site]\ntimezone = "/etc/passwd"', 'site.timezone: "/etc/passwd" is not a time zone'),
        *(
            (
                f'[server]\nbase_path = "{path}"',
                "server.base_path: must begin with / and not end with it, of A-Z a-z 0-9 . _ ~ - /, "
                f'not "{path}"',
            )
            for path in ("/", "status", "/status/", "//a", "/a//b", "/a b", "/..", "/a/./b", "/ä", "/a?b")
        ),
        (
            '[site]\nlogo = "//example.org/a"',
            'site.logo: "//example.org/a" must say https: or http: before //',
        ),
        ('[site]\ntheme = "DARK"', 'site.theme: must be one of system, light, dark, not "DARK"'),
        ('[site]\nbar_style = "Half"', 'site.bar_style: must be one of full, partial, not "Half"'),
        (
            '[site]\nfont_file = "font.otf"',
            'site.font_file: must name a .woff2, .woff or .ttf file in assets, not "font.otf"',
        ),
        (
            '[site]\nfont_file = "/etc/font.ttf"',
            'site.font_file: must name a .woff2, .woff or .ttf file in assets, not "/etc/font.ttf"',
        ),
        (
            '[site]\nlocale = "it"',
            'site.locale: must be one of en, de, es, fr, hi, ja, pt-BR, vi, zh-CN, not "it"',
        ),
        (
            '[site]\nlocales = ["en", "zh"]',
            'site.locales[number 2]: must be one of en, de, es, fr, hi, ja, pt-BR, vi, zh-CN, not "zh"',
        ),
        ('[site]\nlocales = ["de"]', 'site.locale: "en" is not in site.locales'),
        ("[site]\nlocales = []", 'site.locale: "en" is not in site.locales'),
        ('[site]\nlocales = ["en", "en"]', 'site.locales[number 2]: "en" is used twice'),
        ("[site]\nindexed = 1", "site.indexed: must be true or false, not a whole number"),
        ("[site]\nhero = 5", "site.hero: must be a table"),
        ('[site.hero]\nimg = ""', 'site.hero.img: unknown key, did you mean "image"?'),
        ('[site.colors]\nUP = "#fff"', 'site.colors.UP: unknown key, did you mean "up"?'),
        ("[site]\nmeta = 5", "site.meta: must be a table"),
        ("[site.meta]\nauthor = 5", "site.meta.author: must be text, not a whole number"),
        (
            '[site.meta]\n"a b" = ""',
            'site.meta."a b": contains an invalid character, allowed are A-Z a-z 0-9 . : _ -',
        ),
        ("[site]\nnav = 5", "site.nav: must be [[site.nav]] tables"),
        ("[site.nav]", "site.nav: must be [[site.nav]] tables"),
        ("[site]\nnav = [5]", "site.nav[number 1]: must be a table"),
        ('[[site.nav]]\nname = "a"', 'site.nav["a"].url: is missing'),
        ('[[site.nav]]\nname = "a"\nurl = ""', 'site.nav["a"].url: must not be empty'),
        ('[[site.nav]]\nurl = "/a"', "site.nav[number 1].name: is missing"),
        (
            '[[site.nav]]\nname = "a"\nurl = "javascript:a"',
            'site.nav["a"].url: must be an address (https:, http:, mailto:), a path that begins with / '
            'or a file in assets, not "javascript:a"',
        ),
        ("[announcements]", "announcements: must be [[announcements]] tables"),
        ("[[announcements]]", "announcements[number 1].title: is missing"),
        (
            '[[announcements]]\ntitle = "a"\nlevel = "fatal"',
            'announcements["a"].level: must be one of info, warning, critical, not "fatal"',
        ),
        (
            '[[announcements]]\ntitle = "a"\nfrom = "2026-05-01"',
            'announcements["a"].from: must be a date, or a date and time, without quotes, not "2026-05-01"',
        ),
        (
            '[[announcements]]\ntitle = "a"\nuntil = 07:30:00',
            'announcements["a"].until: must be a date, or a date and time, without quotes, not a time of day',
        ),
        (
            '[[announcements]]\ntitle = "a"\nuntil = 9999-12-31',
            'announcements["a"].until: must be between the years 1970 and 9000',
        ),
        (
            '[[announcements]]\ntitle = "a"\nfrom = 2026-05-01\nuntil = 2026-05-01',
            'announcements["a"].until: must be after from',
        ),
        (
            '[[announcements]]\ntitle = "a"\nfrom = 2026-05-01T12:00:00\nuntil = 2026-05-01T13:00:00+02:00',
            'announcements["a"].until: must be after from',
        ),
        (
            '[[categories]]\nname = "a"\nhidden = "no"',
            'categories["a"].hidden: must be true or false, not "no"',
        ),
        ("[[categories]]", "categories[number 1].name: is missing"),
        (
            '[[categories]]\nname = "a"\n[[categories]]\nname = "a"',
            'categories["a"].name: "a" is used twice',
        ),
        ("[categories]", "categories: must be [[categories]] tables"),
        ("monitors = 5", "monitors: must be [[monitors]] tables"),
        ("monitors = [5]", "monitors[number 1]: must be a table"),
        ('[[monitors]]\nname = "Earth"', 'monitors["Earth"].tag: is missing'),
        (
            '[[monitors]]\ntag = "a b"',
            'monitors["a b"].tag: must be 1 to 64 of A-Z a-z 0-9 . _ ~ -, not "a b"',
        ),
        (
            '[[monitors]]\ntag = "earth\\n"',
            'monitors["earth\\n"].tag: must be 1 to 64 of A-Z a-z 0-9 . _ ~ -, not "earth\\n"',
        ),
        (
            '[[monitors]]\ntag = "earth"\n[[monitors]]\ntag = "mars"\n[[monitors]]\ntag = "earth"',
            'monitors["earth"].tag: "earth" is used twice',
        ),
        (
            '[[monitors]]\ntag = "earth"\ncategory = "Planet"\n[[categories]]\nname = "Planets"',
            'monitors["earth"].category: "Planet" is not a category, did you mean "Planets"?',
        ),
        (
            '[[monitors]]\ntag = "earth"\ndefault_status = "MAINTENANCE"',
            'monitors["earth"].default_status: must be one of UP, DEGRADED, DOWN, not "MAINTENANCE"',
        ),
        (
            '[[monitors]]\ntag = "earth"\nhidden = 1',
            'monitors["earth"].hidden: must be true or false, not a whole number',
        ),
        (
            '[[monitors]]\ntag = "earth"\nday_down_minimum_count = 0',
            'monitors["earth"].day_down_minimum_count: must be between 1 and 1440, not 0',
        ),
        ('[[monitors]]\ntag = "earth"\nheartbeat = 60', 'monitors["earth"].heartbeat: must be a table'),
        ("[server]\nport =\n", "Invalid value (at line 2, column 7)"),
        ("[server]\nport =", "Invalid value (at line 2)"),
        ("[server]\nport = 1\nport = 2\n", "Cannot overwrite a value (at line 3, column 9)"),
    ],
)
def test_a_fault_is_named_with_its_place(faults: Faults, text: str, fault: str) -> None:
    assert faults(text) == [f"config.toml: {fault}"]


def test_all_faults_are_named_at_once_in_the_order_of_the_reference(faults: Faults) -> None:
    text = """
        [[monitors]]
        tag = "earth"
        colour = "blue"
        [monitors.heartbeat]
        interval = 10
        timezone = "Nowhere"
        [[monitors]]
        tag = "earth"
        category = "Planets"
        [auth]
        algorithm = "EdDSA"
        [server]
        port = "3000"
        prot = 1
        [site]
        logo = "logo.svg"
        locale = "en_US"
        custom_css = "own.css"
        [site.colors]
        up = "green"
        [[site.nav]]
        name = "Home"
        url = "data:,"
        [[announcements]]
        title = ""
        [nav]
    """
    assert faults(text, KENER_INGEST_MAX_QUEUE="many", KENER_SERVER_PROT="1") == [
        'config.toml: server.port: must be a whole number, not "3000"',
        'config.toml: server.prot: unknown key, did you mean "port"?',
        "config.toml: auth.public_key_file: is missing, EdDSA needs it",
        'KENER_INGEST_MAX_QUEUE: must be a whole number, not "many"',
        'config.toml: site.colors.up: must be a color such as #4ead94 or #fff, not "green"',
        'config.toml: site.custom_css: "own.css" cannot be read: No such file or directory',
        'config.toml: site.locale: must be one of en, de, es, fr, hi, ja, pt-BR, vi, zh-CN, not "en_US"',
        'config.toml: site.logo: "logo.svg" is a file of the assets folder, set site.assets',
        'config.toml: site.nav["Home"].url: must be an address (https:, http:, mailto:), '
        'a path that begins with / or a file in assets, not "data:,"',
        'config.toml: announcements[""].title: must not be empty',
        'config.toml: monitors["earth"].colour: unknown key',
        'config.toml: monitors["earth"].heartbeat.interval: must be between 60 s and 36500 days',
        'config.toml: monitors["earth"].heartbeat.timezone: "Nowhere" is not a time zone',
        'config.toml: monitors["earth"].heartbeat.timezone: needs cron',
        'config.toml: monitors["earth"].category: "Planets" is not a category',
        'config.toml: monitors["earth"].tag: "earth" is used twice',
        "config.toml: nav: unknown key",
        'KENER_SERVER_PROT: unknown setting, did you mean "KENER_SERVER_PORT"?',
    ]


def test_a_fault_names_the_file_as_it_was_given(tmp_path: Path) -> None:
    path = tmp_path / "other.toml"
    path.write_text("[server]\nport = -1")
    with pytest.raises(ConfigError, match=f"^{re.escape(str(path))}:2: server.port: "):
        loading.load(path, {})


def test_a_missing_file_is_a_fault(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    with pytest.raises(ConfigError) as refusal:
        loading.load(Path("config.toml"), {})
    assert str(refusal.value) == "config.toml: there is no such file"


def test_a_folder_is_no_file(tmp_path: Path) -> None:
    with pytest.raises(ConfigError) as refusal:
        loading.load(tmp_path, {})
    assert str(refusal.value) == f"{tmp_path}: Is a directory"


LINES = """\
[site]
title = "Orbit"
footer = '''
[[monitors]]
tag = "not a monitor"
'''
nav = [
  { name = "Home", url = "/" },  # a comment with ]
  { name = "Bad", url = "data:," },
]
colors.up = "green"
[server]
trusted_proxies = [
  "::1",
  "10.0.0.300",
]
[[monitors]]
tag = "earth"
category = "Planet"

[[monitors]]
tag = "mars"
[monitors.heartbeat]
interval = "1m"
down_after = "5s"
# a comment
[[monitors]]
name = "Venus"
[[monitors]]
tag = "earth"
"""


def test_a_fault_names_the_line_of_its_setting_and_the_tag_of_its_monitor(faults_with_lines: Faults) -> None:
    places = [fault.split(": ")[:2] for fault in faults_with_lines(LINES)]
    assert places == [
        ["config.toml:13", "server.trusted_proxies[number 2]"],
        ["config.toml:11", "site.colors.up"],
        ["config.toml:7", 'site.nav["Bad"].url'],
        ["config.toml:19", 'monitors["earth"].category'],
        ["config.toml:25", 'monitors["mars"].heartbeat.down_after'],
        ["config.toml:27", 'monitors["Venus"].tag'],
        ["config.toml:30", 'monitors["earth"].tag'],
    ]


def test_a_byte_order_mark_is_skipped(tmp_path: Path) -> None:
    path = tmp_path / "config.toml"
    path.write_bytes("[server]\nport = 4000\n".encode("utf-8-sig"))
    assert loading.load(path, {}).server.port == 4000


@pytest.mark.parametrize(
    ("tag", "reason"),
    [
        (".", "in an address it means another folder"),
        ("..", "in an address it means another folder"),
        ("_", "badges use it for all monitors"),
        ("door.js", "must not end in .js"),
    ],
)
def test_a_tag_that_no_address_could_reach_is_refused(faults: Faults, tag: str, reason: str) -> None:
    for text in (f'[[monitors]]\ntag = "{tag}"', f'[[agent.checks]]\nalive = true\ntag = "{tag}"'):
        (fault,) = faults(text)
        assert reason in fault


def test_the_suffixes_refused_are_those_that_routes_have_right_after_a_tag() -> None:
    routes = web.Application()
    add_routes(routes)
    paths = [resource.canonical for resource in routes.router.resources()]
    suffixes = {found[1] for path in paths if (found := re.search(r"\{tag\}(\.[^/{]+)", path))}
    assert suffixes == set(TAG_SUFFIXES)


@pytest.mark.parametrize("tag", ["...", ".a", "a..", "js", "a.json", "a.svg", "-", "~"])
def test_every_other_tag_of_the_characters_is_taken(load: Load, tag: str) -> None:
    assert load(f'[[monitors]]\ntag = "{tag}"').by_tag.keys() == {tag}


@pytest.mark.parametrize(
    ("expression", "problem"),
    [
        ("*/90 * * * *", "minute: a step is 1 to 59, not 90"),
        ("*/0 * * * *", "minute: a step is 1 to 59, not 0"),
        ("5/15 * * * *", "minute: a step needs a range, such as 5-59/15"),
        ("60 * * * *", "minute: must be 0 to 59, not 60"),
        ("-5 * * * *", "minute: -5 is no number, name, range or step"),
        ("1,,2 * * * *", "minute:  is no number, name, range or step"),
        ("0 22-4 * * *", "hour: the range 22-4 ends before it begins"),
        ("0 h * * *", "hour: must be 0 to 23, not h"),
        ("0 r * * *", "hour: must be 0 to 23, not r"),
        ("0 0 L * *", "day of month: must be 1 to 31, not L"),
        ("0 0 ? * *", "day of month: must be 1 to 31, not ?"),
        ("0 0 1 13 *", "month: must be 1 to 12 or jan to dec, not 13"),
        ("0 0 * * SUN#1", "day of week: must be 0 to 7 or sun to sat, not SUN#1"),
        ("0 0 * * L5", "day of week: must be 0 to 7 or sun to sat, not L5"),
        ("0 0 * * 8", "day of week: must be 0 to 7 or sun to sat, not 8"),
        ("0 0 0 * * *", "needs five fields, not 6"),
    ],
)
def test_what_crontab_5_does_not_have_is_not_taken_for_cron(
    faults: Faults, expression: str, problem: str
) -> None:
    (fault,) = faults(with_heartbeat(f'cron = "{expression}"'))
    assert fault.endswith(f'cron: "{expression}" is not a cron expression: {problem}')


@pytest.mark.parametrize(
    "expression", ["*/59 * * * *", "0,30 8-18/2 1-15 jan,MAR-may mon-fri", "5 4 * * 7", "0 0 1 1 0-7"]
)
def test_what_crontab_5_has_is_taken(load: Load, expression: str) -> None:
    expected = AtSchedule(Cron(expression, "UTC"), 0, 0, 60)
    assert heartbeat_of(load, f'cron = "{expression}"').expectation == expected


def test_text_that_is_not_utf_8_is_named_with_its_line(tmp_path: Path) -> None:
    path = tmp_path / "config.toml"
    path.write_bytes(b"[site]\ntitle = '\xff'")
    with pytest.raises(ConfigError) as refusal:
        loading.load(path, {})
    assert str(refusal.value) == f"{path}:2: not UTF-8"


# Secrets


@pytest.mark.parametrize(
    ("key", "fault"),
    [
        ('"Zq8-short"', "must be at least 32 bytes long"),
        ('"change-me-change-me-change-me-change-me"', "is a placeholder, not a secret"),
        ('"secret-secret-secret-secret-secret-secret"', "is a placeholder, not a secret"),
        ('"REPLACE_ME_WITH_SOMETHING_LONG_ENOUGH_1"', "is a placeholder, not a secret"),
        ("12345678901234567", "must be text, not a whole number"),
        (f'["{SECRET}"]', "must be text, not a list"),
        (f'"{SECRET}\\u0000"', "contains an invalid character"),
    ],
)
def test_a_bad_secret_key_is_refused_without_being_shown(faults: Faults, key: str, fault: str) -> None:
    assert faults(f"[auth]\nsecret_key = {key}") == [f"config.toml: auth.secret_key: {fault}"]


def test_a_bad_secret_key_of_the_environment_is_not_shown(faults: Faults) -> None:
    assert faults(KENER_AUTH_SECRET_KEY="Zq8-short") == [
        "KENER_AUTH_SECRET_KEY: must be at least 32 bytes long"
    ]


def test_32_bytes_are_enough_and_counted_as_utf_8(load: Load) -> None:
    assert load(f'[auth]\nsecret_key = "{"é" * 16}"').auth.secret_key == "é" * 16


def test_the_secret_is_not_in_the_representation_of_the_configuration(load: Load) -> None:
    loaded = load(f'[auth]\nsecret_key = "{SECRET}"')
    assert loaded.auth.secret_key == SECRET
    assert SECRET not in repr(loaded)


def test_other_faults_do_not_show_the_secret(faults: Faults) -> None:
    text = f'[auth]\nsecret_key = "{SECRET}"\nsecret_key_file = "x"\nalgorithm = 5\nsecretkey = "{SECRET}"'
    assert SECRET not in "\n".join(faults(text))


# The environment


def test_the_environment_wins_over_the_file(load: Load) -> None:
    assert load("[server]\nport = 1", KENER_SERVER_PORT="2").server.port == 2


@pytest.mark.parametrize(
    ("name", "text", "section", "key", "value"),
    [
        ("KENER_SERVER_HOST", "0.0.0.0", "server", "host", "0.0.0.0"),
        ("KENER_SERVER_TRUSTED_PROXIES", "", "server", "trusted_proxies", ()),
        (
            "KENER_SERVER_TRUSTED_PROXIES",
            "10.0.0.0/8, ::1",
            "server",
            "trusted_proxies",
            (ip_network("10.0.0.0/8"), ip_network("::1")),
        ),
        ("KENER_DATABASE_PATH", "/var/lib/k.db", "database", "path", Path("/var/lib/k.db")),
        ("KENER_AUTH_SECRET_KEY", SECRET, "auth", "secret_key", SECRET),
        ("KENER_INGEST_MAX_AGE_DAYS", "7", "ingest", "max_age_days", 7),
        ("KENER_ROLLUPS_INTERVAL_SECONDS", "60", "rollups", "interval_seconds", 60),
        ("KENER_LOG_LEVEL", "debug", "log", "level", "debug"),
        ("KENER_SITE_TITLE", "5", "site", "title", "5"),
        ("KENER_SITE_TIMEZONE", "Asia/Tokyo", "site", "timezone", ZoneInfo("Asia/Tokyo")),
        ("KENER_SITE_LOCALES", "de, en", "site", "locales", ("de", "en")),
        ("KENER_SITE_INDEXED", "false", "site", "indexed", False),
        ("KENER_SITE_BAR_STYLE", "PARTIAL", "site", "bar_style", "partial"),
    ],
)
def test_a_variable_is_read_as_the_type_of_its_setting(
    load: Load, name: str, text: str, section: str, key: str, value: object
) -> None:
    assert getattr(getattr(load(**{name: text}), section), key) == value


@pytest.mark.parametrize(
    ("name", "text", "fault"),
    [
        ("KENER_SERVER_PORT", "http", ': must be a whole number, not "http"'),
        ("KENER_SERVER_PORT", "\udcff", r': must be a whole number, not "\udcff"'),
        ("KENER_SERVER_PORT", "1_0", ': must be a whole number, not "1_0"'),
        ("KENER_SERVER_PORT", "65536", ": must be between 0 and 65535, not 65536"),
        ("KENER_SERVER_TRUSTED_PROXIES", "::1,x", '[number 2]: "x" is not an IP address or network'),
        ("KENER_DATABASE_PATH", "\udcff.db", ": contains an invalid character"),
        ("KENER_DATABASE_RETENTION_DAYS", "1", ": must be at least ingest.max_age_days, 90, not 1"),
        ("KENER_AUTH_ALGORITHMS", "", ': unknown setting, did you mean "KENER_AUTH_ALGORITHM"?'),
        ("KENER_SITE_qqq", "", ": unknown setting"),
        ("KENER_SITE_LOCALE", "de_DE", f': must be one of {", ".join(LOCALES)}, not "de_DE"'),
        *(
            (f"KENER_SITE_{name}", "x", f": unknown setting, site.{table} is set in the file only")
            for name, table in [
                ("HERO", "hero"),
                ("HERO_TITLE", "hero"),
                ("NAV", "nav"),
                ("NAV_0_URL", "nav"),
                ("COLORS_UP", "colors"),
                ("DARK_COLORS_UP", "dark_colors"),
                ("META", "meta"),
                ("META_AUTHOR", "meta"),
            ]
        ),
    ],
)
def test_a_fault_of_the_environment_names_the_variable(
    faults: Faults, name: str, text: str, fault: str
) -> None:
    assert faults(**{name: text}) == [f"{name}{fault}"]


OF_SERVICES = {
    "KENER_SERVER_PORT": "tcp://10.96.0.7:3000",
    "KENER_SERVER_PORT_3000_TCP": "tcp://10.96.0.7:3000",
    "KENER_SERVER_PORT_3000_TCP_PROTO": "tcp",
    "KENER_SERVER_PORT_3000_TCP_PORT": "3000",
    "KENER_SERVER_PORT_3000_TCP_ADDR": "10.96.0.7",
    "KENER_SERVER_SERVICE_HOST": "10.96.0.7",
    "KENER_AGENT_SERVICE_HOST": "fd00::7",
    "KENER_AGENT_SERVICE_PORT": "3000",
    "KENER_AGENT_SERVICE_PORT_HTTP": "3000",
    "KENER_AGENT_PORT": "udp://[fd00::7]:3000",
    "KENER_LOG_PORT": "tcp://10.96.0.8:80",
    "KENER_SITE_EAST_SERVICE_HOST": "10.96.0.9",
}
EMPTY = (
    "KENER_SERVER_PORT",
    "KENER_SERVER_HOST",
    "KENER_LOG_LEVEL",
    "KENER_SITE_INDEXED",
    "KENER_BACKUP_EVERY",
)


@pytest.mark.parametrize(("name", "text"), [*OF_SERVICES.items(), *((name, "") for name in EMPTY)])
def test_a_variable_that_cannot_be_a_setting_is_ignored_and_named(load: Load, name: str, text: str) -> None:
    loaded = load("[server]\nport = 4000", **{name: text})
    assert loaded == load("[server]\nport = 4000")
    assert loaded.ignored_variables == (name,)


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("KENER_SERVER_PROT", "tcp://10.96.0.7:3000"),
        ("KENER_SERVER_PORT", "tcp://"),
        ("KENER_SERVER_PORT", "3000/tcp"),
        ("KENER_SERVER_SERVICE", "x"),
        ("KENER_SERVER_HOTS", ""),
        ("KENER_LOG_PORT", "80"),
    ],
)
def test_a_variable_that_was_meant_as_a_setting_is_a_fault(faults: Faults, name: str, text: str) -> None:
    (fault,) = faults(**{name: text})
    assert fault.startswith(f"{name}: ")


@pytest.mark.parametrize(
    "name", ["KENER_SERVER_PUBLIC_URL", "KENER_SITE_LOGO", "KENER_SERVER_TRUSTED_PROXIES"]
)
def test_an_empty_variable_empties_a_setting_that_can_be_empty(load: Load, name: str) -> None:
    text = '[server]\npublic_url = "https://a.example"\ntrusted_proxies = ["::1"]\n[site]\nlogo = "/a.svg"'
    assert load(text, **{name: ""}) != load(text)
    assert load(text, **{name: ""}).ignored_variables == ()


# Secrets from elsewhere

CHECK_ID = "5b1cb2a0-4d0e-4f4f-9a55-6ce4a1e0d7c1"
PUSH_TOKEN = "Yz4kT9dRw1"
WITH_SECRETS = """\
[auth]
secret_key = "$SIGNING"
[watch]
ping_url = "https://hc.example.org/ping/$PING"
[agent]
token = "a$$b$TOKEN"
[[monitors]]
tag = "earth"
healthchecks = { uuid = "$UUID" }
[[monitors]]
tag = "mars"
[monitors.uptime_kuma]
token = "$PUSH_1"
[monitors.gatus]
key = "core_$x"
token = "$GATUS"
"""
SECRETS = {
    "SIGNING": SECRET,
    "PING": "p1",
    "TOKEN": "$t",
    "UUID": CHECK_ID,
    "PUSH_1": PUSH_TOKEN,
    "GATUS": "g" * 8,
}


def secret_keys(table: type, at: str = "") -> Iterator[str]:
    for name, each in keys_of(table).items():
        if each.secret:
            yield at + name
        for inner in each.tables:
            yield from secret_keys(inner, f"{at}{name}.")


OF_CHECKS = ("headers", "password", "proxy", "oauth.secret")


def test_the_keys_that_hold_secrets_are_these() -> None:
    assert set(secret_keys(Document)) == {
        "auth.secret_key",
        "watch.ping_url",
        "agent.token",
        "channels.headers",
        "channels.integration_key",
        "channels.api_key",
        "channels.secret",
        "channels.token",
        "channels.url",
        "channels.user",
        "mail.password",
        "manage.oidc.secret",
        *(f"{table}.{key}" for table in ("monitors.check", "agent.checks") for key in OF_CHECKS),
        "monitors.healthchecks.uuid",
        "monitors.healthchecks.ping_key",
        "monitors.uptime_kuma.token",
        "monitors.gatus.token",
    }


def filled(found: Config) -> list[object]:
    earth, mars = found.monitors
    secrets = (found.auth.secret_key, found.watch.ping_url, found.agent.token, earth.senders.checks)
    return [*secrets, mars.senders.push_token, mars.senders.gatus_token]


FILLED = [SECRET, "https://hc.example.org/ping/p1", "a$b$t", (CHECK_ID,), PUSH_TOKEN, "g" * 8]


@pytest.mark.parametrize("way", ["variables", "files", "credentials"])
def test_a_secret_comes_from_a_variable_a_file_or_a_credential(load: Load, tmp_path: Path, way: str) -> None:
    text = WITH_SECRETS.replace("core_$x", "core_x")
    folder = tmp_path / "secrets"
    folder.mkdir()
    for name, value in SECRETS.items():
        (folder / name).write_text(f"{value}\n")
    given = {
        "variables": SECRETS,
        "files": {f"{name}_FILE": str(folder / name) for name in SECRETS},
        "credentials": {"CREDENTIALS_DIRECTORY": str(folder)},
    }
    assert filled(load(text, **given[way])) == FILLED


def test_a_variable_comes_before_a_file_and_a_file_before_a_credential(load: Load, tmp_path: Path) -> None:
    for folder in ("files", "credentials"):
        (tmp_path / folder).mkdir()
        (tmp_path / folder / "TOKEN").write_text(folder)
    text = '[agent]\ntoken = "$TOKEN"'
    found = {"CREDENTIALS_DIRECTORY": str(tmp_path / "credentials")}
    assert load(text, **found).agent.token == "credentials"
    found["TOKEN_FILE"] = str(tmp_path / "files/TOKEN")
    assert load(text, **found).agent.token == "files"
    assert load(text, **found, TOKEN="variable").agent.token == "variable"


def test_a_missing_secret_is_a_fault_of_its_key_and_line(faults_with_lines: Faults) -> None:
    given = {name: value for name, value in SECRETS.items() if name not in {"UUID", "PUSH_1"}}
    found = faults_with_lines(WITH_SECRETS.replace("core_$x", "core_x"), **given, PUSH_1="", TOKEN_FILE="/x")
    missing = (
        "is not set: neither the variable {0}, nor a file named by {0}_FILE, nor a credential {0}; a dollar"
    )
    assert found == [
        f'config.toml:9: monitors["earth"].healthchecks.uuid: $UUID {missing.format("UUID")} is written $$',
        f'config.toml:13: monitors["mars"].uptime_kuma.token: $PUSH_1 {missing.format("PUSH_1")} is '
        "written $$",
    ]


@pytest.mark.parametrize("text", ["$", "a$", "$1", "${NAME}", "$-"])
def test_a_dollar_that_names_nothing_is_a_fault(faults: Faults, text: str) -> None:
    (fault,) = faults(f'[agent]\ntoken = "{text}"')
    assert fault == (
        "config.toml: agent.token: has a $ that names nothing: $NAME stands for a secret, $$ for a dollar"
    )


def test_a_dollar_outside_secrets_and_in_variables_is_itself(load: Load) -> None:
    found = load('[site]\ntitle = "$NAME"\n[agent]\ntoken = "$GONE"', KENER_AGENT_TOKEN="pa$word")
    assert (found.site.title, found.agent.token) == ("$NAME", "pa$word")


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ('[auth]\nsecret_key = "$S"', "Zq8-short"),
        ('[watch]\nping_url = "$S"', "ftp://Zq8-short"),
        ('[[monitors]]\ntag = "a"\nhealthchecks = { uuid = "$S" }', "Zq8-short"),
        ('[[monitors]]\ntag = "a"\nuptime_kuma = { token = "$S" }', "Zq8 short"),
        ('[agent]\ntoken = "$S"', "Zq8-short\0"),
    ],
)
def test_a_secret_that_does_not_fit_is_not_shown(faults: Faults, text: str, value: str) -> None:
    (fault,) = faults(text, S=value)
    assert "Zq8" not in fault


def test_a_secret_is_in_no_representation_of_the_configuration(load: Load) -> None:
    found = repr(load(WITH_SECRETS.replace("core_$x", "core_x"), **SECRETS))
    assert [value for value in SECRETS.values() if len(value) > 2 and value in found] == []


@pytest.mark.parametrize(
    "name", ["KENER_CONFIG", "KENER_MONITORS_TAG", "KENER_ANNOUNCEMENTS", "KENER_SITE", "PATH", "SERVER_PORT"]
)
def test_other_variables_are_left_alone(load: Load, name: str) -> None:
    assert load(**{name: "x"}) == load()


def test_a_variable_mends_a_wrong_value_of_the_file(load: Load) -> None:
    assert load("[server]\nport = -1", KENER_SERVER_PORT="1").server.port == 1


def test_a_variable_of_a_section_that_is_no_table_causes_no_second_fault(faults: Faults) -> None:
    assert faults("server = 5", KENER_SERVER_PORT="1") == ["config.toml: server: must be a table"]


OIDC = """\
[server]
public_url = "https://status.example.org"
[manage.oidc]
issuer = "https://login.example.org"
client = "status"
roles = { "ops" = "editor" }
"""
PROXY = """\
[server]
trusted_proxies = ["127.0.0.1"]
[manage.proxy]
header = "Remote-User"
"""


@pytest.mark.parametrize(
    ("text", "before", "after", "fault"),
    [
        (OIDC, '"editor"', '"edtor"', 'must be one of viewer, responder, editor, admin, not "edtor"'),
        (OIDC, '"ops" =', '" " =', "is not the name of a group"),
        (OIDC, 'roles = { "ops" = "editor" }', "", "manage.oidc.roles: is missing"),
        (OIDC, "https://login", "http://login", "must be https, and http only on this machine"),
        (OIDC, 'example.org"\nclient', 'example.org/?a=b"\nclient', "without user, query and fragment"),
        (OIDC, 'public_url = "https://status.example.org"', "", "needs public_url of [server]"),
        (OIDC, "client =", 'scopes = ["email"]\nclient =', 'scopes: must have "openid"'),
        (PROXY, 'trusted_proxies = ["127.0.0.1"]', "", "which is empty"),
        (PROXY, "Remote-User", "Remote_User", "without underscores"),
        (PROXY, "Remote-User", "X-Forwarded-For", "says something else"),
        (PROXY, "header =", "create = true\nheader =", "create: needs groups_header and roles"),
        (PROXY, "header =", 'groups_header = "Remote-Groups"\nheader =', "proxy.roles: is missing"),
        (PROXY, "header =", 'roles = { "ops" = "editor" }\nheader =', "groups_header: is missing"),
        ("[manage]\npassword_login = false\n", "", "", "leaves no way to sign in"),
    ],
)
def test_what_contradicts_itself_in_sign_in_is_named(
    faults: Faults, text: str, before: str, after: str, fault: str
) -> None:
    assert before in text
    (found,) = faults(text.replace(before, after))
    assert fault in found


@pytest.mark.parametrize("text", [OIDC, PROXY, f"{OIDC}[manage]\npassword_login = false\n"])
def test_good_settings_of_sign_in_are_taken(load: Load, text: str) -> None:
    assert load(text).manage.passkeys


@pytest.mark.parametrize(
    ("settings", "warning"),
    [
        ('[server]\npublic_url = "https://status.example.org"', ""),
        ('[server]\npublic_url = "http://status.example.org"', "public_url is not https"),
        ('[server]\npublic_url = "https://192.0.2.7"', "the host of public_url is an address"),
        ('[manage]\nsecond_factor = "required"', "public_url is not set"),
        ('[manage]\nsecond_factor = "required"\npasskeys = false', ""),
        ("", ""),
    ],
)
def test_why_there_are_no_passkeys_is_a_warning(load: Load, settings: str, warning: str) -> None:
    found = [text for text in load(settings).warnings if text.startswith("manage.passkeys")]
    assert len(found) == bool(warning)
    assert all(warning in text for text in found)
