"""Tags of requests that are not those of a monitor."""

from kener_async.domain.access import Grant
from kener_async.domain.errors import Invalid
from kener_async.domain.spelling import closest
from kener_async.domain.states import MonitorStates

GROUP_TAG = "invalid tag, a group has no reports of its own: report its members"


def unknown_tag(tag: str, states: MonitorStates, grant: Grant) -> Invalid:
    """The error for an unknown tag; it suggests a similar one that the token may use."""
    meant = closest(tag, (state.tag for state in states))
    if meant is None or not grant.allows_tag(meant):
        return Invalid("invalid tag")
    return Invalid(f'invalid tag, did you mean "{meant}"?')
