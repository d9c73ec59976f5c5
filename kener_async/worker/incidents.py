"""Notice incidents that a command deleted or published in the database beside the server."""

import structlog

from kener_async.domain.states import MonitorStates
from kener_async.store import incidents
from kener_async.store.incidents import IncidentCounts
from kener_async.store.interface import Database

log = structlog.get_logger(__name__)


class IncidentWatch:
    """Let the pages and the current statuses follow what a command did; its quarters were marked with it."""

    def __init__(self, database: Database, states: MonitorStates) -> None:
        self._database = database
        self._states = states
        self._counts: IncidentCounts | None = None  # at the last look
        self._numbers: set[int] = set()

    async def look(self) -> None:
        """The scheduled job: read whether incidents are gone or public since the last look."""
        before, now = self._counts, await self._database.read(incidents.counts)
        if before is not None and (before.deleted, before.drafts) == (now.deleted, now.drafts):
            return
        numbers = await self._database.read(incidents.numbers)
        if before is not None:
            gone = (self._numbers | set(range(before.made + 1, now.made + 1))) - numbers
            if gone:
                log.info("incidents were deleted by a command", numbers=sorted(gone))
            self._states.mark_stale()
            self._states.note_incident_change()
        self._counts, self._numbers = now, numbers
