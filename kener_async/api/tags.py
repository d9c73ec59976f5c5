"""The monitors that requests name by their tags."""

from kener_async import keys
from kener_async.api.http.endpoint import Call
from kener_async.config.model import MonitorConfig
from kener_async.domain.access import Grant, require_tags
from kener_async.domain.errors import Invalid
from kener_async.domain.spelling import closest
from kener_async.domain.states import MonitorState, MonitorStates

GROUP_TAG = "invalid tag, a group has no reports of its own: report its members"


def unknown_tag(tag: str, states: MonitorStates, grant: Grant) -> Invalid:
    """The error for an unknown tag; it suggests a similar one that the token may use."""
    meant = closest(tag, (state.tag for state in states))
    if meant is None or not grant.allows_tag(meant):
        return Invalid("invalid tag")
    return Invalid(f'invalid tag, did you mean "{meant}"?')


async def configured_monitor(call: Call) -> tuple[MonitorConfig, MonitorState]:
    """The monitor in the path, with its state; raises Forbidden and Invalid."""
    app = call.request.app
    tag = call.request.match_info["tag"]
    require_tags(call.grant, (tag,))
    monitor = app[keys.RUNNING].config.by_tag.get(tag)
    if monitor is None:
        raise unknown_tag(tag, app[keys.STATES], call.grant)
    return monitor, await app[keys.LOADER].state(tag)
