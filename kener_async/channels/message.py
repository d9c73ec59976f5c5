"""The message that every channel renders, and what a channel is."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Protocol
from zoneinfo import ZoneInfo

from kener_async.domain.notices import Facts, NoticeKind


@dataclass(frozen=True, slots=True)
class MessageItem:
    """One thing that happened to one monitor, with what its reader needs to know of the monitor.

    `alert` is a stable key of the alert, the same in its opening, reminders and closing; `key` is that of the
    delivery, the same each time it is sent. `page` and `acknowledge` are addresses, or empty. `unit` is that
    of the latency. `affected` are the names of the monitors of a maintenance. `was_not_told`, of a closing:
    its opening was not sent before; `is_late`: it could not be.
    """

    kind: NoticeKind
    at: int
    facts: Facts
    key: str
    alert: str
    name: str = ""
    category: str = ""
    page: str = ""
    acknowledge: str = ""
    unit: str = "s"
    affected: tuple[str, ...] = ()
    was_not_told: bool = False
    is_late: bool = False


@dataclass(frozen=True, slots=True)
class Message:
    """What one sending tells: one item, or several that a channel gathered. `key` is stable across retries.

    `bad_now` of `monitors` are bad when it is sent. Times are told in `zone` and in UTC.
    """

    key: str
    items: tuple[MessageItem, ...]
    site: str
    home: str
    locale: str
    zone: ZoneInfo
    bad_now: int
    monitors: int
    is_test: bool = False


@dataclass(frozen=True, slots=True)
class Receipt:
    """The answer to what was accepted: a text of at most 500 characters without secrets, and the channel's
    own name of the message, for later ones that refer to it; empty: none."""

    answer: str
    reference: str = ""


class NotDelivered(Exception):
    """The channel did not take the message. The text holds no secret.

    `for_good`: trying again is useless. `retry_after` are the seconds that the receiver asked to wait.
    """

    def __init__(self, text: str, *, for_good: bool = False, retry_after: float | None = None) -> None:
        super().__init__(text)
        self.for_good = for_good
        self.retry_after = retry_after


class Channel(Protocol):
    """A configured channel of some kind."""

    @property
    def takes_one_at_a_time(self) -> bool:
        """Whether each alert is an event of its own (pagers), which is never gathered."""
        ...

    @property
    def keeps_state(self) -> bool:
        """Whether the receiver keeps alerts open, and so must hear of those that were removed."""
        ...

    async def send(self, message: Message, references: Mapping[str, str]) -> Receipt:
        """Return when the receiver has taken it; raises NotDelivered. `references` are by alert."""
        ...
