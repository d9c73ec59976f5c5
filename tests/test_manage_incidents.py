"""The screens of incidents, by a browser without scripts: three taps, and nothing twice or lost."""

import asyncio
from collections.abc import AsyncIterator
from typing import Any
from zoneinfo import ZoneInfo

import pytest

from kener_async import keys
from kener_async.domain.errors import Unavailable
from kener_async.domain.incident_updates import Impact, IncidentState, Update
from kener_async.domain.incidents import Incident
from kener_async.domain.people import Role
from kener_async.domain.samples import Status
from kener_async.store import incident_lists, incident_updates, incidents, sessions
from kener_async.store.interface import Session
from tests.rigs.html_client import HtmlClient
from tests.rigs.people import COMMAND, a_person, signed_in
from tests.rigs.service import NOON, Service, a_monitor

MINUTE, HOUR = 60, 3600


@pytest.fixture
async def ada(service: Service) -> AsyncIterator[HtmlClient]:
    """The browser of an editor, while earth is DOWN and mars is UP."""
    await service.beat("earth", "DOWN")
    await service.beat("mars", "UP")
    person = await a_person(service, role=Role.EDITOR, password=None)
    async with signed_in(service, person) as browser:
        yield browser


@pytest.fixture
async def grace(service: Service) -> AsyncIterator[HtmlClient]:
    """The browser of another person."""
    person = await a_person(service, "grace", Role.RESPONDER, password=None)
    async with signed_in(service, person) as browser:
        yield browser


async def stored(service: Service) -> list[Incident]:
    """All incidents, newest first."""
    found: list[Incident] = await service.app[keys.DATABASE].read(incident_lists.newest, 50)
    return found


async def updates_of(service: Service, number: int) -> list[Update]:
    """The updates of an incident that say something, oldest first."""
    found = await service.app[keys.DATABASE].read(incident_updates.of, [number])
    return [update for update in found[number] if update.body]


async def an_incident(service: Service, **fields: Any) -> Incident:
    plain = {
        "title": "Payments fail",
        "body": "We are looking.",
        "tags": ("earth",),
        "start": service.clock() - HOUR,
        "impact": Status.DOWN,
    }
    now = service.clock()
    opened: Incident = await service.app[keys.DATABASE].write(incidents.open, plain | fields, COMMAND, now)
    service.app[keys.STATES].note_incidents(opened)
    return opened


# Three taps


async def test_three_taps_without_a_typed_letter_tell_visitors(service: Service, ada: HtmlClient):
    overview = await ada.open("/manage")
    assert "1 of 2 monitors is down" in overview.said
    form = await overview.follow("Tell visitors")
    page = await form.press("Publish")
    assert "Published. Visitors see it now." in page.said
    (incident,) = await stored(service)
    assert (incident.title, incident.tags, incident.is_draft) == ("Earth not working", ("earth",), False)
    assert incident.impact is Status.DOWN
    async with service.client.get(f"/incident/{incident.number}") as public:
        assert "Earth not working" in await public.text()


async def test_the_beginning_that_is_chosen_is_said_without_a_script(service: Service, ada: HtmlClient):
    form = await ada.open("/manage/incidents/new?from=alerts")
    await form.press("Publish", beginning="degraded")
    (incident,) = await stored(service)
    assert (incident.title, incident.impact) == ("Some requests to Earth fail", Status.DEGRADED)


async def test_what_is_typed_goes_before_the_beginning(service: Service, ada: HtmlClient):
    form = await ada.open("/manage/incidents/new?from=alerts")
    await form.press("Publish", beginning="degraded", title="No payments", impact="DOWN")
    (incident,) = await stored(service)
    assert (incident.title, incident.impact) == ("No payments", Status.DOWN)


async def test_something_else_needs_a_title_and_keeps_the_rest(service: Service, ada: HtmlClient):
    form = await ada.open("/manage/incidents/new?from=alerts")
    page = await form.press(
        "Publish", 400, beginning="-", title="", text="Half a sentence", monitors=["mars"]
    )
    assert "is missing: say in a few words" in page.said
    again = page.form("Publish")
    assert again.value("text") == "Half a sentence"
    assert again.value("monitors") == "mars"
    assert await stored(service) == []


async def test_a_monitor_that_is_only_degraded_is_shown_so(service: Service, ada: HtmlClient):
    await service.beat("mars", "DEGRADED")
    form = await ada.open("/manage/incidents/new?from=alerts")
    await form.press("Publish")
    (incident,) = await stored(service)
    assert incident.title == "Earth not working"
    assert (incident.impact_on("earth"), incident.impact_on("mars")) == (Status.DOWN, Status.DEGRADED)
    assert incident.impacts == {"mars": Impact.DEGRADED}


