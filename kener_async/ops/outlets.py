"""The configured channels as the queues of deliveries need them."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from functools import partial

from aiohttp import ClientSession

from kener_async.channels.composition import MessageSource, compose
from kener_async.channels.http import session_of_channels
from kener_async.channels.registry import channel_of
from kener_async.channels.smtp import MailServer
from kener_async.config.channels import ChannelConfig, MailChannel
from kener_async.config.model import Config
from kener_async.domain.deliveries import ChannelLimits
from kener_async.worker.channel_queue import DeliveryRules, Outlet


class ChannelFactory:
    """Make channels that share a session and a mail server, which is kept while its settings are the same."""

    def __init__(self) -> None:
        self._session: ClientSession | None = None
        self._mail_server: MailServer | None = None
        self._mail_settings: object = None

    @asynccontextmanager
    async def opened(self) -> AsyncIterator["ChannelFactory"]:
        """Channels work until this is left."""
        async with session_of_channels() as self._session:
            try:
                yield self
            finally:
                if self._mail_server is not None:
                    await self._mail_server.close()

    def outlets(self, config: Config, source: MessageSource) -> list[Outlet]:
        """An outlet for each channel of a configuration; call it while opened."""
        assert self._session is not None  # noqa: S101 - opened
        server = self.mail_server(config)
        return [self._outlet(config, each, source, self._session, server) for each in config.channels]

    def mail_server(self, config: Config) -> MailServer:
        """The mail server of a configuration; without a host in it, one that sends nothing."""
        name = config.server.public_host
        if self._mail_server is None or self._mail_settings != (config.mail, name):
            # The one before closes its connections by itself: they are idle for seconds only.
            self._mail_server, self._mail_settings = MailServer(config.mail, name=name), (config.mail, name)
        return self._mail_server

    def _outlet(
        self,
        config: Config,
        settings: ChannelConfig,
        source: MessageSource,
        session: ClientSession,
        mail_server: MailServer,
    ) -> Outlet:
        channel = channel_of(settings, session, mail_server)
        return Outlet(
            name=settings.name,
            channel=channel,
            limits=ChannelLimits(settings.gather, settings.per_minute, channel.takes_one_at_a_time),
            compose=partial(compose, source, settings.locale, settings.timezone),
            settings=(settings, config.mail if isinstance(settings, MailChannel) else None),
        )


def delivery_rules_of(config: Config) -> DeliveryRules:
    return DeliveryRules(config.notifications.retry_for, config.notifications.last_resort)
