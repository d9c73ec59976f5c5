"""/manage/deliveries: what was told, to which channel, and what came of it; send one again, drop one."""

from collections.abc import Iterator
from dataclasses import replace

from aiohttp import web
from marshmallow import Schema

from kener_async import keys
from kener_async.domain.masking import shortened
from kener_async.domain.notices import Delivery, DeliveryState
from kener_async.domain.people import Act
from kener_async.store import deliveries as stored
from kener_async.store import delivery_acts, monitors
from kener_async.store.deliveries import DeliverySearch
from kener_async.store.interface import Session
from kener_async.web.manage.frame import ManageForm, ManagePage, manage_form, manage_page
from kener_async.web.manage.lists import PER_PAGE, CursorLinks, query_choice, query_number, query_text
from kener_async.web.manage.words import delivery_states, fact_names, notice_names

INSTANTS = ("since", "until", "certificate_ends")  # among the facts of a notice
SHOWN_ANSWER = 500  # characters
STATES: dict[str, tuple[DeliveryState, ...] | None] = {
    "failed": (DeliveryState.FAILED,),
    "waiting": (DeliveryState.DUE, DeliveryState.SENDING),
    "sent": (DeliveryState.SENT,),
    "merged": (DeliveryState.MERGED,),
    "dropped": (DeliveryState.DROPPED,),
}


@manage_page(Act.SEE)
async def deliveries(page: ManagePage) -> str:
    """Deliveries, newest first, filtered by the query string."""
    search = DeliverySearch(
        states=query_choice(page, "state", STATES, None),
        channel=query_text(page, "channel") or None,
        before=query_number(page, "before"),
        limit=PER_PAGE + 1,
    )
    limits = None if page.grant.tags is None else page.tags
    found = await page.app[keys.DATABASE].read(_load, search, limits)
    _ = page.locale.gettext
    return await page.render(
        "manage/deliveries.html",
        deliveries=found[:PER_PAGE],
        cursor=CursorLinks.of(page, [delivery.id for delivery in found]),
        kinds=notice_names(page.locale),
        state_names=delivery_states(page.locale),
        state_options=_state_options(page),
        channel_options=[("", _("all")), *((channel.name,) * 2 for channel in page.config.channels)],
        asked={"state": page.query.get("state", ""), "channel": search.channel or ""},
        answer_of=_answer,
        messages=_messages(page),
    )


def _load(session: Session, search: DeliverySearch, limits: frozenset[str] | None) -> list[Delivery]:
    if limits is not None:
        own = tuple(number for number, tag in monitors.tags(session).items() if tag in limits)
        search = replace(search, monitors=own)
    return stored.search(session, search)


@manage_page(Act.SEE)
async def delivery(page: ManagePage) -> str:
    """One delivery: what it tells, and what the receiver answered."""
    number = int(page.request.match_info["number"])
    found = await page.app[keys.DATABASE].read(delivery_acts.visible, number, page.grant)
    facts = list(_facts(page, found)) if page.may(Act.USE_CHANNEL) else []
    return await page.render(
        "manage/delivery.html",
        delivery=found,
        kinds=notice_names(page.locale),
        state_names=delivery_states(page.locale),
        facts=facts,
        answer_of=_answer,
        messages=_messages(page),
    )


def _state_options(page: ManagePage) -> list[tuple[str, str]]:
    _, names = page.locale.gettext, delivery_states(page.locale)
    named = {state: names[states[0]] for state, states in STATES.items() if states}
    return [("", _("all")), *named.items()]


def _facts(page: ManagePage, delivery: Delivery) -> Iterator[tuple[str, object]]:
    """What a delivery tells: names and values, with instants as times."""
    names = fact_names(page.locale)
    for name, value in delivery.notice.facts.body().items():
        shown = page.context.time(value) if name in INSTANTS else value
        yield names.get(name, name.replace("_", " ")), shown


def _messages(page: ManagePage) -> dict[str, str]:
    _ = page.locale.gettext
    return {"again": _("It is sent again now."), "dropped": _("Dropped. It is not sent.")}


def _answer(delivery: Delivery) -> str:
    """The beginning of the answer of the receiver."""
    return shortened(delivery.answer, SHOWN_ANSWER)


@manage_form(Act.USE_CHANNEL, Schema(), shown_by=delivery)
async def send_again(form: ManageForm) -> web.StreamResponse:
    """Send a delivery again that is done."""
    return await _perform(form, "again")


@manage_form(Act.USE_CHANNEL, Schema(), shown_by=delivery)
async def drop(form: ManageForm) -> web.StreamResponse:
    """Drop a delivery that waits."""
    return await _perform(form, "dropped")


async def _perform(form: ManageForm, done: str) -> web.StreamResponse:
    number = int(form.request.match_info["number"])
    act = delivery_acts.send_again if done == "again" else delivery_acts.drop
    path = f"/deliveries/{number}?done={done}"
    await form.write(act, number, form.grant, form.actor, form.now, location=path)
    form.app[keys.DELIVERIES].wake()
    return form.redirect(path)
