"""The queue of a channel: its deliveries are sent one message at a time.

A delivery is marked as being sent, sent, and marked as sent; one that was interrupted in between is sent
again with the same key. Nothing more is sent before the result of the last message is stored, so that a
database that cannot be written makes nothing be sent twice.
"""

import asyncio
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from math import inf
from random import uniform
from typing import Any

import structlog

from kener_async.channels.message import Channel, Message, NotDelivered, Receipt
from kener_async.clock import Stopwatch
from kener_async.domain.deliveries import (
    FAULTS_UNTIL_PAUSED,
    PAUSED,
    Backlog,
    ChannelHealth,
    ChannelLimits,
    DeliveryPlan,
    Sending,
    is_over,
    plan,
    plan_paused,
    retry_delay,
)
from kener_async.domain.errors import Unavailable
from kener_async.domain.notices import ChannelState, Facts, NoticeKind
from kener_async.metrics import Metrics
from kener_async.store import channel_states, deliveries, notices
from kener_async.store.interface import Database, Session

log = structlog.get_logger(__name__)

BACKLOG_LIMIT = 10_000  # deliveries of a channel that are planned at a time
SEND_SECONDS = 120.0  # channels have shorter time-outs of their own
LONGEST_WAIT = 30.0  # seconds until the next look without being woken: a command may have changed something
STORE_AGAIN = 5.0  # seconds until storing is tried again
STEP = 2.0  # seconds; a smaller step of the clock back changes nothing
WAKE_MARGIN = 0.001  # seconds, because two clocks never agree

Random = Callable[[float, float], float]


@dataclass(frozen=True, slots=True)
class Outlet:
    """A channel as configured. `compose` makes the message of a sending; `settings` are compared to learn
    whether a reload changed the channel."""

    name: str
    channel: Channel
    limits: ChannelLimits
    compose: Callable[[Sending], Message]
    settings: Any = None


@dataclass(frozen=True, slots=True)
class DeliveryRules:
    """What holds for all channels: the seconds for which a delivery is tried, and the name of the channel of
    last resort, or an empty text."""

    retry_for: int = 24 * 3600
    last_resort: str = ""


@dataclass(frozen=True, slots=True)
class SendingResult:
    """The result of a sending at an instant, to be stored. `fault` None: the channel took it."""

    sending: Sending
    at: float
    receipt: Receipt
    fault: NotDelivered | None


