"""/manage/incidents/{number}/merge: an incident joins another one about the same."""

from collections.abc import Sequence

from aiohttp import web

from kener_async import keys
from kener_async.domain.access import Grant
from kener_async.domain.incident_merges import is_mergeable
from kener_async.domain.incidents import Incident
from kener_async.domain.people import Act
from kener_async.store import incident_lists, incidents
from kener_async.web.manage.form_bodies import FieldError
from kener_async.web.manage.form_fields import FormText
from kener_async.web.manage.frame import ManageForm, ManagePage, manage_form, manage_page
from kener_async.web.manage.incidents import RevisionForm, act_on, number_of, visible

LOOKED_AT = 200  # of the newest incidents
OFFERED = 50
MAX_DIGITS = 18


class MergeForm(RevisionForm):
    """The other incident, as it was when the page was opened: its number, a colon, its revision."""

    target = FormText(minimum=1)


@manage_page(Act.DELETE_INCIDENT)
async def ask_merge(page: ManagePage) -> str:
    """Ask into which other incident, and say what becomes of this one."""
    one = await visible(page, number_of(page))
    newest = await page.app[keys.DATABASE].read(incident_lists.newest, LOOKED_AT)
    return await page.render(
        "manage/incident_merge.html",
        incident=one,
        targets=_targets(one, newest, page.grant, page.now),
        form=page.form(f"/incidents/{one.number}/merge"),
    )


def _targets(one: Incident, newest: Sequence[Incident], grant: Grant, now: int) -> list[Incident]:
    """The incidents that may take it over, those about the same monitors first, then open ones."""

    def likeliest(other: Incident) -> tuple[bool, bool]:
        return set(other.tags).isdisjoint(one.tags), other.closed_as_of(now) is not None

    found = [
        other
        for other in newest
        if is_mergeable(one, other) and (grant.tags is None or all(map(grant.allows_tag, other.tags)))
    ]
    return sorted(found, key=likeliest)[:OFFERED]


@manage_form(Act.DELETE_INCIDENT, MergeForm(), shown_by=ask_merge)
async def merge(form: ManageForm) -> web.StreamResponse:
    """Merge the incident into another one, whose page is shown next."""
    number, _, revision = form.values["target"].partition(":")
    if not all(
        part.isascii() and part.isdecimal() and len(part) <= MAX_DIGITS for part in (number, revision)
    ):
        raise FieldError({"target": "choose one"})
    path = f"/incidents/{int(number)}?done=merged"
    return await act_on(form, incidents.merge, int(number), int(revision), done="merged", path=path)
