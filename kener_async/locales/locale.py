"""Locales: negotiation, translations, and the formats of numbers, dates and durations.

The catalogs beside this file are gettext's .po files, read on first use.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date, datetime
from functools import cache, cached_property, lru_cache
from io import BytesIO
from pathlib import Path
from zoneinfo import ZoneInfo

from babel import Locale as Cldr
from babel.core import get_global, parse_locale
from babel.dates import format_date, format_time
from babel.lists import format_list
from babel.messages.mofile import write_mo
from babel.messages.pofile import read_po
from babel.support import Translations

from kener_async.domain.calendar import DAY, MINUTE, nearest_showable
from kener_async.domain.durations import split_duration

CATALOGS = Path(__file__).parent
SOURCE = "en"  # the language of the texts in code and templates

# The name of each language in itself.
NAMES = {
    "en": "English",
    "de": "Deutsch",
    "es": "Español",
    "fr": "Français",
    "hi": "हिन्दी",
    "ja": "日本語",
    "pt-BR": "Português (Brasil)",
    "vi": "Tiếng Việt",
    "zh-CN": "简体中文",
}


@dataclass(frozen=True)
class Locale:
    """A language; `tag` as in HTML's `lang`."""

    tag: str

    @cached_property
    def cldr(self) -> Cldr:
        return Cldr.parse(self.tag, sep="-")

    @cached_property
    def direction(self) -> str:
        return self.cldr.text_direction

    @cached_property
    def _translations(self) -> Translations:
        if self.tag == SOURCE:
            return Translations()
        with (CATALOGS / f"{self.tag}.po").open("rb") as file:
            catalog = read_po(file, locale=str(self.cldr))
        compiled = BytesIO()
        write_mo(compiled, catalog)
        compiled.seek(0)
        return Translations(compiled)

    def gettext(self, message: str) -> str:
        return str(self._translations.ugettext(message))

    def ngettext(self, singular: str, plural: str, number: int) -> str:
        return str(self._translations.ungettext(singular, plural, number))

    def listed(self, items: Sequence[str]) -> str:
        """Items joined as in a sentence: "A, B, and C"."""
        return str(format_list(items, locale=self.cldr)) if items else ""

    @lru_cache(2048)  # noqa: B019 - locales live as long as the process
    def day(self, day: date, form: str = "medium") -> str:
        """A date: "short", "medium", "long" or "full"."""
        return str(format_date(day, form, locale=self.cldr))

    @lru_cache(512)  # noqa: B019
    def month(self, day: date) -> str:
        """The month of a date, with its year."""
        return str(format_date(day, self._skeleton("yMMMM"), locale=self.cldr))

    @lru_cache(512)  # noqa: B019
    def day_of_year(self, day: date) -> str:
        """A date without its year: "Nov 27"."""
        return str(format_date(day, self._skeleton("MMMd"), locale=self.cldr))

    def _skeleton(self, skeleton: str) -> str:
        return str(self.cldr.datetime_skeletons[skeleton].pattern)

    def weekdays(self) -> list[tuple[str, str]]:
        """The days of the week, abbreviated and in full, in the order of this language's calendars."""
        first = self.cldr.first_week_day
        short = self.cldr.days["stand-alone"]["abbreviated"]
        full = self.cldr.days["stand-alone"]["wide"]
        return [(short[(first + n) % 7], full[(first + n) % 7]) for n in range(7)]

    @lru_cache(4096)  # noqa: B019
    def time(self, instant: int, zone: ZoneInfo) -> str:
        """The clock time of an instant, to the minute."""
        return str(format_time(_moment(instant, zone), "short", zone, locale=self.cldr))

    @lru_cache(4096)  # noqa: B019
    def instant(self, instant: int, zone: ZoneInfo, form: str = "medium") -> str:
        """Date and clock time of an instant, to the minute."""
        moment = _moment(instant, zone)
        pattern = str(self.cldr.datetime_formats[form]).replace("'", "")
        return pattern.format(
            format_time(moment, "short", zone, locale=self.cldr),
            format_date(moment.date(), form, locale=self.cldr),
        )

    @lru_cache(1024)  # noqa: B019
    def duration(self, seconds: int) -> str:
        """A duration to the minute, from a week on in days: 12 days; 1 day 2 h 5 min; 1 min."""
        parts = split_duration(max(seconds, MINUTE), "d" if seconds >= 7 * DAY else "dhm")
        return " ".join(self.unit(count, _UNITS[unit]) for count, unit in parts)

    def unit(self, count: int, unit: str) -> str:
        """A number of days, hours or minutes."""
        # From our catalogs, because Babel's CLDR units lack forms in half of these languages.
        ngettext = self.ngettext
        text = {
            "day": ngettext("%(count)s day", "%(count)s days", count),
            "hour": ngettext("%(count)s h", "%(count)s h", count),
            "minute": ngettext("%(count)s min", "%(count)s min", count),
        }[unit]
        return text % {"count": count}

    @cached_property
    def _decimal(self) -> str:
        return str(self.cldr.number_symbols["latn"]["decimal"])

    def figure(self, uptime: str) -> str:
        """An uptime as a percentage in this language; its digits are kept, nothing is rounded."""
        if uptime == "-":
            return "–"  # noqa: RUF001 - a dash for no figure
        return self._percent.format(uptime.replace(".", self._decimal))

    @cached_property
    def _percent(self) -> str:
        pattern = str(self.cldr.percent_formats[None].pattern)
        return pattern.partition(";")[0].replace("#,##,##0", "{}").replace("#,##0", "{}")

    def latency(self, latency: float, unit: str) -> str:
        """A latency given in `unit`, "s" or "ms", to three digits."""
        milliseconds = latency * 1000 if unit == "s" else latency
        value, name = (milliseconds, "ms") if milliseconds < 999.5 else (milliseconds / 1000, "s")
        decimals = 2 if value < 9.995 else 1 if value < 99.95 else 0
        text = f"{value:.{decimals}f}"
        if decimals:
            text = text.rstrip("0").rstrip(".")
        return f"{text.replace('.', self._decimal)}\N{NO-BREAK SPACE}{name}"


