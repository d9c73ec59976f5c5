"""Judge for the doctor whether checks can be made, and whether certificates must be renewed soon."""

from datetime import UTC, datetime

from kener_async.config.model import Config
from kener_async.domain.calendar import DAY
from kener_async.ops.diagnosis import NAMED, Findings, ok, warn
from kener_async.store.check_conditions import CheckConditions

SOON = 14 * DAY


def of_checks(config: Config, seen: CheckConditions, now: int) -> Findings:
    """Judge the checks of the configuration; nothing without any."""
    checked = [monitor.tag for monitor in config.monitors if monitor.check is not None]
    if not checked:
        return
    failing = [tag for tag in checked if tag in seen.not_measured]
    for tag in failing[:NAMED]:
        text = f"{tag} is not measured: {seen.not_measured[tag]}"
        yield warn("checks", text, f"remove the cause; kener-async check {tag} tries it at once")
    if len(failing) > NAMED:
        yield warn("checks", f"{len(failing) - NAMED} more are not measured", "see kener-async status")
    if not failing:
        yield ok("checks", f"{len(checked)} configured, all could be made")
    yield from _of_certificates(checked, seen, now)


def _of_certificates(checked: list[str], seen: CheckConditions, now: int) -> Findings:
    ends = sorted((seen.certificate_ends[tag], tag) for tag in checked if tag in seen.certificate_ends)
    soon = [(instant, tag) for instant, tag in ends if instant - now < SOON]
    for instant, tag in soon[:NAMED]:
        verb = "ended" if instant <= now else "ends"
        text = f"that of {tag} {verb} on {datetime.fromtimestamp(instant, UTC):%Y-%m-%d %H:%M} UTC"
        yield warn("certificates", text, "renew it; an alert rule with certificate_within says so in time")
    if len(soon) > NAMED:
        yield warn("certificates", f"{len(soon) - NAMED} more end within 14 days", "renew them")
    if ends and not soon:
        yield ok("certificates", f"{len(ends)} seen, none ends within 14 days")
