"""What a channel is sent, merged, dropped and tried again: the pure rules of deliveries."""

from dataclasses import replace
from random import Random
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from kener_async.domain.deliveries import (
    BEGUN,
    OVERTAKEN,
    PLANNED_AT_ONCE,
    REMOVED,
    RETRACTED,
    Backlog,
    ChannelHealth,
    ChannelLimits,
    DeliveryPlan,
    is_over,
    overtaken,
    plan,
    plan_paused,
    retry_delay,
)
from kener_async.domain.notices import Delivery, DeliveryState, Facts, Notice, NoticeKind
from tests.rigs.service import NOON

DAY = 86_400
AT_ONCE = ChannelLimits(gather=0)
CHAT = ChannelLimits(gather=10, per_minute=20)
PAGER = ChannelLimits(gather=0, takes_one_at_a_time=True)
FRESH = ChannelHealth()

OPENED, REMINDED, RESOLVED = NoticeKind.OPENED, NoticeKind.REMINDED, NoticeKind.RESOLVED
RETRACTED_KIND, GONE, ACKNOWLEDGED = NoticeKind.RETRACTED, NoticeKind.REMOVED, NoticeKind.ACKNOWLEDGED


def a_delivery(
    number: int, alert: int | None, kind: NoticeKind = OPENED, at: float = NOON, **fields: Any
) -> Delivery:
    notice = Notice(number, kind, int(at), alert, None, Facts(monitor=f"m{alert}"))
    return replace(Delivery(number, notice, "ops", DeliveryState.DUE, 0, float(at)), **fields)


def sent(planned: DeliveryPlan) -> list[tuple[int, ...]]:
    return [sending.ids for sending in planned.sendings]


@pytest.mark.parametrize(
    ("attempts", "expected"),
    [(1, 5), (2, 15), (3, 45), (4, 120), (5, 300), (6, 600), (7, 1800), (8, 1800), (90, 1800)],
)
def test_a_failed_delivery_is_tried_again_after(attempts, expected):
    assert retry_delay(attempts, 0) == expected
    assert retry_delay(attempts, 1) == pytest.approx(expected * 1.1)
    assert retry_delay(attempts, -1) == pytest.approx(expected * 0.9)


@pytest.mark.parametrize(("asked", "expected"), [(0, 5), (3, 5), (60, 60), (3600, 3600), (86_400, 3600)])
def test_a_receiver_is_obeyed_up_to_an_hour(asked, expected):
    assert retry_delay(1, 0, asked) == expected


@pytest.mark.parametrize(
    ("waited", "attempts", "over"),
    [
        (DAY, 55, True),
        (DAY - 1, 55, False),
        (DAY, 30, False),  # the clock was set ahead, or the service was stopped meanwhile
        (365 * DAY, 3, False),
        (-3600, 30, False),
        (-3600, 55, True),  # the clock was set back: only attempts count
        (-365 * DAY, 54, False),
    ],
)
def test_a_delivery_is_given_up_when_time_and_attempts_say_so(waited, attempts, over):
    assert is_over(a_delivery(1, 1), attempts, DAY, NOON + waited) is over


@pytest.mark.parametrize(
    ("kinds", "merges", "drops"),
    [
        ([OPENED], {}, {}),
        ([OPENED, RESOLVED], {2: [1]}, {}),
        ([OPENED, REMINDED, RESOLVED], {3: [1]}, {OVERTAKEN: [2]}),
        ([OPENED, ACKNOWLEDGED, RESOLVED], {3: [1, 2]}, {}),
        ([REMINDED, RESOLVED], {}, {OVERTAKEN: [1]}),
        ([REMINDED, REMINDED], {}, {OVERTAKEN: [1]}),
        ([OPENED, REMINDED], {}, {}),
        ([OPENED, RETRACTED_KIND], {}, {RETRACTED: [1, 2]}),
        ([RETRACTED_KIND], {}, {}),
        ([OPENED, GONE], {}, {REMOVED: [1, 2]}),
        ([REMINDED, GONE], {}, {REMOVED: [1]}),
        ([GONE], {}, {}),
        ([RESOLVED], {}, {}),
    ],
)
def test_later_events_overtake_what_was_not_sent(kinds, merges, drops):
    waiting = [a_delivery(number, 1, kind) for number, kind in enumerate(kinds, start=1)]
    assert overtaken(Backlog(waiting)) == (merges, drops)


