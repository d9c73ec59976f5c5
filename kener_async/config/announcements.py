"""The announcements in force: those of config.toml, and those made in the browser or by the API."""

from collections.abc import Iterable, Iterator, Mapping

from kener_async.config.build import announcement_of
from kener_async.config.json_tables import Body, require_lengths, require_name, table_of
from kener_async.config.model import Announcement, Config
from kener_async.config.tables import AnnouncementTable
from kener_async.domain.errors import Invalid


def announcements_in_force(config: Config, stored: Iterable[Body]) -> Iterator[Announcement]:
    """The announcements of a configuration, then the stored ones that can be read."""
    yield from config.announcements
    for body in stored:
        try:
            yield announcement_of(announcement_table(body), config.site.timezone)
        except Invalid:
            continue  # an older version may have stored it; its screen says so


def checked_announcement(config: Config, name: str, body: Body) -> Announcement:
    """The announcement of JSON with the keys of its table; raises Invalid, which names the key."""
    require_name(name)
    announcement = announcement_of(announcement_table(body), config.site.timezone)
    start, end = announcement.start, announcement.end
    if start is not None and end is not None and end <= start:
        raise Invalid("Invalid until: must be after from")
    return announcement


def announcement_table(body: Body) -> AnnouncementTable:
    """The table of JSON with its keys; raises Invalid, which names the key."""
    require_lengths(body)
    return table_of(AnnouncementTable, body)


def announcement_body(table: AnnouncementTable) -> Mapping[str, object]:
    """The JSON of a table: its keys, without those at their defaults; instants are texts of ISO 8601."""
    values = {
        "title": table.title,
        "text": table.text,
        "level": table.level,
        "from": None if table.start is None else table.start.isoformat(),
        "until": None if table.end is None else table.end.isoformat(),
    }
    return {key: value for key, value in values.items() if value}
