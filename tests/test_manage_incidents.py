"""The screens of incidents, by a browser without scripts: three taps, and nothing twice or lost."""

from collections.abc import AsyncIterator

import pytest

from kener_async import keys
from kener_async.domain.incidents import Incident
from kener_async.domain.people import Role
from kener_async.store import incident_lists
from tests.rigs.html_client import HtmlClient
from tests.rigs.people import a_person, signed_in
from tests.rigs.service import Service


@pytest.fixture
async def ada(service: Service) -> AsyncIterator[HtmlClient]:
    """The browser of an editor, while earth is DOWN and mars is UP."""
    await service.beat("earth", "DOWN")
    await service.beat("mars", "UP")
    person = await a_person(service, role=Role.EDITOR, password=None)
    async with signed_in(service, person) as browser:
        yield browser


async def stored(service: Service) -> list[Incident]:
    """All incidents, newest first."""
    found: list[Incident] = await service.app[keys.DATABASE].read(incident_lists.newest, 50)
    return found


async def test_three_taps_without_a_typed_letter_tell_visitors(service: Service, ada: HtmlClient):
    overview = await ada.open("/manage")
    assert "1 of 2 monitors is down" in overview.said
    form = await overview.follow("Tell visitors")
    page = await form.press("Publish")
    assert "Published. Visitors see it now." in page.said
    (incident,) = await stored(service)
    assert (incident.title, incident.tags, incident.is_draft) == ("Earth not working", ("earth",), False)
    public = await service.client.get(f"/incident/{incident.number}")
    assert "Earth not working" in await public.text()
