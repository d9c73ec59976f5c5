"""The page of a monitor: the same figures as the API, with their computation."""

import re
from dataclasses import replace
from html import unescape
from pathlib import Path
from zoneinfo import ZoneInfo

import pytest

from kener_async import keys
from kener_async.app import apply
from kener_async.config.model import Category, Config, Senders
from kener_async.domain.heartbeats import EveryInterval, MonitorSettings, OnChange
from kener_async.domain.samples import Status
from kener_async.store import latencies, monitors
from tests.rigs.service import NOON, FakeClock, Service, a_config, a_monitor, running

MARKUP = '<img src=x onerror="alert(1)"> & <b>"bold"</b>'
DASH = "\N{EN DASH}"
MINUTE, QUARTER, HOUR, DAY = 60, 900, 3600, 86400
WINDOWS = ("90d", "30d", "7d", "24h", "today")


@pytest.fixture
def config(tmp_path: Path) -> Config:
    strict = MonitorSettings(include_degraded_in_downtime=True)
    config = a_config(
        tmp_path,
        a_monitor("earth", name=MARKUP, description=MARKUP, category="Planets"),
        a_monitor("mars", strict, latency_unit="ms"),
        a_monitor("pump", MonitorSettings(expectation=EveryInterval(interval=60, grace=60, down_after=180))),
        a_monitor("valve", MonitorSettings(expectation=OnChange(stale_after=HOUR))),
        a_monitor("moon", MonitorSettings(default_status=Status.UP)),
        a_monitor("secret", hidden=True),
    )
    return replace(config, categories=(Category("Planets", "", hidden=False),))


async def fetch(service: Service, path: str) -> tuple[int, str]:
    async with service.client.get(path, headers={"Accept": "text/html"}) as reply:
        return reply.status, await reply.text()


async def page(service: Service, tag: str) -> str:
    status, html = await fetch(service, f"/monitor/{tag}")
    assert status == 200
    return html


def part(html: str, id: str) -> str:
    """What lies between the element of this id and the next one with another."""
    found = re.search(rf'<\w+[^>]* id="{id}".*?(?=<(?:div|section|dl)[^>]* id="|</main>)', html, re.DOTALL)
    assert found is not None, id
    return found[0]


def words(html: str) -> str:
    """The text as it is read."""
    return " ".join(unescape(re.sub(r"<[^>]+>", " ", html)).split())


async def some_history(service: Service, tag: str) -> None:
    """A little of every status, an incident and maintenance, partly where the windows are cut."""
    now = service.clock()
    for days, status in ((89, "UP"), (29, "DOWN"), (6, "DEGRADED"), (0.9, "DOWN"), (0.01, "UP")):
        for minute in range(40):
            at = int(now - days * DAY) + minute * MINUTE
            if at <= now:
                await service.beat(tag, status, at=at, latency=0.1 + minute / 100)
    planned = {"title": "Work", "tags": [tag], "isMaintenance": True}
    span = {"startDatetime": now - 29 * DAY + 600, "endDatetime": now - 29 * DAY + 1200}
    await service.post("/api/incident", planned | span)
    outage = {"title": "Outage", "tags": [tag], "impact": "DOWN"}
    span = {"startDatetime": now - 6 * DAY + 300, "endDatetime": now - 6 * DAY + 1500}
    await service.post("/api/incident", outage | span)
    await service.roll()