async def test_a_draft_is_seen_by_no_visitor_and_published_with_one_tap(service: Service, ada: HtmlClient):
    form = await ada.open("/manage/incidents/new?from=alerts")
    await form.press("Save as a draft")
    (draft,) = await stored(service)
    async with service.client.get(f"/incident/{draft.number}") as public:
        assert public.status == 404
    page = await (await ada.open("/manage")).press("Publish the draft")
    assert "Published" in page.said
    assert [one.is_draft for one in await stored(service)] == [False]


async def test_publishing_can_be_undone(service: Service, ada: HtmlClient):
    page = await (await ada.open("/manage/incidents/new?from=alerts")).press("Publish")
    page = await page.press("Undo")
    assert "it is a draft again" in page.said
    assert [one.is_draft for one in await stored(service)] == [True]


# Nothing twice


async def test_a_double_press_and_a_resend_publish_once(service: Service, ada: HtmlClient):
    form = (await ada.open("/manage/incidents/new?from=alerts")).form("Publish")
    answers = [await form.submit("Publish", is_followed=False, status=303) for _ in range(3)]
    assert len({answer.headers["Location"] for answer in answers}) == 1
    assert len(await stored(service)) == 1


async def test_presses_at_the_same_instant_publish_once(service: Service, ada: HtmlClient):
    form = (await ada.open("/manage/incidents/new?from=alerts")).form("Publish")
    presses = [form.submit("Publish", is_followed=False, status=303) for _ in range(8)]
    answers = await asyncio.gather(*presses)
    assert len({answer.headers["Location"] for answer in answers}) == 1
    assert len(await stored(service)) == 1


async def test_going_back_and_pressing_again_publishes_once(service: Service, ada: HtmlClient):
    """A browser without scripts loads the form again, which then has another key."""
    path = "/manage/incidents/new?from=alerts"
    first = await (await ada.open(path)).press("Publish")
    page = await (await ada.open(path)).press("Publish")
    assert page.path == first.path
    assert len(await stored(service)) == 1


async def test_a_draft_is_kept_once_by_going_back(service: Service, ada: HtmlClient):
    path = "/manage/incidents/new?from=alerts"
    for _ in range(2):
        await (await ada.open(path)).press("Save as a draft")
    drafts = await stored(service)
    assert len(drafts) == 1


async def test_an_update_that_is_sent_again_is_posted_once(service: Service, ada: HtmlClient):
    number = (await an_incident(service)).number
    for _ in range(2):  # another form, with another key
        await (await ada.open(f"/manage/incidents/{number}")).press("Post", text="Still looking.")
    assert [update.body for update in await updates_of(service, number)] == ["Still looking."]
    service.pass_time(HOUR)
    await (await ada.open(f"/manage/incidents/{number}")).press("Post", text="Still looking.")
    assert len(await updates_of(service, number)) == 2


# Two people at once


async def test_who_publishes_second_is_told_of_the_first(
    service: Service, ada: HtmlClient, grace: HtmlClient
):
    path = "/manage/incidents/new?from=alerts"
    hers, his = await ada.open(path), await grace.open(path)
    await hers.press("Publish", title="Payments fail")
    page = await his.press("Publish", 409, title="No money moves", text="We saw it, too.")
    assert "Visitors are told already" in page.said
    assert "Payments fail" in page.said
    form = page.form("Publish")
    assert (form.value("title"), form.value("text")) == ("No money moves", "We saw it, too.")
    assert len(await stored(service)) == 1


async def test_the_second_becomes_an_update_of_the_first(
    service: Service, ada: HtmlClient, grace: HtmlClient
):
    path = "/manage/incidents/new?from=alerts"
    hers, his = await ada.open(path), await grace.open(path)
    await hers.press("Publish", title="Payments fail", state="identified")
    page = await his.press("Publish", 409, text="Mars, too.", monitors=["earth", "mars"])
    page = await page.press("Make it an update of it")
    assert "Posted" in page.said
    (incident,) = await stored(service)
    assert incident.tags == ("earth", "mars")
    assert incident.state is IncidentState.IDENTIFIED
    assert [update.body for update in await updates_of(service, incident.number)] == ["Mars, too."]


