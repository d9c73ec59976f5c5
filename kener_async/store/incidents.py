"""Incidents, the monitors they name, and their updates; what people change of them is in the audit log."""

import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from typing import Any

from kener_async.domain.access import Grant, require_tags
from kener_async.domain.errors import Conflict, Invalid, NotFound
from kener_async.domain.incident_facts import facts, thread_facts, update_facts
from kener_async.domain.incident_merges import merged, moved, require_mergeable
from kener_async.domain.incident_updates import (
    Impacts,
    IncidentState,
    Update,
    check_time,
    last_open_state,
    resolved_since,
    states_of_flags,
)
from kener_async.domain.incidents import Incident, edited, opened, touched, with_states
from kener_async.domain.people import Actor
from kener_async.store import audit, incident_lists, incident_rows, incident_updates, series_marks
from kener_async.store.incident_lists import IncidentThread
from kener_async.store.incident_rows import COLUMNS
from kener_async.store.interface import Session

# What people, tokens and commands do. Each of these takes the actor for the audit log; the grant, which must
# cover the incident's monitors (None: all); and the revision that the act was made from (None: whatever is
# stored). Unless said otherwise they raise NotFound for an incident that does not exist or is a draft of
# monitors outside the grant, Forbidden for other monitors of it, Conflict for another revision, and Invalid
# naming the field. What changes nothing is not recorded, and leaves the revision as it is.


def open(
    session: Session, fields: Mapping[str, Any], actor: Actor, now: int, grant: Grant | None = None
) -> Incident:
    """Store a new incident of these fields under the next number; raises Invalid and Forbidden.

    Beside those of `Incident`, `state` is an IncidentState, and `impacts` are by tag.
    """
    if grant is not None:
        require_tags(grant, fields["tags"])
    incident = opened(incident_rows.made(session) + 1, _without_state(fields), now)
    _require_named(incident, fields.get("impacts", {}))
    incident_rows.save(session, incident)
    if "state" in fields and fields["state"] is not incident.state:
        incident_updates.add_state(session, incident.number, fields["state"], now, str(actor), now)
        states = incident_updates.states(session, incident.number)
        incident = replace(with_states(incident, states, now), revision=0)
        incident_rows.save(session, incident)
    incident_rows.mark(session, incident)
    audit.record(session, actor, "incident.open", _thing(incident), None, facts(incident), now)
    return incident


def change(
    session: Session,
    number: int,
    fields: Mapping[str, Any],
    actor: Actor,
    now: int,
    *,
    grant: Grant | None = None,
    revision: int | None = None,
    is_public: bool = False,
) -> tuple[Incident, Incident]:
    """Change fields of an incident and mark the quarters it covered or covers; the incident before and after.

    `state` and the contract's flags add updates without text. `is_public`: drafts are not found.
    """
    before = _writable(session, number, grant, revision, is_public=is_public)
    _require_named(replace(before, tags=fields.get("tags", before.tags)), fields.get("impacts", {}))
    said = {name: value for name, value in fields.items() if name not in ("state", "impacts")}
    after = edited(before, said, now)
    if grant is not None:
        require_tags(grant, after.tags)
    if "impacts" in fields:
        after = replace(after, impacts=_merged(after, fields["impacts"]))
    if "state" in fields and fields["state"] is not after.state:
        after = _stated(session, before, after, [fields["state"]], actor, now)
    elif (after.is_identified, after.is_resolved) != (before.is_identified, before.is_resolved):
        states = incident_updates.states(session, number) or before.implied_states()
        was_identified = last_open_state(states) is not IncidentState.INVESTIGATING
        is_identified = fields.get("is_identified", was_identified)
        added = states_of_flags(states, is_identified, after.is_resolved)
        after = _stated(session, before, after, added, actor, now)
    if after.series is not None and _differs(before, after):
        after = replace(after, is_changed=True)
    return before, _changed(session, "incident.change", before, after, actor, now)


