"""The plan of the evaluator, as configured."""

from kener_async.config.model import Config
from kener_async.domain.alert_plans import AlertPlan, IncidentTemplate, MonitorRules
from kener_async.domain.notices import NoticeKind


def alert_plan(config: Config, state_keepers: frozenset[str] = frozenset()) -> AlertPlan:
    """The rules of all monitors, and what is told of them to whom.

    `state_keepers` are the channels that keep alerts open until they hear of the end.
    """
    rules = {monitor.tag: config.rules_of(monitor.tag) for monitor in config.monitors}
    return AlertPlan(
        monitors={
            monitor.tag: MonitorRules(monitor.name, monitor.category, rules[monitor.tag], monitor.depends_on)
            for monitor in config.monitors
            if rules[monitor.tag]
        },
        kinds={
            channel.name: frozenset(kind for kind in NoticeKind if channel.tells(kind))
            for channel in config.channels
        },
        state_keepers=state_keepers,
        templates={
            template.name: IncidentTemplate(template.title, template.text) for template in config.templates
        },
        visible=frozenset(monitor.tag for monitor in config.monitors if not monitor.hidden),
        zone=config.site.timezone,
    )