@pytest.mark.parametrize("tag", ["earth", "mars", "pump", "valve", "moon"])
async def test_every_figure_and_its_explanation_are_those_of_the_api(service: Service, tag: str):
    await some_history(service, tag)
    html = await page(service, tag)
    figures = re.findall(r"<dd>([^<]*)", part(html, "figures"))
    for window, figure in zip(WINDOWS, figures, strict=True):
        told = await service.get(f"/api/monitors/{tag}/uptime", window=window)
        how, minutes = part(html, f"how-{window}"), told["minutes"]
        assert figure == (DASH if told["uptime"] == "-" else f"{told['uptime']}%")
        # Its numbers in their order: counted, then what is left out.
        numbers = [int(text.replace(",", "")) for text in re.findall(r'<td class="end">([\d,]+)</td>', how)]
        counted = [minutes["up"], minutes["degraded"], minutes["degradedAsDowntime"], minutes["down"]]
        assert numbers == counted + [one["minutes"] for one in told["excluded"]]
        assert sum(numbers[4:]) == minutes["maintenance"] + minutes["noData"]
        if told["uptime"] != "-":
            up, degraded, downtime, down = counted
            formula = words(part(html, f"how-{window}").partition("</p>")[0]).partition("computed? ")[2]
            assert formula.replace(",", "") == (
                f"({up} up + {degraded} degraded − {downtime} degraded that count as downtime)"  # noqa: RUF001
                f" ÷ ({up} up + {degraded} degraded + {down} down) = {figure}"
            )


async def test_what_is_left_out_has_its_reason(service: Service):
    await some_history(service, "earth")
    how = part(await page(service, "earth"), "how-90d")
    assert '<a href="/incident/1">planned maintenance #1</a>' in how
    assert "No data, not known yet" in words(how)  # the monitor was first known today
    await service.configure(a_monitor("earth"))
    service.pass_time(3 * HOUR)
    assert "No data, no report" in words(part(await page(service, "earth"), "how-today"))


async def test_the_explanation_tells_how_to_ask_the_api_for_the_same(service: Service):
    html = await page(service, "earth")
    for window in WINDOWS:
        path = re.search(r"<code>GET (.*?)</code>", part(html, f"how-{window}"))
        assert path is not None
        assert (await service.get(unescape(path[1])))["tag"] == "earth"


async def test_today_is_the_day_in_the_sites_zone(service: Service):
    config = service.app[keys.RUNNING].config
    await apply(service.app, replace(config, site=replace(config.site, timezone=ZoneInfo("Asia/Kolkata"))))
    # Noon UTC is 17:30 in Kolkata, whose day began at 18:30 UTC.
    await service.beat("earth", "DOWN", at=service.clock() - 17 * HOUR)
    await service.beat("earth", "UP")
    html = await page(service, "earth")
    assert re.findall(r"<dd>([^<]*)", part(html, "figures"))[-1] == "50%"
    told = await service.get("/api/monitors/earth/uptime", window="today", timezone="Asia/Kolkata")
    assert told["uptime"] == "50"
    assert (await service.get("/api/monitors/earth/uptime", window="today"))["uptime"] == "100"


async def test_when_it_was_last_heard_from_and_what_it_said_stand_beside_its_status(service: Service):
    await service.beat("pump")
    now = words(part(await page(service, "pump"), "now")).replace("\u202f", " ")
    assert "Last report Operational, Dec 31, 2025, 12:00 PM Status now Operational, as reported" in now
    service.pass_time(10 * MINUTE)
    now = words(part(await page(service, "pump"), "now")).replace("\u202f", " ")
    assert "Down, last report 10 min ago" in now
    assert f"Last latency {DASH}" in now
    assert "Last heard Dec 31, 2025, 12:00" in now
    assert "Operational, Dec 31, 2025, 12:00 PM Status now Down, no report in time" in now
    never = words(part(await page(service, "mars"), "now"))
    assert f"Last heard never Last report {DASH}" in never


CHECK = "5b1cb2a0-4d0e-4f4f-9a55-6ce4a1e0d7c1"


