"""Answers of targets that speak any protocol: received until the conditions on them hold."""

from collections.abc import Sequence

from kener_async.domain.conditions import CheckCondition, Observed, first_fault
from kener_async.probes.settings import CheckSettings


class AnswerConditions:
    """The conditions of a check on the answer alone; `are_there`: whether any reads it at all."""

    def __init__(self, check: CheckSettings) -> None:
        conditions = (*(check.expect or ()), *check.warn)
        self._conditions: Sequence[CheckCondition] = [each for each in conditions if each.reads == {"answer"}]
        self.are_there = any("answer" in each.reads for each in conditions)

    def hold(self, answer: str) -> bool:
        """Whether all of them hold on this answer."""
        return not first_fault(self._conditions, Observed({"answer": answer}, {}))
