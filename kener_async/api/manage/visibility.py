"""What a token may see of alerts: what is outside its tags is as if it were not there."""

from kener_async import keys
from kener_async.api.http.endpoint import Call
from kener_async.domain.errors import Invalid
from kener_async.store import monitors

MAX_DIGITS = 18


async def visible_monitors(call: Call) -> dict[int, str]:
    """The tags of the monitors of the token by id, also of those that are no longer configured."""
    tags = await call.request.app[keys.DATABASE].read(monitors.tags)
    return {monitor: tag for monitor, tag in tags.items() if call.grant.allows_tag(tag)}


def path_id(call: Call, name: str) -> int:
    """The id in the path; raises Invalid."""
    text = call.request.match_info[name]
    if not (text.isascii() and text.isdigit()) or len(text) > MAX_DIGITS:
        raise Invalid(f"Invalid {name}: must be an integer")
    return int(text)