class ChannelQueue:
    """Send the deliveries of one channel. `others` are the names of the channels that hear when it is paused;
    `on_pause` is called after that is stored."""

    def __init__(
        self,
        outlet: Outlet,
        rules: DeliveryRules,
        database: Database,
        clock: Stopwatch,
        monotonic: Stopwatch,
        metrics: Metrics,
        others: Callable[[str], list[str]],
        on_pause: Callable[[], None],
        random: Random = uniform,
    ) -> None:
        self.outlet = outlet
        self.rules = rules
        self._database = database
        self._clock = clock
        self._monotonic = monotonic
        self._metrics = metrics
        self._others = others
        self._on_pause = on_pause
        self._random = random
        self._woken = asyncio.Event()
        self._stopping = asyncio.Event()
        self._result: SendingResult | None = None  # of the last sending, until it is stored
        self._health = ChannelHealth()
        self._looked_at = clock(), monotonic()

    def wake(self) -> None:
        """Look for new deliveries."""
        self._woken.set()

    def stop(self) -> None:
        """End `run` after the sending under way, whose result is stored."""
        self._stopping.set()
        self._woken.set()

    async def run(self) -> None:
        """Send until stopped."""
        reason = ""  # why nothing could be stored the last time
        while not self._stopping.is_set() or self._result is not None:
            try:
                due_at = await self.advance()
                reason = ""
                if due_at > self._clock():
                    await self._wait(due_at)
            except Unavailable as error:
                if error.message != reason:  # a full disk would fill the log
                    log.warning("deliveries wait", channel=self.outlet.name, reason=error.message)
                reason = error.message
                await self._rest(STORE_AGAIN)
            except Exception:
                log.exception("the deliveries of a channel failed", channel=self.outlet.name)
                await self._rest(LONGEST_WAIT)

    async def _rest(self, seconds: float) -> None:
        """Rest after a failure. A stop ends it; a result that cannot be stored then is tried at this pace."""
        if self._stopping.is_set():
            await asyncio.sleep(seconds)
            return
        with suppress(TimeoutError):
            async with asyncio.timeout(seconds):
                await self._stopping.wait()

    async def advance(self) -> float:
        """Store the last result, plan once and send what is due; returns when more may be due.

        Raises Unavailable when nothing can be stored; then nothing more was sent.
        """
        await self._store()
        if self._stopping.is_set():
            return inf
        self._woken.clear()
        await self._follow_clock()
        now = self._clock()
        backlog, state = await self._database.read(_load, self.outlet.name)
        if state.paused_at is None:
            planned = plan(backlog, self.outlet.limits, self._health, now)
        else:
            planned = plan_paused(backlog, self.rules.retry_for, now)
        if planned.changes:
            await self._database.write(_store_plan, planned, int(now))
            self._count("merged", sum(map(len, planned.merges.values())))
            self._count("dropped", sum(map(len, planned.drops.values())))
            self._count("failed", len(planned.expired))
        for sending in planned.sendings:
            if self._stopping.is_set():
                break
            result = await self._send(sending)
            if result.fault is not None or sending.is_retry:
                break  # because what is due now may be something else
        if planned.sendings:
            return now
        return inf if planned.wake_at is None else planned.wake_at

    async def _follow_clock(self) -> None:
        """Let nothing wait longer because the wall clock was set back."""
        (before, then), now, instant = self._looked_at, self._clock(), self._monotonic()
        seconds = (before + instant - then) - now
        if now < before - STEP:
            await self._database.write(deliveries.set_back, self.outlet.name, seconds, before)
            self._health = self._health.shifted(seconds)
        self._looked_at = now, instant

    async def _send(self, sending: Sending) -> SendingResult:
        """Send a message; its result is stored with the begin of the next one, or before anything else."""
        await self._store(sending)
        fault: NotDelivered | None = None
        receipt = Receipt("")
        try:
            receipt = await self._deliver(sending)
        except NotDelivered as error:
            fault = error
        except TimeoutError:
            fault = NotDelivered(f"no answer within {SEND_SECONDS:.0f} s")
        except Exception:
            log.exception("a channel failed", channel=self.outlet.name)
            fault = NotDelivered("the program failed to send it; its log says why")
        self._result = result = SendingResult(sending, self._clock(), receipt, fault)
        self._note(result)
        return result

    async def _deliver(self, sending: Sending) -> Receipt:
        message = self.outlet.compose(sending)
        keys = {
            delivery.notice.alert: item.alert
            for delivery, item in zip(sending.deliveries, message.items, strict=True)
            if delivery.notice.alert is not None
        }
        stored: dict[int, str] = {}
        if keys:
            stored = await self._database.read(deliveries.references, self.outlet.name, keys)
        references = {keys[alert]: reference for alert, reference in stored.items()}
        async with asyncio.timeout(SEND_SECONDS):
            return await self.outlet.channel.send(message, references)

    def _note(self, result: SendingResult) -> None:
        """Keep in memory, count and log how the channel does."""
        name, fault = self.outlet.name, result.fault
        if fault is None:
            self._health = self._health.succeeded(result.at)
            self._count("sent", len(result.sending.ids))
            return
        is_news = fault.for_good or not self._health.failures
        if fault.for_good:
            self._health = self._health.refused(result.at)
        else:
            self._health = self._health.failed(result.at, fault.retry_after)
        self._count("failed" if fault.for_good else "postponed", len(result.sending.ids))
        level = log.warning if is_news else log.debug  # an outage of hours would fill the log
        level("a message was not delivered", channel=name, reason=str(fault), for_good=fault.for_good)

    def _count(self, result: str, deliveries: int) -> None:
        if deliveries:
            self._metrics.deliveries.labels(self.outlet.name, result).inc(deliveries)

    async def _store(self, sending: Sending | None = None) -> None:
        """Store the result of the sending before, if there is one, and that this one begins."""
        if self._result is None and sending is None:
            return
        others = self._others(self.outlet.name)
        is_paused = await self._database.write(self._advance, self._result, sending, others)
        self._result = None
        if is_paused:
            log.error("a channel is paused: it refused too many messages", channel=self.outlet.name)
            self._on_pause()

    def _advance(
        self, session: Session, result: SendingResult | None, sending: Sending | None, others: Sequence[str]
    ) -> bool:
        """The transaction of `_store`; returns whether it paused the channel."""
        is_paused = result is not None and self._finish(session, result, others)
        if sending is not None:
            deliveries.mark_sending(session, sending.ids)
        return is_paused

    def _finish(self, session: Session, result: SendingResult, others: Sequence[str]) -> bool:
        ids, now, name, fault = result.sending.ids, int(result.at), self.outlet.name, result.fault
        if fault is None:
            deliveries.mark_sent(session, ids, now, result.receipt.answer, result.receipt.reference)
            channel_states.note_sent(session, name, now)
            return False
        answer = str(fault)
        state = channel_states.note_fault(session, name, answer, for_good=fault.for_good)
        if not fault.for_good:
            self._postpone(session, result, fault)
            return False
        deliveries.mark_failed(session, ids, now, answer)
        if state.failures < FAULTS_UNTIL_PAUSED or state.paused_at is not None:
            return False
        channel_states.pause(session, name, now)
        facts = Facts(channel=name, reason=answer)
        notices.add(session, NoticeKind.CHANNEL_PAUSED, now, None, None, facts, others, result.at)
        return True

    def _postpone(self, session: Session, result: SendingResult, fault: NotDelivered) -> None:
        """Postpone what was not taken, all to one instant: it stays one message."""
        tried, retry_for = result.sending.deliveries, self.rules.retry_for
        over = {each.id for each in tried if is_over(each, each.attempts + 1, retry_for, result.at)}
        deliveries.mark_failed(session, over, int(result.at), str(fault))
        attempts = 1 + max(each.attempts for each in tried)
        due_at = result.at + retry_delay(attempts, self._random(-1, 1), fault.retry_after)
        deliveries.postpone(session, [each.id for each in tried if each.id not in over], due_at, str(fault))

    async def _wait(self, due_at: float) -> None:
        """Wait until an instant; new deliveries wait for others to be gathered with."""
        seconds = min(LONGEST_WAIT, due_at - self._clock())
        deadline = self._monotonic() + seconds + WAKE_MARGIN
        while not self._stopping.is_set():
            left = deadline - self._monotonic()
            if left <= 0:
                return
            try:
                async with asyncio.timeout(left):
                    await self._woken.wait()
            except TimeoutError:
                return
            self._woken.clear()
            deadline = min(deadline, self._monotonic() + self.outlet.limits.gather)


def _load(session: Session, channel: str) -> tuple[Backlog, ChannelState]:
    return deliveries.backlog(session, channel, BACKLOG_LIMIT), channel_states.get(session, channel)


def _store_plan(session: Session, planned: DeliveryPlan, now: int) -> None:
    for into, numbers in planned.merges.items():
        deliveries.merge(session, numbers, into, now)
    for reason, numbers in planned.drops.items():
        deliveries.drop(session, numbers, now, reason)
    deliveries.mark_failed(session, planned.expired, now, PAUSED)