@pytest.mark.parametrize(
    "report",
    ["/api/status", "an hour ago", f"/ping/{CHECK}", f"/ping/{CHECK}/start", f"/ping/{CHECK}/log", "batch"],
)
async def test_when_a_monitor_was_heard_is_on_disk_before_the_answer(service: Service, report: str):
    """So that it survives kill -9 as samples do; a start and a log store no sample."""
    await service.configure(a_monitor("earth", senders=Senders(checks=(CHECK,))))
    await service.beat()
    service.pass_time(345)
    late = {"tag": "earth", "status": "UP", "latency": 1, "timestampInSeconds": NOON - 3600}
    if report == "batch":
        await service.post("/api/status/batch", {"samples": [late]})
    elif report.startswith("/ping"):
        async with service.client.get(report) as reply:
            assert reply.status == 200
    else:
        await service.beat(at=NOON - 3600 if report == "an hour ago" else None)
    heard = await service.app[keys.DATABASE].read(monitors.last_heard)
    assert list(heard.values()) == [NOON + 345]
    (listed,) = await service.get("/api/monitors")
    is_now = report in ("/api/status", f"/ping/{CHECK}")
    assert (listed["lastHeardAt"], listed["lastUpdatedAt"]) == (NOON + 345, NOON + 300 if is_now else NOON)


async def test_a_backlog_is_heard_now_but_speaks_of_then(service: Service):
    service.pass_time(3 * HOUR)
    old = {
        "tag": "pump",
        "status": "DOWN",
        "latency": 0,
        "timestampInSeconds": service.clock() - 3 * HOUR,
        "device": "gate",
    }
    await service.post("/api/status/batch", {"samples": [old | {"seq": 1}, old | {"seq": 5}]})
    now = words(part(await page(service, "pump"), "now")).replace("\u202f", " ")
    assert "Last heard Dec 31, 2025, 3:00 PM" in now
    assert "Last report Down, Dec 31, 2025, 12:00 PM" in now
    assert "Lost reports 3" in now
    assert "Lost reports" not in await page(service, "earth")


async def test_a_bar_leads_to_each_of_ninety_days_and_today_and_the_table_says_the_same(service: Service):
    await some_history(service, "earth")
    html = await page(service, "earth")
    bars = re.findall(r'href="(/monitor/earth/[\d-]+)" class="([\w -]+)" aria-label', part(html, "bars"))
    rows = re.findall(r'href="(/monitor/earth/[\d-]+)".*?<span class="tag ([\w-]+)"', part(html, "days"))
    assert len(bars) == 91
    assert rows == bars[::-1]
    assert {status for _, status in rows} == {"up", "down", "no-data"}
    assert 'class="bars all"' in html


async def test_its_incidents_are_listed_and_those_of_others_are_not(service: Service):
    now = service.clock()
    for title, tags, start, end in (
        ("Going on", ["earth", "secret"], now - HOUR, None),
        ("To come", ["earth"], now + DAY, now + DAY + HOUR),
        ("Lately", ["earth"], now - 80 * DAY, now - 79 * DAY),
        ("Long ago", ["earth"], now - 95 * DAY, now - 91 * DAY),
        ("Elsewhere", ["mars"], now - HOUR, None),
        ("Not to be seen", ["secret"], now - HOUR, None),
    ):
        fields = {"title": title, "tags": tags, "startDatetime": start}
        await service.post("/api/incident", fields if end is None else fields | {"endDatetime": end})
    html = await page(service, "earth")
    assert ">Going on</a>" in part(html, "ongoing")
    assert ">To come</a>" in part(html, "upcoming")
    assert re.findall(r'href="/incident/\d+"><bdi>([\w ]+)</bdi></a>', part(html, "past")) == ["Lately"]
    for title in ("Long ago", "Elsewhere", "Not to be seen", "secret"):
        assert title not in html


async def test_the_page_is_never_older_than_the_last_heartbeat(service: Service):
    for status, word in (("DOWN", "Down"), ("UP", "Up"), ("DEGRADED", "Degraded")):
        await service.beat("earth", status)
        assert f"{word} for 1 min" in words(part(await page(service, "earth"), "now"))


