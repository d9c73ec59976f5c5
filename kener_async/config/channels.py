"""The tables of [[channels]]: the keys of every channel, and those of each kind.

What a channel does is in `kener_async.channels`, a file a kind.
"""

from collections.abc import Mapping
from pathlib import Path
from types import MappingProxyType
from typing import Literal
from zoneinfo import ZoneInfo

from marshmallow import ValidationError, validate

from kener_async.config.alert_fields import (
    Headers,
    JsonText,
    Line,
    Mailbox,
    NonEmptyLine,
    SecretToken,
    SecretUrl,
)
from kener_async.config.fields import (
    LOCALES,
    Boolean,
    Choice,
    Duration,
    Integer,
    List,
    NonEmptyString,
    OptionalPath,
    PingUrl,
    String,
    TimeZone,
    describe,
    suggestion,
)
from kener_async.config.schema import key, table
from kener_async.domain.calendar import HOUR
from kener_async.domain.notices import EVENTS, NoticeKind, event_of

GATHER = (
    "Messages within this time become one. Default: 10 s; of pagerduty, opsgenie and alertmanager, which get "
    "each alert by itself, 0."
)
NOT_EMPTY = validate.Length(1, error="must not be empty")
THREE = validate.Length(equal=3, error="must be three numbers: of info, warning and critical")


class ChannelKind(String):
    def parsed(self, text: str) -> str:
        if text not in CHANNELS:
            nearest = suggestion(text, CHANNELS)
            raise ValidationError(f"must be one of {', '.join(CHANNELS)}, not {describe(text)}{nearest}")
        return text


@table
class ChannelConfig:
    """The keys of every kind. `locale` and `timezone` are those of [site] where they are not configured.

    `gather` is in seconds, `per_minute` a number of messages.
    """

    name: str = key(NonEmptyString(), doc="Unique; rules name it in `to`.")
    kind: str = key(
        ChannelKind(),
        doc="webhook, mail, slack, discord, teams, googlechat, mattermost, rocketchat, zulip, telegram, "
        "matrix, signal, twilio, ntfy, gotify, pushover, pagerduty, opsgenie, alertmanager, apprise or "
        "command.",
    )
    gather: int = key(Duration(0, HOUR), 10, doc=GATHER)
    per_minute: int = key(
        Integer(1, 10_000), 20, doc="How many messages a minute it gets at most; more are gathered, not lost."
    )
    locale: str = key(
        Choice(*LOCALES), None, doc="The language of its messages. Default: the locale of [site]."
    )
    timezone: ZoneInfo = key(
        TimeZone(), None, doc="The zone of the times in its messages. Default: the timezone of [site]."
    )
    tell: tuple[str, ...] = key(
        List(Choice(*EVENTS), validate=NOT_EMPTY),
        ("opened", "reminded", "resolved", "flapping"),
        doc=f"The events that it is told of: {', '.join(EVENTS)}.",
    )

    def tells(self, kind: NoticeKind) -> bool:
        """Whether it is told of such a notice; those that are no event, such as a test, always."""
        event = event_of(kind)
        return event is None or event in self.tell


@table
class WebhookChannel(ChannelConfig):
    """`body` is JSON with placeholders, or empty: the program's own. `ca_file` None: the system's."""

    url: str = key(SecretUrl(), secret=True, doc="Where it is sent.")
    method: Literal["POST", "PUT", "PATCH"] = key(
        Choice("POST", "PUT", "PATCH"), "POST", doc="The method of the request: POST, PUT or PATCH."
    )
    headers: tuple[tuple[str, str], ...] = key(
        Headers(), (), secret=True, doc="Headers of the request; values may hold $NAME. Default: none."
    )
    body: str = key(
        JsonText(),
        "",
        doc="A body of your own: JSON, in whose texts {name} is replaced (docs/alerts.md). Empty: the fields "
        "of Kener's alerts and more.",
    )
    secret: str = key(
        SecretToken(may_be_empty=True, minimum=16),
        "",
        secret=True,
        doc="The key that signs each request in the header X-Kener-Signature, at least 16 characters; empty: "
        "it is not signed.",
    )
    verify: bool = key(Boolean(), True, doc="Whether the certificate of the server must be valid.")
    ca_file: Path | None = key(
        OptionalPath(),
        None,
        doc="Certificates (PEM) of authorities that are trusted instead of the system's.",
    )


