"""Deliveries: what a channel is sent now, what is merged or dropped, and when a failed one is tried again.

All of it is about the deliveries of one channel. They are sent one message at a time; for each alert in the
order in which they were written. Instants are UTC seconds with a fraction.
"""

from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from itertools import chain, groupby

from kener_async.domain.calendar import HOUR, MINUTE
from kener_async.domain.notices import Delivery, DeliveryState, NoticeKind

RETRY_DELAYS = (5, 15, 45, 2 * MINUTE, 5 * MINUTE, 10 * MINUTE, 30 * MINUTE)  # the last one ever after
SPREAD = 0.1  # of a delay, either way
LONGEST_RETRY_AFTER = HOUR  # of what a receiver asks for
PROBE_AFTER = RETRY_DELAYS[0]
FAILING_FROM = 3  # failures in a row, of any messages
FAILING_PAUSE = 30  # seconds between two messages then; less than any delay of a third attempt
FAULTS_UNTIL_PAUSED = 10  # failures for good in a row
LAST_RESORT_AFTER = 10 * MINUTE
STORM_PAUSE = 2  # seconds without anything new after which a storm is over
PLANNED_AT_ONCE = 100  # events of a channel that takes one at a time

CLOSINGS = frozenset({NoticeKind.RESOLVED, NoticeKind.RETRACTED})

REMOVED = "the rule or the monitor was removed before this was sent"
RETRACTED = "it was up all along, and this had not been sent"
OVERTAKEN = "a later event was to be sent before this could be"
PAUSED = "the channel is paused"
BEGUN = "the maintenance began before this could be sent"


def retry_delay(attempts: int, spread: float, retry_after: float | None = None) -> float:
    """Seconds from a failed attempt to the next; `attempts` counts it, `spread` is random from -1 to 1.

    `retry_after` are the seconds that the receiver asked to wait.
    """
    delay = RETRY_DELAYS[min(attempts, len(RETRY_DELAYS)) - 1] * (1 + SPREAD * spread)
    return delay if retry_after is None else max(delay, min(retry_after, LONGEST_RETRY_AFTER))


def is_over(delivery: Delivery, attempts: int, retry_for: int, now: float) -> bool:
    """Whether a delivery that failed again is not tried any more.

    Both must have passed: `retry_for` by the clock, and half of it by the number of attempts, because the
    clock may have been set ahead and the service may have been stopped. Of a notice from the future, because
    the clock was set back, attempts are all there is to count.
    """
    tried = sum(RETRY_DELAYS[: attempts - 1]) + RETRY_DELAYS[-1] * max(0, attempts - 1 - len(RETRY_DELAYS))
    waited = now - delivery.notice.at
    return tried >= retry_for if waited < 0 else waited >= retry_for and tried >= retry_for / 2


@dataclass(frozen=True, slots=True)
class ChannelLimits:
    """How a channel gathers: seconds that it waits for more, and how many messages a minute it gets.

    `takes_one_at_a_time`: each delivery is an event of its own, never gathered nor limited.
    """

    gather: int = 10
    per_minute: int = 20
    takes_one_at_a_time: bool = False


@dataclass(frozen=True, slots=True)
class ChannelHealth:
    """What is known of a channel since the start. `sent_at` are the instants of the last minute's messages.

    `works`: the last message was taken. `failures` of them were not, in a row, the last one at `failed_at`.
    Until `held_until` nothing is sent: the receiver asked for it, or has failed for some time.
    """

    works: bool = False
    failures: int = 0
    failed_at: float = 0
    held_until: float = 0
    sent_at: tuple[float, ...] = ()

    def succeeded(self, now: float) -> "ChannelHealth":
        return ChannelHealth(works=True, sent_at=self._with(now))

    def failed(self, now: float, retry_after: float | None) -> "ChannelHealth":
        failures = self.failures + 1
        pause = FAILING_PAUSE if failures >= FAILING_FROM else 0
        held_until = now + max(pause, min(retry_after or 0, LONGEST_RETRY_AFTER))
        return ChannelHealth(False, failures, now, held_until, self._with(now))

    def refused(self, now: float) -> "ChannelHealth":
        """After a message that is never to be sent again, which says nothing about others."""
        return replace(self, sent_at=self._with(now))

    def shifted(self, seconds: float) -> "ChannelHealth":
        """The same by a clock that was set back by so many seconds."""
        sent_at = tuple(instant - seconds for instant in self.sent_at)
        return replace(
            self, failed_at=self.failed_at - seconds, held_until=self.held_until - seconds, sent_at=sent_at
        )

    def _with(self, now: float) -> tuple[float, ...]:
        return (*(instant for instant in self.sent_at if now - MINUTE < instant <= now), now)


