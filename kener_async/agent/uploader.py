"""Brings what is in the spool to the server: oldest first, in batches, again and again until it is taken."""

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager, suppress

import structlog
from aiohttp import ClientError, ClientSession, ClientTimeout

from kener_async.agent import batches, responses
from kener_async.agent.async_spool import AsyncSpool
from kener_async.agent.clocks import Clock
from kener_async.agent.responses import BatchTooLarge, Failed, Reply, Taken
from kener_async.agent.schedule import Backoff
from kener_async.agent.settings import AgentSettings
from kener_async.agent.spool import SpooledBatch
from kener_async.domain.errors import Unavailable

log = structlog.get_logger(__name__)

LARGEST_ANSWER = 1 << 22  # bytes
SHOWN = 5  # rejected samples of a batch that are logged one by one

Chance = Callable[[], float]  # in [0, 1)


class Uploader:
    """`chance` spreads what many devices would do at once."""

    def __init__(
        self,
        settings: AgentSettings,
        keeper: AsyncSpool,
        clock: Clock,
        session: ClientSession,
        chance: Chance,
    ) -> None:
        self._settings = settings
        self._keeper = keeper
        self._clock = clock
        self._session = session
        self._chance = chance
        self._backoffs = dict.fromkeys(settings.servers, Backoff())
        self._largest = batches.LARGEST
        self._news = asyncio.Event()

    @classmethod
    @asynccontextmanager
    async def running(
        cls, settings: AgentSettings, keeper: AsyncSpool, clock: Clock, name: str, chance: Chance
    ) -> AsyncIterator["Uploader"]:
        """`name` is how it introduces itself to the server."""
        timeout = ClientTimeout(total=settings.send_timeout)
        headers = {"User-Agent": name}
        async with ClientSession(timeout=timeout, headers=headers, trust_env=True) as session:
            yield cls(settings, keeper, clock, session, chance)

    def hurry(self) -> None:
        """Something should not wait. It waits all the same while the server is left alone."""
        self._news.set()

    async def run(self) -> None:
        """Send for ever."""
        while True:
            try:
                await self.deliver()
                pause = self._backoff_left()
            except Unavailable as error:
                log.error("cannot send", reason=error.message)
                pause = self._settings.send_every
            await (asyncio.sleep(pause) if pause else self._news_or_time())

    async def _news_or_time(self) -> None:
        spread = 0.9 + 0.2 * self._chance()
        with suppress(TimeoutError):
            async with asyncio.timeout(self._settings.send_every * spread):
                await self._news.wait()

    async def deliver(self) -> bool:
        """Send until nothing is left or no server takes it; whether nothing is left."""
        self._news.clear()
        while True:
            parcel = await self._keeper.parcel(self._largest)
            if not parcel.samples:
                return True
            reply = await self._brought(parcel)
            if isinstance(reply, Failed):
                return False
            if isinstance(reply, BatchTooLarge):
                self._largest = max(1, len(parcel.samples) // 2)
            else:
                self._tell_rejected(reply)
                await self._keeper.forget(parcel, len(reply.rejected))

    async def _brought(self, parcel: SpooledBatch) -> Reply:
        """To the first server that takes it, of those whose time has come."""
        reply: Reply = Failed("no server may be tried yet")
        for server in self._settings.servers:
            if self._backoffs[server].until <= self._clock().monotonic:
                reply = await self._posted(server, parcel)
                self._note(server, reply)
                if not isinstance(reply, Failed):
                    break
        return reply

    async def _posted(self, server: str, parcel: SpooledBatch) -> Reply:
        body = batches.body(parcel.device(self._settings.device), parcel, self._clock())
        try:
            headers = {
                "Authorization": f"Bearer {self._token()}",
                "Content-Type": "application/json",
                "Content-Encoding": "gzip",
            }
            async with self._session.post(
                f"{server}/api/status/batch", data=body, headers=headers, allow_redirects=False
            ) as answer:
                text = await responses.read_up_to(answer.content, LARGEST_ANSWER)
                return responses.reply(answer.status, answer.headers, text, parcel.samples)
        except TimeoutError:
            return Failed(f"no answer within {self._settings.send_timeout} s")
        except (ClientError, OSError, ValueError) as error:
            return Failed(str(error) or type(error).__name__)

    def _token(self) -> str:
        """Read each time, so that a new one is used without a restart."""
        if self._settings.token or self._settings.token_file is None:
            return self._settings.token
        return self._settings.token_file.read_text().strip()

    def _note(self, server: str, reply: Reply) -> None:
        """How long the server is left alone, and whether it is another than before."""
        before = self._backoffs[server]
        if not isinstance(reply, Failed):
            self._backoffs[server] = Backoff()
            if before.failures:
                log.info("the server takes samples again", server=server, failures=before.failures)
            return
        now = self._clock().monotonic
        after = before.after_failure(
            now, chance=self._chance(), at_least=reply.at_least, is_hopeless=reply.is_hopeless
        )
        self._backoffs[server] = after
        level = log.error if reply.is_hopeless else log.warning
        pause = round(after.until - now, 1)
        level("the server took nothing", server=server, reason=reply.reason, again_in_seconds=pause)

    def _backoff_left(self) -> float:
        """Seconds until a server may be tried; 0 while one may be."""
        first = min(backoff.until for backoff in self._backoffs.values())
        return max(0.0, first - self._clock().monotonic)

    @staticmethod
    def _tell_rejected(taken: Taken) -> None:
        for spooled, reason in taken.rejected[:SHOWN]:
            log.warning("a sample was rejected", tag=spooled.sample.tag, seq=spooled.seq, reason=reason)
        if len(taken.rejected) > SHOWN:
            log.warning("more samples were rejected", samples=len(taken.rejected) - SHOWN)