@table
class MailChannel(ChannelConfig):
    to: tuple[str, ...] = key(
        List(Mailbox(), validate=NOT_EMPTY), doc="The addresses; [mail] says how they are reached."
    )
    cc: tuple[str, ...] = key(List(Mailbox()), (), doc="Addresses that get a copy.")


@table
class SlackChannel(ChannelConfig):
    url: str = key(SecretUrl(), secret=True, doc="The address of an incoming webhook of Slack.")
    mention: str = key(
        Line(),
        "",
        doc='Whom openings mention: "here", "channel", or the id of a member or a user group such as '
        "U012AB3CD.",
    )


@table
class DiscordChannel(ChannelConfig):
    url: str = key(SecretUrl(), secret=True, doc="The address of a webhook of Discord.")
    mention: str = key(Line(), "", doc='Whom openings mention: "here", "everyone", "user:ID" or "role:ID".')
    username: str = key(Line(), "", doc="The name shown as the sender; empty: that of the webhook.")
    picture: str = key(PingUrl(), "", doc="The address of the sender's picture; empty: that of the webhook.")


@table
class TeamsChannel(ChannelConfig):
    url: str = key(
        SecretUrl(), secret=True, doc="The address of a workflow of Teams that takes webhook requests."
    )


@table
class GoogleChatChannel(ChannelConfig):
    url: str = key(SecretUrl(), secret=True, doc="The address of a webhook of a space in Google Chat.")


@table
class MattermostChannel(ChannelConfig):
    url: str = key(SecretUrl(), secret=True, doc="The address of an incoming webhook of Mattermost.")
    channel: str = key(Line(), "", doc="Another channel than that of the webhook.")


@table
class RocketChatChannel(ChannelConfig):
    url: str = key(SecretUrl(), secret=True, doc="The address of an incoming webhook of Rocket.Chat.")
    channel: str = key(Line(), "", doc='Another channel than that of the webhook, such as "#ops".')


@table
class ZulipChannel(ChannelConfig):
    url: str = key(SecretUrl(), secret=True, doc="The address of the Zulip server.")
    user: str = key(Mailbox(), doc="The address of the bot.")
    token: str = key(SecretToken(), secret=True, doc="Its API key.")
    stream: str = key(NonEmptyLine(), doc="The stream, which Zulip also calls a channel.")
    topic: str = key(Line(), "", doc="The topic; empty: the name of each monitor.")


@table
class TelegramChannel(ChannelConfig):
    token: str = key(SecretToken(), secret=True, doc="The token of the bot.")
    chat: str = key(NonEmptyLine(), doc="The id of the chat, in quotes, or @ and the name of a channel.")
    topic: int = key(Integer(0, 1 << 53), 0, doc="The number of the topic of a group that has some; 0: none.")
    silent: bool = key(Boolean(), False, doc="Whether messages come without a sound.")


@table
class MatrixChannel(ChannelConfig):
    homeserver: str = key(
        PingUrl(validate=NOT_EMPTY), doc='The address of the server, such as "https://matrix.example.org".'
    )
    token: str = key(SecretToken(), secret=True, doc="The access token of the account that writes.")
    room: str = key(NonEmptyLine(), doc="The id of the room, !... or #...; the account must be in it.")


@table
class SignalChannel(ChannelConfig):
    url: str = key(SecretUrl(), secret=True, doc="The address of a signal-cli-rest-api.")
    sender: str = key(NonEmptyLine(), name="from", doc="The number that sends, such as +491701234567.")
    to: tuple[str, ...] = key(
        List(NonEmptyLine(), validate=NOT_EMPTY), doc="Numbers, or ids of groups (group....)."
    )


@table
class TwilioChannel(ChannelConfig):
    account: str = key(NonEmptyLine(), doc="The account's SID, AC...")
    token: str = key(SecretToken(), secret=True, doc="Its auth token.")
    sender: str = key(
        NonEmptyLine(), name="from", doc="The number that sends, or the SID of a messaging service (MG...)."
    )
    to: tuple[str, ...] = key(
        List(NonEmptyLine(), validate=NOT_EMPTY), doc="The numbers that get an SMS, such as +491701234567."
    )


