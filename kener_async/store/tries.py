"""Failed tries to sign in, by subject (a name, a network), so that guesses stay slow after a restart."""

from dataclasses import dataclass

from kener_async.store.interface import Session


@dataclass(frozen=True, slots=True)
class Tries:
    """The failures of a subject: the first counted one at `since`, the newest at `last_at` (UTC seconds)."""

    failures: int = 0
    since: int = 0
    last_at: int = 0


NO_TRIES = Tries()


def get(session: Session, subject: str) -> Tries:
    """The failures of a subject."""
    row = session.execute(
        "SELECT failures, since, last_at FROM tries WHERE subject = ?", (subject,)
    ).fetchone()
    return NO_TRIES if row is None else Tries(*row)


def save(session: Session, subject: str, tries: Tries) -> None:
    """Store the failures of a subject in the place of those before."""
    session.execute(
        "INSERT OR REPLACE INTO tries (subject, failures, since, last_at) VALUES (?, ?, ?, ?)",
        (subject, tries.failures, tries.since, tries.last_at),
    )


def forget(session: Session, subject: str) -> None:
    """Forget the failures of a subject."""
    session.execute("DELETE FROM tries WHERE subject = ?", (subject,))


def drop_old(session: Session, before: int) -> int:
    """Delete subjects whose newest failure was before an instant; how many."""
    return session.execute("DELETE FROM tries WHERE last_at < ?", (before,)).rowcount
