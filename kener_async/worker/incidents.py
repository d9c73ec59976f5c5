"""Notice what commands changed of incidents in the database beside the server."""

import structlog

from kener_async.domain.states import MonitorStates
from kener_async.store import audit
from kener_async.store.interface import Database

log = structlog.get_logger(__name__)

KINDS = ("incident", "series", "announcement")  # of things whose change shows on pages


class IncidentWatch:
    """Let the pages and the current statuses follow what a command did; its quarters were marked with it.

    The audit log has a row of every change by a command, in the transaction of the change.
    """

    def __init__(self, database: Database, states: MonitorStates) -> None:
        self._database = database
        self._states = states
        self._seen: int | None = None  # the newest row of the audit log at the last look

    async def look(self) -> None:
        """The scheduled job: read whether commands changed incidents since the last look."""
        newest = (await self._database.glance(audit.end_of)).id
        if self._seen is not None and newest > self._seen:
            things = await self._database.read(audit.changed_by_commands, self._seen, KINDS)
            if things:
                log.info("changed by a command", things=things)
                self._states.mark_stale()
                self._states.note_incident_change()
        self._seen = newest