def test_nothing_is_sent_of_an_alert_that_was_removed_before_its_opening_was():
    planned = plan(Backlog([a_delivery(1, 1), a_delivery(2, 2)], removed={1}), AT_ONCE, FRESH, NOON)
    assert sent(planned) == [(2,)]
    assert planned.drops == {REMOVED: [1]}


def test_a_closing_says_that_its_opening_was_not_told():
    planned = plan(Backlog([a_delivery(1, 1), a_delivery(2, 1, RESOLVED)]), AT_ONCE, FRESH, NOON)
    assert sent(planned) == [(2,)]
    assert planned.sendings[0].untold == {2}
    after_a_restart = plan(
        Backlog([a_delivery(2, 1, RESOLVED, attempts=1)], untold={1}), AT_ONCE, FRESH, NOON + 60
    )
    assert after_a_restart.sendings[0].untold == {2}


def test_a_short_outage_that_was_gathered_is_not_late():
    short = [a_delivery(1, 1), a_delivery(2, 1, RESOLVED, at=NOON + 6)]
    (sending,) = plan(Backlog(short), CHAT, FRESH, NOON + 30).sendings
    assert sending.untold == {2}
    assert not sending.late
    tried = [a_delivery(1, 1, attempts=1), a_delivery(2, 1, RESOLVED, at=NOON + 6)]
    (sending,) = plan(Backlog(tried), CHAT, FRESH, NOON + 30).sendings
    assert set(sending.late) == {2}
    waited = [a_delivery(1, 1), a_delivery(2, 1, RESOLVED, at=NOON + 300)]
    (sending,) = plan(Backlog(waited), CHAT, FRESH, NOON + 330).sendings
    assert set(sending.late) == {2}


def test_an_opening_that_may_have_arrived_is_not_merged():
    waiting = [a_delivery(1, 1, state=DeliveryState.SENDING, attempts=1), a_delivery(2, 1, RESOLVED)]
    planned = plan(Backlog(waiting), AT_ONCE, FRESH, NOON)
    assert not planned.merges
    assert sent(planned)[0] == (1,)


def test_a_retraction_of_what_may_have_arrived_is_told():
    waiting = [a_delivery(1, 1, attempts=1), a_delivery(2, 1, RETRACTED_KIND)]
    assert overtaken(Backlog(waiting)) == ({2: [1]}, {})


def test_a_channel_waits_for_more_after_the_first_notice():
    waiting = [a_delivery(1, 1), a_delivery(2, 2, at=NOON + 4), a_delivery(3, 3, at=NOON + 30)]
    early = plan(Backlog(waiting[:2]), CHAT, FRESH, NOON + 9)
    assert not early.sendings
    assert early.wake_at == NOON + 10
    assert sent(plan(Backlog(waiting[:2]), CHAT, FRESH, NOON + 10)) == [(1, 2)]
    late = plan(Backlog(waiting), CHAT, FRESH, NOON + 31)
    assert sent(late) == [(1, 2)]
    assert late.wake_at == NOON + 40


def test_a_storm_that_outlasts_the_wait_is_one_message():
    storm = [a_delivery(number, number, at=NOON + number / 4) for number in range(1, 45)]  # until NOON + 11
    assert plan(Backlog(storm), CHAT, FRESH, NOON + 11).wake_at == NOON + 13
    assert sent(plan(Backlog(storm), CHAT, FRESH, NOON + 13)) == [tuple(range(1, 45))]
    endless = [a_delivery(number, number, at=NOON + number) for number in range(1, 100)]
    assert sent(plan(Backlog(endless), CHAT, FRESH, NOON + 21))[0] == tuple(range(1, 22))


