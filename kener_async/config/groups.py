"""Groups: the keys of `[monitors.check]` that make a monitor one, and the rules between them."""

import re
from collections.abc import Collection, Iterator, Mapping, Sequence
from typing import Any

from marshmallow import ValidationError, fields

from kener_async.config.fields import describe, suggestion
from kener_async.config.problems import ConfigProblem, Values, in_circles, within
from kener_async.domain.groups import DEEPEST_GROUPS, GroupSettings

GROUP_KEYS = ("group", "min_up", "degraded")
NO_REPORTS = ("default_status", "heartbeat", "healthchecks", "uptime_kuma", "gatus")  # are of use in a group


class MinUp(fields.Field[tuple[int, bool]]):
    """A number of members, or a percentage of them: the number, and whether it is a percentage."""

    def _deserialize(
        self, value: object, attr: str | None, data: object, **kwargs: object
    ) -> tuple[int, bool]:
        if type(value) is int and value >= 1:
            return value, False
        if isinstance(value, str) and re.fullmatch(r"([1-9][0-9]?|100) ?%", value):
            return int(value.rstrip(" %")), True
        raise ValidationError('must be a number from 1 on, or a percentage from "1%" to "100%"')


def group_settings(
    members: tuple[str, ...] | None, min_up: tuple[int, bool], is_degraded: bool
) -> GroupSettings | None:
    """The settings of a group; without members there is none."""
    return None if members is None else GroupSettings(members, *min_up, is_degraded)


def group_problems(values: Values) -> Iterator[ConfigProblem]:
    """What is wrong with groups, and with minutes that would follow from themselves."""
    monitors = values.get("monitors", ())
    tags = [monitor.get("tag") for monitor in monitors]
    known = None if None in tags else dict.fromkeys(tags)
    followed = {monitor.get("tag"): _followed(monitor) for monitor in monitors}
    members = {monitor.get("tag"): _members(monitor) for monitor in monitors}
    entangled = in_circles(followed)
    for index, monitor in enumerate(monitors):
        place = ("monitors", index)
        yield from within(place, _group_rules(monitor, known))
        if monitor.get("uptime_excused") and not monitor.get("depends_on", ("invalid",)):
            yield ConfigProblem((*place, "uptime_excused"), "needs depends_on")
        tag = monitor.get("tag")
        if circle := _circle(tag, followed) if tag in entangled else []:
            groups = [one for one in circle if members.get(one)]
            if groups and tag == min(groups):  # each circle once; one of depends_on alone is told there
                text = f"is a circle: {' follows from '.join([*circle, circle[0]])}"
                yield ConfigProblem((*place, "check", "group"), text)
        elif _depth(tag, members) == DEEPEST_GROUPS + 1:
            text = f"is more than {DEEPEST_GROUPS} groups deep"
            yield ConfigProblem((*place, "check", "group"), text)


def _group_rules(monitor: Values, tags: Collection[str] | None) -> Iterator[ConfigProblem]:
    check = monitor.get("check")
    if check is None or check.get("group") is None:
        return
    for key_ in NO_REPORTS:
        if monitor.get(key_) is not None:
            yield ConfigProblem((key_,), "is not used in a group, which has no reports of its own")
    members = check["group"]
    seen: set[str] = set()
    for at, tag in enumerate(members):
        if tag in seen:
            yield ConfigProblem(("check", "group", at), f"{describe(tag)} is used twice")
        elif tags is not None and tag not in tags:
            text = f"{describe(tag)} is not a monitor{suggestion(tag, tags)}"
            yield ConfigProblem(("check", "group", at), text)
        seen.add(tag)
    min_up, is_percentage = check.get("min_up", (1, False))
    if not is_percentage and min_up > len(members):
        text = f"must be at most the number of members, {len(members)}, not {min_up}"
        yield ConfigProblem(("check", "min_up"), text)


def group_key_problems(written: Mapping[str, Any]) -> Iterator[ConfigProblem]:
    """What is wrong between the keys of `[monitors.check]` as written, where groups are concerned."""
    if "group" in written:
        for key_ in written:
            if key_ not in GROUP_KEYS:
                yield ConfigProblem((key_,), "contradicts group, whose members are checked themselves")
    else:
        yield from (ConfigProblem((key_,), "needs group") for key_ in GROUP_KEYS if key_ in written)


def _members(monitor: Values) -> Sequence[str]:
    return (monitor.get("check") or {}).get("group") or ()


def _followed(monitor: Values) -> Sequence[str]:
    """The tags of the monitors whose minutes decide those of a monitor."""
    parents = monitor.get("depends_on", ()) if monitor.get("uptime_excused") else ()
    return (*_members(monitor), *parents)


def _circle(tag: str | None, followed: Mapping[str | None, Sequence[str]]) -> list[str]:
    """The shortest way from a monitor over those that it follows from back to it; empty: there is none."""
    if tag is None:
        return []
    ways = [[tag]]
    seen = {tag}
    for way in ways:
        for other in followed.get(way[-1], ()):
            if other == tag:
                return way
            if other not in seen:
                seen.add(other)
                ways.append([*way, other])
    return []


def _depth(
    tag: str | None, members: Mapping[str | None, Sequence[str]], limit: int = DEEPEST_GROUPS + 1
) -> int:
    """How many groups are within one another, at most `limit`; 0: it is none."""
    if not members.get(tag) or limit == 0:
        return 0
    return 1 + max(_depth(member, members, limit - 1) for member in members[tag])
