"""/manage, the overview: what is bad now, what visitors were told, and what is wrong with this service."""

from datetime import datetime, timedelta
from typing import Any

from aiohttp import web
from marshmallow import Schema

from kener_async import keys
from kener_async.domain.calendar import HOUR
from kener_async.domain.notices import NoticeKind
from kener_async.domain.people import Act
from kener_async.store import alert_acts
from kener_async.store.alert_acts import AlertAct
from kener_async.web.manage.attention import attention
from kener_async.web.manage.form_fields import FormChoice, FormNumber
from kener_async.web.manage.frame import ManageForm, ManagePage, manage_form, manage_page

MORNING = 8  # o'clock, until when a snooze over night lasts


class AlertForm(Schema):
    """One open alert, which stands for all of its monitor."""

    alert = FormNumber(1, 2**63 - 1, required=True)


class SnoozeForm(AlertForm):
    """How long it is kept quiet."""

    until = FormChoice({"hour": "hour", "morning": "morning"}, required=True)


@manage_page(Act.SEE)
async def overview(page: ManagePage) -> str:
    """The overview."""
    _ = page.locale.gettext
    return await page.render(
        "manage/overview.html",
        attention=await attention(page),
        messages={
            "acknowledged": _("Acknowledged. Nobody is reminded any more."),
            "snoozed": _("Snoozed. Reminders go on afterwards."),
            "deleted": _("Deleted. Visitors do not see it any more."),
        },
    )


@manage_form(Act.ANSWER_ALERT, Schema(), shown_by=overview)
async def acknowledge_all(form: ManageForm) -> web.StreamResponse:
    """Acknowledge every open alert of the monitors that the person may see."""
    await _perform(form, alert_acts.acknowledge_all, AlertAct(form.actor, form.now))
    return form.redirect("?done=acknowledged")


@manage_form(Act.ANSWER_ALERT, AlertForm(), shown_by=overview)
async def acknowledge(form: ManageForm) -> web.StreamResponse:
    """Acknowledge the open alerts of one monitor."""
    await _perform(form, alert_acts.perform, form.values["alert"], AlertAct(form.actor, form.now))
    return form.redirect("?done=acknowledged")


@manage_form(Act.ANSWER_ALERT, SnoozeForm(), shown_by=overview)
async def snooze(form: ManageForm) -> web.StreamResponse:
    """Keep the open alerts of one monitor quiet for an hour, or until the morning."""
    until = form.now + HOUR if form.values["until"] == "hour" else next_morning(form)
    await _perform(form, alert_acts.perform, form.values["alert"], AlertAct(form.actor, form.now, until))
    return form.redirect("?done=snoozed")


async def _perform(form: ManageForm, act: Any, *values: Any) -> None:
    recipients = form.config.recipients(NoticeKind.ACKNOWLEDGED, form.now)
    done = "?done=snoozed" if values[-1].until is not None else "?done=acknowledged"
    await form.write(act, *values, recipients, form.grant, location=done)
    form.app[keys.DELIVERIES].wake()


def next_morning(page: ManagePage) -> int:
    """The next MORNING in the zone of the person, in UTC seconds."""
    local = datetime.fromtimestamp(page.now, page.zone)
    morning = local.replace(hour=MORNING, minute=0, second=0, microsecond=0, fold=0)
    return int((morning if morning > local else morning + timedelta(days=1)).timestamp())
