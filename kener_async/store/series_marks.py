"""Marks of series: by which schedule their occurrences were made, and up to when."""

from kener_async.domain.errors import Invalid
from kener_async.domain.incidents import Incident
from kener_async.store.interface import Session


def get(session: Session, series: str) -> tuple[str, int] | None:
    """The schedule, and the instant up to which occurrences were made; None: none were."""
    row = session.execute("SELECT schedule, made_to FROM series_marks WHERE series = ?", (series,)).fetchone()
    return None if row is None else (row[0], row[1])


def names(session: Session) -> set[str]:
    """The names of the series that have a mark."""
    return {name for (name,) in session.execute("SELECT series FROM series_marks")}


def save(session: Session, series: str, schedule: str, made_to: int) -> None:
    """Note up to when the occurrences of a series were made."""
    session.execute(
        """
        INSERT INTO series_marks (series, schedule, made_to) VALUES (?, ?, ?)
            ON CONFLICT (series) DO UPDATE SET schedule = excluded.schedule, made_to = excluded.made_to
        """,
        (series, schedule, made_to),
    )


def delete(session: Session, series: str) -> None:
    """Forget a series that is gone."""
    session.execute("DELETE FROM series_marks WHERE series = ?", (series,))


def note_deletion(session: Session, incident: Incident, now: int) -> None:
    """Let a maintenance that is deleted not be made again.

    Raises Invalid for one to come, which only stays away if it is cancelled.
    """
    if incident.series is None or get(session, incident.series) is None:
        return
    if incident.start > now:
        raise Invalid(f"it belongs to the series {incident.series!r}: cancel it, or except its date there")
    session.execute(
        "UPDATE series_marks SET made_to = max(made_to, ?) WHERE series = ?", (now, incident.series)
    )
