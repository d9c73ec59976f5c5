"""Certificates that checks have seen, and the end that counts."""

from collections.abc import Sequence
from dataclasses import dataclass

from kener_async.domain.calendar import DAY
from kener_async.domain.checks import SeenCertificate

BELIEVED = DAY  # seconds for which a certificate counts after another one was seen


@dataclass(frozen=True, slots=True)
class StoredCertificate:
    """A certificate of a target: at `position` 0 its own, from 1 on those of its issuers.

    `first_seen` and `last_seen` are in UTC seconds; the latter may be up to an hour behind.
    """

    seen: SeenCertificate
    position: int
    first_seen: int
    last_seen: int


def current(certificates: Sequence[StoredCertificate]) -> list[StoredCertificate]:
    """The certificates that count: the one of the target that ends last, and those of its issuers after it.

    Of the target's own only those of the last BELIEVED seconds before the newest count: where some nodes
    still have the old one, the new one speaks; and one that is put back speaks after a day.
    """
    own = [each for each in certificates if each.position == 0]
    newest = max((each.last_seen for each in own), default=0)
    chains = [_chain(each, certificates) for each in own if each.last_seen > newest - BELIEVED]
    return max(chains, key=end_of, default=[])


def end_of(chain: Sequence[StoredCertificate]) -> int:
    """The earliest end of a chain, in UTC seconds."""
    return min(each.seen.ends for each in chain)


def ends_at(certificates: Sequence[StoredCertificate]) -> int | None:
    """When the certificate that counts ends, or the first of its chain does; None: none was seen."""
    chain = current(certificates)
    return end_of(chain) if chain else None


def _chain(own: StoredCertificate, certificates: Sequence[StoredCertificate]) -> list[StoredCertificate]:
    """A certificate with those of its issuers that were seen with it, by their names.

    Of several issuers of one name, as after a renewal, the one that ends last is taken.
    """
    issuers: dict[str, StoredCertificate] = {}
    for each in certificates:
        if each.position > 0 and each.last_seen > own.last_seen - BELIEVED:
            before = issuers.get(each.seen.subject)
            if before is None or before.seen.ends < each.seen.ends:
                issuers[each.seen.subject] = each
    chain = [own]
    while (issuer := issuers.pop(chain[-1].seen.issuer, None)) is not None:
        chain.append(issuer)
    return chain
