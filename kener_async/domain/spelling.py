"""Names that are nearly right: what was meant by a misspelled one."""

from collections.abc import Iterable
from difflib import SequenceMatcher, get_close_matches
from functools import lru_cache

MAX_LENGTH = 64
MAX_CANDIDATES = 200  # compared closely; more would take longer than the request
SIMILAR = 0.8


@lru_cache(1024)
def is_nearly(name: str, known: str) -> bool:
    """Whether a name looks like the known one: in another case or style, shortened, or misspelled."""
    plain, wanted = _plain(name), _plain(known)
    if not plain or len(plain) > MAX_LENGTH:
        return False
    begins_alike = plain[: len(wanted) // 2] == wanted[: len(wanted) // 2]
    return begins_alike or SequenceMatcher(None, plain, wanted).ratio() >= SIMILAR


def _plain(name: str) -> str:
    return "".join(filter(str.isalnum, name[: 2 * MAX_LENGTH])).lower()


def closest(word: str, candidates: Iterable[str]) -> str | None:
    """The candidate that was probably meant by a word; None if none is similar."""
    if len(word) > MAX_LENGTH:
        return None
    lowered = word.strip().lower()
    alike: dict[str, str] = {}
    for candidate in candidates:
        if candidate.lower() == lowered:
            return candidate
        if abs(len(candidate) - len(lowered)) <= 2 and len(alike) < MAX_CANDIDATES:
            alike.setdefault(candidate.lower(), candidate)
    return next((alike[match] for match in get_close_matches(lowered, alike, 1, 0.7)), None)
