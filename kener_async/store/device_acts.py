"""What people do about a device: forget it."""

from kener_async.domain.access import Grant
from kener_async.domain.errors import NotFound
from kener_async.domain.people import Actor
from kener_async.store import audit, devices
from kener_async.store.devices import DeviceSummary
from kener_async.store.interface import Session


def forget(session: Session, device: int, grant: Grant, actor: Actor, now: int) -> DeviceSummary:
    """Delete what is known of a device: its clock, its numbers, its monitors; it as it was.

    The samples that it sent stay. A device that reports again is new. Raises NotFound, also for one of other
    monitors than those of the grant.
    """
    found = visible(session, device, grant)
    devices.delete(session, [device])
    before = {
        "name": found.name,
        "token": found.token_id,
        "monitors": list(found.tags),
        "lastHeardAt": found.last_heard,
        "missing": found.missing,
    }
    audit.record(session, actor, "device.forget", f"device {device}", before, None, now)
    return found


def visible(session: Session, device: int, grant: Grant) -> DeviceSummary:
    """A device; raises NotFound, also for one of other monitors than those of the grant."""
    for found in devices.summaries(session, [device]):
        if found.is_visible(grant):
            return found
    raise NotFound("device not found")
