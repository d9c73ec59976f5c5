"""Which recipients have a message already, while it is tried again for the others."""

from collections import OrderedDict
from collections.abc import Sequence

REMEMBERED = 1000


class Reached:
    """Recipients by the key of a message; the oldest of many are forgotten. It does not survive a restart."""

    def __init__(self) -> None:
        self._recipients: OrderedDict[str, set[str]] = OrderedDict()

    def missing(self, key: str, recipients: Sequence[str]) -> list[str]:
        """Those that do not have it, in their order."""
        reached = self._recipients.get(key, set())
        return [recipient for recipient in recipients if recipient not in reached]

    def any(self, key: str) -> bool:
        return key in self._recipients

    def add(self, key: str, *recipients: str) -> None:
        if recipients:
            self._recipients.setdefault(key, set()).update(recipients)
        while len(self._recipients) > REMEMBERED:
            self._recipients.popitem(last=False)

    def forget(self, key: str) -> None:
        self._recipients.pop(key, None)
