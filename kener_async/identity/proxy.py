"""Sign-in by a header of a reverse proxy, which has asked for the password itself.

The header is believed from the proxies of `[server] trusted_proxies` alone. A request from elsewhere that has
it is an attempt to be somebody and is refused, as is one that has it twice: it is open who wrote which.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

from kener_async.domain.people import Role, highest_role
from kener_async.store.identities import LONGEST_NAME, ExternalIdentity

LONGEST_GROUPS = 8192  # characters


class HeaderRefused(Exception):
    """The request is refused; the text is for the log, and names the header and not its value."""


class HeaderValues(Protocol):
    """The headers of a request, by names in any case."""

    def getall(self, key: str, default: Sequence[str], /) -> Sequence[str]: ...


@dataclass(frozen=True, slots=True)
class ProxySettings:
    """`[manage.proxy]`. With a `groups_header` the groups decide the role, else people have that stored."""

    header: str
    groups_header: str
    roles: tuple[tuple[str, Role], ...]
    create: bool

    @property
    def issuer(self) -> str:
        """The name of the proxy among the issuers of identities."""
        return f"proxy:{self.header.lower()}"


def identity_of(
    settings: ProxySettings, headers: HeaderValues, *, is_trusted: bool
) -> ExternalIdentity | None:
    """The person whom the proxy names; None: it names nobody. Raises HeaderRefused.

    `is_trusted`: the connection comes from one of the trusted proxies.
    """
    names = headers.getall(settings.header, ())
    groups = headers.getall(settings.groups_header, ()) if settings.groups_header else ()
    if (names or groups) and not is_trusted:
        raise HeaderRefused(f"{settings.header} comes from an address that is not among trusted_proxies")
    if len(names) > 1 or len(groups) > 1:
        raise HeaderRefused(f"{settings.header} or the header of groups is there twice")
    name = names[0].strip() if names else ""
    if not name:
        return None
    listed = groups[0] if groups else ""
    if not name.isprintable() or len(name) > LONGEST_NAME or len(listed) > LONGEST_GROUPS:
        raise HeaderRefused(f"{settings.header} or the header of groups cannot be read")
    role = highest_role([group.strip() for group in listed.split(",")], settings.roles)
    return ExternalIdentity(settings.issuer, name, name, "", role)