@pytest.mark.parametrize("path", ["/monitor/secret", "/monitor/nobody", "/monitor/%3Cb%3E", "/monitor/"])
async def test_hidden_and_unknown_monitors_do_not_exist(service: Service, path: str):
    await service.beat("secret")
    assert (await fetch(service, path))[0] == 404


async def test_names_are_shown_as_text(service: Service):
    html = await page(service, "earth")
    assert "<img src=x" not in html
    assert "<b>" not in html
    heading = re.search(r"<h1><bdi>(.*?)</bdi></h1>", html)
    assert heading is not None
    assert unescape(heading[1]) == MARKUP


async def test_nothing_is_written_that_the_policy_forbids_and_no_id_twice(service: Service):
    await some_history(service, "mars")
    html = await page(service, "mars")
    assert not re.search(r"<style|\sstyle=|\son\w+=|<script(?![^>]* src=)", html)
    ids = re.findall(r'\sid="([^"]*)"', html)
    assert len(ids) == len(set(ids))


async def test_what_is_shared_names_the_site_where_it_is_known(service: Service):
    config = service.app[keys.RUNNING].config
    server = replace(config.server, public_url="https://status.example.org")
    await apply(service.app, replace(config, server=server))
    html = await page(service, "earth")
    texts = {
        id: unescape(text) for id, text in re.findall(r'<input id="(share-[\w-]+)".*? value="(.*?)"', html)
    }
    embed = "https://status.example.org/embed/earth"
    assert texts["share-link"] == "https://status.example.org/monitor/earth"
    assert texts["share-script-dark"] == f'<script async src="{embed}.js?theme=dark"></script>'
    assert texts["share-frame-light"].startswith(f'<iframe src="{embed}?theme=light" title="&lt;img src=x')
    assert {texts[f"share-{name}"].rpartition("/")[2] for name in ("status", "uptime", "dot", "ping")} == {
        "status",
        "uptime",
        "dot",
        "dot?animate=ping",
    }
    buttons = re.findall(r'<button class="[^"]*needs-js" type="button" data-copy="([\w-]+)"', html)
    assert set(buttons) == set(texts)


async def test_each_badge_offered_is_there(service: Service):
    pictures = re.findall(r'<img src="(/badge/[^"]*)"', await page(service, "earth"))
    assert len(pictures) == 4
    for path in pictures:
        assert (await fetch(service, unescape(path)))[0] == 200


# Latency


async def test_a_chart_says_what_the_api_says_of_the_same_time(service: Service):
    await some_history(service, "mars")
    told = (await service.get("/api/monitors/mars/uptime", window="90d"))["latency"]
    chart = re.search(r'<figure class="c-90d">.*?</figure>', await page(service, "mars"), re.DOTALL)
    assert chart is not None
    said = re.search(r"<figcaption.*?>(.*?)</figcaption>", chart[0])
    assert said is not None
    figures = re.findall(r"[\d.]+", said[1])
    assert [float(figure) for figure in figures] == [
        pytest.approx(told[name], abs=0.005) for name in ("average", "min", "max")
    ]
    assert told["unit"] == "ms"


async def test_the_switch_works_without_a_script(service: Service):
    html = await page(service, "earth")
    choices = re.findall(r'<input type="radio" name="chart" id="c-(\w+)"( checked)?>', html)
    assert choices == [("24h", " checked"), ("7d", ""), ("30d", ""), ("90d", "")]
    css = Path("kener_async/web/static/page.css").read_text()
    for name, _ in choices:
        assert f'class="c-{name}"' in html
        assert f"#latency:has(#c-{name}:checked) .c-{name}" in css