def post_update(
    session: Session,
    number: int,
    fields: Mapping[str, Any],
    actor: Actor,
    now: int,
    *,
    grant: Grant | None = None,
    revision: int | None = None,
    is_public: bool = False,
) -> tuple[Incident, Update]:
    """Add an update, and give the incident its state and impacts; the incident after it, and the update.

    `fields` are `body`, `state`, `impacts` by tag, of which one must be there, and `at` (default: now).
    """
    before = _writable(session, number, grant, revision, is_public=is_public)
    update = _posted(session, before, fields, actor, now)
    after = _with_update(session, before, None, update, now)
    act = "incident.update"
    return _updated(session, act, before, after, None, update, actor, now), update


def edit_update(
    session: Session,
    number: int,
    update_id: int,
    fields: Mapping[str, Any],
    actor: Actor,
    now: int,
    *,
    grant: Grant | None = None,
    revision: int | None = None,
) -> tuple[Incident, Update]:
    """Change fields of an update, as `post_update` takes them; the incident after it, and the update.

    Its state and its place in time count from then on as if it had been posted so. `state` None: it no longer
    has one.
    """
    before = _writable(session, number, grant, revision)
    old = incident_updates.get(session, number, update_id)
    new = replace(old, **fields)
    if new == old:
        return before, old
    if new.at != old.at:
        check_time(new.at, before.start, now)
    _require_content(new)
    _require_named(before, fields.get("impacts", {}))
    new = replace(new, edited_at=now)
    _note_implied(session, before, old, new)
    incident_updates.save(session, new)
    after = _with_update(session, before, old, new, now)
    return _updated(session, "incident.update.edit", before, after, old, new, actor, now), new


def delete_update(
    session: Session,
    number: int,
    update_id: int,
    actor: Actor,
    now: int,
    *,
    grant: Grant | None = None,
    revision: int | None = None,
) -> Incident:
    """Delete an update; the incident, with the state of its newest other one and its impacts as before."""
    before = _writable(session, number, grant, revision)
    old = incident_updates.get(session, number, update_id)
    incident_updates.delete(session, update_id)
    after = _with_update(session, before, old, None, now)
    return _updated(session, "incident.update.delete", before, after, old, None, actor, now)


def set_impacts(
    session: Session,
    number: int,
    impacts: Impacts,
    actor: Actor,
    now: int,
    *,
    is_adding: bool = False,
    grant: Grant | None = None,
    revision: int | None = None,
) -> Incident:
    """Set the impacts on single monitors, None: that of the incident; the incident after it.

    `is_adding`: monitors that it does not name are added to it.
    """
    before = _writable(session, number, grant, revision)
    tags = before.tags
    if is_adding:
        tags += tuple(tag for tag in impacts if tag not in tags)
        if grant is not None:
            require_tags(grant, tags)
    _require_named(replace(before, tags=tags), impacts)
    after = edited(before, {"tags": tags, "impacts": _merged(before, impacts)}, now)
    return _changed(session, "incident.impacts", before, after, actor, now)


def postmortem(
    session: Session,
    number: int,
    text: str,
    actor: Actor,
    now: int,
    *,
    is_published: bool = True,
    grant: Grant | None = None,
    revision: int | None = None,
) -> Incident:
    """Set the postmortem, which is Markdown; an empty one removes it. The incident after it.

    It keeps the time at which it was first published.
    """
    before = _writable(session, number, grant, revision)
    is_shown = bool(text) and is_published
    at = (before.postmortem_at or now) if is_shown else None
    after = edited(before, {"postmortem": text, "postmortem_at": at}, now)
    return _changed(session, "incident.postmortem", before, after, actor, now)


def publish(
    session: Session,
    number: int,
    actor: Actor,
    now: int,
    *,
    grant: Grant | None = None,
    revision: int | None = None,
) -> Incident:
    """Make a draft public; the incident, also if it was public before."""
    before = _writable(session, number, grant, revision)
    after = edited(before, {"is_draft": False}, now)
    return _changed(session, "incident.publish", before, after, actor, now)