@table
class NtfyChannel(ChannelConfig):
    url: str = key(SecretUrl(), secret=True, doc='Server and topic, such as "https://ntfy.sh/my-topic".')
    token: str = key(
        SecretToken(may_be_empty=True), "", secret=True, doc="An access token, where one is needed."
    )
    priority: tuple[int, ...] = key(
        List(Integer(1, 5), validate=THREE),
        (2, 3, 5),
        doc="The priorities, 1 to 5, of alerts that are info, warning and critical.",
    )
    tags: tuple[str, ...] = key(
        List(NonEmptyLine()), (), doc="Tags of every message; ntfy shows some as emoji."
    )


@table
class GotifyChannel(ChannelConfig):
    url: str = key(SecretUrl(), secret=True, doc="The address of the Gotify server.")
    token: str = key(SecretToken(), secret=True, doc="The token of an application.")
    priority: tuple[int, ...] = key(
        List(Integer(0, 10), validate=THREE),
        (2, 5, 8),
        doc="The priorities, 0 to 10, of alerts that are info, warning and critical.",
    )


@table
class PushoverChannel(ChannelConfig):
    token: str = key(SecretToken(), secret=True, doc="The token of an application.")
    user: str = key(SecretToken(), secret=True, doc="The key of a user or a group.")
    device: str = key(Line(), "", doc="The name of a device; empty: all of the user.")
    sound: str = key(Line(), "", doc="The name of a sound; empty: the user's own.")


@table
class PagerChannel(ChannelConfig):
    """A receiver that keeps alerts open by itself, and so gets each as an event of its own."""

    gather: int = key(Duration(0, HOUR), 0, doc=GATHER)


@table
class PagerDutyChannel(PagerChannel):
    integration_key: str = key(
        SecretToken(), secret=True, name="key", doc="The integration key (Events API v2) of a service."
    )
    region: Literal["us", "eu"] = key(Choice("us", "eu"), "us", doc="The region of the account: us or eu.")


@table
class OpsgenieChannel(PagerChannel):
    api_key: str = key(SecretToken(), secret=True, name="key", doc="The key of an API integration.")
    region: Literal["us", "eu"] = key(Choice("us", "eu"), "us", doc="The region of the account: us or eu.")
    responders: tuple[str, ...] = key(
        List(NonEmptyLine()), (), doc='Whom it notifies: names of teams, or "user:" and an address.'
    )


@table
class AlertmanagerChannel(PagerChannel):
    url: str = key(SecretUrl(), secret=True, doc="The address of a Prometheus Alertmanager.")


@table
class AppriseChannel(ChannelConfig):
    url: str = key(
        SecretUrl(), secret=True, doc="The address of an Apprise API with its key: .../notify/<key>."
    )
    tag: str = key(Line(), "", doc="The tag of the services that are notified; empty: all.")


@table
class CommandChannel(ChannelConfig):
    command: tuple[str, ...] = key(
        List(NonEmptyString(), validate=NOT_EMPTY),
        doc="A program and its arguments, no shell. It gets the message as JSON on its standard input. Exit "
        "status 0: it has taken it; 64 to 68, 77, 78, 126 and 127: it never will; any other, such as 75: try "
        "again.",
    )


CHANNELS: Mapping[str, type[ChannelConfig]] = MappingProxyType(
    {
        "webhook": WebhookChannel,
        "mail": MailChannel,
        "slack": SlackChannel,
        "discord": DiscordChannel,
        "teams": TeamsChannel,
        "googlechat": GoogleChatChannel,
        "mattermost": MattermostChannel,
        "rocketchat": RocketChatChannel,
        "zulip": ZulipChannel,
        "telegram": TelegramChannel,
        "matrix": MatrixChannel,
        "signal": SignalChannel,
        "twilio": TwilioChannel,
        "ntfy": NtfyChannel,
        "gotify": GotifyChannel,
        "pushover": PushoverChannel,
        "pagerduty": PagerDutyChannel,
        "opsgenie": OpsgenieChannel,
        "alertmanager": AlertmanagerChannel,
        "apprise": AppriseChannel,
        "command": CommandChannel,
    }
)