async def test_the_second_can_be_published_beside_the_first(
    service: Service, ada: HtmlClient, grace: HtmlClient
):
    path = "/manage/incidents/new?from=alerts"
    hers, his = await ada.open(path), await grace.open(path)
    await hers.press("Publish", title="Payments fail")
    page = await his.press("Publish", 409, title="Another thing")
    await page.press("Publish it beside it")
    assert [one.title for one in await stored(service)] == ["Another thing", "Payments fail"]


async def test_who_posts_on_an_older_page_is_told_and_keeps_the_text(
    service: Service, ada: HtmlClient, grace: HtmlClient
):
    number = (await an_incident(service)).number
    hers, his = await ada.open(f"/manage/incidents/{number}"), await grace.open(f"/manage/incidents/{number}")
    await hers.press("Post", text="The cause is known.", state="identified")
    page = await his.press("Post", 409, text="No idea yet.", state="investigating")
    assert "ada changed this meanwhile" in page.said
    assert "The cause is known." in page.said
    assert page.form("Post").value("text") == "No idea yet."
    page = await page.press("Post", text="Really, no idea.")
    bodies = [update.body for update in await updates_of(service, number)]
    assert bodies == ["The cause is known.", "Really, no idea."]


async def test_an_edit_on_an_older_page_changes_nothing(service: Service, ada: HtmlClient, grace: HtmlClient):
    number = (await an_incident(service)).number
    path = f"/manage/incidents/{number}/edit"
    hers, his = await ada.open(path), await grace.open(path)
    await hers.press("Save", title="Cards fail")
    page = await his.press("Save", 409, title="Money fails")
    assert "Somebody else changed this meanwhile" in page.said
    assert page.form("Save").value("title") == "Money fails"
    assert [one.title for one in await stored(service)] == ["Cards fail"]


# Nothing lost


async def test_what_was_typed_survives_the_end_of_the_session(service: Service, ada: HtmlClient):
    number = (await an_incident(service)).number
    form = (await ada.open(f"/manage/incidents/{number}")).form("Post")
    form.fill(text="A long text that took me a while to write.", state="identified")
    person = await a_person(service, "linus", Role.EDITOR, password=None)
    await end_sessions(service)
    page = await form.submit("Post", status=401)
    assert "nothing is lost" in page.said
    async with signed_in(service, person) as other:
        ada.cookies = other.cookies  # as after signing in again, in another tab
        page = await page.press("Send what I typed", 403)
        assert page.form("Post").value("text") == "A long text that took me a while to write."
        page = await page.press("Post")
    assert "Posted" in page.said
    (update,) = await updates_of(service, number)
    assert (update.author, update.state) == ("person:linus", IncidentState.IDENTIFIED)


async def end_sessions(service: Service) -> None:
    def ended(session: Session) -> None:
        session.execute("DELETE FROM sessions")

    await service.app[keys.DATABASE].write(ended)
    assert await service.app[keys.DATABASE].read(sessions.count, 0, NOON) == 0


async def test_a_full_disk_loses_nothing(service: Service, ada: HtmlClient, monkeypatch: pytest.MonkeyPatch):
    number = (await an_incident(service)).number
    form = (await ada.open(f"/manage/incidents/{number}")).form("Post")
    form.fill(text="It is the disk.")

    async def full(*_: Any, **__: Any) -> None:
        raise Unavailable("the disk is full; nothing was stored")

    with monkeypatch.context() as patch:
        patch.setattr(service.app[keys.DATABASE], "write", full)
        page = await form.submit("Post", status=503)
    assert "the disk is full; nothing was stored" in page.said
    assert page.form("Post").value("text") == "It is the disk."
    await page.press("Post")
    assert [update.body for update in await updates_of(service, number)] == ["It is the disk."]


# What else there is to do


async def test_a_state_prefills_an_update_without_a_script(service: Service, ada: HtmlClient):
    number = (await an_incident(service)).number
    page = await (await ada.open(f"/manage/incidents/{number}")).follow("Resolved")
    form = page.form("Post")
    assert form.value("state") == "resolved"
    assert form.value("text") == "This is resolved. It lasted 1 h."
    await form.submit("Post")
    (incident,) = await stored(service)
    assert incident.is_resolved


async def test_measured_times_are_shown_and_taken(service: Service, ada: HtmlClient):
    service.pass_time(10 * MINUTE)
    await service.beat("earth", "UP")
    incident = await an_incident(service, start=NOON + 4 * MINUTE)
    page = await ada.open(f"/manage/incidents/{incident.number}")
    assert "Its monitors were measured bad" in page.said
    await page.press("Take the measured times")
    (incident,) = await stored(service)
    assert incident.start == NOON


