"""Make the occurrences of maintenance that repeats, and announce maintenance to channels."""

from collections.abc import Callable, Sequence
from functools import partial

import structlog

from kener_async.clock import Clock
from kener_async.domain.errors import Unavailable
from kener_async.domain.people import Actor
from kener_async.domain.states import MonitorStates
from kener_async.store import series
from kener_async.store.interface import Database
from kener_async.store.managed import Managed
from kener_async.store.series import OccurrencesMade, Permit, PlanOf, permit_all

log = structlog.get_logger(__name__)


class SeriesMaker:
    """Keep what is stored of series as they say. `plan_of` gives the series in force.

    `channels` returns the names of the channels that want announcements; `on_notices` is called when there is
    one to deliver.
    """

    def __init__(
        self,
        database: Database,
        states: MonitorStates,
        clock: Clock,
        plan_of: PlanOf,
        channels: Callable[[], Sequence[str]],
        on_notices: Callable[[], None],
    ) -> None:
        self._database = database
        self._states = states
        self._clock = clock
        self.plan_of = plan_of
        self._channels = channels
        self._on_notices = on_notices

    async def look(self) -> None:
        """The scheduled job: make the occurrences that are due, then announce; raises Unavailable."""
        await self._make()
        await self._announce()

    async def follow_configuration(self) -> None:
        """Make what a new configuration says at once; where nothing can be written, the next look does."""
        try:
            await self._make()
        except Unavailable:
            log.warning("the occurrences of maintenance are made later")

    async def _make(self) -> None:
        now = self._clock()
        if await self._database.read(series.is_due, self.plan_of, now):
            self.note(await self._database.write(series.make_occurrences, self.plan_of, now))

    async def _announce(self) -> None:
        channels, now = self._channels(), self._clock()
        if not channels:
            return
        if await self._database.read(series.announcements_due, now):
            announced = await self._database.write(series.announce, channels, now)
            log.info("maintenance announced", maintenances=announced, channels=len(channels))
            self._on_notices()

    async def save(
        self,
        name: str,
        body: dict[str, object],
        revision: int | None,
        actor: Actor,
        permit: Permit = permit_all,
    ) -> Managed:
        """Store a series with its occurrences, in one transaction; raises Conflict and Unavailable.

        `permit` is called in it with what is stored, None for a new one, and raises where that may not be
        replaced.
        """
        work = partial(series.save, name=name, body=body, revision=revision, actor=actor, permit=permit)
        saved, done = await self._database.write(work, self.plan_of, self._clock())
        self.note(done)
        self._states.note_incident_change()  # also what is computed of it changes
        return saved

    async def delete(
        self, name: str, revision: int | None, actor: Actor, permit: Permit = permit_all
    ) -> Managed:
        """Delete a series and its occurrences to come; raises NotFound, Conflict and Unavailable.

        `permit` is as that of `save`.
        """
        work = partial(series.delete, name=name, revision=revision, actor=actor, permit=permit)
        gone, done = await self._database.write(work, self.plan_of, self._clock())
        self.note(done)
        self._states.note_incident_change()
        return gone

    def note(self, done: OccurrencesMade) -> None:
        """Let the pages and the current statuses follow what was stored."""
        if not done:
            return
        self._states.mark_stale(done.tags)
        self._states.note_incident_change()
        log.info(
            "occurrences of maintenance were stored",
            **{name: list(numbers) for name, numbers in done.numbers().items()},
        )