def test_a_pager_gets_each_alert_by_itself():
    waiting = [a_delivery(number, number) for number in range(1, 151)]
    planned = plan(Backlog(waiting), PAGER, FRESH, NOON)
    assert sent(planned) == [(number,) for number in range(1, PLANNED_AT_ONCE + 1)]


def test_above_the_limit_messages_are_gathered_and_none_is_lost():
    waiting = [a_delivery(number, number, at=NOON + 60 * number) for number in range(1, 31)]
    planned = plan(Backlog(waiting), CHAT, FRESH, NOON + 3600)
    assert len(planned.sendings) == 20
    assert sorted(number for ids in sent(planned) for number in ids) == list(range(1, 31))
    full = ChannelHealth(works=True, sent_at=tuple(NOON + 3560.0 + each for each in range(20)))
    waits = plan(Backlog(waiting), CHAT, full, NOON + 3600)
    assert not waits.sendings
    assert waits.wake_at == NOON + 3620


def test_a_message_that_was_tried_stays_the_same_message():
    tried = [a_delivery(number, number, attempts=1, due_at=NOON + 5.25) for number in (1, 2)]
    fresh = [a_delivery(3, 3, at=NOON + 6)]
    assert sent(plan(Backlog(tried + fresh), AT_ONCE, FRESH, NOON + 6)) == [(1, 2), (3,)]


def test_an_interrupted_message_is_sent_first_and_by_itself():
    waiting = [
        a_delivery(1, 1, at=NOON + 100),
        a_delivery(2, 2, state=DeliveryState.SENDING, attempts=1),
        a_delivery(3, 3, state=DeliveryState.SENDING, attempts=1),
    ]
    assert sent(plan(Backlog(waiting), replace(CHAT, per_minute=1), FRESH, NOON + 200)) == [(2, 3)]


def test_the_oldest_that_failed_is_tried_before_what_is_new():
    waiting = [a_delivery(1, 1, attempts=7, due_at=NOON + 9000), a_delivery(2, 2, at=NOON + 7300)]
    failed = ChannelHealth(failures=2, failed_at=NOON + 7000)
    assert sent(plan(Backlog(waiting), AT_ONCE, failed, NOON + 7300)) == [(1,), (2,)]
    just_now = ChannelHealth(failures=1, failed_at=NOON + 7300)
    assert sent(plan(Backlog(waiting), AT_ONCE, just_now, NOON + 7300)) == [(2,)]


def test_all_that_failed_is_tried_once_a_message_was_taken():
    waiting = [a_delivery(number, number, attempts=7, due_at=NOON + 9000 + number) for number in (1, 2, 3)]
    assert sent(plan(Backlog(waiting), AT_ONCE, FRESH.succeeded(NOON + 7300), NOON + 7300)) == [
        (1,),
        (2,),
        (3,),
    ]
    assert not plan(Backlog(waiting), AT_ONCE, FRESH, NOON + 7300).sendings


def test_nothing_is_sent_while_the_receiver_wants_nothing():
    held = FRESH.failed(NOON, retry_after=120)
    planned = plan(Backlog([a_delivery(1, 1)]), AT_ONCE, held, NOON + 60)
    assert not planned.sendings
    assert planned.wake_at == NOON + 120


def test_a_receiver_that_goes_on_failing_is_not_tried_with_each_of_a_thousand():
    health = FRESH
    for second in range(3):
        health = health.failed(NOON + second, None)
    assert not plan(Backlog([a_delivery(9, 9)]), PAGER, health, NOON + 10).sendings
    assert plan(Backlog([a_delivery(9, 9)]), PAGER, health, NOON + 32).sendings


def test_a_delivery_never_overtakes_one_of_its_alert():
    waiting = [
        a_delivery(1, 1, attempts=3, due_at=NOON + 500),
        a_delivery(2, 1, ACKNOWLEDGED, at=NOON + 100),
        a_delivery(3, 2, at=NOON + 100),
    ]
    failing = ChannelHealth(failures=1, failed_at=NOON + 200)
    assert sent(plan(Backlog(waiting), AT_ONCE, failing, NOON + 200)) == [(3,)]


