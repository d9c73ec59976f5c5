"""Conditions on a figure, such as the uptime of a window: no streak; time counts from the first look."""

from decimal import Decimal

from kener_async.domain.alert_streaks import NO_STREAK, AlertStreak, Side
from kener_async.domain.alerts import BurnRate, CertificateWithin, UptimeBelow
from kener_async.domain.uptime import Counts

FigureCondition = UptimeBelow | BurnRate | CertificateWithin


def uptime_side(condition: UptimeBelow, counts: Counts) -> Side | None:
    """What the published uptime of the window says; None without one, and between the two percentages."""
    if not counts.counted:
        return None
    figure = Decimal(counts.uptime)
    if figure < Decimal(str(condition.percent)):
        return Side.BAD
    return Side.GOOD if figure >= Decimal(str(condition.recover_at)) else None


def burn_side(condition: BurnRate, long: Counts, short: Counts) -> Side | None:
    """What the counts of both windows say: BAD while both burn as fast; None: not enough is known."""
    burns = [_burns(condition, counts) for counts in (long, short)]
    if all(burns):
        return Side.BAD
    return Side.GOOD if False in burns else None


def certificate_side(condition: CertificateWithin, ends_at: int | None, now: int) -> Side | None:
    """What the end of the certificate that counts says; None: none was seen."""
    if ends_at is None:
        return None
    return Side.BAD if ends_at - now < condition.seconds else Side.GOOD


def _burns(condition: BurnRate, counts: Counts) -> bool | None:
    """Whether a window uses the budget `rate` times as fast as it allows; None: nothing is known of it."""
    if not counts.counted:
        return None
    lost = counts.counted - counts.good
    allowed = (100 - condition.target) / 100 * counts.counted
    return lost > 0 and lost >= condition.rate * allowed


def figure_streak(side: Side | None, now: int, before: AlertStreak = NO_STREAK) -> AlertStreak:
    """The streak of a figure at this look; `before` is that of the look before, kept in memory only.

    A look that says nothing changes nothing. A figure is no report, so every count is met.
    """
    if side is None or side is before.side:
        return before
    return AlertStreak(side, now, now, now, is_uncounted=True, other_until=now)