@pytest.mark.parametrize("step", [QUARTER, HOUR, 4 * HOUR])
@pytest.mark.parametrize("settled", [True, False], ids=["settled", "with dirty quarters"])
async def test_steps_add_up_to_what_was_sent(service: Service, step: int, settled: bool):
    now, sent = service.clock(), []
    end = now - now % step + step
    start = end - 7 * DAY
    for number in range(200):
        at = start + (number * 7919 % (7 * DAY - step)) // MINUTE * MINUTE
        latency = number % 13 / 8
        await service.beat("earth", at=at, latency=latency)
        sent.append((at, latency))
    if settled:
        await service.roll()
    monitor = (await service.app[keys.LOADER].state("earth")).id
    counted = await service.app[keys.DATABASE].read(
        lambda connection: latencies.by_step(connection, monitor, start, end, step, now)
    )
    expected: dict[int, list[float]] = {}
    for at, latency in dict(sent).items():
        expected.setdefault(at - (at - start) % step, []).append(latency)
    assert {
        at: (one.latency_count, one.latency_sum, one.latency_min, one.latency_max)
        for at, one in counted.items()
    } == {at: (len(some), sum(some), min(some), max(some)) for at, some in expected.items()}


async def test_every_address_lies_within_the_base_path(service: Service):
    config = service.app[keys.RUNNING].config
    await apply(service.app, replace(config, server=replace(config.server, base_path="/status")))
    addresses = re.findall(r'(?:href|src)="(/[^"]*)"', await page(service, "earth"))
    assert len(addresses) > 180
    assert [address for address in addresses if not address.startswith("/status/")] == []


# As Kener 3 lists them


async def test_clients_of_kener_3_read_the_visible_monitors_in_its_form(tmp_path: Path):
    settings = MonitorSettings(default_status=Status.UP, include_degraded_in_downtime=True)
    planets = (Category("Planets", "", hidden=False),)
    config = replace(
        a_config(
            tmp_path,
            a_monitor("earth", settings, description="Our *home*", category="Planets"),
            a_monitor("secret", hidden=True),
            a_monitor("mars", day_down_minimum_count=5),
        ),
        categories=planets,
    )
    async with running(config, FakeClock()) as service:
        listed = await service.get("/api/monitor")
        assert [monitor["tag"] for monitor in listed] == ["earth", "mars"]
        assert listed[0] == {
            "id": listed[0]["id"],
            "tag": "earth",
            "name": "Earth",
            "description": "Our *home*",
            "image": "",
            "category_name": "Planets",
            "status": "ACTIVE",
            "monitor_type": "NONE",
            "default_status": "UP",
            "day_degraded_minimum_count": 1,
            "day_down_minimum_count": 1,
            "include_degraded_in_downtime": "YES",
        }
        assert (listed[1]["category_name"], listed[1]["default_status"]) == ("Home", "NONE")
        assert len({monitor["id"] for monitor in listed}) == 2
        assert await service.get("/api/monitor", tag="mars") == listed[1:]
        for tag in ("secret", "pluto"):
            assert await service.get("/api/monitor", tag=tag) == []
        limited = await service.mint(tags=("m*",))
        assert (await service.ask("GET", "/api/monitor", limited)) == (200, listed[1:])
        assert (await service.ask("GET", "/api/monitor?tag=earth", limited)) == (200, [])
        writer = await service.mint(scopes=("status:write",))
        assert (await service.ask("GET", "/api/monitor", writer))[0] == 403
        assert (await service.client.get("/api/monitor")).status == 401
        for method in ("POST", "PUT", "PATCH", "DELETE"):
            assert (await service.ask(method, "/api/monitor"))[0] == 405


@pytest.mark.parametrize("route", ["uptime", "history"])
async def test_a_span_is_widened_to_whole_minutes_and_an_end_alone_is_refused(service: Service, route: str):
    service.pass_time(HOUR)
    path, now = f"/api/monitors/earth/{route}", service.clock()
    start, end = now - 600 + 59, now - 300 + 1
    found = await service.get(path, **{"from": start, "to": end})
    spans = found["items"] if route == "history" else [found]
    assert (spans[0]["from"], spans[-1]["to"]) == (start - 59, end + 59)
    status, answer = await service.ask("GET", path, params={"to": str(end)})
    assert (status, answer) == (400, {"error": "Invalid from: missing"})
