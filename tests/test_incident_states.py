"""States and flags of incidents are two views of one thing, whichever API writes them.

KENER_HISTORIES=10000 runs that many random sequences instead of a few.
"""

import os
import random
from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass, field
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from kener_async.config.model import Config
from kener_async.domain.calendar import DAY
from kener_async.domain.incident_updates import (
    IncidentState,
    Stated,
    last_open_state,
    resolved_since,
    states_of_flags,
)
from tests.rigs.service import NOON, FakeClock, Service, a_config, running

SEQUENCES = int(os.environ.get("KENER_HISTORIES", "0")) or 60
ACTS = 8  # of a sequence
STATES = tuple(state.name.lower() for state in IncidentState)
OPEN_WITH_CAUSE = ("identified", "monitoring")


# The rule for flags alone

said_states = st.lists(st.sampled_from(IncidentState), max_size=6).map(
    lambda states: [Stated(at, state) for at, state in enumerate(states)]
)


@given(said_states, st.booleans(), st.booleans())
def test_states_added_for_flags_give_these_flags_and_nothing_is_added_twice(
    states: list[Stated], is_identified: bool, is_resolved: bool
):
    after = list(states)
    for state in states_of_flags(states, is_identified, is_resolved):
        after.append(Stated(len(after), state))
    assert (last_open_state(after) is not IncidentState.INVESTIGATING) == is_identified
    assert (resolved_since(after) is not None) == is_resolved
    assert states_of_flags(after, is_identified, is_resolved) == []


@given(said_states)
def test_what_is_reopened_returns_to_the_last_state_before_it_was_resolved(states: list[Stated]):
    before = last_open_state(states)
    resolved = [*states, Stated(10, IncidentState.RESOLVED)]
    is_identified = before is not IncidentState.INVESTIGATING
    assert states_of_flags(resolved, is_identified, is_resolved=False) == [before]


# Both APIs


@pytest.fixture
async def service(tmp_path: Any) -> AsyncIterator[Service]:
    config: Config = a_config(tmp_path)
    async with running(config, FakeClock()) as running_service:
        scopes = ("incident:read", "incident:write", "incident:delete", "manage:read")
        running_service.token = await running_service.mint(scopes=scopes)
        yield running_service


