"""The windows of uptime figures. Each ends with the current minute, which it includes."""

from kener_async.domain.calendar import DAY

WINDOWS = {"24h": DAY, "7d": 7 * DAY, "30d": 30 * DAY, "90d": 90 * DAY}  # seconds, by name
LONGEST = max(WINDOWS.values())
