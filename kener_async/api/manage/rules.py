"""/api/manage/rules: what a rule would have told in the past."""

from asyncio import Lock
from dataclasses import replace
from time import monotonic
from typing import Any

from aiohttp import web

from kener_async import keys
from kener_async.api.http.endpoint import Call, Routes, Spec, endpoint
from kener_async.api.manage import schemas
from kener_async.config.alert_plan import alert_plan
from kener_async.domain.access import Grant
from kener_async.domain.back_test_results import DEFAULT_DAYS, back_test_document, planned
from kener_async.store import monitors
from kener_async.store.back_tests import BackTestRun

routes = Routes()

SECONDS_AT_MOST = 20.0  # of a back-test; the monitors that are left then are named in the answer
BACK_TESTS = web.AppKey("back-tests", Lock)  # one at a time, because a large one uses a reader throughout


@routes.post("/api/manage/rules/{ruleName}/back-test")
@endpoint(
    Spec(
        operation="backTestRule",
        summary="Back-test a rule",
        group="Management",
        scope="manage:read",
        path={"ruleName": "name of the rule, in [[alerts]]"},
        body=schemas.BackTestRequest(),
        is_body_optional=True,
        reply=schemas.BackTestSchema(),
        errors=(404, 408, 413, 415, 503),
    )
)
async def back_test(call: Call) -> dict[str, Any]:
    """What the rule, as it is now, would have told of the last days of the monitors of the token, beside the
    alerts that are stored.

    Reports are taken as if none had come late; acknowledgements and snoozes are left out.
    """
    name, days = call.request.match_info["ruleName"], call.body.get("days", DEFAULT_DAYS)
    return await back_tested(call.request.app, call.grant, name, call.body.get("monitors"), days)


async def back_tested(
    app: web.Application, grant: Grant, name: str, wanted: tuple[str, ...] | None, days: int
) -> dict[str, Any]:
    """The document of a back-test of the rule of a name, over the monitors of a grant, or these of them.

    Raises NotFound, and Invalid for a monitor that the rule does not hold for.
    """
    now, tags = app[keys.CLOCK](), await app[keys.DATABASE].read(monitors.tags)
    every = alert_plan(app[keys.RUNNING].config)
    own = {tag: rules for tag, rules in every.monitors.items() if grant.allows_tag(tag)}
    plan = planned(replace(every, monitors=own), name, wanted, days, now)
    async with app[BACK_TESTS]:
        run, until = BackTestRun(plan, tags), monotonic() + SECONDS_AT_MOST
        for tag in plan.rules:
            if run.is_full or monotonic() > until:
                run.leave_out(tag)
            else:
                await app[keys.DATABASE].read(run.test, tag)
        result = await app[keys.DATABASE].read(run.result)
    visible = {monitor: tag for monitor, tag in tags.items() if grant.allows_tag(tag)}
    return back_test_document(result, visible)
