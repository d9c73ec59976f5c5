"""What alert rules ask for, as configured: which monitors, which channels, which incidents."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from zoneinfo import ZoneInfo

from kener_async.domain.alerts import AlertRule
from kener_async.domain.notices import NoticeKind

UTC = ZoneInfo("UTC")


@dataclass(frozen=True, slots=True)
class IncidentTemplate:
    """The texts of an incident that a rule opens; placeholders are those of `filled`."""

    title: str = "{monitor} is {status}"
    text: str = ""


@dataclass(frozen=True, slots=True)
class MonitorRules:
    """A monitor with rules. `parents` are the tags of the monitors it depends on."""

    name: str
    category: str
    rules: tuple[AlertRule, ...]
    parents: tuple[str, ...] = ()

    def rule(self, name: str) -> AlertRule | None:
        return next((rule for rule in self.rules if rule.name == name), None)


@dataclass(frozen=True, slots=True)
class AlertPlan:
    """The rules of all monitors, and what is told of them to whom.

    `monitors` are by tag, those without rules left out; hidden ones have none. `kinds` are what each channel
    is told of; `state_keepers` are the channels that keep alerts open until they hear of the end. `visible`
    are the tags of the monitors that messages count. `zone` is that of the texts of incidents.
    """

    monitors: Mapping[str, MonitorRules] = field(default_factory=dict)
    kinds: Mapping[str, frozenset[NoticeKind]] = field(default_factory=dict)
    state_keepers: frozenset[str] = frozenset()
    templates: Mapping[str, IncidentTemplate] = field(default_factory=dict)
    visible: frozenset[str] = frozenset()
    zone: ZoneInfo = UTC

    def channels(self, rule: AlertRule, kind: NoticeKind) -> list[str]:
        """The channels of a rule that are told of a kind of notice."""
        return [name for name in rule.to if kind in self.kinds.get(name, frozenset())]

    def template(self, rule: AlertRule) -> IncidentTemplate:
        """The template of a rule's incidents."""
        return self.templates.get(rule.template, IncidentTemplate())
