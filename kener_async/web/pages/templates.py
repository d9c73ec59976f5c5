"""The templates, and what each finds: translations, addresses, times, icons."""

import asyncio
from datetime import UTC, date, datetime
from functools import partial
from pathlib import Path
from typing import Any
from urllib.parse import quote
from zoneinfo import ZoneInfo

import aiohttp_jinja2
from aiohttp import web
from jinja2 import Environment, FileSystemLoader, StrictUndefined, Template
from markupsafe import Markup, escape

from kener_async.config.model import Config
from kener_async.domain.calendar import day_of, nearest_showable
from kener_async.domain.people import Act
from kener_async.domain.samples import Status
from kener_async.locales.direction import isolated
from kener_async.locales.locale import NAMES, Locale
from kener_async.web.pages import labels
from kener_async.web.pages.assets import Assets, file_address
from kener_async.web.pages.snapshot import MonitorView
from kener_async.web.parts import markdown

TEMPLATES = Path(__file__).parent.parent / "templates"
SPRITE = Markup((TEMPLATES / "icons.svg").read_text(encoding="utf-8"))  # noqa: S704 - ours
_MARKS = {
    Status.UP: "m7.5 12.5 3 3 6-6.5",
    Status.DEGRADED: "M12 9.5v4M12 16.6v.1",
    Status.DOWN: "m8.5 8.5 7 7M15.5 8.5l-7 7",
    Status.MAINTENANCE: "M8 12h8M12 8v8",
    Status.NO_DATA: "M9 12h6",
}
_OUTLINES = {
    Status.DEGRADED: '<path class="ground" d="M12 2.5 23 21.5H1z"/>',
    Status.DOWN: '<path class="ground" d="M7.5 1h9L23 7.5v9L16.5 23h-9L1 16.5v-9z"/>',
    Status.MAINTENANCE: '<rect class="ground" x="2" y="2" width="20" height="20" rx="5"/>',
}
_CIRCLE = '<circle class="ground" cx="12" cy="12" r="11"/>'


def tr(text: str, **values: object) -> Markup:
    """Fill values into a translated text; they are escaped unless they are markup."""
    return escape(text) % values


def icon(name: str) -> Markup:
    """A line icon, hidden from screen readers."""
    return Markup('<svg class="icon" aria-hidden="true"><use href="#i-{}"/></svg>').format(name)


def sign(status: Status) -> Markup:
    """The icon of a status; each has a shape of its own, so that colour is not needed to tell them apart."""
    return Markup(  # noqa: S704 - ours
        f'<svg class="sign {labels.CLASSES[status]}" viewBox="0 0 24 24" aria-hidden="true">'
        f'{_OUTLINES.get(status, _CIRCLE)}<path class="mark" d="{_MARKS[status]}"/></svg>'
    )