async def test_monitors_have_their_own_impact(service: Service, ada: HtmlClient):
    number = (await an_incident(service, tags=("earth", "mars"))).number
    page = await ada.open(f"/manage/incidents/{number}/edit")
    form = page.form("Save")
    assert form.choices("impacts") == [
        f"{tag}={impact}" for tag in ("earth", "mars") for impact in ("", "DOWN", "DEGRADED", "NONE")
    ]
    await form.fill(impacts=["earth=", "mars=NONE"]).submit("Save")
    (incident,) = await stored(service)
    assert (incident.impact_on("earth"), incident.impact_on("mars")) == (Status.DOWN, None)


async def test_an_edit_without_a_change_changes_no_second(service: Service, ada: HtmlClient):
    before = await an_incident(service, start=NOON - HOUR + 7)
    await (await ada.open(f"/manage/incidents/{before.number}/edit")).press("Save")
    assert await stored(service) == [before]


async def test_an_edit_moves_nothing_in_an_hour_that_comes_twice(service: Service, ada: HtmlClient):
    service.change("site", timezone=ZoneInfo("Europe/Berlin"))
    second_time = 1_761_442_207  # 2025-10-26 02:30:07, the second one of that night
    before = await an_incident(service, start=second_time, end=second_time + HOUR, title="Nigth shift")
    await (await ada.open(f"/manage/incidents/{before.number}/edit")).press("Save", title="Night shift")
    (after,) = await stored(service)
    assert (after.title, after.start, after.end) == ("Night shift", before.start, before.end)


@pytest.mark.parametrize("moment", ["0001-01-01T00:00", "9999-12-31T23:59", "tomorrow", "2025-12-31"])
async def test_a_time_that_is_none_is_refused_beside_its_field(
    service: Service, ada: HtmlClient, moment: str
):
    before = await an_incident(service)
    page = await ada.open(f"/manage/incidents/{before.number}/edit")
    page = await page.press("Save", 400, start=moment)
    assert "must be" in page.said
    assert page.form("Save").value("start") == moment
    assert await stored(service) == [before]


async def test_an_update_is_edited_and_deleted(service: Service, ada: HtmlClient):
    number = (await an_incident(service)).number
    page = await (await ada.open(f"/manage/incidents/{number}")).press("Post", text="Tpyo")
    (update,) = await updates_of(service, number)
    page = await ada.open(f"/manage/incidents/{number}/updates/{update.id}")
    page = await page.press("Save", text="Typo")
    assert "edited" in page.said
    page = await ada.open(f"/manage/incidents/{number}/updates/{update.id}/delete")
    assert "This will be lost: Typo" in page.said
    await page.press("Delete the update")
    assert await updates_of(service, number) == []


async def test_deleting_names_what_is_lost_and_is_in_the_log(service: Service, ada: HtmlClient):
    number = (await an_incident(service)).number
    page = await ada.open(f"/manage/incidents/{number}/delete")
    assert "Payments fail" in page.said
    assert len(await stored(service)) == 1
    page = await page.press("Delete the incident")
    assert page.path == "/manage?done=deleted"
    assert await stored(service) == []


async def test_a_postmortem_is_written_and_published(service: Service, ada: HtmlClient):
    number = (await an_incident(service, is_resolved=True)).number
    page = await ada.open(f"/manage/incidents/{number}/postmortem")
    page = await page.press("Save", text="A **cable**.", published=True)
    assert "A cable." in page.said
    async with service.client.get(f"/incident/{number}") as public:
        assert "<strong>cable</strong>" in await public.text()


async def test_the_list_has_drafts_first_and_filters(service: Service, ada: HtmlClient):
    await an_incident(service, title="Closed one", is_resolved=True, tags=("mars",))
    await an_incident(service, title="A draft", is_draft=True, start=NOON - 90 * 86400)
    await an_incident(service, title="Open one")
    page = await ada.open("/manage/incidents")
    places = [page.said.index(one) for one in ("A draft", "Closed one", "Open one")]
    assert places[0] == min(places)
    for query, titles in {
        "state=open": ["Open one"],
        "state=closed": ["Closed one"],
        "state=draft": ["A draft"],
        "monitor=mars": ["Closed one"],
        "q=CLOSED": ["Closed one"],
        "month=2025-10": ["A draft"],
        "kind=maintenance": [],
    }.items():
        said = (await ada.open(f"/manage/incidents?{query}")).said
        assert [one for one in ("A draft", "Open one", "Closed one") if one in said] == titles, query


