"""The channels by their settings: what serves each kind."""

from collections.abc import Callable, Mapping
from types import MappingProxyType
from typing import Any

from aiohttp import ClientSession

from kener_async.channels.alertmanager import alertmanager
from kener_async.channels.apprise import apprise
from kener_async.channels.command import CommandRun
from kener_async.channels.discord import discord
from kener_async.channels.googlechat import googlechat
from kener_async.channels.gotify import gotify
from kener_async.channels.mail import Mail
from kener_async.channels.matrix import Matrix
from kener_async.channels.mattermost import mattermost
from kener_async.channels.message import Channel
from kener_async.channels.ntfy import ntfy
from kener_async.channels.opsgenie import opsgenie
from kener_async.channels.pagerduty import pagerduty
from kener_async.channels.pushover import pushover
from kener_async.channels.rocketchat import rocketchat
from kener_async.channels.signal import signal
from kener_async.channels.slack import slack
from kener_async.channels.smtp import MailServer
from kener_async.channels.teams import teams
from kener_async.channels.telegram import telegram
from kener_async.channels.twilio import Twilio
from kener_async.channels.webhook import Webhook
from kener_async.channels.zulip import zulip
from kener_async.config.channels import (
    AlertmanagerChannel,
    AppriseChannel,
    ChannelConfig,
    CommandChannel,
    DiscordChannel,
    GoogleChatChannel,
    GotifyChannel,
    MailChannel,
    MatrixChannel,
    MattermostChannel,
    NtfyChannel,
    OpsgenieChannel,
    PagerDutyChannel,
    PushoverChannel,
    RocketChatChannel,
    SignalChannel,
    SlackChannel,
    TeamsChannel,
    TelegramChannel,
    TwilioChannel,
    WebhookChannel,
    ZulipChannel,
)

# Of the kinds that send requests: a function or class of the settings and the session.
OVER_HTTP: Mapping[type[ChannelConfig], Callable[[Any, ClientSession], Channel]] = MappingProxyType(
    {
        AlertmanagerChannel: alertmanager,
        AppriseChannel: apprise,
        GotifyChannel: gotify,
        NtfyChannel: ntfy,
        OpsgenieChannel: opsgenie,
        PagerDutyChannel: pagerduty,
        PushoverChannel: pushover,
        SignalChannel: signal,
        TwilioChannel: Twilio,
        DiscordChannel: discord,
        GoogleChatChannel: googlechat,
        MattermostChannel: mattermost,
        MatrixChannel: Matrix,
        RocketChatChannel: rocketchat,
        SlackChannel: slack,
        TeamsChannel: teams,
        TelegramChannel: telegram,
        WebhookChannel: Webhook,
        ZulipChannel: zulip,
    }
)


def channel_of(
    settings: ChannelConfig, session: ClientSession, mail_server: MailServer | None = None
) -> Channel:
    """The channel of a table of [[channels]]. `session` is that of http.session_of_channels."""
    if isinstance(settings, CommandChannel):
        return CommandRun(settings)
    if isinstance(settings, MailChannel):
        if mail_server is None:
            raise ValueError("a channel of mail needs the mail server")
        return Mail(settings, mail_server)
    return OVER_HTTP[type(settings)](settings, session)
