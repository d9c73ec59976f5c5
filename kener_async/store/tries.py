"""Failures to sign in, by subject (a name, a network), so that guesses stay slow after a restart."""

from kener_async.domain.guesses import NO_FAILURES, Failures
from kener_async.store.interface import Session


def get(session: Session, subject: str) -> Failures:
    """The failures of a subject."""
    row = session.execute(
        "SELECT failures, since, last_at FROM tries WHERE subject = ?", (subject,)
    ).fetchone()
    return NO_FAILURES if row is None else Failures(*row)


def save(session: Session, subject: str, failures: Failures) -> None:
    """Store the failures of a subject in the place of those before."""
    session.execute(
        "INSERT OR REPLACE INTO tries (subject, failures, since, last_at) VALUES (?, ?, ?, ?)",
        (subject, failures.count, failures.since, failures.last_at),
    )


def forget(session: Session, subject: str) -> None:
    """Forget the failures of a subject."""
    session.execute("DELETE FROM tries WHERE subject = ?", (subject,))


def drop_old(session: Session, before: int) -> int:
    """Delete the subjects whose newest failure was before an instant; how many."""
    return session.execute("DELETE FROM tries WHERE last_at < ?", (before,)).rowcount
