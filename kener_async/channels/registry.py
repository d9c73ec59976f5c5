"""The channels by their settings: what serves each kind."""

from collections.abc import Callable, Mapping
from types import MappingProxyType
from typing import Any

from aiohttp import ClientSession

from kener_async.channels.command import Command
from kener_async.channels.message import Channel
from kener_async.channels.smtp import MailServer
from kener_async.config.channels import ChannelConfig, CommandChannel

# Of the kinds that send requests: a function or class of the settings and the session.
OVER_HTTP: Mapping[type[ChannelConfig], Callable[[Any, ClientSession], Channel]] = MappingProxyType({})


def channel_of(
    settings: ChannelConfig, session: ClientSession, mail_server: MailServer | None = None
) -> Channel:
    """The channel of a table of [[channels]]. `session` is that of http.session_of_channels."""
    if isinstance(settings, CommandChannel):
        return Command(settings)
    return OVER_HTTP[type(settings)](settings, session)