def unpublish(
    session: Session,
    number: int,
    actor: Actor,
    now: int,
    *,
    grant: Grant | None = None,
    revision: int | None = None,
) -> Incident:
    """Make a draft of it, which is on no page and covers nothing; the incident, also if it was one before."""
    before = _writable(session, number, grant, revision)
    after = edited(before, {"is_draft": True}, now)
    return _changed(session, "incident.unpublish", before, after, actor, now)


def delete(
    session: Session,
    number: int,
    actor: Actor,
    now: int,
    *,
    grant: Grant | None = None,
    revision: int | None = None,
) -> Incident:
    """Delete an incident with its updates, which the audit log keeps, and mark the quarters it covered.

    Raises Invalid for a maintenance of a series that is to come: it would be made again.
    """
    incident = _writable(session, number, grant, revision)
    series_marks.note_deletion(session, incident, now)
    gone = thread_facts(incident, incident_updates.of(session, [number])[number])
    _remove(session, incident)
    audit.record(session, actor, "incident.delete", _thing(incident), gone, None, now)
    return incident


def merge(
    session: Session,
    number: int,
    target_number: int,
    target_revision: int | None,
    actor: Actor,
    now: int,
    *,
    grant: Grant | None = None,
    revision: int | None = None,
) -> tuple[Incident, Incident]:
    """Merge an incident into the target, and delete it; the incident as it was, and the target after it.

    Its monitors and its updates join the target, the updates with their times and authors, but without their
    states. The audit log keeps all of it. Raises Conflict also if the target is at another revision.
    """
    duplicate = _writable(session, number, grant, revision)
    target = _writable(session, target_number, grant, target_revision)
    require_mergeable(duplicate, target)
    updates = incident_updates.of(session, [number])[number]
    _remove(session, duplicate)
    joining = [update for update in map(moved, updates) if update is not None]
    incident_updates.insert(session, target_number, joining)
    after = _stored(session, target, merged(duplicate, target, now), now)
    gone, into = thread_facts(duplicate, updates), {"merged_into": target_number}
    audit.record(session, actor, "incident.merge", _thing(duplicate), gone, into, now)
    said = facts(after) | {"merged": number, "updates": [update_facts(update) for update in joining]}
    audit.record(session, actor, "incident.merge", _thing(target), facts(target), said, now)
    return duplicate, after


def _remove(session: Session, incident: Incident) -> None:
    """Remove an incident with its updates, and mark the quarters it covered."""
    incident_rows.mark(session, incident)
    session.execute("DELETE FROM updates WHERE number = ?", (incident.number,))
    session.execute("DELETE FROM incident_monitors WHERE number = ?", (incident.number,))
    session.execute("DELETE FROM incidents WHERE number = ?", (incident.number,))


def _thing(incident: Incident) -> str:
    return f"incident {incident.number}"


def _writable(
    session: Session, number: int, grant: Grant | None, revision: int | None, *, is_public: bool = False
) -> Incident:
    incident = get(session, number)
    is_hidden = grant is not None and grant.tags is not None and not any(map(grant.allows_tag, incident.tags))
    if incident.is_draft and (is_public or is_hidden):
        raise NotFound("incident not found")
    if grant is not None:
        require_tags(grant, incident.tags)
    if revision is not None and revision != incident.revision:
        raise Conflict(f"it was changed since: it is at revision {incident.revision}")
    return incident


def _require_named(incident: Incident, impacts: Impacts) -> None:
    unknown = [tag for tag in impacts if tag not in incident.tags]
    if unknown:
        raise Invalid(f"Invalid impacts: the incident does not name {', '.join(unknown)}")


def _require_content(update: Update) -> None:
    if not update.body and update.state is None and not update.impacts:
        raise Invalid("Invalid body: an update needs a text, a state or impacts")


