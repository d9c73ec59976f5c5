"""Store the history of the demo as the service would have stored it."""

from collections.abc import Iterator, Mapping, Sequence
from functools import partial

from kener_async.config.model import Config
from kener_async.demo.devices import DAYS, SimulatedDevice
from kener_async.domain.calendar import DAY, utc_day_of
from kener_async.domain.samples import Sample
from kener_async.store.admin import history
from kener_async.store.admin.history import History, IncidentHistory


def fill(
    config: Config, devices: Sequence[SimulatedDevice], incidents: Sequence[IncidentHistory], now: int
) -> None:
    """Store 90 days of samples and incidents in a new database."""
    past = History(
        begin=utc_day_of(now) - DAYS * DAY,
        end=now,
        settings={monitor.tag: monitor.settings for monitor in config.monitors},
        samples=partial(samples_until, devices, now),
        incidents=incidents,
    )
    history.store(config.database.path, past, config.database.retention_days * DAY)


def samples_until(devices: Sequence[SimulatedDevice], now: int, ids: Mapping[str, int]) -> Iterator[Sample]:
    """The samples of all devices up to now."""
    for device in devices:
        for minute in device.minutes(now):
            measured = device.measure(minute)
            if measured is not None:
                yield Sample(ids[device.profile.tag], minute, *measured)