_UNITS = {"d": "day", "h": "hour", "m": "minute"}


def _moment(instant: int, zone: ZoneInfo) -> datetime:
    return datetime.fromtimestamp(nearest_showable(instant), zone)


@cache
def locale(tag: str) -> Locale:
    """The locale of one of NAMES."""
    return Locale(tag)


ENGLISH = locale(SOURCE)  # also for pages that are the same in all languages


@lru_cache(1024)
def negotiate(chosen: str | None, accepted: str, offered: tuple[str, ...], default: str) -> str:
    """The language of the answer: the one chosen if it is offered, else the best of Accept-Language."""
    if chosen in offered:
        return chosen
    written: dict[str, str] = {}  # the script of each language that the header names, as it names it first
    for tag in _accepted(accepted):
        for name in offered:
            if tag == name.lower():
                return name
        language, script = _likely(tag)
        # With "zh-TW, zh" also the second means what the first is written in.
        script = written.setdefault(language, script)
        for name in offered:
            if (language, script) == _likely(name):
                return name
    return default


def _likely(tag: str) -> tuple[str, str]:
    """The language of a tag and the script it is written in: ("zh", "Hant") of zh-TW; "" if unknown."""
    try:
        language, territory, script, *_ = parse_locale(tag, sep="-")
    except ValueError:
        return tag.partition("-")[0].lower(), ""
    likely = get_global("likely_subtags")
    names = [f"{language}_{territory}", language] if territory else [language]
    found = next((likely[name] for name in names if name in likely), language).split("_")
    return language, script or (found[1] if len(found) > 1 else "")


def _accepted(header: str) -> list[str]:
    """The tags of an Accept-Language header, the preferred first."""
    weighted = []
    for position, part in enumerate(header.split(",")[:32]):
        tag, _, parameter = part.strip().partition(";")
        try:
            weight = float(parameter.strip().removeprefix("q=")) if parameter else 1.0
        except ValueError:
            continue
        if tag and weight > 0:
            weighted.append((-weight, position, tag.strip().lower()))
    return [tag for _, _, tag in sorted(weighted)]
