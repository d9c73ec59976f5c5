"""Notice incidents that a command deleted from the database beside the server."""

import structlog

from kener_async.domain.states import MonitorStates
from kener_async.store import incidents
from kener_async.store.interface import Database

log = structlog.get_logger(__name__)


class IncidentDeletions:
    """Let the pages and the current statuses follow a deletion; its quarters were marked with it."""

    def __init__(self, database: Database, states: MonitorStates) -> None:
        self._database = database
        self._states = states
        self._deleted: int | None = None  # how many numbers had no incident at the last look
        self._made = 0
        self._numbers: set[int] = set()

    async def look(self) -> None:
        """The scheduled job: read whether incidents are gone since the last look."""
        made, left = await self._database.read(incidents.made_and_left)
        if made - left == self._deleted:
            return
        numbers = await self._database.read(incidents.numbers)
        if self._deleted is not None:
            gone = (self._numbers | set(range(self._made + 1, made + 1))) - numbers
            log.info("incidents were deleted by a command", numbers=sorted(gone))
            self._states.mark_stale()
            self._states.note_incident_change()
        self._deleted, self._made, self._numbers = made - left, made, numbers