@dataclass(frozen=True, slots=True)
class Backlog:
    """The deliveries of a channel that are not done, by id; and of their alerts those that were removed,
    and those whose opening was not told to the channel, because it was merged or failed for good."""

    waiting: Sequence[Delivery]
    removed: Collection[int] = ()
    untold: Collection[int] = ()


@dataclass(frozen=True, slots=True)
class Sending:
    """Deliveries that one message tells. `untold` are ids of closings whose opening was not told before.

    `late` are those of them whose opening could not be sent: it was not only gathered with its closing.
    """

    deliveries: tuple[Delivery, ...]
    untold: frozenset[int] = frozenset()
    late: frozenset[int] = frozenset()

    @property
    def ids(self) -> tuple[int, ...]:
        return tuple(delivery.id for delivery in self.deliveries)

    @property
    def is_retry(self) -> bool:
        return any(delivery.attempts for delivery in self.deliveries)


@dataclass(frozen=True, slots=True)
class DeliveryPlan:
    """What to do with a backlog now, by the ids of its deliveries.

    `merges` are by the delivery that tells them, `drops` by the reason; `expired` waited for too long.
    `sendings` are in order; after one that failed they are planned again. `wake_at` is when the rest may be
    due; None: never without something new.
    """

    sendings: tuple[Sending, ...] = ()
    merges: Mapping[int, Sequence[int]] = field(default_factory=dict)
    drops: Mapping[str, Sequence[int]] = field(default_factory=dict)
    expired: Sequence[int] = ()
    wake_at: float | None = None

    @property
    def changes(self) -> bool:
        """Whether something is to be stored before anything is sent."""
        return bool(self.merges or self.drops or self.expired)


def plan(backlog: Backlog, limits: ChannelLimits, health: ChannelHealth, now: float) -> DeliveryPlan:
    """Decide about the backlog of a channel that is not paused."""
    merges, drops = overtaken(backlog)
    _drop(drops, BEGUN, _begun(backlog, now))
    left = _left(backlog, merges, drops)
    groups, wake_at = _ready(_groups(left, limits), health, now)
    if groups and now < health.held_until:
        groups, wake_at = [], health.held_until
    messages = [group.deliveries for group in groups]
    if not limits.takes_one_at_a_time:
        if groups and groups[0].is_interrupted:  # it is never merged with others: its key must stay
            messages = messages[:1]
        messages, wake_at = _within_limit(messages, wake_at, limits.per_minute, health, now)
    untold = _untold(left, backlog.untold, merges)
    late = untold - _gathered_closings(backlog, merges, limits.gather)
    sendings = tuple(_sending(message, untold, late) for message in messages[:PLANNED_AT_ONCE])
    return DeliveryPlan(sendings, merges, drops, wake_at=wake_at)


def plan_paused(backlog: Backlog, retry_for: int, now: float) -> DeliveryPlan:
    """Decide about the backlog of a channel that is paused: each delivery waits for `retry_for`."""
    merges, drops = overtaken(backlog)
    ends = {each.id: each.notice.at + retry_for for each in _left(backlog, merges, drops)}
    expired = [number for number, end in ends.items() if end <= now]
    wake_at = min((end for end in ends.values() if end > now), default=None)
    return DeliveryPlan((), merges, drops, expired, wake_at)


def overtaken(backlog: Backlog) -> tuple[dict[int, list[int]], dict[str, list[int]]]:
    """The ids to merge, by the delivery that tells them, and the ids to drop, by the reason.

    A delivery whose sending was interrupted may have arrived: it counts as sent, and is sent again.
    """
    merges: dict[int, list[int]] = {}
    drops: dict[str, list[int]] = {}
    by_alert: dict[int, list[Delivery]] = {}
    for delivery in backlog.waiting:
        if delivery.notice.alert is not None and delivery.state == DeliveryState.DUE:
            by_alert.setdefault(delivery.notice.alert, []).append(delivery)
    for alert, of_alert in by_alert.items():
        kinds = [delivery.notice.kind for delivery in of_alert]
        if NoticeKind.REMOVED in kinds or alert in backlog.removed:
            _remove(of_alert, kinds, drops)
        else:
            reminders = (each.id for each in of_alert[:-1] if each.notice.kind == NoticeKind.REMINDED)
            _drop(drops, OVERTAKEN, reminders)
            _close(of_alert, kinds, merges, drops)
    return merges, drops