def _without_state(fields: Mapping[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in fields.items() if name != "state"}


def _differs(before: Incident, after: Incident) -> bool:
    """Whether a person changed what the series says of a maintenance."""
    said = ("title", "body", "tags", "start", "end", "is_resolved", "is_draft", "announce")
    return any(getattr(before, name) != getattr(after, name) for name in said)


def _merged(incident: Incident, impacts: Impacts) -> dict[str, Any]:
    known = {**incident.impacts, **impacts}
    return {tag: impact for tag, impact in known.items() if impact is not None}


def _changed(
    session: Session, act: str, before: Incident, after: Incident, actor: Actor, now: int
) -> Incident:
    """Store a changed incident, and record the act."""
    if after == before:
        return before
    after = _stored(session, before, after, now)
    audit.record(session, actor, act, _thing(after), facts(before), facts(after), now)
    return after


def _updated(
    session: Session,
    act: str,
    before: Incident,
    after: Incident,
    old: Update | None,
    new: Update | None,
    actor: Actor,
    now: int,
) -> Incident:
    """Store an incident of which an update changed, and record the act."""
    after = _stored(session, before, after, now)
    one = new or old
    thing = f"{_thing(after)} update {0 if one is None else one.id}"
    said = [None if update is None else update_facts(update) for update in (old, new)]
    audit.record(session, actor, act, thing, said[0], said[1], now)
    return after


def _stored(session: Session, before: Incident, after: Incident, now: int) -> Incident:
    after = replace(after, updated_at=max(now, before.updated_at), revision=before.revision + 1)
    after = touched(before, after, now)
    incident_rows.mark(session, before)
    incident_rows.save(session, after)
    incident_rows.mark(session, after)
    return after


def _posted(
    session: Session, incident: Incident, fields: Mapping[str, Any], actor: Actor, now: int
) -> Update:
    """Store an update; without a time it stands now, and one with a state is the newest that has one."""
    at, state = fields.get("at"), fields.get("state")
    update = Update(0, fields.get("body", ""), now, now, state, fields.get("impacts", {}), str(actor))
    _require_content(update)
    _require_named(incident, update.impacts)
    _note_implied(session, incident, None, update)
    if at is not None:
        check_time(at, incident.start, now)
    elif state is not None:
        at = max([now, *(one.at for one in incident_updates.states(session, incident.number)[-1:])])
    return incident_updates.add(session, incident.number, update if at is None else replace(update, at=at))


def _with_update(
    session: Session, incident: Incident, old: Update | None, new: Update | None, now: int
) -> Incident:
    """The incident after one of its updates changed, as the updates that are stored say."""
    said = (None if old is None else (old.state, old.at), None if new is None else (new.state, new.at))
    if any(one is not None and one[0] is not None for one in said) and said[0] != said[1]:
        incident = with_states(incident, incident_updates.states(session, incident.number), now)
    if new is not None and new.impacts and (old is None or new.impacts != old.impacts):
        updates = incident_updates.of(session, [incident.number])[incident.number]
        later = {tag for update in updates if update.order > new.order for tag in update.impacts}
        impacts = {tag: impact for tag, impact in new.impacts.items() if tag not in later}
        incident = edited(incident, {"impacts": _merged(incident, impacts)}, now)
    return incident


def _note_implied(session: Session, incident: Incident, old: Update | None, new: Update | None) -> None:
    """Store the states that follow from the flags, before the first update has one."""
    if all(update is None or update.state is None for update in (old, new)):
        return
    incident_updates.note_states(session, incident)


def _stated(
    session: Session,
    before: Incident,
    after: Incident,
    added: Sequence[IncidentState],
    actor: Actor,
    now: int,
) -> Incident:
    """The incident with states added by updates without text.

    They stand now, or where the newest is if the clock was set back. What stays resolved is so since when it
    was.
    """
    incident_updates.note_states(session, before)
    states = incident_updates.states(session, before.number)
    since = resolved_since(states)
    is_still_resolved = since is not None and added[-1] is IncidentState.RESOLVED
    at = since if is_still_resolved and since is not None else max([now, *(one.at for one in states[-1:])])
    for state in added:
        incident_updates.add_state(session, before.number, state, at, str(actor), now)
    return with_states(after, incident_updates.states(session, before.number), now)


# What the server does.


def add(session: Session, fields: Mapping[str, Any], now: int) -> Incident:
    """Store a new incident that no person opened; raises Invalid as `opened` does."""
    incident = opened(incident_rows.made(session) + 1, fields, now)
    incident_rows.save(session, incident)
    incident_rows.mark(session, incident)
    return incident


def next_number(session: Session) -> int:
    """The number of the next incident; those of deleted ones are never given again."""
    return incident_rows.made(session) + 1


def save_automatic(session: Session, incident: Incident) -> None:
    """Store an incident of an alert rule as its alerts left it, new or changed.

    It covers no minute, so no quarter is marked, and no person has touched it by this. Monitors have only
    been added to those that are stored; in a storm they are hundreds, so only the new ones are written.
    """
    incident_rows.save_fields(session, incident)
    (stored,) = session.execute(
        "SELECT count(*) FROM incident_monitors WHERE number = ?", (incident.number,)
    ).fetchone()
    incident_rows.add_monitors(session, incident, stored)


def remark(session: Session, number: int, body: str, now: int) -> Update:
    """Add a text that no person wrote to an incident that exists."""
    update = incident_updates.add(session, number, Update(0, body, now, now))
    session.execute(
        "UPDATE incidents SET updated_at = max(updated_at, ?), revision = revision + 1 WHERE number = ?",
        (now, number),
    )
    return update


def insert(session: Session, incident: Incident, updates: Iterable[Update]) -> None:
    """Store an exported incident under its number, without marking the quarters it covers."""
    incident_rows.save(session, incident)
    incident_updates.insert(session, incident.number, updates)


# Reading.


def open_automatic(session: Session, created_from: int) -> list[Incident]:
    """The open incidents of alert rules, also drafts, that were created at an instant or later."""
    rows = session.execute(
        f"""
        SELECT {COLUMNS} FROM incidents INDEXED BY incidents_open
         WHERE closed_at IS NULL AND created_at >= ? AND source = 1 ORDER BY number
        """,  # noqa: S608
        (created_from,),
    )
    return incident_rows.incidents(session, rows.fetchall())


def public(session: Session, number: int) -> Incident:
    """The incident, if it is no draft; raises NotFound."""
    incident = get(session, number)
    if incident.is_draft:
        raise NotFound("incident not found")
    return incident


def get(session: Session, number: int) -> Incident:
    """The incident, which may be a draft; raises NotFound."""
    for incident in of_numbers(session, [number]):
        return incident
    raise NotFound("incident not found")


def of_numbers(session: Session, numbers: Iterable[int]) -> list[Incident]:
    """The incidents of these numbers, without those that do not exist."""
    rows = session.execute(
        f"""
        SELECT {COLUMNS} FROM incidents
         WHERE number IN (SELECT value FROM json_each(?)) ORDER BY number
        """,  # noqa: S608
        (json.dumps(list(numbers)),),
    )
    return incident_rows.incidents(session, rows.fetchall())


def thread(session: Session, number: int, *, is_public: bool = True) -> IncidentThread:
    """One incident with its updates; raises NotFound, with `is_public` also for a draft."""
    incident = public(session, number) if is_public else get(session, number)
    (incident_thread,) = incident_lists.threads(session, [incident])
    return incident_thread


def ended(session: Session, now: int) -> bool:
    """Whether an open incident's end has passed."""
    row = session.execute(
        'SELECT 1 FROM incidents WHERE closed_at IS NULL AND "end" <= ? LIMIT 1', (now,)
    ).fetchone()
    return row is not None


def close_ended(session: Session, now: int) -> list[int]:
    """Close the open incidents whose end has passed, as of that end; returns their numbers."""
    rows = session.execute(
        """
        UPDATE incidents SET closed_at = "end"
         WHERE closed_at IS NULL AND "end" <= ?
        RETURNING number
        """,
        (now,),
    )
    return [number for (number,) in rows]
