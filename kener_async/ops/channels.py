"""List, try and resume channels from a terminal, while a server may be running on the database."""

import asyncio
from collections.abc import Iterator, Mapping, Sequence
from datetime import UTC, datetime
from secrets import token_hex
from typing import Any
from uuid import UUID

from kener_async.channels.composition import example, message_source
from kener_async.channels.trial import ChannelTrial, try_channel
from kener_async.clock import system_clock
from kener_async.config.channels import ChannelConfig
from kener_async.config.fields import suggestion
from kener_async.config.model import Config
from kener_async.domain.errors import NotFound
from kener_async.domain.notices import ChannelState
from kener_async.ops.actor import command_actor
from kener_async.store import channel_acts, channel_states, observer
from kener_async.store.sqlite import transactions

HEADS = ("channel", "kind", "state", "last sent", "last fault")


def get(config: Config, name: str) -> ChannelConfig:
    """The channel of a name; raises NotFound."""
    by_name = {channel.name: channel for channel in config.channels}
    if name not in by_name:
        raise NotFound(f"there is no channel {name}{suggestion(name, by_name)}")
    return by_name[name]


def test(config: Config, name: str, now: int) -> ChannelTrial:
    """Send an example to a channel; one that takes it is resumed. Raises NotFound, and FatalError."""
    settings = get(config, name)
    identity: UUID = transactions.read(config.database.path, observer.identity)
    visible = sum(not monitor.hidden for monitor in config.monitors)
    source = message_source(config, identity, lambda: (min(1, visible), visible))
    message = example(source, settings.locale, settings.timezone, now, f"test-{token_hex(8)}")
    transactions.write(config.database.path, channel_acts.note_test, name, command_actor(), now)
    trial = asyncio.run(try_channel(settings, config.mail, message, config.server.public_host))
    if trial.is_delivered:
        transactions.write(config.database.path, channel_acts.note_test_delivered, name, now)
    return trial


def resume(config: Config, name: str) -> None:
    """Let a channel that is paused be sent to again; raises NotFound, and FatalError."""
    get(config, name)
    transactions.write(config.database.path, channel_acts.resume, name, command_actor(), system_clock())


def states(config: Config) -> Mapping[str, ChannelState]:
    """The state of each configured channel by name, in the order of the file; raises FatalError."""
    stored = transactions.read(config.database.path, channel_states.all_states)
    return {each.name: stored.get(each.name, ChannelState(each.name)) for each in config.channels}


def as_json(channel: ChannelConfig, state: ChannelState) -> dict[str, Any]:
    """The fields that `GET /api/manage/channels` has, too. Instants are UTC seconds."""
    return {
        "name": channel.name,
        "kind": channel.kind,
        "failures": state.failures,
        "pausedAt": state.paused_at,
        "lastSentAt": state.last_sent,
        "lastFault": state.last_fault or None,
    }


def table(config: Config, found: Mapping[str, ChannelState]) -> Iterator[Sequence[str]]:
    """The rows of the list, with its heading."""
    yield HEADS
    for channel in config.channels:
        state = found[channel.name]
        yield channel.name, channel.kind, _word(state), _time(state.last_sent), state.last_fault or "-"


def _word(state: ChannelState) -> str:
    if state.paused_at is not None:
        return f"paused since {_time(state.paused_at)}"
    return "failing" if state.last_fault else "ready" if state.last_sent is None else "works"


def _time(instant: int | None) -> str:
    return "never" if instant is None else f"{datetime.fromtimestamp(instant, UTC):%Y-%m-%d %H:%M:%S}"