class TemplateContext:
    """What a template needs of language and configuration."""

    def __init__(self, config: Config, locale: Locale, assets: Assets, zone: ZoneInfo | None = None) -> None:
        self.config = config
        self.site = config.site
        self.zone = zone or config.site.timezone
        self.locale = locale
        self._assets = assets.for_config(config)
        self.base = config.server.base_path

    def link(self, path: str) -> str:
        """A path as an address, below the base path."""
        return self.base + path

    def absolute(self, path: str) -> str:
        """The full address of a path; without `public_url` the same as `link`."""
        return self.config.server.public_url + self.link(path)

    def file(self, text: str) -> str:
        """The address of an image or a link of the configuration."""
        return file_address(text, self.base)

    def asset(self, name: str) -> str:
        return self.link(self._assets.address(name))

    def time(self, instant: int, form: str = "medium", since: int | None = None) -> Markup:
        """An instant in the time zone of the site or the person; page.js rewrites it in the browser's.

        `form`: "medium" or "long", a date and a time of day; "clock", the time of day alone. `since` is the
        beginning of the range that this instant ends.
        """
        zone = self.zone
        text = (
            self.locale.time(instant, zone) if form == "clock" else self.locale.instant(instant, zone, form)
        )
        beginning = Markup("") if since is None else Markup(' data-since="{}"').format(_utc(since))
        return Markup('<time datetime="{}" data-form="{}"{}>{}</time>').format(
            _utc(instant), form, beginning, text
        )

    def time_range(self, start: int, end: int) -> Markup:
        """From one instant to another; the date is written once if both are on the same day."""
        zone = self.zone
        form = "clock" if day_of(start, zone) == day_of(end, zone) else "medium"
        return Markup("{} \N{EN DASH} {}").format(self.time(start), self.time(end, form, since=start))

    def day(self, day: date, form: str = "medium") -> str:
        return self.locale.day(day, form)

    def duration(self, seconds: int) -> str:
        return self.locale.duration(seconds)

    def prose(self, text: str) -> Markup:
        """Markdown of several paragraphs."""
        return markdown.rendered(text, self.base)

    def words(self, text: str) -> Markup:
        """Markdown of one line."""
        return markdown.rendered_inline(text, self.base)

    def status(self, status: Status) -> str:
        return labels.status(self.locale, status)

    def current_status(self, view: MonitorView, now: int) -> Markup:
        """A monitor's status with icon and latency, or with `summary_style = "day"` that of today."""
        status, text = view.status, labels.current_status(self.locale, view, now)
        if self.site.summary_style == "day" and status is not Status.NO_DATA:
            status, text = view.days[-1].status, labels.minutes(self.locale, view.days[-1])
        parts = [sign(status), Markup(" <span>{}</span>").format(text)]
        held = view.current.held
        if held is not None and held.latency and view.status in (Status.UP, Status.DEGRADED):
            latency = self.locale.latency(held.latency, view.monitor.latency_unit)
            title = self.locale.gettext("Latency")
            parts.append(Markup(' <span class="latency" title="{}">{}</span>').format(title, latency))
        name = labels.CLASSES[status]
        return Markup('<p class="current-status {}">{}</p>').format(name, Markup("").join(parts))

    def values(self) -> dict[str, Any]:
        """The variables that every template has."""
        return {
            "context": self,
            "site": self.site,
            "locale": self.locale,
            "_": self.locale.gettext,
            "ngettext": self.locale.ngettext,
            "link": self.link,
            "time": self.time,
        }


def _utc(instant: int) -> str:
    return datetime.fromtimestamp(nearest_showable(instant), UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


class Templates:
    """The templates, with what they share."""

    def __init__(self, environment: Environment, assets: Assets) -> None:
        self._environment = environment
        self._assets = assets

    def context(self, config: Config, locale: Locale, zone: ZoneInfo | None = None) -> TemplateContext:
        return TemplateContext(config, locale, self._assets, zone)

    def get(self, name: str) -> Template:
        return self._environment.get_template(name)

    async def render(self, name: str, context: TemplateContext, **values: Any) -> str:
        """Render a template in a thread, so that the event loop goes on with heartbeats."""
        return await asyncio.to_thread(self.rendered, name, context, **values)

    def rendered(self, name: str, context: TemplateContext, **values: Any) -> str:
        """The same in this thread."""
        return self.get(name).render({**context.values(), **values})


def environment(app: web.Application) -> Environment:
    """Set up Jinja2 for the app."""
    environment = aiohttp_jinja2.setup(
        app,
        loader=FileSystemLoader(TEMPLATES),
        autoescape=True,
        trim_blocks=True,
        lstrip_blocks=True,
        undefined=StrictUndefined,
        auto_reload=False,
        context_processors=(),
    )
    environment.filters["segment"] = partial(quote, safe="")
    environment.globals.update(
        tr=tr,
        icon=icon,
        sign=sign,
        sprite=SPRITE,
        classes=labels.CLASSES,
        labels=labels,
        isolated=isolated,
        language_names=NAMES,
        Status=Status,
        Act=Act,
    )
    return environment
