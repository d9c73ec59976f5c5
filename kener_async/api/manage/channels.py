"""/api/manage/channels: the channels, whether they work; test one, resume one."""

from dataclasses import replace
from secrets import token_hex
from typing import Any

from aiohttp import web

from kener_async import keys
from kener_async.api.http.endpoint import Call, Routes, Spec, endpoint
from kener_async.api.manage import schemas
from kener_async.channels.composition import example, message_source
from kener_async.channels.message import Message
from kener_async.channels.trial import ChannelTrial, try_channel
from kener_async.config.channels import ChannelConfig
from kener_async.config.model import Config
from kener_async.domain.access import Grant
from kener_async.domain.errors import NotFound
from kener_async.domain.notices import ChannelState
from kener_async.store import channel_acts, channel_states

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
        rules = rules_with(config, channel.name)
        state = states.get(channel.name, ChannelState(channel.name))
        listed.append(_listed(channel, rules, state, with_fault=call.grant.allows("channel:write")))
    return listed


@routes.post("/api/manage/channels/{channelName}/test")
@endpoint(
    Spec(
        operation="testChannel",
        summary="Test a channel",
        group="Management",
        scope="channel:write",
        path={"channelName": "name of the channel"},
        reply=schemas.ChannelTrialSchema(),
        errors=(404, 503),
    )
)
async def test(call: Call) -> dict[str, Any]:
    """Send an example of an alert through a channel at once, and show what was sent and answered.

    Secrets are masked. A channel that was paused and takes it is used again.
    """
    app = call.request.app
    name = call.request.match_info["channelName"]
    channel = channel_of(app, name)
    actor, now = call.actor, app[keys.CLOCK]()
    await app[keys.DATABASE].write(channel_acts.note_test, name, actor, now)
    trial = await tested(app, channel, call.grant)
    return {"delivered": trial.is_delivered, "requests": trial.requests, "answer": trial.answer}


@routes.post("/api/manage/channels/{channelName}/resume")
@endpoint(
    Spec(
        operation="resumeChannel",
        summary="Resume a channel",
        group="Management",
        scope="channel:write",
        path={"channelName": "name of the channel"},
        reply=schemas.ChannelSchema(),
        errors=(404, 503),
    )
)
async def resume(call: Call) -> dict[str, Any]:
    """Send to a channel again that was paused, and count its faults anew; what waited for it is sent."""
    app = call.request.app
    channel = channel_of(app, call.request.match_info["channelName"])
    actor, now = call.actor, app[keys.CLOCK]()
    state = await app[keys.DATABASE].write(channel_acts.resume, channel.name, actor, now)
    app[keys.DELIVERIES].wake()
    return _listed(channel, rules_with(app[keys.RUNNING].config, channel.name), state, with_fault=True)


def channel_of(app: web.Application, name: str) -> ChannelConfig:
    """The configured channel of a name; raises NotFound."""
    for channel in app[keys.RUNNING].config.channels:
        if channel.name == name:
            return channel
    raise NotFound("channel not found")


def rules_with(config: Config, channel: str) -> list[str]:
    """The names of the rules that tell a channel."""
    return [alert.rule.name for alert in config.alerts if channel in alert.rule.to]


async def tested(app: web.Application, channel: ChannelConfig, grant: Grant) -> ChannelTrial:
    """Send an example through a channel; one that takes it and was paused is used again."""
    config = app[keys.RUNNING].config
    message = _example(app, channel, grant)
    trial = await try_channel(channel, config.mail, message, config.server.public_host)
    if trial.is_delivered:
        await app[keys.DELIVERIES].resume(channel.name)
    return trial


def _example(app: web.Application, channel: ChannelConfig, grant: Grant) -> Message:
    """A message about the first monitor of the grant."""
    config, now = app[keys.RUNNING].config, app[keys.CLOCK]()
    visible = [monitor.tag for monitor in config.monitors if not monitor.hidden]
    bad = app[keys.STATES].count_bad(visible, now)
    own = tuple(monitor for monitor in config.monitors if grant.allows_tag(monitor.tag))
    source = message_source(replace(config, monitors=own), app[keys.IDENTITY], lambda: (bad, len(visible)))
    return example(source, channel.locale, channel.timezone, now, f"test-{token_hex(8)}")


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
