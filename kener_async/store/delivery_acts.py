"""What people do about a delivery: send it again, drop it."""

from kener_async.domain.access import Grant
from kener_async.domain.errors import Invalid, NotFound
from kener_async.domain.notices import Delivery, DeliveryState, is_visible
from kener_async.domain.people import Actor
from kener_async.store import audit, deliveries
from kener_async.store.interface import Session


def send_again(session: Session, number: int, grant: Grant, actor: Actor, now: int) -> Delivery:
    """Let a delivery that is done be due now, as if it were new; the delivery.

    Raises NotFound, also for one of another monitor than those of the grant, and Invalid for one that waits.
    """
    before = visible(session, number, grant)
    sent = deliveries.send_again(session, number, now)
    _record(session, actor, "delivery.send-again", before, sent, now)
    return sent


def drop(session: Session, number: int, grant: Grant, actor: Actor, now: int) -> Delivery:
    """Drop a delivery that waits to be sent; the delivery.

    Raises NotFound, also for one of another monitor than those of the grant, and Invalid for one that is done
    or being sent.
    """
    before = visible(session, number, grant)
    if before.state is not DeliveryState.DUE:
        raise Invalid("only a delivery that waits to be sent can be dropped")
    deliveries.drop(session, [number], now, f"dropped by {actor.name}")
    dropped = deliveries.get(session, number)
    _record(session, actor, "delivery.drop", before, dropped, now)
    return dropped


def visible(session: Session, number: int, grant: Grant) -> Delivery:
    """The delivery of an id; raises NotFound, also for one of another monitor than those of the grant."""
    delivery = deliveries.get(session, number)
    if not is_visible(delivery, grant):
        raise NotFound("delivery not found")
    return delivery


def _record(session: Session, actor: Actor, act: str, before: Delivery, after: Delivery, now: int) -> None:
    facts = [
        {"channel": each.channel, "state": each.state.name.lower(), "attempts": each.attempts}
        for each in (before, after)
    ]
    audit.record(session, actor, act, f"delivery {before.id}", facts[0], facts[1], now)
