"""Upload the spool to the server: oldest first, in batches, with retries until it is accepted."""

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager, suppress
from urllib.request import getproxies, proxy_bypass

import structlog
from aiohttp import ClientError, ClientSession, ClientTimeout, DummyCookieJar
from yarl import URL

from kener_async.agent import batches, responses
from kener_async.agent.async_spool import AsyncSpool
from kener_async.agent.clocks import Clock
from kener_async.agent.responses import BatchTooLarge, Delivered, Failed, Reply
from kener_async.agent.schedule import Backoff
from kener_async.agent.settings import AgentSettings
from kener_async.agent.spool import SpooledBatch
from kener_async.domain.errors import Unavailable

log = structlog.get_logger(__name__)

LARGEST_RESPONSE = 1 << 22  # bytes
RETRY_REFUSED = 300.0  # seconds until the samples of a refused tag are sent again
MAX_LOGGED = 5  # rejected samples of a batch that are logged one by one

Chance = Callable[[], float]  # in [0, 1)


class Uploader:
    """Uploads batches. `chance` adds jitter, so that many devices do not send at the same time."""

    def __init__(
        self,
        settings: AgentSettings,
        spool: AsyncSpool,
        clock: Clock,
        session: ClientSession,
        chance: Chance,
    ) -> None:
        self._settings = settings
        self._spool = spool
        self._clock = clock
        self._session = session
        self._chance = chance
        self._backoffs = dict.fromkeys(settings.servers, Backoff())
        self._batch_size = batches.MAX_SAMPLES
        self._refused: dict[str, float] = {}  # the time of the next attempt, by tag
        self._woken = asyncio.Event()

    @classmethod
    @asynccontextmanager
    async def running(
        cls, settings: AgentSettings, spool: AsyncSpool, clock: Clock, name: str, chance: Chance
    ) -> AsyncIterator["Uploader"]:
        """Open the HTTP session, with `name` as User-Agent; closed on leaving."""
        timeout = ClientTimeout(total=settings.send_timeout)
        headers = {"User-Agent": name}
        # Not trust_env, which would add the credentials of ~/.netrc to those of the token.
        async with ClientSession(timeout=timeout, headers=headers, cookie_jar=DummyCookieJar()) as session:
            yield cls(settings, spool, clock, session, chance)

    def wake(self) -> None:
        """Upload soon instead of at the next interval; a backoff still applies."""
        self._woken.set()

    async def run(self) -> None:
        """Upload forever: at the interval, when woken, and after each backoff."""
        while True:
            try:
                await self.upload()
                pause = self._backoff_left()
            except Unavailable as error:
                log.error("spool not available", reason=error.message)
                pause = self._settings.send_every
            await (asyncio.sleep(pause) if pause else self._wait())

    async def _wait(self) -> None:
        spread = 0.9 + 0.2 * self._chance()
        with suppress(TimeoutError):
            async with asyncio.timeout(self._settings.send_every * spread):
                await self._woken.wait()

    async def upload(self) -> bool:
        """Upload until the spool is empty or no server accepts a batch; returns whether it is empty.

        Samples of a tag that the server refuses stay, and the others are not held up by them.
        """
        self._woken.clear()
        while True:
            batch = await self._spool.oldest(self._batch_size, self._waiting_tags())
            if not batch.samples:
                return (await self._spool.counts()).pending == 0
            reply = await self._post_to_first(batch)
            if isinstance(reply, Failed):
                return False
            if isinstance(reply, BatchTooLarge):
                self._batch_size = max(1, len(batch.samples) // 2)
            else:
                self._log_rejected(reply)
                self._note_refused(batch, reply)
                refused = {id(sample) for sample, _ in reply.refused}
                judged = [sample for sample in batch.samples if id(sample) not in refused]
                await self._spool.remove(batch.only(judged), len(reply.rejected))

    def _waiting_tags(self) -> list[str]:
        """The refused tags that are not to be sent yet."""
        now = self._clock().monotonic
        return [tag for tag, until in self._refused.items() if until > now]

    def _note_refused(self, batch: SpooledBatch, delivered: Delivered) -> None:
        """Make refused tags wait, and log what has changed."""
        reasons = {spooled.sample.tag: reason for spooled, reason in delivered.refused}
        for tag in {spooled.sample.tag for spooled in batch.samples}:
            if tag in reasons:
                if tag not in self._refused:
                    log.warning(
                        "samples refused, kept", tag=tag, reason=reasons[tag], retry_in_seconds=RETRY_REFUSED
                    )
                self._refused[tag] = self._clock().monotonic + RETRY_REFUSED
            elif self._refused.pop(tag, None) is not None:
                log.info("samples accepted again", tag=tag)

    async def _post_to_first(self, batch: SpooledBatch) -> Reply:
        """Post a batch to the first server that accepts it, without those in backoff."""
        reply: Reply = Failed("all servers are in backoff")
        for server in self._settings.servers:
            if self._backoffs[server].until <= self._clock().monotonic:
                reply = await self._post(server, batch)
                self._record(server, reply)
                if not isinstance(reply, Failed):
                    break
        return reply

    async def _post(self, server: str, batch: SpooledBatch) -> Reply:
        body = batches.body(batch.device(self._settings.device), batch, self._clock())
        try:
            headers = {
                "Authorization": f"Bearer {self._token()}",
                "Content-Type": "application/json",
                "Content-Encoding": "gzip",
            }
            async with self._session.post(
                f"{server}/api/status/batch",
                data=body,
                headers=headers,
                allow_redirects=False,
                proxy=environment_proxy(server),
            ) as response:
                text = await responses.read_up_to(response.content, LARGEST_RESPONSE)
                return responses.reply(response.status, response.headers, text, batch.samples)
        except TimeoutError:
            return Failed(f"no answer within {self._settings.send_timeout} s")
        except (ClientError, OSError, ValueError) as error:
            return Failed(str(error) or type(error).__name__)

    def _token(self) -> str:
        """The token, read for each upload so that a new one is used without a restart."""
        if self._settings.token or self._settings.token_file is None:
            return self._settings.token
        return self._settings.token_file.read_text().strip()

    def _record(self, server: str, reply: Reply) -> None:
        """Update the backoff of a server, and log failures and recoveries."""
        previous = self._backoffs[server]
        if not isinstance(reply, Failed):
            self._backoffs[server] = Backoff()
            if previous.failures:
                log.info("upload succeeded again", server=server, failures=previous.failures)
            return
        now = self._clock().monotonic
        after = previous.after_failure(
            now, chance=self._chance(), retry_after=reply.retry_after, is_permanent=reply.is_permanent
        )
        self._backoffs[server] = after
        level = log.error if reply.is_permanent else log.warning
        pause = round(after.until - now, 1)
        level("upload failed", server=server, reason=reply.reason, retry_in_seconds=pause)

    def _backoff_left(self) -> float:
        """The seconds until the first server is out of backoff; 0 if one is."""
        first = min(backoff.until for backoff in self._backoffs.values())
        return max(0.0, first - self._clock().monotonic)

    @staticmethod
    def _log_rejected(delivered: Delivered) -> None:
        for spooled, reason in delivered.rejected[:MAX_LOGGED]:
            log.warning("sample rejected", tag=spooled.sample.tag, seq=spooled.seq, reason=reason)
        if len(delivered.rejected) > MAX_LOGGED:
            log.warning("more samples rejected", samples=len(delivered.rejected) - MAX_LOGGED)


def environment_proxy(server: str) -> str | None:
    """The proxy for a server, from the environment: https_proxy, http_proxy and no_proxy."""
    url = URL(server)
    if url.host is None or proxy_bypass(url.host):
        return None
    return getproxies().get(url.scheme)