@pytest.mark.parametrize("query", ["state=x", "kind=x", "month=2025-13", "monitor=venus", "page=0", "page=x"])
async def test_a_filter_that_is_not_known_is_refused(service: Service, ada: HtmlClient, query: str):
    page = await ada.open(f"/manage/incidents?{query}", None)
    assert page.status in (400, 404)


async def test_a_person_of_other_categories_sees_nothing_of_it(service: Service):
    await service.configure(a_monitor("earth", category="Planets"), a_monitor("mars", category="Stars"))
    number = (await an_incident(service)).number
    person = await a_person(service, "grace", Role.EDITOR, categories=["Stars"], password=None)
    async with signed_in(service, person) as browser:
        for path in (f"/{number}", f"/{number}/edit", f"/{number}/delete", f"/{number}/postmortem"):
            assert "Payments fail" not in (await browser.open(f"/manage/incidents{path}", 404)).body
        assert "Payments fail" not in (await browser.open("/manage/incidents")).body
        assert "Payments fail" not in (await browser.open("/manage")).body


# Merging


async def test_a_duplicate_is_merged_on_its_screen(service: Service, ada: HtmlClient):
    target = await an_incident(service)
    twice = await an_incident(service, title="Shop is slow", tags=("earth", "mars"))
    form = await (await ada.open(f"/manage/incidents/{twice.number}")).follow("Merge into another incident")
    assert "join the other incident" in form.said
    page = await form.press("Merge")
    assert page.path == f"/manage/incidents/{target.number}?done=merged"
    assert "Merged. The other one is deleted." in page.said
    (left,) = await stored(service)
    assert (left.number, left.tags) == (target.number, ("earth", "mars"))


async def test_a_duplicate_is_not_merged_into_what_was_changed_meanwhile(service: Service, ada: HtmlClient):
    target = await an_incident(service)
    twice = await an_incident(service, title="Shop is slow")
    form = await ada.open(f"/manage/incidents/{twice.number}/merge")
    fields, now = {"title": "Payments work again"}, service.clock()
    await service.app[keys.DATABASE].write(incidents.change, target.number, fields, COMMAND, now)
    refused = await form.press("Merge", status=409)
    assert "Somebody else changed this meanwhile" in refused.said
    assert len(await stored(service)) == 2
    await refused.press("Merge")  # the choice is shown as it is now
    assert [one.title for one in await stored(service)] == ["Payments work again"]


async def test_a_responder_and_a_lone_incident_merge_nothing(
    service: Service, ada: HtmlClient, grace: HtmlClient
):
    one = await an_incident(service)
    assert "There is no other incident." in (await ada.open(f"/manage/incidents/{one.number}/merge")).said
    assert "Merge into" not in (await grace.open(f"/manage/incidents/{one.number}")).said
    await grace.open(f"/manage/incidents/{one.number}/merge", status=403)


async def test_of_an_incident_of_some_of_their_monitors_a_person_sees_no_other(service: Service):
    others = ["earth", "venus", "uranus", "neptune", "saturn"]
    await service.configure(
        *(a_monitor(tag, category="Planets") for tag in others),
        *(a_monitor(tag, category="Stars") for tag in ("sirius", "vega")),
    )
    await service.beat("sirius", "DOWN")
    number = (await an_incident(service, tags=(*others, "sirius"))).number
    await an_incident(service, title="Sky is dark", tags=(*others, "vega"), is_draft=True)
    person = await a_person(service, "grace", Role.EDITOR, categories=["Stars"], password=None)
    async with signed_in(service, person) as browser:
        for path in (
            "",
            "/incidents",
            "/incidents?kind=",
            f"/incidents/{number}",
            f"/incidents/{number}/edit",
        ):
            body = (await browser.open(f"/manage{path}")).body
            assert "Sirius" in body, path
            for hidden in ("Earth", "earth", "Saturn", "more"):
                assert hidden not in body.partition("<main")[2].partition("</main")[0], (path, hidden)


async def test_a_form_tells_nothing_of_incidents_of_other_monitors(service: Service):
    await service.configure(a_monitor("earth", category="Planets"), a_monitor("vega", category="Stars"))
    await an_incident(service)
    person = await a_person(service, "grace", Role.EDITOR, categories=["Stars"], password=None)
    async with signed_in(service, person) as browser:
        form = (await browser.open("/manage/incidents/new")).form(action="/incidents/new")
        shown = await form.submit(status=400, change=lambda fields: [*fields, ("monitors", "earth")])
        assert "there is no monitor earth" in shown.said
        assert "Payments fail" not in shown.body