def test_what_waits_for_a_paused_channel_waits_as_long_as_it_would_be_tried():
    waiting = [a_delivery(1, 1), a_delivery(2, 2, at=NOON + 100)]
    planned = plan_paused(Backlog(waiting), DAY, NOON + DAY)
    assert (planned.sendings, planned.expired, planned.wake_at) == ((), [1], NOON + DAY + 100)


LIFE = st.sampled_from(
    [
        [OPENED, RESOLVED],
        [OPENED, REMINDED, REMINDED, RESOLVED],
        [OPENED, ACKNOWLEDGED, RESOLVED],
        [OPENED, REMINDED],
        [OPENED, RETRACTED_KIND],
    ]
)


@settings(max_examples=300, deadline=None)
@given(
    lives=st.lists(LIFE, min_size=1, max_size=6),
    limits=st.sampled_from([AT_ONCE, CHAT, PAGER, ChannelLimits(gather=10, per_minute=1)]),
    seed=st.integers(0, 1 << 32),
)
def test_order_holds_and_nothing_is_lost_or_doubled(lives, limits, seed):
    """Notices of many alerts come in, sendings fail at random, and time passes, until nothing waits."""
    left = {alert: list(kinds) for alert, kinds in enumerate(lives, start=1)}
    rows: dict[int, Delivery] = {}
    told: list[Delivery] = []
    untold: set[int] = set()
    health, now, steps, chance = FRESH, float(NOON), 0, Random(seed)
    while any(left.values()) or rows:
        steps += 1
        assert steps < 500
        alerts = [alert for alert, kinds in left.items() if kinds]
        if alerts and chance.random() < 0.5:
            alert = chance.choice(alerts)
            number = steps
            rows[number] = a_delivery(number, alert, left[alert].pop(0), at=now)
        may_fail = steps < 60
        planned = plan(Backlog([*rows.values()], untold=untold), limits, health, now)
        for numbers in planned.drops.values():
            for number in numbers:
                dropped = rows.pop(number)
                assert dropped.notice.kind == REMINDED or RETRACTED in planned.drops
        for into, numbers in planned.merges.items():
            assert into in rows
            for number in numbers:
                untold |= {rows[number].notice.alert or 0} if rows[number].notice.kind == OPENED else set()
                del rows[number]
        for sending in planned.sendings:
            assert not limits.takes_one_at_a_time or len(sending.ids) == 1
            if may_fail and chance.random() < 0.5:
                health = health.failed(now, None)
                due_at = now + retry_delay(1 + max(each.attempts for each in sending.deliveries), 0)
                for each in sending.deliveries:
                    rows[each.id] = replace(each, attempts=each.attempts + 1, due_at=due_at)
                break
            health = health.succeeded(now)
            told += [rows.pop(number) for number in sending.ids]
            if sending.is_retry:
                break
        else:
            now += (
                chance.choice([0.5, 7, 60, 1800])
                if planned.wake_at is None
                else max(0.001, planned.wake_at - now)
            )
    ids = [each.id for each in told]
    assert len(ids) == len(set(ids))
    for alert, kinds in enumerate(lives, start=1):
        of_alert = [each for each in told if each.notice.alert == alert]
        assert [each.id for each in of_alert] == sorted(each.id for each in of_alert)
        told_kinds = [each.notice.kind for each in of_alert]
        if kinds[-1] in (RESOLVED, REMINDED):
            assert kinds[-1] in told_kinds
        assert (OPENED in told_kinds) or alert in untold or kinds[-1] == RETRACTED_KIND


@pytest.mark.parametrize(("begin", "told"), [(NOON + 3600, [(1,)]), (NOON, []), (NOON - 60, [])])
def test_a_maintenance_that_has_begun_is_not_announced_any_more(begin, told):
    delivery = a_delivery(1, None, NoticeKind.MAINTENANCE_ANNOUNCED, at=NOON - 600)
    notice = replace(delivery.notice, facts=Facts(title="Updates", since=begin))
    planned = plan(Backlog([replace(delivery, notice=notice)]), ChannelLimits(), ChannelHealth(), NOON)
    assert sent(planned) == told
    assert planned.drops == ({} if told else {BEGUN: [1]})
