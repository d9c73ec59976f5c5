"""The condition of checks, from the database alone: those that measure nothing, and ends of certificates."""

from collections.abc import Mapping
from dataclasses import dataclass, field

from kener_async.domain.calendar import LAST_INSTANT, minute_from
from kener_async.domain.certificates import ends_at
from kener_async.domain.samples import SampleSource
from kener_async.store import certificates, samples
from kener_async.store.interface import Session


@dataclass(frozen=True, slots=True)
class CheckConditions:
    """By tag: why the check of a monitor measures nothing, and when the certificate that counts ends."""

    not_measured: Mapping[str, str] = field(default_factory=dict)
    certificate_ends: Mapping[str, int] = field(default_factory=dict)


NO_CHECKS = CheckConditions()


def read(session: Session, since: int) -> CheckConditions:
    """Read the condition of all checks; what could not be measured before an instant does not count."""
    tags: dict[int, str] = dict(session.execute("SELECT id, tag FROM monitors"))
    seen = certificates.all_certificates(session)
    ends = {tags[monitor]: ends_at(chain) for monitor, chain in seen.items()}
    return CheckConditions(
        {tags[monitor]: reason for monitor, reason in _not_measured(session, since)},
        {tag: instant for tag, instant in ends.items() if instant is not None},
    )


def _not_measured(session: Session, since: int) -> list[tuple[int, str]]:
    """The monitors whose newest fault was not measured, and of which nothing was measured since."""
    found = session.execute(
        """
        SELECT id, at, reason
          FROM monitors
         CROSS JOIN check_faults ON monitor_id = id
           AND at = (SELECT max(at) FROM check_faults WHERE monitor_id = id)
         WHERE status IS NULL AND at >= ?
        """,
        (since,),
    ).fetchall()
    first = min((minute_from(int(at)) for _, at, _ in found), default=0)
    measured = (
        samples.spans(session, [monitor for monitor, _, _ in found], first, LAST_INSTANT) if found else {}
    )
    return [
        (monitor, reason)
        for monitor, at, reason in found
        if not any(
            sample.source is SampleSource.CHECK and sample.minute > at
            for sample in measured.get(monitor, {}).values()
        )
    ]
