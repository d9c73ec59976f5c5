"""/manage/alerts: the open alerts, and those before; acknowledge and snooze them."""

from aiohttp import web
from marshmallow import Schema

from kener_async import keys
from kener_async.domain.alert_documents import state_of
from kener_async.domain.back_test_results import length_of
from kener_async.domain.calendar import HOUR
from kener_async.domain.notices import NoticeKind
from kener_async.domain.people import Act
from kener_async.store import alert_acts, alert_lists
from kener_async.store.alert_acts import AlertAct
from kener_async.store.alert_lists import AlertListQuery, AlertView
from kener_async.web.manage.form_fields import FormChoice
from kener_async.web.manage.frame import ManageForm, ManagePage, manage_form, manage_page
from kener_async.web.manage.lists import (
    PER_PAGE,
    CursorLinks,
    PageLinks,
    page_number,
    query_choice,
    query_number,
    query_text,
)
from kener_async.web.manage.overview import next_morning

VIEWS: dict[str, AlertView] = {
    "open": "open",
    "quiet": "quiet",
    "flapping": "flapping",
    "history": "history",
}


@manage_page(Act.SEE)
async def alerts(page: ManagePage) -> str:
    """The open alerts, or those that are quiet, flap, or are closed."""
    view = query_choice(page, "view", VIEWS, "open")
    number = page_number(page.query.get("page", "1"))
    query = AlertListQuery(
        view,
        None if page.grant.tags is None else page.tags,
        query_text(page, "monitor"),
        query_text(page, "rule"),
        query_number(page, "before"),
        (number - 1) * PER_PAGE,
        PER_PAGE,
    )
    found = await page.app[keys.DATABASE].read(alert_lists.load, query)
    shown = found.alerts[:PER_PAGE]
    _ = page.locale.gettext
    last = max(1, -(-(found.found or 0) // PER_PAGE))
    return await page.render(
        "manage/alerts.html",
        view=view,
        alerts=shown,
        tags=found.tags,
        names={one.tag: one.name for one in page.config.monitors},
        counts=found.counts,
        pages=None if view == "history" else PageLinks.of(page, min(number, last), last),
        cursor=CursorLinks.of(page, [alert.id for alert in found.alerts]) if view == "history" else None,
        rule_options=[("", _("all")), *((one.rule.name,) * 2 for one in page.config.alerts)],
        asked={"view": view, "monitor": query.monitor, "rule": query.rule},
        state_of=state_of,
        length_of=length_of,
        messages=_messages(page),
    )


def _messages(page: ManagePage) -> dict[str, str]:
    _ = page.locale.gettext
    return {
        "acknowledged": _("Acknowledged. Nobody is reminded any more."),
        "snoozed": _("Snoozed. Reminders go on afterwards."),
    }


class AnswerForm(Schema):
    """What is done about the open alerts of the monitor of an alert."""

    until = FormChoice(
        {"acknowledge": "acknowledge", "hour": "hour", "morning": "morning"}, load_default="acknowledge"
    )


@manage_form(Act.ANSWER_ALERT, AnswerForm(), shown_by=alerts)
async def answer(form: ManageForm) -> web.StreamResponse:
    """Acknowledge the open alerts of the monitor of an alert, or snooze them for a while."""
    number = int(form.request.match_info["number"])
    choice = form.values["until"]
    until = {"hour": form.now + HOUR, "morning": next_morning(form), "acknowledge": None}[choice]
    path = f"/alerts?done={'acknowledged' if until is None else 'snoozed'}"
    recipients = form.config.recipients(NoticeKind.ACKNOWLEDGED, form.now)
    act = AlertAct(form.actor, form.now, until)
    await form.write(alert_acts.perform, number, act, recipients, form.grant, location=path)
    form.app[keys.DELIVERIES].wake()
    return form.redirect(path)
