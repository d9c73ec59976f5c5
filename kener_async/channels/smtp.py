"""SMTP: the mail server of [mail], with a few reused connections and a limit of mails an hour."""

import asyncio
import ssl
import time
from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from aiosmtplib import (
    SMTP,
    SMTPException,
    SMTPRecipientRefused,
    SMTPRecipientsRefused,
    SMTPResponse,
    SMTPResponseException,
)

from kener_async.channels.message import NotDelivered
from kener_async.channels.reached import Reached
from kener_async.config.model import MailConfig

TIMEOUT_SECONDS = 60  # for all of one mail
COMMAND_SECONDS = 20  # for each answer
IDLE_SECONDS = 30  # until an unused connection is closed
HOUR = 3600.0
ANSWER_CHARACTERS = 300


def is_permanent(code: int) -> bool:
    """Whether a reply code of SMTP says that the same mail would be refused again."""
    return 500 <= code <= 599


@dataclass(frozen=True, slots=True)
class Envelope:
    """A mail as it is transmitted. `key` is the same each time it is sent; addresses are without names."""

    key: str
    sender: str
    recipients: tuple[str, ...]
    content: bytes


class MailServer:
    """Send mails through the configured server. The certificate of a connection with TLS is always checked.

    `name` is that by which this host introduces itself, where the settings have none. `tls` replaces the
    authorities of the system; `clock` is monotonic, in seconds.
    """

    def __init__(
        self,
        settings: MailConfig,
        *,
        name: str = "",
        tls: ssl.SSLContext | None = None,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self.settings = settings
        self._name = settings.helo or name
        self._tls = tls
        self._per_hour = HourlyLimit(settings.per_hour, clock)
        self._slots = asyncio.Semaphore(settings.connections)
        self._idle: dict[SMTP, asyncio.TimerHandle] = {}
        self._reached = Reached()

    async def send(self, envelope: Envelope) -> str:
        """Return the answer once the server has taken the mail, or refused it for good, for each recipient.

        Recipients that were refused for now get it at the next call with the same key, and only they.
        Raises NotDelivered.
        """
        self._per_hour.take()
        async with self._slots:
            try:
                async with asyncio.timeout(TIMEOUT_SECONDS):
                    return await self._transmit(envelope)
            except TimeoutError:  # also those of aiosmtplib
                raise NotDelivered("the mail server did not answer in time") from None
            except SMTPRecipientsRefused as error:
                raise _no_recipient(error.recipients) from None
            except SMTPResponseException as error:
                raise NotDelivered(
                    _reply(error.code, error.message), for_good=is_permanent(error.code)
                ) from None
            except (SMTPException, OSError) as error:
                raise NotDelivered(_one_line(str(error) or type(error).__name__)) from None
            except ValueError as error:  # an address that cannot be sent
                raise NotDelivered(_one_line(str(error)), for_good=True) from None

    async def close(self) -> None:
        """Close the connections that are not in use."""
        while self._idle:
            connection, timer = self._idle.popitem()
            timer.cancel()
            await _quit(connection)

    async def _transmit(self, envelope: Envelope) -> str:
        waiting = self._reached.missing(envelope.key, envelope.recipients)
        connection = await self._connection()
        try:
            refused, answer = await connection.sendmail(
                envelope.sender, waiting, envelope.content, mail_options=_options(envelope)
            )
        except SMTPRecipientsRefused as error:
            connection.close()
            if not self._reached.any(envelope.key):
                raise
            refused, answer = (
                {each.recipient: SMTPResponse(each.code, each.message) for each in error.recipients},
                "",
            )
        except BaseException:
            connection.close()
            raise
        else:
            self._keep(connection)
        for_now = [reply for reply in refused.values() if not is_permanent(reply.code)]
        if for_now:
            self._reached.add(envelope.key, *(each for each in waiting if each not in refused))
            raise NotDelivered(f"for {len(for_now)} of {len(envelope.recipients)}: {_reply(*for_now[0])}")
        self._reached.forget(envelope.key)
        return _one_line("; ".join([answer, *(_reply(*reply) for reply in refused.values())]))

    async def _connection(self) -> SMTP:
        """A connection that answers: the last one used, if it still does, or a new one."""
        while self._idle:
            connection, timer = self._idle.popitem()
            timer.cancel()
            try:
                await connection.noop()
            except (SMTPException, OSError):
                connection.close()
            except BaseException:
                connection.close()
                raise
            else:
                return connection
        return await self._new_connection()

    async def _new_connection(self) -> SMTP:
        settings = self.settings
        if self._tls is None and settings.security != "none":
            self._tls = await asyncio.to_thread(ssl.create_default_context)
        connection = SMTP(
            hostname=settings.host,
            port=settings.port,
            username=settings.user or None,
            password=settings.password or None,
            local_hostname=self._name or None,
            timeout=COMMAND_SECONDS,
            use_tls=settings.security == "tls",
            start_tls=settings.security == "starttls",
            tls_context=self._tls,
        )
        try:
            await connection.connect()
        except BaseException:
            connection.close()
            raise
        return connection

    def _keep(self, connection: SMTP) -> None:
        def close() -> None:
            del self._idle[connection]
            connection.close()

        self._idle[connection] = asyncio.get_running_loop().call_later(IDLE_SECONDS, close)


class HourlyLimit:
    """At most `limit` within any 3,600 s."""

    def __init__(self, limit: int, clock: Callable[[], float]) -> None:
        self._limit = limit
        self._clock = clock
        self._times: deque[float] = deque()

    def take(self) -> None:
        """Count one; raises NotDelivered with the seconds to wait when there were too many."""
        now = self._clock()
        while self._times and self._times[0] <= now - HOUR:
            self._times.popleft()
        if len(self._times) >= self._limit:
            wait = self._times[0] + HOUR - now
            raise NotDelivered(f"the limit of {self._limit} mails an hour is reached", retry_after=wait)
        self._times.append(now)


async def _quit(connection: SMTP) -> None:
    try:
        await connection.quit(timeout=2)
    except (SMTPException, OSError):
        connection.close()


def _options(envelope: Envelope) -> list[str]:
    is_ascii = all(address.isascii() for address in (envelope.sender, *envelope.recipients))
    return [] if is_ascii else ["SMTPUTF8"]


def _no_recipient(refused: Sequence[SMTPRecipientRefused]) -> NotDelivered:
    """The error for a mail that nobody gets: for good only if it is so for each recipient."""
    worst = min(refused, key=lambda each: is_permanent(each.code))
    return NotDelivered(_reply(worst.code, worst.message), for_good=is_permanent(worst.code))


def _reply(code: int, text: str) -> str:
    return _one_line(f"{code} {text}")


def _one_line(text: str) -> str:
    return " ".join(text.split())[:ANSWER_CHARACTERS]