def _begun(backlog: Backlog, now: float) -> Iterator[int]:
    """The ids of announcements of maintenance that has begun: nobody can prepare for it any more."""
    for delivery in backlog.waiting:
        begin = delivery.notice.facts.since
        if delivery.notice.kind == NoticeKind.MAINTENANCE_ANNOUNCED and begin is not None and begin <= now:
            yield delivery.id


def _remove(of_alert: Sequence[Delivery], kinds: Sequence[NoticeKind], drops: dict[str, list[int]]) -> None:
    """Drop what was not sent of an alert that was removed; a pager that has its opening hears of that."""
    is_unknown = NoticeKind.OPENED in kinds or NoticeKind.FLAPPING in kinds
    useless = (each.id for each in of_alert if is_unknown or each.notice.kind != NoticeKind.REMOVED)
    _drop(drops, REMOVED, useless)


def _close(
    of_alert: Sequence[Delivery],
    kinds: Sequence[NoticeKind],
    merges: dict[int, list[int]],
    drops: dict[str, list[int]],
) -> None:
    """Merge an opening that was not sent, and what followed it, with the closing of its alert.

    Of an alert that was retracted before its opening was tried nothing is told.
    """
    if NoticeKind.OPENED not in kinds:
        return
    opening = kinds.index(NoticeKind.OPENED)
    closings = [each for each in of_alert[opening:] if each.notice.kind in CLOSINGS]
    if not closings:
        return
    closing = closings[-1]
    before = (each for each in of_alert[opening:] if each.id < closing.id)
    merged = [each.id for each in before if each.notice.kind != NoticeKind.REMINDED]
    if closing.notice.kind == NoticeKind.RETRACTED and not of_alert[opening].attempts:
        _drop(drops, RETRACTED, [*merged, closing.id])
    else:
        merges[closing.id] = merged


def _drop(drops: dict[str, list[int]], reason: str, numbers: Iterable[int]) -> None:
    if dropped := list(numbers):
        drops.setdefault(reason, []).extend(dropped)


def _left(
    backlog: Backlog, merges: Mapping[int, Sequence[int]], drops: Mapping[str, Sequence[int]]
) -> list[Delivery]:
    gone = set(chain(*merges.values(), *drops.values()))
    return [delivery for delivery in backlog.waiting if delivery.id not in gone]


def _untold(
    left: Sequence[Delivery], alerts: Collection[int], merges: Mapping[int, Sequence[int]]
) -> frozenset[int]:
    """The ids of closings whose opening was not told to the channel."""
    closings = (each for each in left if each.notice.kind in CLOSINGS)
    return frozenset(each.id for each in closings if each.id in merges or each.notice.alert in alerts)


def _gathered_closings(backlog: Backlog, merges: Mapping[int, Sequence[int]], gather: int) -> frozenset[int]:
    """The ids of closings that came while their opening, not tried yet, was waited with."""
    by_id = {delivery.id: delivery for delivery in backlog.waiting}

    def is_gathered(closing: int, merged: Sequence[int]) -> bool:
        before = [by_id[number] for number in merged]
        return all(
            not each.attempts and by_id[closing].notice.at <= each.due_at + 2 * gather for each in before
        )

    return frozenset(closing for closing, merged in merges.items() if is_gathered(closing, merged))


def _sending(message: Sequence[Delivery], untold: frozenset[int], late: frozenset[int]) -> Sending:
    ids = {delivery.id for delivery in message}
    return Sending(tuple(message), untold & ids, late & ids)


@dataclass(frozen=True, slots=True)
class MessageGroup:
    """Deliveries for one message, which may be sent at `ready_at`."""

    deliveries: list[Delivery]
    ready_at: float
    is_interrupted: bool = False
    is_retry: bool = False


