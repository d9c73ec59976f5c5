"""/api/manage/channels: the channels and whether they work."""

from typing import Any

from kener_async import keys
from kener_async.api.http.endpoint import Call, Routes, Spec, endpoint
from kener_async.api.manage import schemas
from kener_async.config.channels import ChannelConfig
from kener_async.domain.notices import ChannelState
from kener_async.store import channel_states

routes = Routes()


@routes.get("/api/manage/channels")
@endpoint(
    Spec(
        operation="listChannels",
        summary="List channels",
        group="Management",
        scope="manage:read",
        reply=schemas.ChannelSchema(),
        many=True,
    )
)
async def list_channels(call: Call) -> list[dict[str, Any]]:
    """The channels in the order of the configuration, when each last took a message, and what failed."""
    app = call.request.app
    config = app[keys.RUNNING].config
    states = await app[keys.DATABASE].read(channel_states.all_states)
    listed = []
    for channel in config.channels:
        rules = [alert.rule.name for alert in config.alerts if channel.name in alert.rule.to]
        state = states.get(channel.name, ChannelState(channel.name))
        listed.append(_listed(channel, rules, state, with_fault=call.grant.allows("channel:write")))
    return listed


def _listed(
    channel: ChannelConfig, rules: list[str], state: ChannelState, *, with_fault: bool
) -> dict[str, Any]:
    fields = {
        "name": channel.name,
        "kind": channel.kind,
        "tell": channel.tell,
        "rules": rules,
        "failures": state.failures,
        "pausedAt": state.paused_at,
        "lastSentAt": state.last_sent,
    }
    return fields | ({"lastFault": state.last_fault or None} if with_fault else {})