@dataclass
class Story:
    """One incident that both APIs write, and what it must be by the flags that it was opened with."""

    service: Service
    dice: random.Random
    number: int = 0
    opened_with: tuple[bool, bool] = (False, False)
    has_states: bool = False
    acts: list[str] = field(default_factory=list)

    @property
    def now(self) -> int:
        return self.service.clock.now

    async def run(self) -> None:
        flags = (self.dice.random() < 0.2, self.dice.random() < 0.2)
        body = {"title": "x", "tags": ["earth"], "isIdentified": flags[0], "isResolved": flags[1]}
        if self.dice.random() < 0.2:
            body |= {"startDatetime": self.now + self.dice.randint(-1000, 1000)}
        answer = await self.service.post("/api/incident", body)
        self.number, self.opened_with = answer["incidentNumber"], flags
        assert (answer["isIdentified"], answer["isResolved"]) == flags
        await self.judge()
        for _ in range(ACTS):
            self.service.clock.now += self.dice.choice((0, 0, 1, 60, 60, 600, -30))
            act = self.dice.choice(
                (self.by_flags, self.by_flags, self.comment, self.post, self.post, self.edit, self.delete)
            )
            self.acts.append(act.__name__)
            await act()
            await self.judge()

    async def by_flags(self) -> None:
        names = ("isIdentified", "isResolved")
        wanted = {name: self.dice.random() < 0.5 for name in names if self.dice.random() < 0.7}
        before = await self.contract()
        if self.dice.random() < 0.5:
            answer = await self.service.post(f"/api/incident/{self.number}/status", wanted)
        else:
            body = wanted | {"title": "y", "tags": ["earth"]}
            status, answer = await self.service.ask("PATCH", f"/api/incident/{self.number}", json=body)
            assert status == 200, answer
        self.has_states |= any(before[name] != value for name, value in wanted.items())
        for name in names:
            assert answer[name] == wanted.get(name, before[name]), (self.acts, wanted)

    async def comment(self) -> None:
        before = await self.contract()
        await self.service.post(f"/api/incident/{self.number}/comment", {"body": "text"})
        after = await self.contract()
        assert before == after

    async def post(self) -> None:
        body: dict[str, Any] = {"state": self.dice.choice(STATES)} if self.dice.random() < 0.7 else {}
        if not body or self.dice.random() < 0.5:
            body["body"] = "said"
        if self.dice.random() < 0.4:
            body["at"] = self.now - self.dice.choice((0, 1, 100, 1000, DAY - 2000))
        path = f"/api/manage/incidents/{self.number}"
        if set(body) == {"state"} and self.dice.random() < 0.5:
            status, _ = await self.service.ask("PATCH", path, json=body)
            known = (await self.managed())["updates"]
            self.has_states |= any(update["state"] is not None for update in known)
        else:
            status, _ = await self.service.ask("POST", f"{path}/updates", json=body)
            self.has_states |= "state" in body
        assert status == 200, body

    async def edit(self) -> None:
        updates = (await self.managed())["updates"]
        if not updates:
            return
        update = self.dice.choice(updates)
        body = self.dice.choice(
            (
                {"state": self.dice.choice(STATES)},
                {"state": None, "body": "edited"},
                {"at": self.now - self.dice.choice((0, 50, 500))},
                {"body": "edited"},
            )
        )
        path = f"/api/manage/incidents/{self.number}/updates/{update['id']}"
        status, answer = await self.service.ask("PATCH", path, json=body)
        assert status == 200, answer
        assert answer["editedAt"] is not None or answer == answer | body
        self.has_states |= body.get("state") is not None

    async def delete(self) -> None:
        updates = (await self.managed())["updates"]
        if updates:
            path = f"/api/manage/incidents/{self.number}/updates/{self.dice.choice(updates)['id']}"
            status, answer = await self.service.ask("DELETE", path)
            assert status == 200, answer

    async def contract(self) -> dict[str, Any]:
        answer: dict[str, Any] = await self.service.get(f"/api/incident/{self.number}")
        return answer

    async def managed(self) -> dict[str, Any]:
        answer: dict[str, Any] = await self.service.get(f"/api/manage/incidents/{self.number}")
        return answer

    async def judge(self) -> None:
        """Hold both answers against the updates, by the words of the rule."""
        contract, managed = await self.contract(), await self.managed()
        updates: Sequence[dict[str, Any]] = managed["updates"]
        assert [one["id"] for one in updates] == [
            one["id"] for one in sorted(updates, key=lambda one: (one["at"], one["id"]))
        ]
        states = [one["state"] for one in updates if one["state"] is not None]
        if self.has_states:
            unresolved = [state for state in states if state != "resolved"]
            last_open = unresolved[-1] if unresolved else "investigating"
            state = states[-1] if states else "investigating"
            is_identified = last_open in OPEN_WITH_CAUSE
        else:
            assert states == [], self.acts
            is_identified, is_resolved = self.opened_with
            state = "resolved" if is_resolved else "identified" if is_identified else "investigating"
        told = (managed["state"], contract["isIdentified"], contract["isResolved"])
        assert told == (state, is_identified, state == "resolved"), (self.acts, states)
        assert (contract["closedAt"] is not None) == (state == "resolved"), self.acts
        comments = await self.service.get(f"/api/incident/{self.number}/comment")
        said = [(one["id"], one["body"]) for one in updates if one["body"]]
        assert [(one["commentID"], one["body"]) for one in comments] == said


async def test_flags_and_states_agree_in_whatever_order_both_apis_write_them(service: Service):
    for seed in range(SEQUENCES):
        service.clock.now = NOON + seed * DAY
        await Story(service, random.Random(seed)).run()