def _groups(left: Sequence[Delivery], limits: ChannelLimits) -> list[MessageGroup]:
    """The messages that the deliveries make up, those with older deliveries first.

    A message that was tried stays the same, so that its key does: its deliveries were postponed to the same
    instant.
    """
    interrupted = [each for each in left if each.state == DeliveryState.SENDING]
    tried = [each for each in left if each.state == DeliveryState.DUE and each.attempts]
    fresh = [each for each in left if each.state == DeliveryState.DUE and not each.attempts]
    if limits.takes_one_at_a_time:
        groups = [MessageGroup([each], 0, is_interrupted=True) for each in interrupted]
        groups += [MessageGroup([each], each.due_at, is_retry=True) for each in tried]
        groups += [MessageGroup([each], each.due_at + limits.gather) for each in fresh]
    else:
        groups = [MessageGroup(interrupted, 0, is_interrupted=True)] if interrupted else []
        for due_at, same in groupby(sorted(tried, key=_due), key=lambda each: each.due_at):
            groups.append(MessageGroup(list(same), due_at, is_retry=True))
        groups += _gathered(sorted(fresh, key=_due), limits.gather)
    return sorted(groups, key=lambda group: (not group.is_interrupted, group.deliveries[0].id))


def _due(delivery: Delivery) -> tuple[float, int]:
    return delivery.due_at, delivery.id


def _gathered(fresh: Sequence[Delivery], gather: int) -> Iterator[MessageGroup]:
    """Group deliveries, by when they are due, that are due before the message of the first is sent."""
    group: list[Delivery] = []
    for delivery in fresh:
        if group and delivery.due_at > _complete_at(group, gather):
            yield MessageGroup(group, _complete_at(group, gather))
            group = []
        group.append(delivery)
    if group:
        yield MessageGroup(group, _complete_at(group, gather))


def _complete_at(group: Sequence[Delivery], gather: int) -> float:
    """When a message is no longer waited with: `gather` seconds after its first delivery.

    Or later, up to twice as long, while a storm lasts: a second message for its last monitors helps nobody.
    """
    first, last = group[0].due_at, group[-1].due_at
    return max(first + gather, min(last + STORM_PAUSE, first + 2 * gather))


def _ready(
    groups: Sequence[MessageGroup], health: ChannelHealth, now: float
) -> tuple[list[MessageGroup], float | None]:
    """The groups that may be sent now, without deliveries that would overtake others; when the rest may.

    When anything is to be sent, the oldest message that failed is tried first, which keeps messages in order
    once the receiver can be reached again; and when a message was taken, all others that failed are.
    """
    is_ready = [group.ready_at <= now or (group.is_retry and health.works) for group in groups]
    retries = [place for place, group in enumerate(groups) if group.is_retry]
    if retries and any(is_ready) and now - health.failed_at >= PROBE_AFTER:
        is_ready[retries[0]] = True
    before = _predecessors(groups)
    ready: list[MessageGroup] = []
    placed: set[int] = set()
    for group, goes in zip(groups, is_ready, strict=True):
        if not goes:
            continue
        allowed = _in_order(group.deliveries, before, placed)
        placed.update(each.id for each in allowed)
        if allowed:
            ready.append(replace(group, deliveries=allowed))
    later = (group.ready_at for group, goes in zip(groups, is_ready, strict=True) if not goes)
    return ready, min(later, default=None)


def _predecessors(groups: Sequence[MessageGroup]) -> dict[int, int]:
    """By the id of a delivery, the id of the one before it of the same alert."""
    newest: dict[int, int] = {}
    before: dict[int, int] = {}
    for delivery in sorted((each for group in groups for each in group.deliveries), key=lambda each: each.id):
        alert = delivery.notice.alert
        if alert is not None:
            if alert in newest:
                before[delivery.id] = newest[alert]
            newest[alert] = delivery.id
    return before


def _in_order(deliveries: Sequence[Delivery], before: Mapping[int, int], placed: set[int]) -> list[Delivery]:
    """The deliveries of a message, oldest first, whose predecessors are in it or in one before it."""
    allowed: list[Delivery] = []
    reached = set(placed)
    for delivery in sorted(deliveries, key=lambda each: each.id):
        if delivery.id not in before or before[delivery.id] in reached:
            allowed.append(delivery)
            reached.add(delivery.id)
    return allowed


def _within_limit(
    messages: list[list[Delivery]],
    wake_at: float | None,
    per_minute: int,
    health: ChannelHealth,
    now: float,
) -> tuple[list[list[Delivery]], float | None]:
    """At most as many messages as the channel may get in this minute; the last one has all that is left."""
    recent = [instant for instant in health.sent_at if now - MINUTE < instant <= now]
    allowed = per_minute - len(recent)
    if not messages or len(messages) <= allowed:
        return messages, wake_at
    if allowed <= 0:
        return [], recent[-per_minute] + MINUTE
    rest = sorted(chain(*messages[allowed - 1 :]), key=lambda each: each.id)
    return [*messages[: allowed - 1], rest], wake_at
