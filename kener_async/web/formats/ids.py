"""Ids of the site, its feeds and its incidents for readers, never made of a request's address."""

from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Self
from urllib.parse import quote, urlsplit
from uuid import UUID, uuid5

from kener_async.config.model import ServerConfig
from kener_async.domain.incidents import Incident


@dataclass(frozen=True, slots=True)
class Ids:
    """The ids of one site: made of its configured address, or without one of its database's identity.

    `base_url` is the configured address with the base path, empty if there is none.
    """

    base_url: str
    identity: UUID

    @classmethod
    def of(cls, server: ServerConfig, identity: UUID) -> Self:
        return cls(server.public_url and server.public_url + server.base_path, identity)

    @property
    def site(self) -> str:
        return self.base_url or str(self.identity)

    def feed(self, path: str) -> str:
        """The id of the feed at a path: its address, else a UUID."""
        return self.base_url + path if self.base_url else self._urn(path)

    def entry(self, incident: Incident) -> str:
        """A tag URI (RFC 4151), which stays the same when the site moves to https or to another port."""
        path = _path(incident)
        if not self.base_url:
            return self._urn(path)
        base = urlsplit(self.base_url)
        if incident.series is not None and incident.occurrence is not None:
            return f"tag:{base.hostname},{incident.occurrence[:10]}:{base.path}{path}"
        created_on = datetime.fromtimestamp(incident.created_at, UTC)
        return f"tag:{base.hostname},{created_on:%Y-%m-%d}:{base.path}{path}"

    def postmortem(self, incident: Incident) -> str:
        """That of the postmortem of an incident, which is an entry of its own."""
        if not self.base_url:
            return self._urn(f"{_path(incident)}#postmortem")
        return f"{self.entry(incident)}#postmortem"

    def event(self, incident: Incident) -> str:
        """The UID of an incident in a calendar; of one of a series the same before and after it is stored."""
        if incident.series is not None:
            host = urlsplit(self.base_url).hostname or self.identity
            return f"maintenance-{uuid5(self.identity, _path(incident)).hex}@{host}"
        return f"incident-{incident.number}@{urlsplit(self.base_url).hostname or self.identity}"

    def _urn(self, path: str) -> str:
        return uuid5(self.identity, path).urn


def _path(incident: Incident) -> str:
    """What tells an incident from others; one of a series has it before it is stored."""
    if incident.series is not None and incident.occurrence is not None:
        return f"/maintenance/{quote(incident.series, safe='')}/{incident.occurrence[:10]}"
    return f"/incident/{incident.number}"
