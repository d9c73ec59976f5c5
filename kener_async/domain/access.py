"""Permissions of a token: scopes and monitors."""

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from fnmatch import fnmatchcase
from functools import lru_cache

from kener_async.domain.errors import Forbidden

_SPECIAL = frozenset("*?[")  # what makes a pattern of a tag

DEFAULT_SCOPES = ("status:write", "status:read", "incident:write", "incident:read")
SCOPES = (
    *DEFAULT_SCOPES,
    "manage:read",
    "alert:write",
    "incident:delete",
    "monitor:write",
    "channel:write",
    "report:read",
    "admin",
)


def is_tag(pattern: str) -> bool:
    """Whether a pattern of monitors is one tag, and neither a glob nor "category:..."."""
    return not _SPECIAL.intersection(pattern) and ":" not in pattern


def is_expired(expires: int | None, now: int) -> bool:
    """Whether a token that expires at an instant has expired; None: it never expires."""
    return expires is not None and expires <= now


@dataclass(frozen=True, slots=True)
class Grant:
    """The permissions of a verified token. `tags` are patterns of monitors, None for all.

    `expires` is in UTC seconds; None for a token that was created without an expiry. `sender` is the owner of
    the devices that it reports: the token or the one that it replaces, or the subject of one made elsewhere.
    """

    id: str
    subject: str
    scopes: frozenset[str]
    tags: tuple[str, ...] | None
    expires: int | None
    sender: str = ""

    def is_expired(self, now: int) -> bool:
        return is_expired(self.expires, now)

    def allows(self, scope: str) -> bool:
        return scope in self.scopes or "admin" in self.scopes

    def allows_tag(self, tag: str) -> bool:
        if self.tags is None:
            return True
        plain, patterns = _divided(self.tags)
        return tag in plain or any(fnmatchcase(tag, pattern) for pattern in patterns)


@lru_cache(1024)
def _divided(tags: tuple[str, ...]) -> tuple[frozenset[str], tuple[str, ...]]:
    """The tags among these, and the patterns: a person has a thousand tags and no pattern."""
    plain = frozenset(tag for tag in tags if not _SPECIAL.intersection(tag))
    return plain, tuple(tag for tag in tags if tag not in plain)


EVERYTHING = Grant("", "", frozenset(SCOPES), None, None)  # of commands on the machine itself


def require_tags(grant: Grant, tags: Iterable[str], enough: Callable[[Iterable[bool]], bool] = all) -> None:
    """Raise Forbidden unless the grant covers all the tags, or with `enough=any` one of them."""
    if grant.tags is None and enough is all:
        return
    if not enough(grant.allows_tag(tag) for tag in tags):
        raise Forbidden("the token is for other monitors")
